package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"midwatch/actor"
	"midwatch/casefile"
)

// Navigator writes a layer for MITRE's ATT&CK Navigator: the techniques of the
// campaigns, each scored by how many of their findings show it.
//
// A technique stands under each of its tactics. Techniques that ATT&CK has
// replaced are written under their successor, since the Navigator no longer
// draws them. Source: ATT&CK Navigator, layer file format 4.5.
type Navigator struct{}

// Name implements [Format].
func (Navigator) Name() string { return "navigator" }

// Doc implements [Format].
func (Navigator) Doc() string {
	return "navigator.json: the campaigns' techniques as a layer for the ATT&CK Navigator, format 4.5"
}

// Files implements [Format].
func (Navigator) Files() []string { return []string{"navigator.json"} }

// navTitles is how many titles of findings a comment holds: it is shown beside
// the pointer, and a longer one covers the matrix.
const navTitles = 20

type navLayer struct {
	Name        string         `json:"name"`
	Versions    navVersions    `json:"versions"`
	Domain      string         `json:"domain"`
	Description string         `json:"description"`
	Sorting     int            `json:"sorting"` // 3: by score, highest first
	Layout      navLayout      `json:"layout"`
	Techniques  []navTechnique `json:"techniques"`
	Gradient    navGradient    `json:"gradient"`
	Metadata    []navMetadata  `json:"metadata"`
}

// navVersions leaves out ATT&CK's own: the Navigator then takes its current one.
type navVersions struct {
	Layer     string `json:"layer"`
	Navigator string `json:"navigator"`
}

type navLayout struct {
	Layout                string `json:"layout"`
	ShowID                bool   `json:"showID"`
	ShowName              bool   `json:"showName"`
	ExpandedSubtechniques string `json:"expandedSubtechniques"`
}

type navTechnique struct {
	ID       string        `json:"techniqueID"`
	Tactic   string        `json:"tactic,omitempty"`
	Score    int           `json:"score"`
	Comment  string        `json:"comment"`
	Enabled  bool          `json:"enabled"`
	Metadata []navMetadata `json:"metadata"`
}

type navGradient struct {
	Colors   []string `json:"colors"`
	MinValue int      `json:"minValue"`
	MaxValue int      `json:"maxValue"`
}

type navMetadata struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Write implements [Format].
func (f Navigator) Write(w io.Writer, file string, c *casefile.Case, _ Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	table, err := actor.Load()
	if err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	l := layerOf(shown(c), table)
	if err := writeJSON(w, l); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	return nil
}

// seenTechnique is what the campaigns show of a technique.
type seenTechnique struct {
	id        string
	as        []string // ids that ATT&CK has replaced by it
	campaigns []string
	findings  []casefile.Finding // each once, by time
}

func layerOf(c *casefile.Case, table *actor.Table) navLayer {
	seen, refused := campaignTechniques(c, table)
	l := navLayer{
		Name: "Midwatch, case " + c.Case.ID, Versions: navVersions{"4.5", "5.1.0"}, Domain: "enterprise-attack", Sorting: 3,
		Layout:     navLayout{"side", true, true, "annotated"},
		Techniques: []navTechnique{}, Metadata: []navMetadata{},
		// From pale to strong, readable on paper, and no red and green together.
		Gradient: navGradient{[]string{"#fff2cc", "#f6b26b", "#b45f06"}, 0, 1},
	}
	l.Description = "Techniques of " + plural(int64(len(c.Campaigns)), "campaign") + ". The score is the number of findings that show a technique, not how often it was used or how sure it is. " +
		"A technique without a mark was not found, which is not the same as not used: see the case's coverage."
	if len(refused) > 0 {
		l.Description += " " + plural(int64(len(refused)), "value is/values are") + " left out that are no ids of ATT&CK."
	}
	for _, k := range c.Campaigns {
		l.Metadata = append(l.Metadata, navMetadata{"campaign " + k.ID, cmp.Or(k.Title, "without a title") + " (" + cmp.Or(k.Standing, "standing not known") + ")"})
	}
	for _, s := range seen {
		t := navTechnique{ID: s.id, Score: len(s.findings), Enabled: true, Metadata: []navMetadata{}}
		t.Comment = s.comment()
		for _, id := range s.as {
			t.Metadata = append(t.Metadata, navMetadata{"replaced by ATT&CK", id})
		}
		for _, id := range s.campaigns {
			t.Metadata = append(t.Metadata, navMetadata{"campaign", id})
		}
		l.Gradient.MaxValue = max(l.Gradient.MaxValue, t.Score)
		tactics := table.Tactics(s.id)
		if len(tactics) == 0 {
			tactics = []string{""} // one that the table does not know: under whatever the Navigator knows
		}
		for _, tactic := range tactics {
			t.Tactic = tactic
			l.Techniques = append(l.Techniques, t)
		}
	}
	return l
}

func (s *seenTechnique) comment() string {
	if len(s.findings) == 0 {
		return "No single finding shows it; the campaign as a whole does."
	}
	var titles []string
	few, more := cut(s.findings, navTitles)
	for _, f := range few {
		titles = append(titles, f.Title)
	}
	if more > 0 {
		titles = append(titles, "and "+plural(int64(more), "more finding"))
	}
	return strings.Join(titles, "\n")
}

// campaignTechniques lists the techniques of all campaigns by id, and what
// stands among them without being an id.
func campaignTechniques(c *casefile.Case, table *actor.Table) (out []*seenTechnique, refused []string) {
	id := regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	of := map[string]*seenTechnique{}
	see := func(was, campaign string) *seenTechnique {
		if !id.MatchString(was) {
			if !slices.Contains(refused, was) {
				refused = append(refused, was)
			}
			return nil
		}
		is := was
		if _, successor, ok := table.Technique(was); !ok && successor != "" {
			is = successor
		}
		s := of[is]
		if s == nil {
			s = &seenTechnique{id: is}
			of[is] = s
			out = append(out, s)
		}
		if is != was && !slices.Contains(s.as, was) {
			s.as = append(s.as, was)
		}
		if !slices.Contains(s.campaigns, campaign) {
			s.campaigns = append(s.campaigns, campaign)
		}
		return s
	}
	for _, k := range c.Campaigns {
		for _, t := range k.Techniques {
			see(t, k.ID)
		}
		members := map[string]bool{}
		for _, f := range k.Findings {
			members[f] = true
		}
		for _, f := range c.Findings {
			if !members[f.ID] {
				continue
			}
			for _, t := range f.Techniques {
				if s := see(t, k.ID); s != nil && !slices.ContainsFunc(s.findings, func(x casefile.Finding) bool { return x.ID == f.ID }) {
					s.findings = append(s.findings, f)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b *seenTechnique) int { return strings.Compare(a.id, b.id) })
	for _, s := range out {
		slices.Sort(s.as)
		slices.SortStableFunc(s.findings, func(a, b casefile.Finding) int {
			return cmp.Or(a.First.Compare(b.First.Time), strings.Compare(a.ID, b.ID))
		})
	}
	return out, refused
}

// writeJSON writes v indented and without HTML's escapes, which no reader of
// ours needs.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}
