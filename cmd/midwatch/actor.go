package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"midwatch/actor"
	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/report"
)

func newActor(std stdio) *cobra.Command {
	var asJSON bool
	var techniques []string
	var dir string
	c := &cobra.Command{
		Use:   "actor [NAME [OTHER]]",
		Short: "Say whom vendors mean by a threat actor's name, and which groups techniques are consistent with",
		Long: `Say whom vendors mean by a threat actor's name: all the names of the actor with
who says so, which entries of which sources are held to be the same and why, and
where sources disagree. Case, blanks, hyphens, accents and a leading "the" do not
matter. A name that stands for several actors is not decided: all are shown. With
a second name, show the statements that lead from one to the other.

With --techniques or --case, say which of ATT&CK's groups the techniques are
consistent with, how much of that is chance, and whether they tell groups apart.
That is never who it was.

The tables come with Midwatch and ask no network: MITRE ATT&CK, MISP's galaxies,
Microsoft's mapping of names. ATT&CK is reproduced and distributed with the
permission of The MITRE Corporation; actor/data/README.md has the notices.

A name that nobody has is exit status 2, with similar ones.`,
		Example: `  midwatch actor "Cozy Bear"
  midwatch actor BlueBravo "Midnight Blizzard"      # the statements in between
  midwatch actor --techniques T1110.003,T1528,T1114.002
  midwatch actor --case incident.case
  midwatch actor apt29 --json | jq -r '.answers[0].candidates[].names[].name'`,
		RunE: func(_ *cobra.Command, args []string) error {
			if (len(args) > 0) == (dir != "" || len(techniques) > 0) || dir != "" && len(techniques) > 0 {
				return errors.New("give a name, --techniques or --case, one of them; `midwatch actor --help` shows the usage")
			}
			t, err := actor.Load()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return named(std, t, args, asJSON)
			}
			sets := []observedIn{{Techniques: techniques}}
			if dir != "" {
				if sets, err = techniquesOf(dir); err != nil {
					return err
				}
			}
			for i := range sets {
				sets[i].Consistency = t.Consistent(sets[i].Techniques)
			}
			if asJSON {
				return printJSON(std, sets)
			}
			return writeConsistent(std.out, sets)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringSliceVar(&techniques, "techniques", nil, "ATT&CK techniques, separated by commas")
	c.Flags().StringVar(&dir, "case", "", "case folder; each campaign's techniques")
	return c
}

// names is what --json prints of names.
type names struct {
	Answers []actor.Answer    `json:"answers"` // of each name that was asked for
	Steps   []actor.Statement `json:"steps"`   // from the first name to the second
}

// named resolves one name or two. Several words that are one name together
// need no quotes.
func named(std stdio, t *actor.Table, args []string, asJSON bool) error {
	if whole := strings.Join(args, " "); len(args) > 1 && len(t.Resolve(whole).Candidates) > 0 {
		args = []string{whole}
	}
	if len(args) > 2 {
		return fmt.Errorf("%d names, want one or two; put quotes around a name of several words", len(args))
	}
	n := names{Answers: []actor.Answer{}, Steps: []actor.Statement{}}
	var unknown error
	for _, q := range args {
		if len(q) > actor.MaxName {
			return fmt.Errorf("a name of %d bytes; the longest that is looked up has %d", len(q), actor.MaxName)
		}
		a := t.Resolve(q)
		n.Answers = append(n.Answers, a)
		if len(a.Candidates) == 0 && unknown == nil {
			unknown = notKnown(a)
		}
	}
	if len(args) == 2 && unknown == nil {
		n.Steps = append(n.Steps, t.Steps(args[0], args[1])...)
	}
	switch {
	case asJSON:
		if err := printJSON(std, n); err != nil {
			return err
		}
		return unknown
	case unknown != nil:
		return unknown
	case len(args) == 2:
		return writeSteps(std.out, n)
	}
	return writeAnswer(std.out, n.Answers[0])
}

// notKnown is the error for a name that nobody has.
func notKnown(a actor.Answer) error {
	text := `no source has an actor called "` + report.Plain(a.Query) + `"`
	if len(a.Suggestions) == 0 {
		return errors.New(text + ", nor a similar name; ATT&CK's ids of groups, such as G0016, are understood too")
	}
	var like []string
	for _, s := range a.Suggestions {
		like = append(like, report.Plain(s))
	}
	return fmt.Errorf("%s; did you mean %s?", text, strings.Join(like, ", "))
}

// headed is an actor's name with its id in ATT&CK.
func headed(name, mitre string) string {
	if mitre == "" {
		return report.Plain(name)
	}
	return report.Plain(name) + " (" + report.Plain(mitre) + ")"
}

// writeAnswer prints what a name means.
func writeAnswer(w io.Writer, a actor.Answer) error {
	if n := len(a.Candidates); n > 1 {
		fmt.Fprintf(w, "%s is ambiguous: it stands for %d actors, and which one is meant cannot be said.\n\n", report.Plain(a.Query), n)
	}
	for i, c := range a.Candidates {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, headed(c.Name, c.MITRE))
		section(w, "Because", texts(c.Why)...)
		fmt.Fprintln(w, "\nNames, and who says so")
		for _, n := range c.Names {
			writeName(w, n)
		}
		var same []string
		for _, j := range c.Joins {
			if j.First {
				same = append(same, because(j))
			}
		}
		if more := len(c.Joins) - len(same); more > 0 {
			same = append(same, fmt.Sprintf("%d more pairs of these entries confirm it; --json has them", more))
		}
		section(w, "Entries that are held to be the same", same...)
		var said []string
		for _, d := range c.Disagreements {
			said = append(said, disagreement(d))
		}
		section(w, "Said differently", said...)
	}
	_, err := fmt.Fprintln(w, "\nA name says whom its vendor means. It does not say who was in your logs.")
	return err
}

// writeName prints one name with who says so.
func writeName(w io.Writer, n actor.Name) {
	var by []string
	for _, s := range n.By {
		who := actor.SourceName(s.By)
		if s.Entry != nil && s.Entry.Name != n.Name {
			who += " under " + s.Entry.Name
		}
		if s.Vendor != "" && s.Vendor != who {
			who += " (used by " + s.Vendor + ")"
		}
		by = append(by, who)
	}
	text := strings.Join(by, ", ")
	if len(n.Others) > 0 {
		text += "; also a name of " + strings.Join(n.Others, ", ")
	}
	const wide = 24
	name := report.Plain(n.Name)
	pad := strings.Repeat(" ", max(0, wide-utf8.RuneCountInString(name)))
	for i, line := range wrapped(report.Plain(text), listWidth-wide-4) {
		if i == 0 {
			fmt.Fprintf(w, "    %s%s%s\n", name, pad, line)
		} else {
			fmt.Fprintf(w, "    %*s%s\n", wide, "", line)
		}
	}
}

func because(j actor.Join) string {
	says := texts(j.Says)
	if len(j.Names) > 0 {
		says = append(says, "both have "+strings.Join(j.Names, ", "))
	}
	return fmt.Sprintf("%s and %s: %s", j.A, j.B, strings.Join(says, "; "))
}

func disagreement(d actor.Disagreement) string {
	says := append(texts(d.Same), texts(d.Apart)...)
	name := d.Other
	if d.MITRE != "" {
		name += " (" + d.MITRE + ")"
	}
	return name + ": " + strings.Join(says, "; ")
}

func texts(ss []actor.Statement) (out []string) {
	for _, s := range ss {
		out = append(out, s.Text)
	}
	return out
}

// writeSteps prints how two names are one actor's, or that they are not held to be.
func writeSteps(w io.Writer, n names) error {
	a, b := n.Answers[0], n.Answers[1]
	if len(n.Steps) == 0 {
		fmt.Fprintf(w, "%s and %s are not held to be the same: no statement that is accepted leads from one to the other.\n", report.Plain(a.Query), report.Plain(b.Query))
		for _, x := range n.Answers {
			var is []string
			for _, c := range x.Candidates {
				is = append(is, headed(c.Name, c.MITRE))
			}
			section(w, x.Query+" is", strings.Join(is, ", or "))
		}
		return nil
	}
	fmt.Fprintf(w, "%s and %s are held to be the same actor.\n", report.Plain(a.Query), report.Plain(b.Query))
	section(w, "Step by step", texts(n.Steps)...)
	for _, x := range n.Answers {
		if len(x.Candidates) > 1 {
			section(w, "But", fmt.Sprintf("%s is ambiguous: it stands for %d actors; `midwatch actor` with it alone shows them", x.Query, len(x.Candidates)))
		}
	}
	return nil
}

// observedIn is where techniques were observed, and what they are consistent with.
type observedIn struct {
	Campaign    string            `json:"campaign,omitempty"` // id; empty for techniques that were given
	Title       string            `json:"title,omitempty"`    // of the campaign
	Techniques  []string          `json:"techniques"`         // as observed
	Consistency actor.Consistency `json:"consistency"`
}

// techniquesOf reads the techniques of a case's campaigns.
func techniquesOf(dir string) ([]observedIn, error) {
	path := filepath.Join(dir, casefolder.Case)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; is %s a case folder?", err, dir)
	}
	defer f.Close() //nolint:errcheck // read only
	c, err := casefile.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := []observedIn{}
	for _, p := range c.Campaigns {
		out = append(out, observedIn{Campaign: p.ID, Title: p.Title, Techniques: p.Techniques})
	}
	return out, nil
}

// mostMatches is how many groups are listed for people; JSON has all.
const mostMatches = 8

func writeConsistent(w io.Writer, sets []observedIn) error {
	if len(sets) == 0 {
		_, err := fmt.Fprintln(w, "The case has no campaign whose techniques could be compared.")
		return err
	}
	for i, s := range sets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if s.Campaign != "" {
			fmt.Fprintf(w, "Campaign %s, %s\n\n", report.Plain(s.Campaign), report.Plain(s.Title))
		}
		c := s.Consistency
		for _, line := range wrapped(report.Plain(strings.TrimSpace(c.Words+" "+c.Commonness)), listWidth) {
			fmt.Fprintln(w, line)
		}
		var observed []string
		for _, o := range c.Observed {
			observed = append(observed, fmt.Sprintf("%s %s: %.1f bits, known of %d groups", o.ID, o.Name, o.Bits, o.Groups))
		}
		section(w, "Observed", observed...)
		var matches []string
		for _, m := range c.Matches[:min(len(c.Matches), mostMatches)] {
			text := m.Words
			if len(m.Missed) > 0 {
				text += " Not known for " + strings.Join(m.Missed, " ") + "."
			}
			matches = append(matches, text)
		}
		section(w, "Groups, the least likely by chance first", matches...)
		if n := len(c.Matches) - len(matches); n > 0 {
			fmt.Fprintf(w, "    and %d more; --json has all\n", n)
		}
		var ignored []string
		for _, x := range c.Ignored {
			ignored = append(ignored, x.ID+": "+x.Why)
		}
		section(w, "Not counted", ignored...)
	}
	return nil
}
