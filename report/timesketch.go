package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Timesketch writes a timeline for Timesketch: a line of JSON for each record
// that the case cites, and one for each step of a campaign, by time.
//
// Timesketch asks for message, datetime and timestamp_desc in each line.
// Source: Timesketch, "Create timeline from JSON/JSONL/CSV file".
type Timesketch struct{}

// Name implements [Format].
func (Timesketch) Name() string { return "timesketch" }

// Doc implements [Format].
func (Timesketch) Doc() string {
	return "timesketch.jsonl: cited records and steps of campaigns by time, a line each, for Timesketch"
}

// Files implements [Format].
func (Timesketch) Files() []string { return []string{"timesketch.jsonl"} }

// sketchEntry is a line. Lists stay lists: Timesketch searches in them.
type sketchEntry struct {
	Message       string   `json:"message"`
	Datetime      string   `json:"datetime"` // ISO 8601, UTC, microseconds
	TimestampDesc string   `json:"timestamp_desc"`
	DataType      string   `json:"data_type"` // midwatch:record or midwatch:step
	Tag           []string `json:"tag"`
	Case          string   `json:"case_id"`
	Campaign      []string `json:"campaign"`       // ids
	CampaignTitle []string `json:"campaign_title"` // in the same order
	Stage         []string `json:"stage"`
	Certainty     string   `json:"certainty,omitempty"` // of access to mail, the highest that the record shows
	Severity      string   `json:"severity,omitempty"`  // the highest of its findings
	Finding       []string `json:"finding"`             // ids
	FindingTitle  []string `json:"finding_title"`       // in the same order
	Technique     []string `json:"technique"`           // ATT&CK ids
	Until         string   `json:"until,omitempty"`     // end of a step that is no moment
	EventIDs      []string `json:"event_ids"`           // for `midwatch evidence`

	User      string `json:"user,omitempty"`
	SourceIP  string `json:"source_ip,omitempty"`
	Target    string `json:"target,omitempty"`
	Tenant    string `json:"tenant,omitempty"`
	Source    string `json:"log,omitempty"`
	Operation string `json:"operation,omitempty"`

	// What the findings are about, by kind.
	Accounts     []string `json:"accounts,omitempty"`
	Applications []string `json:"applications,omitempty"`
	Addresses    []string `json:"addresses,omitempty"`
	Mailboxes    []string `json:"mailboxes,omitempty"`
	Others       []string `json:"entities,omitempty"` // kind:id of all other kinds

	SourceFile   string `json:"source_file,omitempty"` // of a step: of its first record
	SourceLine   int64  `json:"source_line,omitempty"`
	SourceOffset *int64 `json:"source_offset,omitempty"`
	SourceSHA256 string `json:"source_sha256,omitempty"`

	at casefile.Time
}

// Write implements [Format].
func (f Timesketch) Write(w io.Writer, file string, c *casefile.Case, _ Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	for _, e := range sketch(shown(c)) {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write timeline: %w", err)
		}
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write timeline: %w", err)
	}
	return nil
}

// sketch makes the lines. What has no time cannot stand in a timeline.
func sketch(c *casefile.Case) []*sketchEntry {
	s := newSketcher(c)
	var out []*sketchEntry
	for i := range c.Campaigns {
		for _, t := range c.Campaigns[i].Timeline {
			if !t.Time.IsZero() {
				out = append(out, s.step(&c.Campaigns[i], t))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Evidence)) {
		if !c.Evidence[id].Time.IsZero() {
			out = append(out, s.record(id))
		}
	}
	// At the same moment a step stands before the records that show it.
	slices.SortStableFunc(out, func(a, b *sketchEntry) int { return a.at.Compare(b.at.Time) })
	return out
}

// sketcher knows who cites what.
type sketcher struct {
	c         *casefile.Case
	findings  map[string]*casefile.Finding
	campaigns map[string][]*casefile.Campaign // by finding
	cited     map[string]*citing              // by event
}

// citing is what cites an event.
type citing struct {
	findings  []*casefile.Finding
	campaigns []*casefile.Campaign
	stages    []string
	certainty casefile.Certainty
}

func newSketcher(c *casefile.Case) *sketcher {
	s := &sketcher{c: c, findings: map[string]*casefile.Finding{}, campaigns: map[string][]*casefile.Campaign{}, cited: map[string]*citing{}}
	for i := range c.Findings {
		f := &c.Findings[i]
		s.findings[f.ID] = f
		for _, id := range f.Events {
			x := s.of(id)
			x.findings = appendNew(x.findings, f)
			x.stages = appendNew(x.stages, f.Stage)
		}
	}
	for i := range c.Campaigns {
		k := &c.Campaigns[i]
		for _, f := range k.Findings {
			s.campaigns[f] = appendNew(s.campaigns[f], k)
			if f := s.findings[f]; f != nil {
				s.cite(k, "", "", f.Events)
			}
		}
		for _, t := range k.Timeline {
			s.cite(k, t.Stage, "", t.Events)
		}
		for _, a := range k.Accounts {
			s.cite(k, "", "", a.Events)
		}
		for _, a := range k.Apps {
			s.cite(k, "", "", a.Events)
		}
		for _, x := range k.Credentials {
			s.cite(k, "", "", x.Events)
		}
		for _, m := range k.Mailboxes {
			// The certainty of a mailbox is not the one of each record of it.
			s.cite(k, casefile.StageCollection, "", m.Events)
			for _, x := range m.Messages {
				s.cite(k, casefile.StageCollection, x.Certainty, x.Events)
			}
			for _, x := range m.AttachmentItems {
				s.cite(k, casefile.StageCollection, x.Certainty, x.Events)
			}
			for _, x := range m.WholeFolders {
				s.cite(k, casefile.StageCollection, x.Certainty, x.Events)
			}
			for _, x := range m.Windows {
				s.cite(k, "", x.Certainty, x.Events)
			}
		}
	}
	return s
}

func (s *sketcher) of(event string) *citing {
	x := s.cited[event]
	if x == nil {
		x = &citing{}
		s.cited[event] = x
	}
	return x
}

func (s *sketcher) cite(k *casefile.Campaign, stage string, certainty casefile.Certainty, events []string) {
	for _, id := range events {
		x := s.of(id)
		x.campaigns, x.stages = appendNew(x.campaigns, k), appendNew(x.stages, stage)
		if certainty.Rank() > x.certainty.Rank() {
			x.certainty = certainty
		}
	}
}

// appendNew appends what is something and not there yet.
func appendNew[T comparable](list []T, x T) []T {
	var nothing T
	if x == nothing || slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}

func (s *sketcher) step(k *casefile.Campaign, t casefile.TimelineEntry) *sketchEntry {
	e := &sketchEntry{Message: cmp.Or(t.Text, "Step of a campaign"), TimestampDesc: "Step of a campaign", DataType: "midwatch:step", EventIDs: append([]string{}, t.Events...)}
	if !t.Until.IsZero() {
		e.TimestampDesc, e.Until = "Start of a step of a campaign", sketchTime(t.Until)
	}
	var fs []*casefile.Finding
	if f := s.findings[t.Finding]; f != nil {
		fs = append(fs, f)
	}
	s.describe(e, t.Time, []*casefile.Campaign{k}, fs, appendNew(nil, t.Stage))
	for _, id := range t.Events {
		if ev, ok := s.c.Evidence[id]; ok {
			e.place(ev)
			break
		}
	}
	e.Tag = append([]string{"midwatch", "step"}, e.Tag...)
	return e
}

func (s *sketcher) record(id string) *sketchEntry {
	ev, x := s.c.Evidence[id], s.of(id)
	said := cmp.Or(ev.Operation, "record") + " (" + sourceName(ev.Source, "") + ")"
	for _, p := range [][2]string{{" by ", ev.Actor}, {" from ", ev.IP}, {" on ", ev.Target}} {
		if p[1] != "" {
			said += p[0] + p[1]
		}
	}
	e := &sketchEntry{
		Message: said, TimestampDesc: "Event recorded", DataType: "midwatch:record", EventIDs: []string{id}, Certainty: string(x.certainty),
		User: ev.Actor, SourceIP: ev.IP, Target: ev.Target, Tenant: ev.Tenant, Source: ev.Source, Operation: ev.Operation,
	}
	s.describe(e, ev.Time, x.campaigns, x.findings, x.stages)
	e.place(ev)
	e.Tag = append([]string{"midwatch", "record"}, e.Tag...)
	return e
}

// place says where the record stands.
func (e *sketchEntry) place(ev casefile.Evidence) {
	e.SourceFile, e.SourceLine, e.SourceOffset, e.SourceSHA256 = ev.File, ev.Line, &ev.Offset, ev.SHA256
}

// describe adds what campaigns and findings say. Words of the contract become
// tags; text of others does not.
func (s *sketcher) describe(e *sketchEntry, at casefile.Time, ks []*casefile.Campaign, fs []*casefile.Finding, stages []string) {
	e.at, e.Datetime, e.Case = at, sketchTime(at), s.c.Case.ID
	e.Campaign, e.CampaignTitle, e.Finding, e.FindingTitle, e.Technique, e.Tag = []string{}, []string{}, []string{}, []string{}, []string{}, []string{}
	e.Stage = append([]string{}, stages...)
	for _, k := range ks {
		e.Campaign, e.CampaignTitle = append(e.Campaign, k.ID), append(e.CampaignTitle, k.Title)
		if k.Standing == "established" || k.Standing == "suspected" {
			e.Tag = appendNew(e.Tag, "campaign-"+k.Standing)
		}
	}
	var most casefile.Severity
	for _, f := range fs {
		e.Finding, e.FindingTitle = append(e.Finding, f.ID), append(e.FindingTitle, f.Title)
		if f.Severity.Rank() > most.Rank() {
			most = f.Severity
		}
		for _, t := range f.Techniques {
			e.Technique = appendNew(e.Technique, t)
		}
		for _, x := range f.Entities {
			e.entity(x)
		}
	}
	e.Severity = string(most)
	for _, w := range slices.Concat(e.Stage, []string{e.Severity, e.Certainty}) {
		if known(w) != "" || slices.Contains(stageNames(), w) {
			e.Tag = appendNew(e.Tag, strings.ToLower(w))
		}
	}
}

func (e *sketchEntry) entity(x casefile.Entity) {
	switch x.Kind {
	case casefile.Account:
		e.Accounts = appendNew(e.Accounts, x.ID)
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
		e.Applications = appendNew(e.Applications, x.ID)
	case casefile.IP:
		e.Addresses = appendNew(e.Addresses, x.ID)
	case casefile.Mailbox:
		e.Mailboxes = appendNew(e.Mailboxes, x.ID)
	default:
		e.Others = appendNew(e.Others, string(x.Kind)+":"+x.ID)
	}
}

func stageNames() []string {
	return []string{casefile.StageGuessing, casefile.StageAccess, casefile.StagePersistence, casefile.StagePrivilege, casefile.StageCollection, casefile.StageEvasion, casefile.StageExfil}
}

// sketchTime has always six digits, so that lines sort by it as text, too.
func sketchTime(t casefile.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000+00:00")
}
