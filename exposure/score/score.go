// Package score compares an exposure with the answer key of a simulated tenant:
// which planted secrets were found in the messages that were listed, what was
// taken for one, and whose mail it was.
//
// It grades detection by what was planted by the same project that detects it:
// the figures say that the two agree, and not how real mail would do.
package score

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"midwatch/casefile"
	"midwatch/exposure"
	"midwatch/simulate"
)

// Schema is the version of the score's JSON.
const Schema = "midwatch.exposure_score/1"

// Score is the comparison.
type Score struct {
	Schema string `json:"schema"`
	// Reached are messages in mailboxes that the actor reached and that were
	// written; Listed are those of them that the exposure lists, by certainty.
	Reached int                   `json:"reached"`
	Listed  casefile.PerCertainty `json:"listed"`
	// Beside are messages that are listed and were not reached, by certainty:
	// confirmed ones are errors, the others are what the logs cannot exclude.
	Beside casefile.PerCertainty `json:"beside"`
	// Secrets and Personal count pairs of message and value, in messages that
	// are listed.
	Secrets  Tally            `json:"secrets"`
	Kinds    map[string]Tally `json:"kinds"`    // of secrets
	Personal Tally            `json:"personal"` // by message and kind
	Parties  Tally            `json:"counterparties"`
	// Decoys is how many things that resemble secrets stand in listed messages.
	Decoys int      `json:"decoys"`
	Missed []string `json:"missed"` // what was not found, without its value
	Wrong  []string `json:"wrong"`  // what was found and not planted
	Named  []string `json:"named"`  // what was found and called something else
}

// Tally counts what was planted, found of it, and found besides.
type Tally struct {
	Planted int `json:"planted"`
	Found   int `json:"found"`
	Wrong   int `json:"wrong"`
}

// Recall is the share of what was planted that was found; 1 when nothing was.
func (t Tally) Recall() float64 {
	if t.Planted == 0 {
		return 1
	}
	return float64(t.Found) / float64(t.Planted)
}

// Precision is the share of what was found that was planted; 1 when nothing was.
func (t Tally) Precision() float64 {
	if t.Found+t.Wrong == 0 {
		return 1
	}
	return float64(t.Found) / float64(t.Found+t.Wrong)
}

// Compare compares. key is what the exposure's fingerprints were made with.
func Compare(t *simulate.Truth, x *exposure.Exposure, key []byte) *Score {
	s := &Score{Schema: Schema, Kinds: map[string]Tally{}, Missed: []string{}, Wrong: []string{}, Named: []string{}}
	type message struct {
		secrets  map[string]simulate.PlantedOf // fingerprint
		personal map[string]int
		parties  map[string]bool
		decoys   int
		boxes    map[string]bool // in which it was reached
	}
	prints := map[string]string{}
	truth := map[string]*message{}
	for _, m := range t.Mail {
		k := strings.ToLower(m.Message)
		if truth[k] == nil {
			x1 := &message{secrets: map[string]simulate.PlantedOf{}, personal: map[string]int{}, parties: map[string]bool{}, decoys: len(m.Decoys), boxes: map[string]bool{}}
			for _, p := range m.Secrets {
				if prints[p.Value] == "" {
					prints[p.Value] = exposure.Fingerprint(x.Salt, key, p.Value)
				}
				x1.secrets[prints[p.Value]] = p
			}
			for _, p := range m.Personal {
				x1.personal[p.Kind]++
			}
			for _, d := range m.Counterparties {
				x1.parties[d] = true
			}
			truth[k] = x1
		}
		if m.Reached {
			truth[k].boxes[m.Mailbox] = true
			s.Reached++
		}
	}
	kinds := map[string]string{}
	for _, r := range x.Rotation {
		kinds[r.Fingerprint] = r.Kind
	}
	want, got := map[string]int{}, map[string]int{}
	for _, m := range x.Messages {
		y := truth[strings.ToLower(m.InternetMessageID)]
		certainty := map[string]casefile.Certainty{}
		for _, a := range m.Access {
			if a.Certainty.Rank() > certainty[a.Mailbox].Rank() {
				certainty[a.Mailbox] = a.Certainty
			}
		}
		for box, c := range certainty {
			switch {
			case y != nil && y.boxes[box]:
				add(&s.Listed, c)
			default:
				add(&s.Beside, c)
			}
		}
		if y == nil {
			for _, f := range m.Secrets {
				s.wrong(kinds[f], m.InternetMessageID)
			}
			continue
		}
		s.Decoys += y.decoys
		for f, p := range y.secrets {
			k := s.Kinds[p.Kind]
			k.Planted++
			s.Secrets.Planted++
			if slices.Contains(m.Secrets, f) {
				k.Found++
				s.Secrets.Found++
				if kinds[f] != p.Kind {
					s.Named = append(s.Named, fmt.Sprintf("%s in %s of %s is called %s", p.Kind, p.Where, m.InternetMessageID, kinds[f]))
				}
			} else {
				s.Missed = append(s.Missed, fmt.Sprintf("%s in %s of %s", p.Kind, p.Where, m.InternetMessageID))
			}
			s.Kinds[p.Kind] = k
		}
		for _, f := range m.Secrets {
			if _, ok := y.secrets[f]; !ok {
				s.wrong(kinds[f], m.InternetMessageID)
			}
		}
		found := map[string]int{}
		for _, p := range m.PersonalData {
			found[p.Kind] = int(p.Count)
		}
		for _, k := range []string{"payment_card", "iban", "us_ssn", "uk_nino", "de_tax_id", "passport"} {
			s.Personal.Planted += y.personal[k]
			s.Personal.Found += min(y.personal[k], found[k])
			s.Personal.Wrong += max(0, found[k]-y.personal[k])
		}
		for d := range y.parties {
			want[d]++
		}
	}
	for _, c := range x.Counterparties {
		got[c.Domain] = int(c.Messages.Confirmed + c.Messages.Probable + c.Messages.Possible)
	}
	for d, n := range want {
		s.Parties.Planted++
		if got[d] == n {
			s.Parties.Found++
		} else {
			s.Missed = append(s.Missed, fmt.Sprintf("counterparty %s: %d messages, %d found", d, n, got[d]))
		}
	}
	for d := range got {
		if want[d] == 0 {
			s.Parties.Wrong++
			s.Wrong = append(s.Wrong, "counterparty "+d)
		}
	}
	slices.Sort(s.Missed)
	slices.Sort(s.Wrong)
	slices.Sort(s.Named)
	return s
}

func (s *Score) wrong(kind, message string) {
	s.Secrets.Wrong++
	k := s.Kinds[kind]
	k.Wrong++
	s.Kinds[kind] = k
	s.Wrong = append(s.Wrong, kind+" in "+message)
}

func add(p *casefile.PerCertainty, c casefile.Certainty) {
	switch c {
	case casefile.Confirmed:
		p.Confirmed++
	case casefile.Probable:
		p.Probable++
	case casefile.Possible:
		p.Possible++
	}
}

// WriteText prints the score.
func WriteText(w io.Writer, s *Score) error {
	fmt.Fprintf(w, "Mail: %d messages were reached and written; listed of them %d confirmed, %d probable, %d possible; besides %d, %d, %d\n\n",
		s.Reached, s.Listed.Confirmed, s.Listed.Probable, s.Listed.Possible, s.Beside.Confirmed, s.Beside.Probable, s.Beside.Possible)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "in listed messages\tplanted\tfound\twrong\trecall\tprecision\t")
	row := func(name string, t Tally) {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%.3f\t%.3f\t\n", name, t.Planted, t.Found, t.Wrong, t.Recall(), t.Precision())
	}
	row("secrets", s.Secrets)
	for _, k := range slices.Sorted(maps.Keys(s.Kinds)) {
		row(k, s.Kinds[k])
	}
	row("personal data", s.Personal)
	row("counterparties", s.Parties)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d decoys stand in listed messages\n", s.Decoys)
	for _, l := range []struct {
		name string
		list []string
	}{{"missed", s.Missed}, {"wrong", s.Wrong}, {"other name", s.Named}} {
		for _, x := range l.list[:min(len(l.list), 20)] {
			_, err = fmt.Fprintf(w, "  %s: %s\n", l.name, x)
		}
	}
	return err
}
