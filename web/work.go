package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/exposure"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond/clock"
	"midwatch/respond/notice"
	"midwatch/web/auth"
)

// Work: what people decide and do, and who did what when. All of it goes
// through the case's journal; a form carries the number of the last entry that
// its page knew, so that nobody decides over the head of somebody else.

type tab struct {
	Key, Title string
	Count      int // of what is still to be done
}

type workData struct {
	*casework.Board
	Tab      string
	Tabs     []tab
	Entries  []entryView
	Findings []findingOption
	Entities []string
	Prefill  string
	Campaign string
	Running  string // the case is being made anew
	Now      string
	Plan     string
	States   []notice.StateName
	Clocks   []clockView
}

// clockView is a clock as a page shows it.
type clockView struct {
	casework.Clock
	Class     string
	LeftWords string
	Missing   []clock.Item
}

func clockViews(cs []casework.Clock) (out []clockView) {
	for _, c := range cs {
		v := clockView{Clock: c, Class: strings.ReplaceAll(c.State, " ", "-")}
		left := time.Duration(c.Left) * time.Second
		switch {
		case c.State == clock.Running && !c.Due.IsZero():
			v.LeftWords = spanShort(left) + " left"
		case c.State == clock.Passed:
			v.LeftWords = "by " + spanShort(-left)
		case c.State == clock.Running:
			v.LeftWords = "without undue delay"
		case c.Late:
			v.LeftWords = "after it was due"
		}
		for _, i := range c.Content {
			if i.Missing != "" {
				v.Missing = append(v.Missing, i)
			}
		}
		out = append(out, v)
	}
	return out
}

// spanShort says how long, to the minute.
func spanShort(d time.Duration) string {
	switch days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60; {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	default:
		return fmt.Sprintf("%d min", minutes)
	}
}

type findingOption struct{ ID, Title, Campaign, Severity, Time string }

// entryView is an entry of the journal as a page shows it.
type entryView struct {
	Seq             int64
	Time            casefile.Time
	Who, Kind, Text string
	Claimed         bool
	Rest            [][2]string
	Hash            string
}

// entryFor is an entry as the user may see it: who is told what of their mail is
// not for those who do not see what mail holds.
func (v *visit) entryFor(e *journal.Entry) entryView {
	x := entryOf(e)
	if v.user.Role < auth.Analyst && (e.Kind == journal.NoticeState || e.Kind == journal.SecretState || e.Kind == journal.Question) {
		x.Text, x.Rest = "", nil
	}
	return x
}

func entryOf(e *journal.Entry) entryView {
	v := entryView{Seq: e.Seq, Time: casefile.TimeOf(e.Time), Who: report.Clean(e.Author.Name), Kind: report.Clean(string(e.Kind)), Claimed: e.Author.Claimed, Hash: e.Hash}
	if e.Author.Claimed {
		v.Who += " (as " + report.Clean(e.Author.User) + " says)"
	}
	var m map[string]any
	if e.Decode(&m) != nil {
		v.Text = report.Clean(string(e.Payload))
		return v
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		text, ok := m[k].(string)
		if !ok {
			b, err := json.Marshal(m[k])
			if err != nil {
				continue
			}
			text = string(b)
		}
		text = report.Clean(text)
		if text == "" || text == "null" || text == "[]" || text == "{}" {
			continue
		}
		if (k == "text" || k == "reason") && v.Text == "" {
			v.Text = text
			continue
		}
		if r := []rune(text); len(r) > 300 {
			text = string(r[:300]) + "…"
		}
		v.Rest = append(v.Rest, [2]string{strings.ReplaceAll(k, "_", " "), text})
	}
	return v
}

func (s *Server) work(v *visit) error { return s.workTab(v, v.arg("tab")) }

// Two of the tabs show what mail holds, and have addresses of their own in the
// list of routes.
func (s *Server) workSecrets(v *visit) error { return s.workTab(v, "secrets") }
func (s *Server) workNotices(v *visit) error { return s.workTab(v, "notices") }

func (s *Server) workTab(v *visit, name string) error {
	b, err := s.Work.Read(v.d.Dir, v.d.Case)
	if err != nil {
		return unreadable(err)
	}
	q := v.r.URL.Query()
	d := workData{Board: b, Tab: name, Prefill: report.Clean(q.Get("finding")), Campaign: report.Clean(q.Get("campaign")), Now: stamp(s.Now()), Running: s.redo.running(v.d.Dir), States: notice.StateNames(), Clocks: clockViews(b.Clocks)}
	if d.Tab == "" {
		d.Tab = "campaigns"
	}
	openSecrets, untold, going, open := 0, 0, 0, 0
	for _, x := range b.Secrets {
		if x.State == exposure.Open {
			openSecrets++
		}
	}
	for _, x := range b.Notices {
		if x.Told == nil || x.Changed == "facts" || x.Changed == "gone" {
			untold++
		}
	}
	for _, x := range b.Clocks {
		if x.State == clock.Running || x.State == clock.Passed {
			going++
		}
	}
	if b.Plan != nil {
		d.Plan = b.Plan.Hash
		open = len(b.Plan.Steps)
	}
	d.Tabs = []tab{{"campaigns", "Campaigns", 0}, {"containment", "Containment", open}}
	if v.user.Role >= auth.Analyst {
		d.Tabs = append(d.Tabs, tab{"secrets", "Secrets", openSecrets}, tab{"notices", "Notices", untold})
	}
	d.Tabs = append(d.Tabs, tab{"clocks", "Clocks", going}, tab{"journal", "Journal", 0})
	if !slices.ContainsFunc(d.Tabs, func(t tab) bool { return t.Key == d.Tab }) {
		return notFound("tab")
	}
	for i := range b.Entries {
		d.Entries = append(d.Entries, v.entryFor(&b.Entries[i]))
	}
	slices.Reverse(d.Entries)
	if d.Tab == "campaigns" {
		for i := range v.d.Case.Findings {
			f := &v.d.Case.Findings[i]
			_, in := v.d.Finding(f.ID)
			o := findingOption{ID: f.ID, Title: report.Clean(f.Title), Severity: string(f.Severity), Time: stamp(f.First.Time)}
			if in != nil {
				o.Campaign = in.ID
			}
			d.Findings = append(d.Findings, o)
		}
		slices.SortStableFunc(d.Findings, func(a, b findingOption) int { // those of campaigns first
			return strings.Compare(b.Campaign, a.Campaign)
		})
		if len(d.Findings) > 500 {
			d.Findings = d.Findings[:500]
		}
	}
	return s.show(v, "work", "work", "Work", d)
}

func (s *Server) addNote(v *visit) error {
	f, err := v.form("text")
	if err != nil {
		return err
	}
	kind := journal.Note
	if f.Get("kind") == string(journal.Decision) {
		kind = journal.Decision
	}
	if _, err := s.Work.Note(v.r.Context(), v.d.Dir, s.author(v), kind, f.Get("text")); err != nil {
		return s.undone(v, err)
	}
	back(v, v.link().To("work", "journal"))
	return nil
}

// decide joins, splits off, leaves out, or takes one of these back.
func (s *Server) decide(v *visit) error {
	f, err := v.form("what")
	if err != nil {
		return err
	}
	ctx, by, reason := v.r.Context(), s.author(v), f.Get("reason")
	switch what := f.Get("what"); what {
	case "undo":
		seq, err := strconv.ParseInt(f.Get("entry"), 10, 64)
		if err != nil {
			return v.refuse("Say which decision is taken back.")
		}
		_, err = s.Work.Undo(ctx, v.d.Dir, by, seq, reason)
		if err != nil {
			return s.undone(v, err)
		}
	case "join", "split", "exclude":
		kind := map[string]journal.Kind{"join": journal.CampaignJoin, "split": journal.CampaignSplit, "exclude": journal.CampaignExclude}[what]
		ids := append(append([]string{}, f["id"]...), strings.Fields(f.Get("more"))...)
		if e := strings.TrimSpace(f.Get("entity")); e != "" && what == "exclude" {
			ids = []string{e}
		}
		if len(ids) == 0 {
			return v.refuse("Choose the findings, campaigns or the entity that it is about.")
		}
		if _, err := s.Work.Decide(ctx, v.d.Dir, v.d.Case, by, kind, ids, reason); err != nil {
			return s.undone(v, err)
		}
	default:
		return v.refuse("It is join, split, exclude or undo.")
	}
	s.redo.start(s, v.shelf.Name, v.d.Dir)
	back(v, v.link().To("work", "campaigns"))
	return nil
}

func (s *Server) setSecret(v *visit) error {
	f, err := v.form("state", "reason")
	if err != nil {
		return err
	}
	if len(f["id"]) == 0 {
		return v.refuse("Choose the secrets that it is about.")
	}
	if _, err := s.Work.SetSecret(v.r.Context(), v.d.Dir, s.author(v), f["id"], exposure.State(f.Get("state")), f.Get("reason")); err != nil {
		return s.undone(v, err)
	}
	back(v, v.link().To("work", "secrets"))
	return nil
}

// when reads the time of a form; nothing means now.
func (s *Server) when(v *visit, text string) (casefile.Time, error) {
	if strings.TrimSpace(text) == "" {
		return casefile.TimeOf(s.Now()), nil
	}
	t, ok := moment(text)
	if !ok {
		return casefile.Time{}, v.refuse("A time looks like 2024-01-12 09:30 (UTC), or 2024-01-12T10:30:00+01:00.")
	}
	return casefile.TimeOf(t), nil
}

func (s *Server) setNotice(v *visit) error {
	f, err := v.form("id", "state")
	if err != nil {
		return err
	}
	at, err := s.when(v, f.Get("at"))
	if err != nil {
		return err
	}
	if _, err := s.Work.SetNotice(v.r.Context(), v.d.Dir, s.author(v), f.Get("id"), notice.StateName(f.Get("state")), at, f.Get("reason")); err != nil {
		return s.undone(v, err)
	}
	back(v, v.link().To("work", "notices"))
	return nil
}

func (s *Server) setClock(v *visit) error {
	f, err := v.form("what", "id", "reason")
	if err != nil {
		return err
	}
	ctx, by, id, reason := v.r.Context(), s.author(v), f.Get("id"), f.Get("reason")
	at, err := s.when(v, f.Get("at"))
	if err != nil {
		return err
	}
	switch f.Get("what") {
	case "start":
		if strings.TrimSpace(f.Get("at")) == "" {
			return v.refuse("Say when it happened: deadlines are counted from there.")
		}
		_, err = s.Work.StartClock(ctx, v.d.Dir, v.d.Case, by, id, at, reason)
	case "withdraw":
		_, err = s.Work.WithdrawClock(ctx, v.d.Dir, v.d.Case, by, id, reason)
	case "filed":
		_, err = s.Work.FileClock(ctx, v.d.Dir, v.d.Case, by, id, at, reason)
	default:
		return v.refuse("It is start, withdraw or filed.")
	}
	if err != nil {
		return s.undone(v, err)
	}
	back(v, v.link().To("work", "clocks"))
	return nil
}

func (s *Server) approve(v *visit) error {
	f, err := v.form("plan", "reason")
	if err != nil {
		return err
	}
	if len(f["id"]) == 0 {
		return v.refuse("Choose the steps that it is about.")
	}
	if _, err := s.Work.Approve(v.r.Context(), v.d.Dir, v.d.Case, s.author(v), f.Get("plan"), f["id"], f.Get("what") == "withdraw", f.Get("reason")); err != nil {
		return s.undone(v, err)
	}
	back(v, v.link().To("work", "containment"))
	return nil
}

// redos are the cases that are being made anew, one run a case at a time: a
// decision that comes meanwhile is followed by a run of its own.
type redos struct {
	mu    sync.Mutex
	state map[string]*redoState
	wait  sync.WaitGroup
}

type redoState struct {
	since time.Time
	again bool
	said  string // why the last run failed
	busy  bool
}

// start makes the case anew from its events, as people decided.
func (r *redos) start(s *Server, name, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil {
		r.state = map[string]*redoState{}
	}
	st := r.state[dir]
	if st == nil {
		st = &redoState{}
		r.state[dir] = st
	}
	if st.busy {
		st.again = true
		return
	}
	st.busy, st.since, st.said = true, s.Now(), ""
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		for {
			err := s.Redo(s.Life, dir)
			if err == nil {
				err = s.refresh(s.Life, name)
			}
			r.mu.Lock()
			if err != nil {
				s.Log.Error("the case was not made anew", "case", name, "error", err)
				st.said = "The case could not be made anew: " + report.Clean(err.Error()) + ". The decision is in the journal; midwatch investigate --again tries once more."
			}
			if !st.again || s.Life.Err() != nil {
				st.busy = false
				r.mu.Unlock()
				return
			}
			st.again = false
			r.mu.Unlock()
		}
	}()
}

// running says what a case is doing, or why it failed.
func (r *redos) running(dir string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.state[dir]
	switch {
	case st == nil:
		return ""
	case st.busy:
		return "The case is being made anew with what was decided, since " + stamp(st.since) + " UTC. What you see is how it was before."
	}
	return st.said
}

// refresh lays out a case that was made anew.
func (s *Server) refresh(ctx context.Context, name string) error {
	for _, x := range s.Cases {
		if x.Name == name {
			_, err := x.Refresh(ctx)
			return err
		}
	}
	return fmt.Errorf("no case %s", name)
}

// Watch looks every while whether cases were made anew by others. It returns
// with its context.
func (s *Server) Watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			s.redo.wait.Wait()
			return
		case <-t.C:
			for _, x := range s.Cases {
				if _, err := x.Refresh(ctx); err != nil && ctx.Err() == nil {
					s.Log.Warn("a case cannot be read anew; its last state is shown", "case", x.Name, "error", err)
				}
			}
		}
	}
}

// changed is what others did since a page was made.
type changed struct {
	Head    int64    `json:"head"`
	Made    int64    `json:"made"` // when the case was made, milliseconds
	Running string   `json:"running"`
	Entries []string `json:"entries"`
}

// changes tells a page that is open what others did meanwhile.
func (s *Server) changes(v *visit) error {
	since, err := strconv.ParseInt(v.r.URL.Query().Get("since"), 10, 64)
	if err != nil || since < 0 {
		return &failure{Status: http.StatusBadRequest, Title: "Not understood", Text: "since is the number of an entry."}
	}
	head, stale, err := s.Work.State(v.d.Dir, v.d.Case)
	if err != nil {
		return unreadable(err)
	}
	c := changed{Head: head, Made: v.d.Made.UnixMilli(), Running: s.redo.running(v.d.Dir), Entries: []string{}}
	if c.Running == "" {
		c.Running = stale
	}
	if head > since {
		es, err := s.Work.Since(v.d.Dir, since)
		if err != nil {
			return err
		}
		for i := range es[max(0, len(es)-5):] {
			e := v.entryFor(&es[max(0, len(es)-5)+i])
			text := e.Text
			if r := []rune(text); len(r) > 160 {
				text = string(r[:160]) + "…"
			}
			c.Entries = append(c.Entries, fmt.Sprintf("%s: %s, entry %d: %s", e.Who, strings.ReplaceAll(e.Kind, ".", " "), e.Seq, text))
		}
	}
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(c)
}
