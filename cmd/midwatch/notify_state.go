package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/report"
	"midwatch/respond/clock"
	"midwatch/respond/notice"
)

// notices reads the index of a case that has one.
func notices(path string) (dir string, x *notice.Index, err error) {
	if dir, err = caseFolder(path); err != nil {
		return "", nil, err
	}
	if x, err = casework.ReadNotices(dir); err != nil {
		return "", nil, err
	}
	if x == nil {
		return "", nil, casework.NoNotices(dir)
	}
	return dir, x, nil
}

func newNotifyState(std stdio) *cobra.Command {
	var o addOptions
	var when, reason string
	c := &cobra.Command{
		Use:   "state CASE ID sent|read|acknowledged",
		Short: "Write down that a notice was sent, read or acknowledged",
		Long: `Write down what became of a notice: an entry in the case's journal, with the hash of
the version that it is about. Later runs say when that version no longer holds.`,
		Example: `  midwatch notify state incident.case n-3f0a52c1d2e3f4a5 sent --at 2024-01-20T10:00:00Z
  midwatch notify state incident.case n-3f0a52c1d2e3f4a5 acknowledged --reason "called back, code verified"`,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			dir, _, err := notices(args[0])
			if err != nil {
				return err
			}
			var at casefile.Time // now
			if when != "" {
				if at, err = momentFlag(when); err != nil {
					return err
				}
			}
			entry, err := office().SetNotice(c.Context(), dir, o.by(c), args[1], notice.StateName(args[2]), at, reason)
			if err != nil {
				return err
			}
			return o.announce(std, &entry)
		},
	}
	c.Flags().StringVar(&when, "at", "", "when, with its zone: 2024-01-20T10:00:00Z (default: now)")
	c.Flags().StringVar(&reason, "reason", "", "how, or by whom")
	o.add(c)
	return c
}

func newNotifyList(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list CASE",
		Short: "Show who was told what, who was not told yet, and who was told something else",
		Long: `Show who was not told yet, who was told something that is different by now, and who
knows what there is to know. It shows the notices of the last run of midwatch notify.

The exit status is 1 when somebody was not told, or was told something else.`,
		Example: `  midwatch notify list incident.case --json | jq -r '.notices[] | select(.told == null) | .notice.recipient'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, x, err := notices(args[0])
			if err != nil {
				return err
			}
			es, err := openJournal(dir).Entries()
			if err != nil {
				return err
			}
			states, err := casework.NoticeStates(es)
			if err != nil {
				return err
			}
			stand := notice.Stand(x, states)
			if asJSON {
				if err := printNotices(std, x, stand, nil); err != nil {
					return err
				}
				return noticeStatus(stand)
			}
			kase, err := readCase(dir)
			if err != nil {
				return err
			}
			if stale := casework.NoticesStale(x, kase); stale != "" {
				fmt.Fprintln(std.out, stale)
			}
			writeStanding(std, stand)
			return noticeStatus(stand)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newNotifyVerify(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify CASE CODE",
		Short: "Say which notice a code is of, and whether it is genuine",
		Long: `Say which notice a code is of that somebody reads to you, and whether it is genuine.
Ask the caller to whom their notice is addressed and how many messages it names, and
compare: a code that was copied from another notice is genuine, and not theirs.

The exit status is 0 for a genuine code of what is said now, and 1 for one that is
unknown, of an earlier version, or of a draft that was altered since.`,
		Example: `  midwatch notify verify incident.case bcdf ghjk mpqr tvwx`,
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, x, err := notices(args[0])
			if err != nil {
				return err
			}
			folder := filepath.Join(dir, casework.NoticesFolder)
			key, err := os.ReadFile(filepath.Join(folder, noticesKey))
			if err != nil {
				return fmt.Errorf("%w; without the key no code can be verified: take it from a backup", err)
			}
			code := notice.NormalCode(strings.Join(args[1:], " "))
			if code == "" {
				fmt.Fprintln(std.out, "UNKNOWN: no code of ours looks like this; it has sixteen letters in four groups. Ask the caller to read it again.")
				return status(exitFindings)
			}
			e, v, current := x.ByCode(key, code)
			if e == nil {
				fmt.Fprintln(std.out, "UNKNOWN: no notice of this case has this code. The message that the caller has is not ours, or the code was misread.\nAsk them to open nothing, to answer nothing, and to send us the message.")
				return status(exitFindings)
			}
			fmt.Fprintf(std.out, "GENUINE: the code is of notice %s\n  for       %s (%s)\n  made      %s UTC\n", e.ID, report.Plain(e.Recipient), e.Kind, v.Made.Format("2 January 2006, 15:04"))
			bad := !current
			es, err := openJournal(dir).Entries()
			if err != nil {
				return err
			}
			states, err := casework.NoticeStates(es)
			if err != nil {
				return err
			}
			was := "not as far as the journal says: who else has seen the draft?"
			for _, st := range states[e.ID] {
				if st.State == notice.Sent && st.Content == v.Content {
					was = st.At.Format("2 January 2006, 15:04") + " UTC"
				}
			}
			fmt.Fprintf(std.out, "  sent      %s\n", was)
			if current {
				fmt.Fprintf(std.out, "  messages  %s\n", clock.Words(e.Counts))
				names := slices.Sorted(func(yield func(string) bool) {
					for n := range v.Files {
						if !yield(n) {
							return
						}
					}
				})
				for _, name := range names {
					b, err := os.ReadFile(filepath.Join(folder, name))
					switch {
					case errors.Is(err, os.ErrNotExist):
						continue
					case err != nil:
						return err
					case sha256Hex(b) != v.Files[name]:
						fmt.Fprintf(std.out, "ALTERED: %s is not as Midwatch made it: what was sent may say something else.\n", report.Plain(name))
						bad = true
					}
				}
				fmt.Fprintln(std.out, "Ask the caller to whom it is addressed and how many messages it names: both have to be as above.")
			} else if e.Gone {
				fmt.Fprintln(std.out, "TAKEN BACK: the case no longer says that the recipient is affected.")
			} else {
				fmt.Fprintf(std.out, "REPLACED: it is an earlier version. Today's says %s messages.\n", clock.Words(e.Counts))
			}
			if bad {
				return status(exitFindings)
			}
			return nil
		},
	}
	return c
}
