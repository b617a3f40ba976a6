package webtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/exposure"
	"midwatch/internal/browsertest"
	"midwatch/internal/webtest"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond/notice"
)

// hostile are what an intruder may write into whatever a log, a mail or a person
// can hold. Each would set window.pwned or ask for something, if it were taken
// for more than text.
func hostile() []string {
	return []string{
		`<script>window.pwned=1;alert(1)</script>`, `"><img src=x onerror="window.pwned=1;alert(1)">`, `javascript:window.pwned=1`, `{{.}}{{template "main" .}}`, `'; DROP TABLE messages; --`, `</title><script>window.pwned=1</script>`,
		`</svg><script>window.pwned=1</script>`, "\u202egnp.exe\u2066\u200b\ufeff", "a\x00b", strings.Repeat("x", 3000), strings.Repeat("<b>", 900), `</textarea><script>window.pwned=1</script>`, `</style><style>*{display:none}</style>`, "=cmd|' /C calc'!A1",
		`//evil.example/x`, `https://evil.example/<svg onload=alert(1)>`, `' onmouseover='window.pwned=1`, `--><script>window.pwned=1</script><!--`, "\x1b[2J", "line\r\nX-Evil: 1", `url(https://evil.example/x.png)`, `&lt;script&gt;`, "🂡" + strings.Repeat("\u0301", 300),
	}
}

// fill puts hostile text into every field that holds text.
func fill(v reflect.Value, next func() string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(next())
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Float64:
		v.SetFloat(0.25)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next, depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(v.Index(i), next, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, next, depth+1)
			fill(value, next, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[casefile.Time]() {
			v.Set(reflect.ValueOf(casefile.TimeOf(time.Date(2024, 1, 2+depth, 3, 4, 5, 0, time.UTC))))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), next, depth+1)
			}
		}
	}
}

// records are log lines with hostile text wherever somebody outside can write
// any: names, subjects, programs, folders.
func records(t testing.TB, path string) {
	t.Helper()
	var b bytes.Buffer
	for i, h := range append(hostile(), strings.Repeat("long ", 20_000)) {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		at := time.Date(2024, 1, 3, 4, i, 0, 0, time.UTC).Format("2006-01-02T15:04:05")
		common := map[string]any{"Id": id, "CreationTime": at, "OrganizationId": "11111111-1111-4111-8111-111111111111", "UserId": "jo@contoso.example", "UserType": 0, "ResultStatus": "Succeeded", "ClientIP": "203.0.113.7", "ClientIPAddress": "203.0.113.7"}
		rec := map[string]any{
			"RecordType": 50, "Operation": "MailItemsAccessed", "Workload": "Exchange", "MailboxOwnerUPN": "jo@contoso.example", "ClientInfoString": h, "LogonUserSid": h, "ClientAppId": h, "SessionId": h,
			"OperationProperties": []any{map[string]any{"Name": "MailAccessType", "Value": "Bind"}},
			"Folders":             []any{map[string]any{"Path": "\\" + h, "FolderItems": []any{map[string]any{"InternetMessageId": "<" + h + "@x>", "Subject": h, "SizeInBytes": 7}}}},
			"Item":                map[string]any{"Subject": h, "Attachments": h, "InternetMessageId": h},
		}
		if i%2 == 1 {
			rec = map[string]any{"RecordType": 1, "Operation": "New-InboxRule " + h, "Workload": "Exchange", "ObjectId": h, "Parameters": []any{map[string]any{"Name": "Name", "Value": h}, map[string]any{"Name": "ForwardTo", "Value": h}}, "UserKey": h, "AppId": h, "UserAgent": h}
			common["UserId"] = h
		}
		for k, v := range rec {
			common[k] = v
		}
		line, err := json.Marshal(common)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostileCase is a case with hostile text in every field: in case.json, in what
// was found in mail, in the notices, in the journal and in the records.
func hostileCase(t testing.TB, f *webtest.Fixture) (dir string, ids webtest.IDs) {
	t.Helper()
	base := t.TempDir()
	logs := filepath.Join(base, "logs")
	// A path that is hostile, too.
	odd := filepath.Join(logs, `a "><img src=x onerror=alert(1)>`)
	if err := os.MkdirAll(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	records(t, filepath.Join(odd, `<script>alert(1)<`+"\u202e"+`.json`))
	dir = filepath.Join(base, "hostile.case")
	if _, err := f.Run(t.Context(), "investigate", logs, "--quiet", "--out", dir); err != nil {
		t.Fatal(err)
	}
	n := 0
	next := func() string { n++; h := hostile(); return fmt.Sprintf("%s #%d", h[n%len(h)], n) }
	was := readCase(t, dir)
	c := &casefile.Case{}
	fill(reflect.ValueOf(c).Elem(), next, 0)
	c.Schema = was.Schema
	ids = webtest.IDs{Campaign: c.Campaigns[0].ID, Finding: c.Findings[0].ID, Mailbox: c.Campaigns[0].Mailboxes[0].UPN}
	for i := range c.Campaigns {
		c.Campaigns[i].Findings = []string{c.Findings[i].ID}
	}
	stages := []string{casefile.StageAccess, casefile.StageCollection, casefile.StageExfil}
	for i := range c.Findings {
		c.Findings[i].Stage = stages[i%3] // so that it is drawn
	}
	write(t, filepath.Join(dir, "case.json"), c)

	x := &exposure.Exposure{}
	fill(reflect.ValueOf(x).Elem(), next, 0)
	x.Schema = schemaOf(t, filepath.Join(f.Case, "exposure.json"))
	write(t, filepath.Join(dir, "exposure.json"), x)
	index := &notice.Index{}
	fill(reflect.ValueOf(index).Elem(), next, 0)
	reflect.ValueOf(index).Elem().FieldByName("Schema").SetString(schemaOf(t, filepath.Join(f.Case, "notices", "index.json")))
	if err := os.Mkdir(filepath.Join(dir, "notices"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "notices", "index.json"), index)

	j := journal.Open(filepath.Join(dir, "journal.ndjson"), now)
	for i, h := range hostile() {
		by := journal.Author{Name: "a" + h[:min(len(h), 200)], User: "u" + h[:min(len(h), 100)], Claimed: i%2 == 0}
		for kind, p := range map[journal.Kind]any{
			journal.Note: map[string]any{"text": h}, journal.Decision: map[string]any{"text": h}, journal.Question: map[string]any{"name": "q" + h[:min(len(h), 100)], "why": h, "sql": h}, journal.Statement: map[string]any{"text": h, h: h},
		} {
			if _, err := j.Append(t.Context(), by, kind, p); err != nil {
				t.Fatalf("journal, %q: %v", h[:min(len(h), 40)], err)
			}
		}
	}
	return dir, ids
}

func write(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func schemaOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var x struct{ Schema string }
	if err := json.Unmarshal(b, &x); err != nil {
		t.Fatal(err)
	}
	return x.Schema
}

// Whatever logs, mails and people wrote is text: on no page of a case that is
// hostile all through does anything run, ask for anything, break the policy of
// the pages, or push a page out of its window.
func TestHostileCaseIsInert(t *testing.T) {
	t.Parallel()
	f := fixture(t)
	browser := browsertest.Start(t)
	dir, ids := hostileCase(t, f)
	cards := func(string) (map[string]report.Card, error) {
		out := map[string]report.Card{}
		for _, x := range readCase(t, dir).Findings {
			out[x.Detector] = report.Card{Title: hostile()[0], Why: hostile()[1], FalsePositives: hostile()}
		}
		return out, nil
	}
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), OneTime: `<img src=x onerror=alert(1)>` + "\u202e", Cards: cards, Redo: func(context.Context, string) error { return fmt.Errorf("%s", hostile()[0]) }})
	w := open(t, browser, s.URL)
	w.do(navigate(s.Link)...)
	w.press("button")
	c := "/c/hostile"
	// Records by what they hold, through the pages themselves.
	w.goTo(c + "/records")
	hrefs := js[[]string](w, `[...document.querySelectorAll("main table a[href*='/records/']")].map(a => a.getAttribute("href"))`)
	if len(hrefs) < 20 {
		t.Fatalf("%d hostile records are listed: %s", len(hrefs), w.shown())
	}
	ids.Record = strings.TrimPrefix(hrefs[0], c+"/records/")
	pages := webtest.Pages("hostile", ids)
	for i, h := range hrefs {
		pages = append(pages, webtest.Page{Name: fmt.Sprint("record ", i), Path: h})
	}
	for i, h := range hostile() {
		q := url.QueryEscape(strings.ReplaceAll(h, "\x00", ""))
		for _, p := range []string{"/records?q=" + q, "/timeline?entity=" + q + "&from=" + q, "/messages?q=" + q + "&folder=" + q, "/questions?sql=" + q, "/work?finding=" + q + "&campaign=" + q, "/findings?campaign=" + q, "/graph?open=" + q} {
			if i%3 == len(p)%3 || i < 3 {
				pages = append(pages, webtest.Page{Name: "asked for", Path: c + p})
			}
		}
	}
	pages = append(pages, webtest.Page{Name: "login", Path: "/login?token=" + url.QueryEscape(hostile()[1]) + "&next=" + url.QueryEscape(hostile()[2])})
	seen := 0
	for _, wide := range []int64{1280, 380} {
		w.size(wide, "light")
		for i, p := range pages {
			if wide == 380 && i >= 30 {
				break
			}
			where := fmt.Sprintf("%s, %d pixels (%.120s)", p.Name, wide, p.Path)
			w.goTo(p.Path)
			got := js[struct {
				Pwned, Own bool
				Title      string
				Text       int
			}](w, `(document.querySelectorAll("details").forEach(d => d.open = true), {
				Pwned: window.pwned !== undefined, Title: document.title, Text: document.body.innerText.length,
				Own: document.scripts.length === 1 && document.scripts[0].getAttribute("src").startsWith("/assets/app.js?") && document.querySelectorAll("img, iframe, object, embed, base, style, [onerror], [onload], [onmouseover], [style]").length === 0 &&
					[...document.querySelectorAll("a[href]")].every(a => new URL(a.getAttribute("href"), location.href).origin === location.origin) &&
					[...document.querySelectorAll("a")].every(a => { const h = a.getAttribute("href") || a.getAttribute("xlink:href") || ""; return !/^\s*javascript:/i.test(h); }) &&
					[...document.querySelectorAll("form")].every(f => f.action.startsWith(location.origin + "/")) })`)
			if got.Pwned {
				t.Errorf("%s: a script that is not ours has run", where)
			}
			if !got.Own {
				t.Errorf("%s: the page holds what is not ours: %s", where, js[string](w, `[...document.querySelectorAll("script, img, iframe, object, embed, base, style, [onerror], [onload], [onmouseover], [style], a[href^='//'], a[href^='h'], a[href^='j']")].map(e => e.outerHTML.slice(0, 160)).join("\n")`))
			}
			if strings.Contains(js[string](w, `document.body.innerText`), "pwned=1") {
				seen++
			}
			w.narrow(where)
			w.clean(where)
		}
	}
	if seen < 20 {
		t.Errorf("hostile text is on %d pages, so that this test shows little", seen)
	}
	// The buttons of a hostile case work: what is sent is what stands there.
	w.size(1280, "light")
	w.goTo(c + "/work/secrets")
	if js[int](w, `document.querySelectorAll("main [name=id]").length`) > 0 {
		js[bool](w, `document.querySelector("main [name=id]").checked = true, document.querySelector("#s-reason").value = "changed", true`)
		w.press(`main button[value=rotated]`)
		if !strings.Contains(js[string](w, "document.body.innerText"), "rotated") {
			t.Errorf("a hostile secret cannot be dealt with: %s", w.shown())
		}
	}
	w.clean("secrets")
	if strings.Contains(s.Log(), "page not rendered") {
		t.Error("a page could not be rendered")
	}
	// What is downloaded as CSV has no formula.
	for _, line := range strings.Split(js[string](w, `fetch("`+c+`/messages.csv").then(r => r.text())`), "\n") {
		for _, cell := range strings.Split(line, ",") {
			if cell = strings.TrimPrefix(cell, `"`); cell != "" && strings.ContainsRune("=+-@\t", rune(cell[0])) && len(cell) > 3 && !strings.HasPrefix(cell, "-1") {
				t.Errorf("a cell of the CSV is a formula: %.80s", cell)
			}
		}
	}
}
