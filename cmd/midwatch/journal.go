package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/casework"
	"midwatch/event"
	"midwatch/journal"
	"midwatch/report"
)

func newJournal(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "journal",
		Short: "Show, verify or add to what people decided and did in a case",
		Long: `Every case has a journal: what people decided, noted and did, in order, with who
and when. It is only ever added to, and chained by hashes, so that a change shows.
It stays when the case is made anew. docs/JOURNAL.md describes the file.

A chain does not show that its end was cut off. Note the head, which every entry
and journal show print, somewhere else; journal verify --head then tells.`,
		Example: `  midwatch journal show incident.case
  midwatch journal add incident.case --kind decision "We leave the account open until noon to watch it"
  midwatch journal verify incident.case --head 3f0a…`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newJournalShow(std), newJournalVerify(std), newJournalAdd(std))
	return c
}

func newJournalShow(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show CASE",
		Short:   "Show the journal of a case",
		Example: `  midwatch journal show incident.case --json | jq '.entries[].kind'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			es, bad := openJournal(dir).Entries() // those before the bad one are shown
			head := journal.Genesis
			if len(es) > 0 {
				head = es[len(es)-1].Hash
			}
			if asJSON {
				out := struct {
					Entries []journal.Entry `json:"entries"`
					Head    string          `json:"head"`
				}{append([]journal.Entry{}, es...), head}
				return errors.Join(printJSON(std, out), bad)
			}
			for i := range es {
				writeEntry(std.out, &es[i])
			}
			if bad == nil {
				fmt.Fprintf(std.out, "%d entries, head %s\n", len(es), head)
			}
			return bad
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the entries as JSON")
	return c
}

// writeEntry prints an entry. Everything in it may be somebody else's text.
func writeEntry(w io.Writer, e *journal.Entry) {
	fmt.Fprintf(w, "%d  %s UTC  %s  %s\n", e.Seq, e.Time.Format("2006-01-02 15:04:05"), report.Plain(string(e.Kind)), authorName(e.Author))
	var p map[string]json.RawMessage
	if e.Decode(&p) != nil {
		p = map[string]json.RawMessage{"payload": e.Payload}
	}
	var keys []string
	for k := range p {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { // the text first
		if (a == "text") != (b == "text") {
			return strings.Compare(fmt.Sprint(a != "text"), fmt.Sprint(b != "text"))
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		text := string(p[k])
		var s string
		if json.Unmarshal(p[k], &s) == nil {
			text = s
		}
		if k != "text" {
			text = k + ": " + text
		}
		for _, line := range wrapped(report.Plain(text), listWidth-4) {
			fmt.Fprintln(w, "    "+line)
		}
	}
	fmt.Fprintf(w, "    %s\n\n", e.Hash)
}

// authorName says who made an entry, and how that is known.
func authorName(a journal.Author) string {
	if a.Claimed {
		return report.Plain(fmt.Sprintf("%s (as %s says)", a.Name, a.User))
	}
	return report.Plain(a.Name)
}

func newJournalVerify(std stdio) *cobra.Command {
	var head string
	c := &cobra.Command{
		Use:   "verify CASE",
		Short: "Check that no entry of a journal was changed, removed or moved",
		Long: `Check that no entry of a journal was changed, removed or moved, and name the first
one that was.

Entries that were cut off at the end leave no trace in the rest. --head gives the
hash of an entry that was noted before: it has to be there still.

It exits with 0 when everything is as it was written, with 1 when it is not, and
with 3 when only the end of a write that was interrupted stands in the file, which
the next entry takes away.`,
		Example: `  midwatch journal verify incident.case
  midwatch journal verify incident.case --head 3f0a52c1…`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			head = strings.ToLower(strings.TrimSpace(head))
			if c.Flags().Changed("head") && (len(head) != len(journal.Genesis) || strings.Trim(head, "0123456789abcdef") != "") {
				return fmt.Errorf("--head %q; it is the 64 hexadecimal digits that an entry was printed with", head)
			}
			j := openJournal(dir)
			s, err := j.Verify()
			var bad *journal.BadEntry
			if errors.As(err, &bad) {
				fmt.Fprintf(std.out, "%s\n%d entries before it are whole and in order.\n", report.Plain(bad.Error()), s.Entries)
				return status(exitFindings)
			}
			if err != nil {
				return err
			}
			if head != "" && head != journal.Genesis {
				es, err := j.Entries()
				if err != nil {
					return err
				}
				i := slices.IndexFunc(es, func(e journal.Entry) bool { return e.Hash == head })
				if i < 0 {
					fmt.Fprintf(std.out, "No entry has the hash %s: the end of the journal was cut off, or it was written anew.\n%d entries are whole and in order; head %s\n", head, s.Entries, s.Head)
					return status(exitFindings)
				}
				fmt.Fprintf(std.out, "Entry %d has that hash, and %d came after it.\n", es[i].Seq, len(es)-i-1)
			}
			fmt.Fprintf(std.out, "%d entries are whole and in order; head %s\n", s.Entries, s.Head)
			if s.Torn > 0 {
				fmt.Fprintf(std.out, "%d bytes after them are of a write that was interrupted, or of an entry that was damaged; the next entry takes them away and keeps them.\n", s.Torn)
				return status(exitIncomplete)
			}
			return nil
		},
	}
	c.Flags().StringVar(&head, "head", "", "hash of an entry that was noted before")
	return c
}

func newJournalAdd(std stdio) *cobra.Command {
	var o addOptions
	var kind string
	var evidence []string
	c := &cobra.Command{
		Use:   "add CASE TEXT",
		Short: "Add a note or a decision to the journal of a case",
		Example: `  midwatch journal add incident.case "Asked Ana about the rule: it is hers"
  midwatch journal add incident.case --kind decision "Tokens are revoked at 18:00 UTC" --evidence 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			k := journal.Kind(kind)
			if k != journal.Note && k != journal.Decision {
				return fmt.Errorf("--kind %q; it is note or decision", kind)
			}
			if strings.TrimSpace(args[1]) == "" {
				return errors.New("the text is empty")
			}
			if err := eventsExist(c, std, dir, evidence); err != nil {
				return err
			}
			e, err := office().Note(c.Context(), dir, o.by(c), k, args[1], evidence...)
			if err != nil {
				return err
			}
			return o.announce(std, &e)
		},
	}
	c.Flags().StringVar(&kind, "kind", string(journal.Note), "note or decision")
	c.Flags().StringArrayVar(&evidence, "evidence", nil, "id of an event that it is about (repeatable)")
	o.add(c)
	return c
}

// eventsExist refuses ids of events that the case does not have.
func eventsExist(c *cobra.Command, std stdio, dir string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		if _, ok := event.ParseID(id); !ok {
			return fmt.Errorf("--evidence %q is not an event id; ids look like 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10", id)
		}
	}
	kase, err := readCase(dir)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, cited := kase.Evidence[id]; return cited })
	if len(ids) == 0 {
		return nil
	}
	l, err := parseStore(dir)
	if err != nil {
		return err
	}
	st, err := openStore(c.Context(), std, l, toLook, false, 0)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // read only
	for _, id := range ids {
		rec, err := record(c.Context(), st, id)
		if err != nil {
			return err
		}
		if rec == nil {
			return fmt.Errorf("--evidence: no event %s in this case", id)
		}
	}
	return nil
}

// addOptions are the flags of the verbs that write to the journal.
type addOptions struct {
	author string
	json   bool
}

func (o *addOptions) add(c *cobra.Command) {
	c.Flags().StringVar(&o.author, "author", "", "who decided it, where several people share an account; recorded as claimed (default: your account)")
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// by is who writes. What others wrote meanwhile is no conflict at a terminal:
// nobody knows what the author had before them.
func (o *addOptions) by(c *cobra.Command) casework.By {
	by := casework.By{Author: journal.Author{User: account()}, Seen: -1}
	by.Name = by.User
	if c.Flags().Changed("author") {
		by.Name, by.Claimed = strings.TrimSpace(o.author), true
	}
	return by
}

// append writes an entry.
func (o *addOptions) append(c *cobra.Command, dir string, kind journal.Kind, payload any) (journal.Entry, error) {
	return openJournal(dir).Append(c.Context(), o.by(c).Author, kind, payload)
}

// office is where people work on cases at a terminal.
func office() *casework.Office { return &casework.Office{Now: now} }

func (o *addOptions) announce(std stdio, e *journal.Entry) error {
	if o.json {
		return printJSON(std, struct {
			Entry *journal.Entry `json:"entry"`
		}{e})
	}
	_, err := fmt.Fprintln(std.out, entryWords(e))
	return err
}

// entryWords say that an entry is there, and the head to note.
func entryWords(e *journal.Entry) string {
	return fmt.Sprintf("Entry %d of the journal, by %s; head %s", e.Seq, authorName(e.Author), e.Hash)
}

// account is the account of the operating system, which no variable changes.
func account() string {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return fmt.Sprintf("uid %d", os.Getuid())
	}
	return u.Username
}

// caseFolder wants a case, so that no journal comes to be elsewhere.
func caseFolder(dir string) (string, error) { return casework.Folder(dir) }
