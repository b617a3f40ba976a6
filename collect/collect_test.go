package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/ingest"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// service stands in for Microsoft's: it pages, throttles, repeats records, keeps
// some back until later, and says wrong counts.
type service struct {
	t   *testing.T
	srv *httptest.Server

	mu       sync.Mutex
	now      time.Time
	records  []rec
	asked    map[string]int
	throttle int // every so many requests are refused
	n        int
	fail     func(r *http.Request, n int) (status int, header, body string)
	waited   []time.Duration
	lose     int // every so many records are missing from pages of one size
	started  map[string]bool
}

type rec struct {
	id      string
	at      time.Time
	visible time.Time // from when on it is given out
	kind    string
}

func newService(t *testing.T) *service {
	s := &service{t: t, now: time.Date(2024, 1, 12, 12, 30, 0, 0, time.UTC), asked: map[string]int{}, started: map[string]bool{}}
	s.srv = httptest.NewTLSServer(s)
	t.Cleanup(s.srv.Close)
	return s
}

func (s *service) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// fill makes records of a log, a number every minute, of which every tenth comes
// five hours late.
func (s *service) fill(kind string, from time.Time, minutes int) {
	for m := range minutes {
		at := from.Add(time.Duration(m) * time.Minute)
		r := rec{fmt.Sprintf("%s-%05d", kind, len(s.records)), at, at, kind}
		if m%10 == 9 {
			r.visible = at.Add(5 * time.Hour)
		}
		s.records = append(s.records, r)
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.asked[r.URL.Path]++
	if r.Header.Get("Authorization") != "Bearer secret-token" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	if s.fail != nil {
		if status, header, body := s.fail(r, s.n); status != 0 {
			if k, v, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return
		}
	}
	if s.throttle > 0 && s.n%s.throttle == 0 {
		w.Header().Set("Retry-After", "17")
		http.Error(w, "slower", http.StatusTooManyRequests)
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/beta/auditLogs/signIns"), strings.HasPrefix(r.URL.Path, "/v1.0/auditLogs/directoryAudits"):
		s.graph(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/v1.0/"):
		s.office(w, r)
	case strings.HasSuffix(r.URL.Path, "/query"):
		s.analytics(w, r)
	default:
		http.NotFound(w, r)
	}
}

const pageSize = 7

func (s *service) graph(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := strings.Fields(q.Get("$filter"))
	from, err1 := time.Parse(time.RFC3339, f[2])
	to, err2 := time.Parse(time.RFC3339, f[6])
	if err := errors.Join(err1, err2); err != nil {
		s.t.Errorf("filter %q: %v", q.Get("$filter"), err)
	}
	kind := "interactiveUser"
	if _, after, ok := strings.Cut(q.Get("$filter"), "t eq '"); ok {
		kind, _, _ = strings.Cut(after, "'")
	}
	skip, _ := strconv.Atoi(q.Get("$skiptoken"))
	var all []map[string]any
	for i, x := range s.records {
		if x.kind != kind || x.at.Before(from) || !x.at.Before(to) || x.visible.After(s.now) {
			continue
		}
		// What a service with a broken index does: some records are missing from
		// long windows.
		if s.lose > 0 && i%s.lose == 0 && to.Sub(from) >= time.Hour {
			continue
		}
		all = append(all, map[string]any{"id": x.id, "createdDateTime": x.at.Format(time.RFC3339), "userPrincipalName": "u@contoso.example", "appId": "a", "ipAddress": "192.0.2.1", "status": map[string]any{"errorCode": 50126}, "signInEventTypes": []string{kind}})
	}
	page := all[min(skip, len(all)):min(skip+pageSize, len(all))]
	if skip > 0 && len(page) > 0 {
		page = append([]map[string]any{all[skip-1]}, page...) // given twice
	}
	out := map[string]any{"@odata.count": len(all) + 1000, "value": append([]map[string]any{}, page...)}
	if skip+pageSize < len(all) {
		next := *r.URL
		q.Set("$skiptoken", strconv.Itoa(skip+pageSize))
		next.RawQuery = q.Encode()
		out["@odata.nextLink"] = s.srv.URL + next.String()
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *service) office(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind := q.Get("contentType")
	switch {
	case strings.HasSuffix(r.URL.Path, "/start"):
		s.started[kind] = true
		_, _ = w.Write([]byte("{}"))
	case strings.HasSuffix(r.URL.Path, "/content"):
		if !s.started[kind] {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":{"code":"AF20022","message":"No subscription found for the specified content type"}}`))
			return
		}
		from, _ := time.Parse("2006-01-02T15:04:05", q.Get("startTime"))
		to, _ := time.Parse("2006-01-02T15:04:05", q.Get("endTime"))
		if to.Sub(from) > 24*time.Hour {
			http.Error(w, "AF20030 more than 24 hours", 400)
			return
		}
		var list []map[string]string
		for h := from.Truncate(10 * time.Minute); h.Before(to); h = h.Add(10 * time.Minute) {
			if !h.Before(from) {
				x := map[string]string{"contentUri": s.srv.URL + "/api/v1.0/t/activity/feed/audit/" + h.Format("20060102150405")}
				list = append(list, x, x) // listed twice
			}
		}
		page, _ := strconv.Atoi(q.Get("nextPage"))
		if end := (page + 1) * 4; end < len(list) {
			q.Set("nextPage", strconv.Itoa(page+1))
			w.Header().Set("NextPageUri", s.srv.URL+r.URL.Path+"?"+q.Encode())
		}
		_ = json.NewEncoder(w).Encode(list[min(page*4, len(list)):min((page+1)*4, len(list))])
	default:
		at, _ := time.Parse("20060102150405", r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		var rows []map[string]any
		for m := range 10 {
			t := at.Add(time.Duration(m)*time.Minute - 2*time.Hour) // records are older than their content
			rows = append(rows, map[string]any{"Id": "ual-" + t.Format("150405"), "CreationTime": t.Format("2006-01-02T15:04:05"), "Operation": "MailItemsAccessed", "Workload": "Exchange", "RecordType": 50, "UserId": "u@contoso.example", "OrganizationId": "11111111-2222-3333-4444-555555555555", "MailboxOwnerUPN": "u@contoso.example"})
		}
		_ = json.NewEncoder(w).Encode(rows)
	}
}

func (s *service) analytics(w http.ResponseWriter, r *http.Request) {
	var q struct{ Query, Timespan string }
	_ = json.NewDecoder(r.Body).Decode(&q)
	a, b, _ := strings.Cut(q.Timespan, "/")
	from, _ := time.Parse(time.RFC3339, a)
	to, _ := time.Parse(time.RFC3339, b)
	var rows [][]any
	for t := from; t.Before(to) && len(rows) < 20; t = t.Add(time.Minute) {
		rows = append(rows, []any{t.Format(time.RFC3339), "r" + t.Format("1504"), "o" + t.Format("1504"), nil, 200, "GET", "https://graph.microsoft.com/v1.0/users/u/messages", "app", "192.0.2.1", "MicrosoftGraphActivityLogs"})
	}
	out := map[string]any{"tables": []any{map[string]any{"name": "PrimaryResult", "columns": []any{map[string]string{"name": "TimeGenerated"}, map[string]string{"name": "RequestId"}, map[string]string{"name": "OperationId"}, map[string]string{"name": "Scopes"}, map[string]string{"name": "ResponseStatusCode"}, map[string]string{"name": "RequestMethod"}, map[string]string{"name": "RequestUri"}, map[string]string{"name": "AppId"}, map[string]string{"name": "IPAddress"}, map[string]string{"name": "Type"}}, "rows": rows}}}
	if to.Sub(from) > 20*time.Minute {
		out["error"] = map[string]string{"code": "PartialError", "message": "cut"}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// config asks the service for some logs of the morning.
func (s *service) config(dir string, names ...string) Config {
	e := Endpoints{s.srv.URL, s.srv.URL, s.srv.URL}
	var logs []Log
	for _, l := range Logs(e, "t", "w") {
		if slices.Contains(names, l.Name()) {
			logs = append(logs, l)
		}
	}
	return Config{
		Dir: dir, Tenant: "t", Logs: logs, From: time.Date(2024, 1, 12, 6, 0, 0, 0, time.UTC), To: time.Date(2024, 1, 12, 12, 0, 0, 0, time.UTC), Log: slog.New(slog.DiscardHandler), Now: s.clock,
		Client: &Client{HTTP: s.srv.Client(), Log: slog.New(slog.DiscardHandler), Now: s.clock, Tokens: func(context.Context, string) (string, error) { return "secret-token", nil }, Sleep: func(ctx context.Context, d time.Duration) error {
			s.mu.Lock()
			s.waited = append(s.waited, d)
			s.mu.Unlock()
			return ctx.Err()
		}},
	}
}

func run(t *testing.T, c Config) *Summary {
	t.Helper()
	sum, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func six() time.Time { return time.Date(2024, 1, 12, 6, 0, 0, 0, time.UTC) }

// stored is how many events a folder comes to.
func stored(t *testing.T, dir string) (events, rejected int64) {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "e.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // the test ends
	res, err := ingest.Run(t.Context(), st, []string{dir}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Each(t.Context(), st, "SELECT count(*) FROM events", nil, func(scan func(...any) error) error { return scan(&events) })
	if err != nil {
		t.Fatal(err)
	}
	return events, res.Rejected
}

// Everything that the service has comes, whatever it does, and what came late
// comes in a later run; what is there is not asked for again.
func TestCollect(t *testing.T) {
	s := newService(t)
	s.fill("interactiveUser", six(), 360)
	s.fill("nonInteractiveUser", six(), 60)
	s.throttle = 5
	dir := t.TempDir()
	c := s.config(dir, "signins_interactive", "signins_noninteractive")
	sum := run(t, c)
	late := 0
	for _, r := range s.records {
		if r.visible.After(s.now) {
			late++
		}
	}
	if late == 0 || sum.Records != 420-late || len(sum.Gaps) != 0 || sum.Late != 12 {
		t.Errorf("%+v, %d late", sum, late)
	}
	if len(s.waited) == 0 || s.waited[0] != 17*time.Second {
		t.Errorf("waited %v", s.waited)
	}
	s.mu.Lock()
	s.now = s.now.Add(30 * time.Hour)
	s.mu.Unlock()
	if sum = run(t, c); sum.Records != 420 || sum.Late != 0 || sum.Windows != 12 {
		t.Errorf("a day later: %+v", sum)
	}
	n := s.n
	if sum = run(t, c); sum.Windows != 0 || sum.Known != 12 || s.n != n {
		t.Errorf("what is settled is asked for again: %+v", sum)
	}
	manifested(t, dir)
}

// manifested checks each file against the manifest, and that there is no other.
func manifested(t *testing.T, dir string) {
	t.Helper()
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	known := map[string]bool{Manifest: true}
	for _, es := range m.done {
		for _, e := range es {
			if e.Note != nil {
				p := filepath.FromSlash(e.Note.File)
				if b, err := os.ReadFile(filepath.Join(dir, p)); err != nil || sum(b) != e.Note.SHA256 {
					t.Errorf("%s: %v", p, err)
				}
				known[p] = true
			}
			for _, a := range e.Answers {
				p := filepath.FromSlash(a.File)
				b, err := os.ReadFile(filepath.Join(dir, p))
				if err != nil || sum(b) != a.SHA256 || len(b) != a.Bytes {
					t.Errorf("%s: %v", p, err)
				}
				if strings.Contains(a.Request, "secret-token") {
					t.Errorf("%s: the token is in it", a.Request)
				}
				known[p] = true
				if a.Derived != "" {
					known[filepath.FromSlash(a.Derived)] = true
				}
			}
		}
	}
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err == nil && !e.IsDir() && !known[rel] {
			t.Errorf("%s is not in the manifest", rel)
		}
		return err
	})
}

// The other services, read as logs at the end.
func TestOfficeAndAnalytics(t *testing.T) {
	s := newService(t)
	s.fill("interactiveUser", six(), 60)
	dir := t.TempDir()
	c := s.config(dir, "signins_interactive", "ual_exchange", "graph_activity")
	c.From, c.To = six(), six().Add(2*time.Hour)
	sum := run(t, c)
	if len(sum.Gaps) != 0 || !s.started["Audit.Exchange"] {
		t.Errorf("%+v", sum)
	}
	manifested(t, dir)
	// 60 sign-ins less those that are late, 120 records of the audit log, 120 of Graph.
	events, rejected := stored(t, filepath.Join(dir, Folder))
	if want := int64(sum.Records); events != want || rejected != 0 || want < 290 {
		t.Errorf("%d events, %d rejected, want %d", events, rejected, want)
	}
}

// Two fetches that are cut differently find what one alone believes to have.
func TestVerify(t *testing.T) {
	s := newService(t)
	s.fill("interactiveUser", six(), 360)
	s.now = s.now.Add(48 * time.Hour)
	s.lose = 50
	c := s.config(t.TempDir(), "signins_interactive")
	if sum := run(t, c); len(sum.Gaps) != 0 || sum.Records >= 360 {
		t.Errorf("without verifying: %+v", sum)
	}
	c = s.config(t.TempDir(), "signins_interactive")
	c.Verify = true
	sum := run(t, c)
	if len(sum.Gaps) == 0 || sum.Records != 360 || !strings.Contains(sum.Gaps[0].Why, "only in the second") {
		t.Errorf("%+v", sum)
	}
	manifested(t, c.Dir)
	s.lose = 0
	c = s.config(t.TempDir(), "signins_interactive")
	c.Verify = true
	if sum := run(t, c); len(sum.Gaps) != 0 || sum.Records != 360 {
		t.Errorf("of a sound service: %+v", sum)
	}
}

// A case learns of a window whose two fetches differed, and that a later fetch
// settled it.
func TestNotes(t *testing.T) {
	s := newService(t)
	s.fill("interactiveUser", six(), 360)
	s.now = time.Date(2024, 1, 12, 13, 0, 0, 0, time.UTC)
	s.lose = 50
	c := s.config(t.TempDir(), "signins_interactive")
	c.Verify = true
	if sum := run(t, c); len(sum.Gaps) == 0 {
		t.Fatalf("%+v", sum)
	}
	before := notes(t, c.Dir)
	if len(before) == 0 {
		t.Fatal("no window is noted")
	}
	for _, x := range before {
		if !x.Differs || x.OnlyFirst+x.OnlySecond == 0 || x.Tenant != "t" || x.Source != "signin" || x.Kind != "interactive" || x.To.Sub(x.From.Time) != time.Hour || x.Fetched.IsZero() {
			t.Errorf("%+v", x)
		}
	}
	s.lose = 0
	s.now = s.now.Add(48 * time.Hour)
	if sum := run(t, c); len(sum.Gaps) != 0 {
		t.Fatalf("%+v", sum)
	}
	settled := 0
	for _, x := range notes(t, c.Dir) {
		if !x.Differs {
			settled++
		}
	}
	if settled != len(before) {
		t.Errorf("%d windows are settled, want %d", settled, len(before))
	}
	if _, rejected := stored(t, filepath.Join(c.Dir, Folder)); rejected != 0 {
		t.Errorf("%d records are rejected", rejected)
	}
}

// notes are what a case would learn of windows.
func notes(t *testing.T, dir string) (out []casefile.Stretch) {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "e.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // the test ends
	if _, err := ingest.Run(t.Context(), st, []string{filepath.Join(dir, Folder)}, ingest.Options{}); err != nil {
		t.Fatal(err)
	}
	sources, err := ingest.Sources(t.Context(), st) // as another process finds them
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sources {
		out = append(out, x.Windows...)
	}
	return out
}

func TestFailures(t *testing.T) {
	type answer = func(r *http.Request, n int) (int, string, string)
	for name, x := range map[string]struct {
		fail answer
		gaps int
		say  string
		all  bool // nothing is missing
	}{
		"passing":  {func(_ *http.Request, n int) (int, string, string) { return map[bool]int{true: 503}[n%3 == 1], "", "" }, 0, "", true},
		"denied":   {func(*http.Request, int) (int, string, string) { return 403, "", "no licence" }, 4, "lacks the permission", false},
		"not JSON": {func(*http.Request, int) (int, string, string) { return 200, "", "<html>proxy</html>" }, 6, "answer to GET", false},
		"no list":  {func(*http.Request, int) (int, string, string) { return 200, "", `{"error":"x"}` }, 6, "no list of Graph's", false},
		"elsewhere": {func(*http.Request, int) (int, string, string) {
			return 200, "", `{"value":[],"@odata.nextLink":"https://evil.example/x"}`
		}, 6, "the token does not go there", false},
		"circle": {func(r *http.Request, _ int) (int, string, string) {
			return 200, "", `{"value":[],"@odata.nextLink":"` + "https://" + r.Host + r.URL.String() + `"}`
		}, 6, "in a circle", false},
		"no id": {func(*http.Request, int) (int, string, string) { return 200, "", `{"value":[{}]}` }, 6, "has no id", false},
		"for ever": {func(*http.Request, int) (int, string, string) {
			return 429, "Retry-After: Fri, 12 Jan 2024 12:31:00 GMT", ""
		}, 6, "given up after 8 tries", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.fill("interactiveUser", six(), 360)
			s.fail = x.fail
			c := s.config(t.TempDir(), "signins_interactive")
			sum := run(t, c)
			if len(sum.Gaps) != x.gaps || x.gaps > 0 && !strings.Contains(sum.Gaps[0].Why, x.say) {
				t.Errorf("%d gaps, want %d: %+v", len(sum.Gaps), x.gaps, sum.Gaps)
			}
			if name == "for ever" && s.waited[0] != time.Minute {
				t.Errorf("waited %v", s.waited[0])
			}
			// When it is well again the same command has all of it.
			s.fail = nil
			s.now = s.now.Add(48 * time.Hour)
			if sum = run(t, c); sum.Records != 360 && !x.all || len(sum.Gaps) > 0 {
				t.Errorf("afterwards: %+v", sum)
			}
			manifested(t, c.Dir)
		})
	}
}

// Who is killed while a window is in work begins with it, wherever the manifest
// was cut.
func TestKilled(t *testing.T) {
	s := newService(t)
	s.fill("interactiveUser", six(), 360)
	s.now = s.now.Add(48 * time.Hour)
	dir := t.TempDir()
	c := s.config(dir, "signins_interactive")
	ctx, stop := context.WithCancel(t.Context())
	s.fail = func(_ *http.Request, n int) (int, string, string) {
		if n == 20 {
			stop()
		}
		return 0, "", ""
	}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.fail = nil
	b, err := os.ReadFile(filepath.Join(dir, Manifest))
	if err != nil || len(b) < 100 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if err := os.WriteFile(filepath.Join(dir, Manifest), b[:len(b)-50], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, Folder, "signins_interactive", ".x.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, c)
	manifested(t, dir)
	if left := leftover(dir); len(left) > 0 {
		t.Error(left)
	}
	if n, _ := stored(t, filepath.Join(dir, Folder)); n != 360 {
		t.Errorf("%d events, want 360", n)
	}
}

// What the service does not keep any more is a gap, and not silence.
func TestReach(t *testing.T) {
	s := newService(t)
	c := s.config(t.TempDir(), "signins_interactive")
	c.From = s.now.Add(-40 * 24 * time.Hour)
	c.Slice = 24 * time.Hour
	sum := run(t, c)
	if len(sum.Gaps) != 1 || !strings.Contains(sum.Gaps[0].Why, "older than the 30 days") || sum.Windows != 30 {
		t.Errorf("%+v", sum)
	}
}

func TestCut(t *testing.T) {
	w := Window{six(), six().Add(time.Hour)}
	for _, x := range []struct {
		most  time.Duration
		parts int
		least int
	}{{0, 1, 1}, {0, 3, 3}, {10 * time.Minute, 1, 6}, {24 * time.Hour, 3, 3}} {
		got := cut(w, x.most, x.parts)
		if len(got) < x.least || !got[0].From.Equal(w.From) || !got[len(got)-1].To.Equal(w.To) {
			t.Errorf("%+v: %v", x, got)
		}
		for i, p := range got {
			if i > 0 && !p.From.Equal(got[i-1].To) || !p.To.After(p.From) {
				t.Errorf("%+v: part %d is %v", x, i, p)
			}
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"a"}],"@odata.nextLink":"x"}`))
	f.Add([]byte(`[{"Id":"a"}]`))
	f.Add([]byte(`{"tables":[{"columns":[{"name":"a"}],"rows":[[1,2],[null]]}],"error":{"code":"PartialError"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, l := range Logs(Worldwide(), "t", "w") {
			ids, err := l.IDs(body)
			if err == nil && slices.Contains(ids, "") {
				t.Errorf("%s: an empty id of %q", l.Name(), body)
			}
		}
	})
}
