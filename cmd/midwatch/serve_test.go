package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"midwatch/journal"
	"midwatch/web/audit"
)

// served runs midwatch serve over cases until the test ends it, and returns the
// link that it printed.
func served(t *testing.T, args ...string) (link string, end func() (status int, said string)) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code := run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), stdio{in: strings.NewReader(""), out: w, err: &errs})
		_ = w.Close()
		done <- code
	}()
	var out bytes.Buffer
	found := make(chan string, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			out.Write(buf[:n])
			if m := regexp.MustCompile(`Open:\s+(\S+)`).FindStringSubmatch(out.String()); m != nil && strings.Contains(out.String(), m[0]+"\n") {
				select {
				case found <- m[1]:
				default:
				}
			}
			if err != nil {
				close(found)
				return
			}
		}
	}()
	ended := false
	end = func() (int, string) {
		ended = true
		stop()
		select {
		case code := <-done:
			return code, errs.String()
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
		return 0, ""
	}
	t.Cleanup(func() {
		if !ended {
			end()
		}
	})
	select {
	case link = <-found:
	case <-time.After(time.Minute):
	}
	if link == "" {
		code, said := end()
		t.Fatalf("no link; status %d: %s", code, said)
	}
	return link, end
}

// The whole way: the link, the page behind it, a record to its bytes, what the
// audit says of that, and the end, which leaves nothing behind.
func TestServe(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := filepath.Join(t.TempDir(), "demo.case")
	var errs bytes.Buffer
	if code := run(context.Background(), []string{"investigate", "../../testdata/demo", "--asn", "../../testdata/demo-context/asn.csv", "--out", dir}, stdio{in: strings.NewReader(""), out: io.Discard, err: &errs}); code != exitIncomplete {
		t.Fatalf("status %d: %s", code, errs.String())
	}
	link, end := served(t, dir)
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	page := func(method, at string, form url.Values) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, at, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		a, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close() //nolint:errcheck // read only
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(b)
	}
	base := strings.TrimSuffix(link[:strings.Index(link, "/login")], "/")
	if status, _ := page("GET", base+"/c/demo/records", nil); status != 401 {
		t.Errorf("without a session: %d", status)
	}
	_, form := page("GET", link, nil)
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(form)
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(form)
	if csrf == nil || token == nil {
		t.Fatalf("the page of the link has no form: %s", form)
	}
	status, body := page("POST", base+"/login", url.Values{"csrf": {csrf[1]}, "token": {token[1]}})
	if status != 200 || !strings.Contains(body, "Verdict") {
		t.Fatalf("%d: %s", status, body)
	}
	kase := caseOf(t, dir)
	if !strings.Contains(body, kase.Verdict[0].Text[:20]) {
		t.Error("the overview does not say what the case says")
	}
	id := kase.Findings[0].Events[0]
	want := kase.Evidence[id]
	if status, body = page("GET", base+"/c/demo/records/"+id, nil); status != 200 || !strings.Contains(body, want.SHA256) {
		t.Errorf("%d: %s", status, body)
	}
	_, raw := page("GET", base+"/c/demo/records/"+id+"/raw", nil)
	file, err := os.ReadFile(want.File)
	if err != nil || int64(len(file)) < want.Offset+want.Length || raw != string(file[want.Offset:want.Offset+want.Length]) {
		t.Errorf("the record is not what stands in %s at %d: %.200q, %v", want.File, want.Offset, raw, err)
	}
	if status, body = page("GET", base+"/c/demo/report/html/report.html", nil); status != 200 || !strings.Contains(body, "</html>") {
		t.Errorf("%d", status)
	}
	if _, form = page("GET", link, nil); !strings.Contains(form, "csrf") {
		t.Error("the link leads nowhere")
	}
	code, said := end()
	if code != exitNothing {
		t.Errorf("status %d: %s", code, said)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s, err := journal.Open(filepath.Join(dir, audit.File), now).Verify()
	if err != nil || s.Entries != 3 {
		t.Errorf("%d entries in the audit, %v, want 3: the record, its bytes, the report", s.Entries, err)
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"nowhere.case"}, "nowhere.case"},
		{[]string{dir, "--listen", "0.0.0.0:0"}, "TLS"},
		{[]string{dir, "--listen", "nonsense"}, "nonsense"},
		{[]string{dir, "--tls-cert", "x"}, "--tls-cert and --tls-key go together"},
		{[]string{dir, "--zone", "Mars"}, `--zone "Mars" is no time zone`},
		{[]string{dir, "--users", filepath.Join(dir, "none")}, "none"},
		{[]string{dir, "--oidc-client", "x"}, "--oidc-issuer is missing"},
		{[]string{dir, "--oidc-issuer", "https://127.0.0.1:1", "--oidc-client", "x", "--oidc-redirect", "http://127.0.0.1:8420/login/oidc/callback", "--oidc-role", "a=admin"}, `--oidc-role "a=admin"`},
		{nil, "requires at least 1 arg"},
	} {
		var errs bytes.Buffer
		ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
		code := run(ctx, append([]string{"serve"}, c.args...), stdio{in: strings.NewReader(""), out: io.Discard, err: &errs})
		stop()
		if code != exitFailed || !strings.Contains(errs.String(), c.say) {
			t.Errorf("%v: status %d: %s", c.args, code, errs.String())
		}
	}
}
