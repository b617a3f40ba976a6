package alert

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/casefile"
)

var quiet = slog.New(slog.DiscardHandler)

func at() time.Time { return time.Date(2024, 1, 12, 9, 30, 0, 0, time.UTC) }

func alertOf(n int) *Alert {
	return &Alert{ID: fmt.Sprint("f-", n), Tenant: "contoso", Finding: casefile.Finding{
		ID: fmt.Sprint("f-", n), Detector: "slow_spray", Title: fmt.Sprint("Slow spray ", n), Severity: casefile.High, Why: "because", Events: []string{fmt.Sprint("e", n)},
		First: casefile.TimeOf(at()), Last: casefile.TimeOf(at().Add(time.Hour)),
	}}
}

// sink remembers what it got, and fails where it is told to.
type sink struct {
	name string
	mu   sync.Mutex
	got  []string
	fail func(n int) error // by the number of the try, from 1
	n    int
}

func (s *sink) Name() string { return s.name }

func (s *sink) Send(_ context.Context, a *Alert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.fail != nil {
		if err := s.fail(s.n); err != nil {
			return err
		}
	}
	s.got = append(s.got, a.ID)
	return nil
}

func (s *sink) have() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, " ")
}

func open(t *testing.T, dir string) *Outbox {
	t.Helper()
	o, err := Open(dir, quiet, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// deliver runs until the sink has so many.
func deliver(t *testing.T, o *Outbox, s *sink, want string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Deliver(ctx, s, func(*Alert, error) {}) }()
	for end := time.Now().Add(10 * time.Second); s.have() != want && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // for what must not come
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s.have() != want {
		t.Errorf("%s has %q, want %q", s.name, s.have(), want)
	}
}

func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir)
	if err := o.Add(alertOf(1), alertOf(2), alertOf(1)); err != nil {
		t.Fatal(err)
	}
	a, b := &sink{name: "a"}, &sink{name: "b:/x"}
	deliver(t, o, a, "f-1 f-2")
	if err := o.Add(alertOf(2), alertOf(3)); err != nil { // one is known
		t.Fatal(err)
	}
	deliver(t, o, b, "f-1 f-2 f-3")
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	// After a restart each goes on where it was, and what is known stays known.
	o = open(t, dir)
	if n := len(o.Past()); n != 3 {
		t.Errorf("%d alerts, want 3", n)
	}
	if err := o.Add(alertOf(1), alertOf(4)); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, a, "f-1 f-2 f-3 f-4")
	deliver(t, o, b, "f-1 f-2 f-3 f-4")
}

// A receiver that is down gets everything when it is back, in order.
func TestDown(t *testing.T) {
	o := open(t, t.TempDir())
	s := &sink{name: "s", fail: func(n int) error {
		if n <= 1 {
			return errors.New("down")
		}
		return nil
	}}
	if err := o.Add(alertOf(1), alertOf(2)); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, s, "f-1 f-2")
	if s.n != 3 {
		t.Errorf("%d tries, want 3", s.n)
	}
}

// Wherever a write was cut, what is whole is told and the rest is not; a cursor
// that was written late tells twice, never not.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir)
	if err := o.Add(alertOf(1), alertOf(2)); err != nil {
		t.Fatal(err)
	}
	_ = o.Close()
	whole, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n') + 1
	for n := range len(whole) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := Open(dir, quiet, at)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		want := 0
		if n >= first {
			want++
		}
		if n == len(whole) {
			want++
		}
		if len(o.Past()) != want {
			t.Errorf("cut at %d: %d alerts, want %d", n, len(o.Past()), want)
		}
		if err := o.Add(alertOf(9)); err != nil {
			t.Errorf("cut at %d: %v", n, err)
		}
		_ = o.Close()
		if again, err := Open(dir, quiet, at); err != nil || len(again.Past()) != want+1 {
			t.Errorf("cut at %d, and then added to: %v", n, err)
		} else {
			_ = again.Close()
		}
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{}\nnonsense\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, quiet, at); err == nil || !strings.Contains(err.Error(), "line 2 is no alert") {
		t.Errorf("%v", err)
	}
	dir = t.TempDir()
	o := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "cursor-s"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Deliver(t.Context(), &sink{name: "s"}, nil); err == nil || !strings.Contains(err.Error(), "is no position") {
		t.Errorf("%v", err)
	}
	// A cursor beyond the file is of another one: all is told.
	if err := os.WriteFile(filepath.Join(dir, "cursor-far"), []byte("99999"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Add(alertOf(1)); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, &sink{name: "far"}, "f-1")
}

// hostile is a finding whose words somebody else chose.
func hostile() *Alert {
	a := alertOf(1)
	a.Finding.Title = "<!channel> *bold* [x](http://evil.example) \x1b[31m \u202egpj.exe & \"q\"\nnext"
	a.Finding.Why = strings.Repeat("<@U1> `code` ", 500)
	return a
}

func TestWebhook(t *testing.T) {
	type got struct {
		header http.Header
		body   []byte
	}
	var last got
	status := 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		last = got{r.Header, b}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "answer\x1b[2J")
	}))
	defer srv.Close()
	for _, form := range []Form{Plain, Slack, Teams} {
		w := &Webhook{URL: srv.URL + "/secret-path", Form: form, Secret: []byte("key"), Client: srv.Client(), Now: at}
		if strings.Contains(w.Name(), "secret-path") {
			t.Errorf("the name %s tells the address", w.Name())
		}
		if err := w.Send(t.Context(), hostile()); err != nil {
			t.Fatal(err)
		}
		h := last.header
		if h.Get("Webhook-Id") != "f-1" || h.Get("Webhook-Timestamp") != "1705051800" || h.Get("Webhook-Signature") != Signature([]byte("key"), "f-1", "1705051800", last.body) {
			t.Errorf("%s: %v", form, h)
		}
		var m map[string]any
		if err := json.Unmarshal(last.body, &m); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		text := string(last.body)
		switch form {
		case Slack:
			if s, _ := m["text"].(string); strings.Contains(s, "<!") || !strings.Contains(s, "&lt;!channel&gt;") {
				t.Errorf("slack: %q", s)
			}
			if strings.Contains(text, `"mrkdwn"`) {
				t.Error("slack: text of others is read as markup")
			}
		case Teams:
			if !strings.Contains(text, `\\[x\\]\\(http`) {
				t.Errorf("teams: a link is one: %s", text)
			}
		}
		if form != Plain && (strings.Contains(text, `\u001b`) || strings.ContainsRune(text, '\u202e')) {
			t.Errorf("%s: hidden characters: %s", form, text)
		}
	}
	status = 500
	w := &Webhook{URL: srv.URL + "/secret-path", Form: Plain, Client: srv.Client(), Now: at}
	if err := w.Send(t.Context(), alertOf(1)); err == nil || strings.ContainsRune(err.Error(), '\x1b') || !strings.Contains(err.Error(), "500") {
		t.Errorf("%v", err)
	}
	srv.Close()
	if err := w.Send(t.Context(), alertOf(1)); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("%v", err)
	}
}

// The signature is Standard Webhooks': its example's key and message.
func TestSignature(t *testing.T) {
	// Computed with: printf 'msg_1.1614265330.{"test": 2432232314}' | openssl dgst -sha256 -hmac key -binary | base64
	if got, want := Signature([]byte("key"), "msg_1", "1614265330", []byte(`{"test": 2432232314}`)), "v1,JYEBfyq5bxCpG1AwdnAXovrjhgNdJUQo9x0/izmGveQ="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSyslog(t *testing.T) {
	for _, bad := range []string{"syslog+tcp://", "syslog+tcp://host", "syslog+http://host:1", "::"} {
		if _, err := NewSyslog(bad, "h"); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test ends
	frames, conns := make(chan string, 10), make(chan net.Conn, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- c
			go func() {
				for r := bufio.NewReader(c); ; {
					var n int
					if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
						return
					}
					b := make([]byte, n)
					if _, err := io.ReadFull(r, b); err != nil {
						return
					}
					frames <- string(b)
				}
			}()
		}
	}()
	s, err := NewSyslog("syslog+tcp://"+ln.Addr().String(), "host 1")
	if err != nil {
		t.Fatal(err)
	}
	send := func(a *Alert) {
		t.Helper()
		if err := s.Send(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		f := <-frames
		if !strings.HasPrefix(f, "<83>1 0001-01-01T00:00:00.000000Z host-1 midwatch - alert - \ufeff{") || strings.ContainsRune(f, '\n') {
			t.Errorf("%.200q", f)
		}
	}
	send(hostile())
	send(alertOf(2))
	// The receiver goes, and comes back: nothing is lost in between.
	_ = (<-conns).Close()
	<-s.gone
	send(alertOf(3))

	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close() //nolint:errcheck // the test ends
	if s, err = NewSyslog("syslog+udp://"+u.LocalAddr().String(), "h"); err != nil {
		t.Fatal(err)
	}
	big := alertOf(1)
	for n := range 5000 {
		big.Finding.Events = append(big.Finding.Events, fmt.Sprintf("00000000-0000-0000-0000-%012d", n))
	}
	if err := s.Send(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, _, err := u.ReadFrom(b)
	if err != nil || !strings.Contains(string(b[:n]), `"id":"f-1"`) {
		t.Errorf("%v %.100q", err, b[:n])
	}
}
