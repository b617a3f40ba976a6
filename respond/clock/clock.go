// Package clock keeps disclosure clocks: which notification is due when, after
// which event, and what it has to say. The rules are data (clocks.yaml), each
// with its source and how sure that is; docs/CLOCKS.md has the table.
//
// Nothing here decides whether a rule applies, nor when its event happened: that
// is a decision of people, kept in the case's journal with its author and the
// evidence then known. What is computed is arithmetic, by the calendar that the
// rule names, and of two readings the earlier one. It is no legal advice.
package clock

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed clocks.yaml
var builtin []byte

// Table is what clocks there are, and what starts them.
type Table struct {
	Events []Event
	Clocks []Clock
}

// Event starts clocks.
type Event struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	Hint  string `yaml:"hint" json:"hint,omitempty"` // what to take for the moment
}

// Clock is one rule.
type Clock struct {
	ID           string   `yaml:"id" json:"id"`
	Jurisdiction string   `yaml:"jurisdiction" json:"jurisdiction"`
	Title        string   `yaml:"title" json:"title"`
	Rule         string   `yaml:"rule" json:"rule"`         // with article
	Concerns     string   `yaml:"concerns" json:"concerns"` // who has to, and of what
	Start        string   `yaml:"start" json:"start"`       // event, or filed: and the id of a clock
	Due          string   `yaml:"due" json:"due"`           // see [ParsePeriod]
	Cap          *Cap     `yaml:"cap" json:"cap,omitempty"`
	Calendar     string   `yaml:"calendar" json:"calendar"`       // every day, or us_federal
	Zone         string   `yaml:"zone" json:"zone,omitempty"`     // of the rule; empty: the organization's
	Cutoff       string   `yaml:"cutoff" json:"cutoff,omitempty"` // time of day of the end, in that zone
	Content      []string `yaml:"content" json:"content"`         // what it has to say, see [Items]
	Source       string   `yaml:"source" json:"source"`           // where the row comes from
	Date         string   `yaml:"date" json:"date"`               // of the source
	Sure         string   `yaml:"sure" json:"sure"`               // text, agreed or single
	Note         string   `yaml:"note" json:"note,omitempty"`     // what is not computed, and what to verify
	period       Period
	capped       Period
	until        cutoff
}

// Cap is another period, of which the earlier end holds.
type Cap struct {
	Start string `yaml:"start" json:"start"`
	Due   string `yaml:"due" json:"due"`
}

// Filed begins the start of a clock that another one's filing starts.
const Filed = "filed:"

// Builtin is the table that Midwatch comes with.
func Builtin() (*Table, error) { return Read(bytes.NewReader(builtin)) }

// Read reads a table, and refuses what it does not know.
func Read(r io.Reader) (*Table, error) {
	var t Table
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("clocks: %w", err)
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("clocks: a second document; put everything into one")
	}
	seen := map[string]bool{}
	for _, e := range t.Events {
		if e.ID == "" || e.Title == "" || seen[e.ID] {
			return nil, fmt.Errorf("clocks: event %q has no id or title, or is there twice", e.ID)
		}
		seen[e.ID] = true
	}
	for i := range t.Clocks {
		c := &t.Clocks[i]
		if err := t.check(c); err != nil {
			return nil, fmt.Errorf("clocks: %s: %w", c.ID, err)
		}
		if seen[c.ID] {
			return nil, fmt.Errorf("clocks: %s is there twice", c.ID)
		}
		seen[c.ID] = true
	}
	return &t, nil
}

func (t *Table) check(c *Clock) (err error) {
	for name, s := range map[string]string{"id": c.ID, "jurisdiction": c.Jurisdiction, "title": c.Title, "rule": c.Rule, "concerns": c.Concerns, "source": c.Source, "date": c.Date} {
		if s == "" {
			return fmt.Errorf("no %s", name)
		}
	}
	if c.period, err = ParsePeriod(c.Due); err != nil {
		return err
	}
	if err := t.starts(c, c.Start); err != nil {
		return err
	}
	if c.Cap != nil {
		if c.capped, err = ParsePeriod(c.Cap.Due); err != nil {
			return err
		}
		if c.capped.Unit == NoTime || strings.HasPrefix(c.Cap.Start, Filed) {
			return errors.New("a cap is a period after an event")
		}
		if err := t.starts(c, c.Cap.Start); err != nil {
			return err
		}
	}
	if c.Calendar != "every day" && c.Calendar != "us_federal" || (c.Calendar == "us_federal") != (c.period.Unit == BusinessDays) {
		return fmt.Errorf("calendar %q does not go with %s", c.Calendar, c.Due)
	}
	if c.Cutoff != "" {
		at, err := time.Parse("15:04", c.Cutoff)
		if err != nil {
			return fmt.Errorf("cutoff %q is no time of day, such as 17:30", c.Cutoff)
		}
		c.until = cutoff{at.Hour(), at.Minute()}
	}
	if (c.period.Unit == BusinessDays) != (c.Cutoff != "") {
		return errors.New("business days need a cutoff, and other periods have none")
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		return err
	}
	if !slices.Contains([]string{"text", "agreed", "single"}, c.Sure) {
		return fmt.Errorf("sure is %q; it is text, agreed or single", c.Sure)
	}
	for _, k := range c.Content {
		if _, ok := item(k); !ok {
			return fmt.Errorf("content %q is not known", k)
		}
	}
	return nil
}

// starts checks that something starts a clock.
func (t *Table) starts(c *Clock, start string) error {
	if id, ok := strings.CutPrefix(start, Filed); ok {
		if t.Clock(id) == nil || t.Clock(id) == c || strings.HasPrefix(t.Clock(id).Start, Filed+c.ID) {
			return fmt.Errorf("no other clock is %q", id)
		}
		return nil
	}
	if t.Event(start) == nil {
		return fmt.Errorf("no event is %q", start)
	}
	return nil
}

// Clock is the clock of an id; nil: there is none.
func (t *Table) Clock(id string) *Clock {
	for i := range t.Clocks {
		if t.Clocks[i].ID == id {
			return &t.Clocks[i]
		}
	}
	return nil
}

// Event is the event of an id; nil: there is none.
func (t *Table) Event(id string) *Event {
	for i := range t.Events {
		if t.Events[i].ID == id {
			return &t.Events[i]
		}
	}
	return nil
}

// SureWords say how sure the source of a clock is.
func (c *Clock) SureWords() string {
	switch c.Sure {
	case "text":
		return "the rule's own words were read"
	case "agreed":
		return "several secondary sources say the same"
	}
	return "one secondary source, or none that was read again: verify it first"
}
