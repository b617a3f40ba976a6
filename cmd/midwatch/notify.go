package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond/clock"
	"midwatch/respond/notice"
)

// The notices of a case, and what is beside them.
const (
	noticesKey    = "key"     // what codes are made with; who has it can make codes
	earlierFolder = "earlier" // files of versions that were replaced

	templatesFolder  = "templates" // those of the last run, where they are not built in
	builtinTemplates = "built-in"  // value of --templates
)

type notifyOptions struct {
	out, templates, contact string
	json                    bool
}

func newNotify(std stdio) *cobra.Command {
	var o notifyOptions
	c := &cobra.Command{
		Use:   "notify CASE",
		Short: "Draft what to tell each employee, outside party and authority; nothing is sent",
		Long: `Draft a notice for each owner of a mailbox that was reached, each organization or
person outside with mail in it (from midwatch exposure), and each authority of the
contact file: what happened, which of their own messages were reached and how surely,
what to change, whom to ask, and a code with which they can find out that the notice
is genuine. Drafts are mail files (.eml, which mail programs open for writing),
Markdown, and a table of the recipient's messages, below CASE/notices.

Midwatch sends nothing. Drafts have no links. No message body and no secret is in
them. docs/NOTICES.md describes what is in a notice, and how to replace the templates.

Run again it writes only what has changed, and says what differs from what was sent.
The exit status is 1 when a recipient was not told yet, or was told something else.`,
		Example: `  midwatch notify templates my-templates          # with an example of a contact file
  midwatch notify incident.case --contact my-templates/contact.yaml
  midwatch notify state incident.case n-3f0a52c1d2e3f4a5 sent --at 2024-01-20T10:00:00Z
  midwatch notify list incident.case
  midwatch notify verify incident.case "BCDF-GHJK-MPQR-TVWX"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runNotify(c, std, args[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.contact, "contact", "", "YAML file with who writes and whom recipients ask (default: that of the last run)")
	f.StringVar(&o.templates, "templates", "", "folder with templates of yours, or built-in (default: those of the last run)")
	f.StringVar(&o.out, "out", "", "copy the drafts to this folder, too")
	f.BoolVar(&o.json, "json", false, "print JSON")
	c.AddCommand(newNotifyTemplates(std), newNotifyState(std), newNotifyList(std), newNotifyVerify(std))
	return c
}

func runNotify(c *cobra.Command, std stdio, path string, o notifyOptions) error {
	dir, err := caseFolder(path)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, casework.NoticesFolder)
	templates, err := notice.ReadTemplates(templatesOf(o.templates, folder))
	if err != nil {
		return err
	}
	// Held until all is written: a case that is made anew takes the notices along.
	held, err := openJournal(dir).Lock(c.Context())
	switch {
	case errors.Is(err, errors.ErrUnsupported): // nobody replaces a case here meanwhile
	case err != nil:
		return err
	default:
		defer held.Unlock()
	}
	contactPath := o.contact
	if contactPath == "" {
		contactPath = filepath.Join(folder, casework.ContactFile)
		if _, err := os.Stat(contactPath); errors.Is(err, fs.ErrNotExist) {
			return errors.New("--contact is missing: a notice has to say whom to ask; `midwatch notify templates DIR` writes an example of the file")
		}
	}
	contactText, err := os.ReadFile(contactPath)
	if err != nil {
		return fmt.Errorf("--contact: %w", err)
	}
	contact, err := notice.ParseContact(contactPath, strings.NewReader(string(contactText)))
	if err != nil {
		return err
	}
	in, states, err := noticeInput(dir, contact)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, earlierFolder), 0o700); err != nil {
		return err
	}
	before, err := casework.ReadNotices(dir)
	if err != nil {
		return err
	}
	key, err := noticeKey(filepath.Join(folder, noticesKey), before == nil)
	if err != nil {
		return err
	}
	list, stale := notice.Build(in)
	made := now().UTC().Truncate(time.Second)
	var drafts []*notice.Draft
	for i := range list {
		d, err := notice.Render(templates, &list[i], contact, in.Case.Case.ID, key, made)
		if err != nil {
			return fmt.Errorf("%w; nothing was written", err)
		}
		drafts = append(drafts, d)
	}
	index, changes := notice.Update(before, in.Case.Case.ID, drafts, sha256Hex, func(name string) bool {
		info, err := os.Lstat(filepath.Join(folder, name))
		return err == nil && info.Size() > 0
	}, made)
	if err := keepTemplates(o.templates, folder); err != nil {
		return err
	}
	if err := writeNotices(folder, index, changes, contactText); err != nil {
		return err
	}
	if o.out != "" {
		if err := copyDrafts(o.out, folder, index); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	stand := notice.Stand(index, states)
	if o.json {
		if err := printNotices(std, index, stand, changes); err != nil {
			return err
		}
	} else {
		notifySummary(std, folder, in, index, stand, changes, contact, stale)
	}
	return noticeStatus(stand)
}

// noticeInput reads what notices are made from.
func noticeInput(dir string, contact *notice.Contact) (*notice.Input, map[string][]notice.State, error) {
	kase, err := readCase(dir)
	if err != nil {
		return nil, nil, err
	}
	in := &notice.Input{Case: kase, Contact: contact}
	if in.Exposure, err = casework.ReadExposure(dir); err != nil {
		return nil, nil, err
	}
	if x := in.Exposure; x != nil && x.Case != kase.Case.ID {
		return nil, nil, fmt.Errorf("%s is of %s, and the case is %s by now; run `midwatch exposure %s --mail PATH...` again", exposureFile, x.Case, kase.Case.ID, dir)
	}
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, nil, err
	}
	if in.States, _, err = secretStates(es); err != nil {
		return nil, nil, err
	}
	acts, err := casework.Acts(es)
	if err != nil {
		return nil, nil, err
	}
	told := map[int64]bool{}
	for _, a := range acts {
		switch {
		case a.Kind == journal.ContainStep:
			in.Contain = append(in.Contain, a.Text)
		case slices.Contains(contact.Decisions, a.Seq):
			in.Decided = append(in.Decided, a.Text)
			told[a.Seq] = true
		}
	}
	for _, seq := range contact.Decisions {
		if !told[seq] {
			return nil, nil, fmt.Errorf("contact file: decisions: entry %d of the journal is no decision; `midwatch journal show %s` shows them", seq, dir)
		}
	}
	states, err := casework.NoticeStates(es)
	in.Sent = states
	return in, states, err
}

func noticeStatus(stand []notice.Standing) error {
	for _, s := range stand {
		if s.Told == nil || s.Changed == "facts" || s.Changed == "gone" {
			return status(exitFindings)
		}
	}
	return nil
}

func printNotices(std stdio, index *notice.Index, stand []notice.Standing, changes []notice.Change) error {
	type change struct {
		ID   string `json:"id"`
		What string `json:"what"`
	}
	cs := []change{}
	for _, c := range changes {
		cs = append(cs, change{c.Entry.ID, c.What})
	}
	return printJSON(std, struct {
		Case    string            `json:"case"`
		Written []change          `json:"changes"`
		Notices []notice.Standing `json:"notices"`
	}{index.Case, cs, stand})
}

func notifySummary(std stdio, folder string, in *notice.Input, index *notice.Index, stand []notice.Standing, changes []notice.Change, contact *notice.Contact, stale bool) {
	n, what := map[notice.Kind]int{}, map[string]int{}
	nobody := 0
	for _, e := range index.Notices {
		if !e.Gone {
			n[e.Kind]++
			if len(e.To) == 0 {
				nobody++
			}
		}
	}
	for _, c := range changes {
		what[c.What]++
	}
	fmt.Fprintf(std.out, "Notices, case %s: %d for employees, %d for parties outside, %d for authorities\n%d new, %d changed, %d no longer affected, %d as they were. Midwatch sends nothing.\n",
		report.Plain(index.Case), n[notice.Employee], n[notice.Outside], n[notice.Regulator], what["new"]+what["made again"], what["changed"], what["gone"], len(index.Notices)-len(changes))
	writeStanding(std, stand)
	if len(stand) == 0 {
		fmt.Fprintln(std.out, "The case does not say that anybody's mail was reached: there is nobody to tell.")
		return
	}
	fmt.Fprintln(std.out, "\nTO DO")
	if nobody > 0 {
		writeLines(std, "  - ", fmt.Sprintf("drafts that are addressed to nobody: %d. Name somebody under parties: or regulators: in the contact file", nobody))
	}
	if in.Exposure == nil {
		writeLines(std, "  - ", "no exposure.json: nobody outside is known, nor what was in the messages; run midwatch exposure with --mail first")
	}
	if stale {
		writeLines(std, "  - ", "exposure.json knows of access that the case no longer has, which was left out; run midwatch exposure again")
	}
	for i := range in.Case.Campaigns {
		for _, u := range in.Case.Campaigns[i].CannotClear {
			writeLines(std, "  - ", fmt.Sprintf("%d %s cannot be cleared and have no notice: nothing says that they were reached. Decide whether to tell their owners.", u.Count, u.CountName))
		}
	}
	writeLines(std, "  - ", "read the drafts, send them yourself, then: midwatch notify state CASE ID sent --at TIME")
	writeLines(std, "  - ", "whoever answers the telephone needs: midwatch notify verify CASE CODE")
	fmt.Fprintf(std.out, "\nNotices:  %s\n", report.Plain(folder))
}

// messageWords count messages, each certainty by itself.
func messageWords(p casefile.PerCertainty) string {
	if p == (casefile.PerCertainty{}) {
		return "no message by name"
	}
	return clock.Words(p) + " messages"
}

// writeStanding lists notices by whether their recipients know what they say.
func writeStanding(std stdio, stand []notice.Standing) {
	for _, g := range []struct {
		head string
		is   func(*notice.Standing) bool
	}{
		{"NOT TOLD YET", func(s *notice.Standing) bool { return s.Told == nil }},
		{"TOLD SOMETHING ELSE", func(s *notice.Standing) bool { return s.Changed == "facts" || s.Changed == "gone" }},
		{"TOLD", func(s *notice.Standing) bool { return s.Told != nil && (s.Changed == "" || s.Changed == "wording") }},
	} {
		first := true
		for i := range stand {
			s := &stand[i]
			if !g.is(s) {
				continue
			}
			if first {
				fmt.Fprintf(std.out, "\n%s\n", g.head)
				first = false
			}
			e := s.Entry
			to := "to nobody yet"
			if len(e.To) > 0 {
				to = "to " + e.To[0].Address
			}
			if e.Kind == notice.Employee || len(e.To) > 0 && e.To[0].Address == e.Recipient {
				to = ""
			}
			line := fmt.Sprintf("%s  %s  %s  %s", e.ID, e.Kind, e.Recipient, messageWords(e.Counts))
			if e.Secrets > 0 {
				line += fmt.Sprintf(", %d to change", e.Secrets)
			}
			if to != "" {
				line += "  (" + to + ")"
			}
			fmt.Fprintln(std.out, "  "+report.Plain(line))
			if s.Told == nil {
				continue
			}
			var became []string
			for _, n := range notice.StateNames() {
				if st := s.Last[n]; st != nil {
					became = append(became, string(n)+" "+st.At.Format("2 Jan 2006 15:04")+" UTC")
				}
			}
			text := strings.Join(became, ", ")
			switch s.Changed {
			case "facts":
				text += fmt.Sprintf("; was told %s and %d secrets, now %s and %d", messageWords(s.Told.Counts), s.Told.Secrets, messageWords(e.Counts), e.Secrets)
				if s.Told.Counts == e.Counts && s.Told.Secrets == e.Secrets {
					text += ", which are not the same ones"
				}
			case "gone":
				text += fmt.Sprintf("; was told %s, and the case no longer says so: take it back", messageWords(s.Told.Counts))
			case "wording":
				text += "; the draft is worded differently since, about the same messages"
			}
			writeLines(std, "      ", text)
		}
	}
}

func newNotifyTemplates(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "templates DIR",
		Short:   "Write the built-in templates and an example of a contact file into a folder",
		Example: `  midwatch notify templates my-templates`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for _, name := range notice.TemplateFiles() {
				b, err := notice.TemplateFile(name)
				if err != nil {
					return err
				}
				path := filepath.Join(args[0], name)
				if err := writeNew(path, func(w *strings.Builder) error { _, err := w.Write(b); return err }); err != nil {
					return err
				}
				fmt.Fprintln(std.out, report.Plain(path))
			}
			return nil
		},
	}
}
