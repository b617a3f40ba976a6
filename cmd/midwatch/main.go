// Command midwatch tells an organization, from its own audit logs, whether
// somebody is in its mail, since when, and what they reached.
//
// One file per verb; run is the whole program as a function of its arguments
// and streams. This package is the only place that prints errors and exits.
//
// The rules of the terminal: results go to standard output, everything else to
// standard error with "midwatch:" before it; no capital initials and no full
// stops in errors; what to try next stands behind a semicolon; no colour and
// no rewriting of lines unless a person is looking.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The exit statuses. They stand in every help text.
const (
	exitNothing    = 0 // done, nothing found
	exitFindings   = 1 // done, there are findings
	exitFailed     = 2 // usage, configuration or environment: not done
	exitIncomplete = 3 // done, but the input was incomplete
)

const exitHelp = `
Exit status:
  0  done, nothing found
  1  done, there are findings
  2  not done: usage, configuration or environment
  3  done, but the input was incomplete: what could not be read is listed
`

func main() {
	// Most memory is the engine's, and Go's live heap is small: collecting it
	// less often costs little and saves a tenth of the reading.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is what a verb talks to.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// terminal reports whether w is a person's terminal, and how wide it is.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 80
	}
	return width, true
}

// status is an error that only carries an exit status: everything has been
// said already.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// interrupted is the error of a verb that a person ended.
type interrupted struct {
	undone string // what it leaves
	err    error
}

func (i *interrupted) Error() string { return "interrupted; " + i.undone }
func (i *interrupted) Unwrap() error { return i.err }

// run runs one command line and returns the exit status.
func run(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var s status
	var i *interrupted
	switch {
	case err == nil:
		return exitNothing
	case errors.As(err, &s):
		return int(s)
	case errors.As(err, &i):
		err = i
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = &interrupted{"nothing was written", err}
	}
	fmt.Fprintln(std.err, "midwatch:", withoutSecrets(err.Error(), args))
	return exitFailed
}

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "midwatch",
		Short: "Find out from audit logs whether somebody is in your mail, and what they reached",
		Long: `Midwatch reads an organization's own audit logs (Microsoft 365, Entra, Microsoft
Graph, Okta, Google Workspace) and answers: is somebody in, since when, exactly
which mailboxes and messages did they reach, what did they not reach as far as
these logs can tell.

It reads files and writes files. It talks to no network, but for the event store
where --store names a server, Kafka where midwatch ingest --kafka names brokers,
and Microsoft Graph in midwatch contain --apply.`,
		Example: `  midwatch investigate ./logs
  midwatch investigate ual.csv signins.json.gz exports.zip --asn GeoLite2-ASN.mmdb --out incident.case
  midwatch evidence incident.case 7f3a2c54-...   # the log line behind a claim
  midwatch formats`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}` + exitHelp)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` shows the usage", err, c.CommandPath())
	})
	root.AddCommand(newInvestigate(std), newIngest(std), newStore(std), newFormats(std), newDetectors(std), newEvidence(std), newExplain(std), newVersion(std))
	root.AddCommand(newRules(std), newSimulate(std), newScore(std), newActor(std), newCampaign(std), newJournal(std), newStatements(std), newExposure(std), newContain(std), newSecret(std), newNotify(std), newClocks(std), newPosture(std), newVerify(std), newReport(std), newServe(std), newWatch(std), newCollect(std))
	root.AddCommand(newUser(std))
	return root
}

// now is the clock that elapsed times are measured with. No verdict depends on it.
func now() time.Time { return time.Now() }
