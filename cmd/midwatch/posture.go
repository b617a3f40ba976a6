package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/config"
	"midwatch/internal/casefolder"
	"midwatch/posture"
	"midwatch/report"
)

// postureFile is the posture in a case folder.
const postureFile = "posture.json"

// postureOptions are the flags of the verb.
type postureOptions struct {
	storeFlags
	directory string
	exports   []string
	config    string
	markdown  string
	json      bool
}

func newPosture(std stdio) *cobra.Command {
	var o postureOptions
	c := &cobra.Command{
		Use:   "posture CASE|STORE [--exports PATH...]",
		Short: "Find the doors that the Midnight Blizzard incident used, in your own tenant",
		Long: `Find the doors that the Midnight Blizzard incident used, in your own tenant, before
somebody else does: accounts without a second factor, dormant and test accounts,
test applications with power, permissions that nobody uses, old credentials,
legacy protocols, audit logs that would not have shown it, and others
(docs/POSTURE.md lists them). Each with its evidence, what closes it as a command,
and what that breaks. No command is run.

It asks the logs of the case, and the exports that collectors write of a tenant's
settings: users, registration details of second factors, application permissions,
applications with their credentials, role assignments, mailbox audit status. They
are recognized by their content; what is none is listed and stops nothing.

A door at which nothing was seen is not closed: the answer says which days the
logs cover, or that what would tell is not there, and what to fetch.

A case gets ` + postureFile + `; a store is only asked.
` + storeHelp,
		Example: `  midwatch posture incident.case
  midwatch posture incident.case --exports Output/ --markdown doors.md
  midwatch posture audit.duckdb --directory users.csv --json | jq '.doors[] | {severity, title}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && len(o.exports) == 0 {
				return fmt.Errorf("%q is no option; exports are named with --exports", args[1])
			}
			o.exports = append(o.exports, args[1:]...) // --exports PATH PATH, as a shell's * makes it
			return runPosture(c.Context(), std, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.directory, "directory", "", "CSV of users: user,department,job_title,enabled,mfa_registered (default: the case's)")
	f.StringArrayVar(&o.exports, "exports", nil, "export of settings: file, folder or archive (repeatable)")
	f.StringVar(&o.config, "config", "", "file about your organization; canaries (default: the case's)")
	f.StringVar(&o.markdown, "markdown", "", "write the doors as a document, too")
	f.BoolVar(&o.json, "json", false, "print "+postureFile+" instead of the summary")
	o.addWait(c)
	return c
}

func runPosture(ctx context.Context, std stdio, where string, o postureOptions) error {
	l, err := parseStore(where)
	if err != nil {
		return err
	}
	var opts posture.Options
	dir := "" // of the case
	if _, err := os.Stat(filepath.Join(where, casefolder.Case)); err == nil {
		dir = where
		if opts.Case, err = readCase(dir); err != nil {
			return err
		}
		s, err := readSettings(dir)
		if err != nil {
			return err
		}
		with, err := s.read(casefolder.Settings + ": ")
		if err != nil {
			return err
		}
		opts.Canaries = with.detect.Canaries
		if o.directory == "" {
			opts.People, opts.Place = with.people, filepath.Join(dir, casefolder.Settings)
		}
	}
	if o.config != "" {
		c, err := config.Read(o.config)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		opts.Canaries = c.Canaries
	}
	opts.Exports = o.exports
	if o.directory != "" { // first, so that what it says of a user stays
		if _, err := os.Stat(o.directory); err != nil {
			return fmt.Errorf("--directory: %w", err)
		}
		opts.Exports = append([]string{o.directory}, opts.Exports...)
	}
	st, err := openStore(ctx, std, l, toLook, false, o.wait)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // read only
	opts.Store = st
	p, err := posture.Build(ctx, opts)
	if err != nil {
		return explain(err, "nothing was written")
	}
	if dir != "" {
		if err := replaceWith(filepath.Join(dir, postureFile), func(w io.Writer) error { return posture.Write(w, p) }); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := replaceWith(o.markdown, func(w io.Writer) error { return posture.Markdown(w, p) }); err != nil {
			return err
		}
	}
	if o.json {
		err = posture.Write(std.out, p)
	} else {
		err = postureSummary(std.out, dir, p)
	}
	if err != nil {
		return err
	}
	for _, x := range p.Exports {
		if x.Reason != "" && x.Kind == "" {
			fmt.Fprintf(std.err, "midwatch: not used: %s: %s\n", report.Plain(x.File), report.Plain(x.Reason))
		}
	}
	return postureStatus(p)
}

// postureStatus is 1 where a door is open that is more than advice, and 3
// where a file could not be read.
func postureStatus(p *posture.Posture) error {
	for _, x := range p.Exports {
		if x.SHA256 == "" {
			return status(exitIncomplete)
		}
	}
	if len(p.Doors) > 0 {
		return status(exitFindings)
	}
	return nil
}

// postureMembers is how many members of a door the summary shows.
const postureMembers = 8

func postureSummary(w io.Writer, dir string, p *posture.Posture) error {
	fmt.Fprintf(w, "Doors, evidence from %s to %s\n", p.From, p.To)
	if len(p.Doors) == 0 {
		fmt.Fprintln(w, "\nNone is known to be open. What is not known is below.")
	}
	for i := range p.Doors {
		d := &p.Doors[i]
		fmt.Fprintf(w, "\n%-8s  %s\n", strings.ToUpper(string(d.Severity)), report.Plain(d.Title))
		say := func(lead, text string) {
			for j, line := range wrapped(report.Plain(text), listWidth-14) {
				if j > 0 {
					lead = ""
				}
				fmt.Fprintf(w, "  %-10s  %s\n", lead, line)
			}
		}
		say("tenant", d.TenantName)
		say("seen", d.Seen)
		for j, m := range d.Members {
			if j == postureMembers {
				say("", fmt.Sprintf("... %d more in %s", d.Count-postureMembers, postureFile))
				break
			}
			name := first(m.Name, m.ID)
			if m.Text != "" {
				name += ": " + m.Text
			}
			if s := m.Shown(); s != "" {
				name += "  [" + s + "]"
			}
			say("", "- "+name)
		}
		say("why", d.Why)
		for _, s := range d.Fix {
			lead := "close"
			if s.Note != "" {
				say(lead, s.Tool+": "+s.Note)
				lead = ""
			}
			if s.Command != "" { // not wrapped: it is copied
				fmt.Fprintf(w, "  %-10s  %s\n", lead, report.Plain(s.Command))
			}
		}
		say("breaks", d.Breaks)
		for _, l := range d.Limits {
			say("mind", l)
		}
		say("closes", "ATT&CK "+strings.Join(d.Techniques, " "))
	}
	names := map[string]string{}
	for _, t := range p.Tenants {
		names[t.ID] = t.Name
	}
	for _, s := range []struct {
		state posture.State
		head  string
	}{
		{posture.Unknown, "NOT ASSESSED  unknown does not mean no"},
		{posture.NotSeen, "NOT SEEN  in the days that the logs cover, which is not the same as closed"},
		{posture.Closed, "CLOSED  an export that lists all of the kind says so"},
	} {
		head := s.head
		for _, a := range p.Answers {
			if a.State != s.state {
				continue
			}
			if head != "" {
				fmt.Fprintf(w, "\n%s\n", head)
				head = ""
			}
			text := a.Title + ": " + a.Text
			if len(p.Tenants) > 1 {
				text = names[a.Tenant] + ": " + text
			}
			if a.Fetch != "" {
				text += ". Fetch " + a.Fetch
			}
			for j, line := range wrapped(report.Plain(text), listWidth-4) {
				lead := "    "
				if j == 0 {
					lead = "  - "
				}
				fmt.Fprintln(w, lead+line)
			}
		}
	}
	if len(p.Exports) > 0 {
		fmt.Fprintln(w, "\nEXPORTS")
		for _, x := range p.Exports {
			text := fmt.Sprintf("%s: %s, %d rows used", x.File, first(x.Kind, "not recognized"), x.Rows)
			if x.Reason != "" {
				text += "; " + x.Reason
			}
			fmt.Fprintln(w, "  "+report.Plain(text))
		}
	}
	if dir != "" {
		_, err := fmt.Fprintf(w, "\nPosture:  %s\n", report.Plain(filepath.Join(dir, postureFile)))
		return err
	}
	return nil
}
