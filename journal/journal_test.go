package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func clock() time.Time {
	return time.Date(2024, 1, 12, 3, 4, 5, 678_901_234, time.FixedZone("x", 3600))
}

var kim = Author{Name: "kim", User: "kim"}

func temp(t *testing.T) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.ndjson")
	return Open(path, clock), path
}

func mustAppend(t *testing.T, j *Journal, payload any) Entry {
	t.Helper()
	e, err := j.Append(t.Context(), kim, Note, payload)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// wantWhole checks that a journal verifies and has n entries.
func wantWhole(t *testing.T, j *Journal, n int64) []Entry {
	t.Helper()
	es, err := j.Entries()
	if err != nil {
		t.Fatal(err)
	}
	s, err := j.Verify()
	if err != nil || s.Torn != 0 || s.Entries != int64(len(es)) || n >= 0 && s.Entries != n {
		t.Fatalf("%+v, %d entries read, want %d; %v", s, len(es), n, err)
	}
	return es
}

func TestAppend(t *testing.T) {
	j, path := temp(t)
	if s, err := j.Verify(); err != nil || s != (State{Head: Genesis}) {
		t.Errorf("no journal: %+v, %v", s, err)
	}
	if hash([]byte("midwatch.journal/1")) != Genesis {
		t.Error("Genesis is not what its comment says")
	}
	a := mustAppend(t, j, json.RawMessage(`{"b": 1.50, "a": "<\u0000\n\u2028>", "b": 2}`))
	b, err := j.Append(t.Context(), Author{"Night shift", "soc", true}, Decision, struct {
		Text string `json:"text"`
	}{"stay"})
	if err != nil {
		t.Fatal(err)
	}
	es := wantWhole(t, j, 2)
	if d := cmp.Diff([]Entry{a, b}, es); d != "" {
		t.Error(d)
	}
	if es[0].Prev != Genesis || es[1].Prev != es[0].Hash || string(es[0].Payload) != `{"a":"<\u0000\n\u2028>","b":2}` || es[0].Time.Format(time.RFC3339Nano) != "2024-01-12T02:04:05.678901Z" {
		t.Errorf("%+v", es)
	}
	raw, _ := os.ReadFile(path)
	want := `{"seq":2,"time":"2024-01-12T02:04:05.678901Z","author":"Night shift","user":"soc","claimed":true,"kind":"decision","payload":{"text":"stay"},"prev":"` + a.Hash + `","hash":"` + b.Hash + `"}`
	if lines := strings.Split(string(raw), "\n"); len(lines) != 3 || lines[1] != want {
		t.Errorf("%s", raw)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	var p struct{ Text string }
	if err := es[1].Decode(&p); err != nil || p.Text != "stay" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestRefused(t *testing.T) {
	j, path := temp(t)
	long := strings.Repeat("x", MaxEntry)
	for name, f := range map[string]func() (Entry, error){
		"no kind of entry":   func() (Entry, error) { return j.Append(t.Context(), kim, "gossip", struct{}{}) },
		"is no author":       func() (Entry, error) { return j.Append(t.Context(), Author{"", "kim", true}, Note, struct{}{}) },
		"of UTF-8":           func() (Entry, error) { return j.Append(t.Context(), Author{"a\xff", "kim", true}, Note, struct{}{}) },
		"to 256 bytes":       func() (Entry, error) { return j.Append(t.Context(), Author{long, "kim", true}, Note, struct{}{}) },
		"JSON object":        func() (Entry, error) { return j.Append(t.Context(), kim, Note, []string{"a"}) },
		"a JSON object":      func() (Entry, error) { return j.Append(t.Context(), kim, Note, nil) },
		"payload:":           func() (Entry, error) { return j.Append(t.Context(), kim, Note, func() {}) },
		"has at most 262144": func() (Entry, error) { return j.Append(t.Context(), kim, Note, map[string]string{"a": long}) },
	} {
		if e, err := f(); err == nil || !strings.Contains(err.Error(), name) || e.Hash != "" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		t.Error("something was written")
	}
	// The largest entry that fits does.
	mustAppend(t, j, map[string]string{"a": ""})
	raw, _ := os.ReadFile(path)
	e := mustAppend(t, j, map[string]string{"a": long[:MaxEntry-len(raw)]})
	wantWhole(t, j, 2)
	if _, err := j.Append(t.Context(), kim, Note, map[string]string{"a": long[:MaxEntry-len(raw)+1]}); err == nil {
		t.Error("one byte more than fits")
	}
	mustAppend(t, j, map[string]string{"after": e.Hash})
	wantWhole(t, j, 3)
	if _, err := Open(filepath.Join(path, "x"), clock).Append(t.Context(), kim, Note, struct{}{}); err == nil {
		t.Error("a journal below a file")
	}
}

// Whatever of the last write reached the disk, what was acknowledged before it
// stays, and the journal goes on.
func TestTornEnd(t *testing.T) {
	j, path := temp(t)
	for i := range 3 {
		mustAppend(t, j, map[string]int{"n": i})
	}
	acknowledged, _ := os.ReadFile(path)
	mustAppend(t, j, map[string]int{"n": 3})
	all, _ := os.ReadFile(path)
	last := all[len(acknowledged):]
	tails := map[string][]byte{"zeros": make([]byte, 5000), "zeros before the end": append(make([]byte, 100), last[100:]...)}
	for n := 1; n < len(last); n++ {
		tails[fmt.Sprintf("cut to %d bytes", n)] = last[:n]
	}
	for name, tail := range tails {
		for _, before := range [][]byte{acknowledged, nil} {
			if err := os.WriteFile(path, append(bytes.Clone(before), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			entries := int64(bytes.Count(before, []byte("\n")))
			if s, err := j.Verify(); err != nil || s.Torn != int64(len(tail)) || s.Entries != entries {
				t.Fatalf("%s: %+v, %v", name, s, err)
			}
			e := mustAppend(t, j, map[string]string{"after": name})
			whole := len(tail) == len(last)-1 && before != nil // it lacked its line's end alone
			es := wantWhole(t, j, entries+2)
			got, _ := os.ReadFile(path)
			if !bytes.HasPrefix(got, before) || es[len(es)-1].Hash != e.Hash {
				t.Fatalf("%s: what was there before is not", name)
			}
			r := es[len(es)-2]
			if whole != (r.Kind == Note) {
				t.Fatalf("%s: %+v", name, r)
			}
			var c Cut
			if err := r.Decode(&c); !whole && (err != nil || c.Bytes != int64(len(tail)) || c.SHA256 != hash(tail) || !bytes.Equal(c.Head, tail)) {
				t.Fatalf("%s: %+v %v", name, c, err)
			}
		}
	}
}

// No byte can be changed without Verify seeing it, nor a line removed, moved,
// doubled or put in, but for lines at the end.
func TestTampering(t *testing.T) {
	j, path := temp(t)
	for i := range 3 {
		mustAppend(t, j, map[string]int{"n": i})
	}
	good, _ := os.ReadFile(path)
	seen := func(name string, b []byte, line int64) {
		t.Helper()
		s, err := Read(bytes.NewReader(b), func(Entry) {})
		var bad *BadEntry
		switch {
		case err == nil && s.Torn == 0:
			t.Errorf("%s: not seen", name)
		case err == nil && line != 0 && s.Entries != line-1, errors.As(err, &bad) && line != 0 && bad.Line != line:
			t.Errorf("%s: seen as %+v, %v; want line %d", name, s, err, line)
		}
	}
	line := int64(1)
	for i := range good {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, good[i], good[i] ^ '\n', good[i] ^ 'x'} {
			if flip == 0 {
				continue
			}
			b := bytes.Clone(good)
			b[i] ^= flip
			seen(fmt.Sprintf("byte %d ^ %d", i, flip), b, line)
		}
		if good[i] == '\n' {
			line++
		}
	}
	l := strings.SplitAfter(strings.TrimSuffix(string(good), "\n"), "\n")
	l[2] += "\n"
	for name, x := range map[string]struct {
		lines []string
		bad   int64
	}{
		"first removed":  {[]string{l[1], l[2]}, 1},
		"second removed": {[]string{l[0], l[2]}, 2},
		"moved":          {[]string{l[0], l[2], l[1]}, 2},
		"doubled":        {[]string{l[0], l[0], l[1], l[2]}, 2},
		"put in":         {[]string{l[0], "{}\n", l[1]}, 2},
		"empty line":     {[]string{l[0], "\n", l[1]}, 2},
		"line ends":      {[]string{strings.ReplaceAll(l[0], "\n", "\r\n"), l[1]}, 1},
	} {
		seen(name, []byte(strings.Join(x.lines, "")), x.bad)
	}
	// One entry written anew, with a hash that fits, breaks the chain behind it.
	other, otherPath := temp(t)
	mustAppend(t, other, map[string]int{"n": 0})
	mustAppend(t, other, map[string]int{"n": 17})
	forged, _ := os.ReadFile(otherPath)
	seen("forged", append(forged, l[2]...), 3)
	// An end that was cut off is not seen from the chain; the noted head is gone.
	s, err := Read(strings.NewReader(l[0]+l[1]), func(e Entry) {
		if strings.Contains(l[2], `"hash":"`+e.Hash) {
			t.Error("the head is still there")
		}
	})
	if err != nil || s.Entries != 2 {
		t.Errorf("%+v %v", s, err)
	}
	// Nothing is written after a damaged entry.
	b := bytes.Clone(good)
	b[len(b)-10] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), kim, Note, struct{}{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, b) {
		t.Error("the damaged journal was changed")
	}
}

// faulty is a file on a disk that is full.
type faulty struct {
	*os.File
	room        int
	sync, stuck bool
}

func (f *faulty) WriteAt(b []byte, at int64) (int, error) {
	if len(b) <= f.room {
		return f.File.WriteAt(b, at)
	}
	n, _ := f.File.WriteAt(b[:f.room], at)
	return n, syscall.ENOSPC
}

func (f *faulty) Sync() error {
	if f.sync {
		return syscall.EIO
	}
	return f.File.Sync()
}

func (f *faulty) Truncate(n int64) error {
	if f.stuck {
		return syscall.EIO
	}
	return f.File.Truncate(n)
}

// A disk that is full, or fails, leaves the journal as it was.
func TestFullDisk(t *testing.T) {
	j, path := temp(t)
	mustAppend(t, j, map[string]int{"n": 0})
	before, _ := os.ReadFile(path)
	for name, bad := range map[string]faulty{"no room": {}, "a little room": {room: 100}, "sync": {room: 1 << 20, sync: true}} {
		broken := Open(path, clock)
		broken.file = func(f *os.File) writer { bad.File = f; return &bad }
		_, err := broken.Append(t.Context(), kim, Note, map[string]string{"n": name})
		if err == nil || !bad.sync && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s: the journal was changed", name)
		}
	}
	stuck := Open(path, clock)
	stuck.file = func(f *os.File) writer { return &faulty{File: f, room: 100, stuck: true} }
	if _, err := stuck.Append(t.Context(), kim, Note, struct{}{}); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if s, err := j.Verify(); err != nil || s.Entries != 1 || s.Torn != 100 {
		t.Errorf("%+v %v", s, err)
	}
	mustAppend(t, j, map[string]int{"n": 1})
	wantWhole(t, j, 3)
}

func TestSideBySide(t *testing.T) {
	_, path := temp(t)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	done := make(chan struct{})
	go func() { // a reader in between sees whole entries only
		defer close(done)
		for range 200 {
			if _, err := Open(path, clock).Verify(); err != nil {
				t.Error(err)
			}
		}
	}()
	for w := range writers {
		wg.Go(func() {
			j := Open(path, clock)
			for i := range each {
				if _, err := j.Append(t.Context(), kim, Note, map[string]int{"w": w, "i": i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	<-done
	next := map[int]int{}
	for _, e := range wantWhole(t, Open(path, clock), writers*each) {
		var p struct{ W, I int }
		if err := e.Decode(&p); err != nil || p.I != next[p.W] {
			t.Fatalf("%+v of writer %d stands where %d belongs, %v", p, p.W, next[p.W], err)
		}
		next[p.W]++
	}
}

// While the lock is held nobody appends, and readers do not wait.
func TestLock(t *testing.T) {
	j, _ := temp(t)
	mustAppend(t, j, struct{}{})
	l, err := j.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := Open(j.path, clock)
	other.wait = 50 * time.Millisecond
	if _, err := other.Append(t.Context(), kim, Note, struct{}{}); err == nil || !strings.Contains(err.Error(), "another process has held the journal") {
		t.Error(err)
	}
	wantWhole(t, j, 1)
	l.Unlock()
	if _, err := other.Append(t.Context(), kim, Note, struct{}{}); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "j")
	j := Open(path, clock)
	for i := range 3 {
		if _, err := j.Append(f.Context(), kim, Note, map[string]int{"n": i}); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(append(b, "{\"seq\":"...))
		f.Add(append(b, make([]byte, 10)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n int64
		prev := Genesis
		s, err := Read(bytes.NewReader(b), func(e Entry) {
			if n++; e.Seq != n || e.Prev != prev {
				t.Errorf("entry %d after %d entries", e.Seq, n-1)
			}
			prev = e.Hash
		})
		if s.Entries != n || s.Head != prev {
			t.Errorf("%+v after %d entries", s, n)
		}
		if err != nil {
			return
		}
		// What can be read can be continued, and nothing of it goes.
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j := Open(path, clock)
		if _, err := j.Append(t.Context(), kim, Note, struct{}{}); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		after, err := j.Entries()
		if err != nil || int64(len(after)) <= n || n > 0 && after[n-1].Hash != prev {
			t.Errorf("%d entries after %d, %v", len(after), n, err)
		}
	})
}

// What is written only if: nobody adds an entry between the answer and the
// writing, and of several entries all are written or none.
func TestAppendIf(t *testing.T) {
	j, path := temp(t)
	mustAppend(t, j, map[string]int{"n": 0})
	no := errors.New("no")
	var given []Entry
	_, err := j.AppendIf(t.Context(), kim, func(all []Entry) error { given = all; return no }, Draft{Note, struct{}{}})
	if err != no || len(given) != 1 {
		t.Errorf("%v, %d entries", err, len(given))
	}
	wantWhole(t, j, 1)
	es, err := j.AppendIf(t.Context(), kim, func([]Entry) error { return nil }, Draft{Note, map[string]int{"n": 1}}, Draft{Decision, map[string]int{"n": 2}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(es, wantWhole(t, j, 3)[1:]); d != "" {
		t.Error(d)
	}
	// One of several that cannot be written keeps the others from it.
	before, _ := os.ReadFile(path)
	for name, drafts := range map[string][]Draft{
		"no kind":     {{Note, struct{}{}}, {"gossip", struct{}{}}},
		"no object":   {{Note, struct{}{}}, {Note, 1}},
		"too large":   {{Note, struct{}{}}, {Note, map[string]string{"a": strings.Repeat("x", MaxEntry)}}},
		"none at all": nil,
	} {
		if es, err := j.AppendIf(t.Context(), kim, nil, drafts...); err == nil || es != nil {
			t.Errorf("%s: %v", name, es)
		}
	}
	full := Open(path, clock)
	full.file = func(f *os.File) writer { return &faulty{File: f, room: 10} }
	if _, err := full.AppendIf(t.Context(), kim, nil, Draft{Note, struct{}{}}, Draft{Note, struct{}{}}); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the journal was changed")
	}
	// What check is given is what the entry follows: one that lacks only its
	// line's end is among it, and a torn end is not.
	for tail, n := range map[string]int{"": 3, `{"seq":4,"ti`: 2} {
		b := bytes.TrimSuffix(before, []byte("\n"))
		if tail != "" {
			b = append(bytes.Join(bytes.SplitAfter(before, []byte("\n"))[:2], nil), tail...)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		es, err := j.AppendIf(t.Context(), kim, func(all []Entry) error { given = all; return nil }, Draft{Note, struct{}{}})
		if err != nil || len(given) != n || es[0].Prev != given[n-1].Hash && tail == "" {
			t.Errorf("%q: %d entries, %v", tail, len(given), err)
		}
		wantWhole(t, j, 4)
	}
	// Where one is damaged, in the middle even, there is nothing to answer from.
	b := bytes.Clone(before)
	b[20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var bad *BadEntry
	if _, err := j.AppendIf(t.Context(), kim, func([]Entry) error { return nil }, Draft{Note, struct{}{}}); !errors.As(err, &bad) || bad.Line != 1 {
		t.Error(err)
	}
}

// errTaken is the answer to somebody who comes late.
var errTaken = errors.New("taken")

// claim takes the next number that is free, which is looked up before: another
// may take it meanwhile.
func claim(ctx context.Context, j *Journal, who string) (Entry, error) {
	numbers := func(all []Entry) (next int, err error) {
		for i := range all {
			var p struct{ N int }
			if err := all[i].Decode(&p); err != nil {
				return 0, err
			}
			if all[i].Kind != Recovered {
				next = p.N + 1
			}
		}
		return next, nil
	}
	es, err := j.Entries()
	if err != nil {
		return Entry{}, err
	}
	n, err := numbers(es)
	if err != nil {
		return Entry{}, err
	}
	out, err := j.AppendIf(ctx, Author{Name: who, User: who}, func(all []Entry) error {
		if next, err := numbers(all); err != nil || next != n {
			return errors.Join(err, errTaken)
		}
		return nil
	}, Draft{Note, map[string]any{"n": n, "pad": strings.Repeat("x", n%7*900)}})
	if err != nil {
		return Entry{}, err
	}
	return out[0], nil
}

// wantClaims checks that each number was taken once, in order.
func wantClaims(t *testing.T, es []Entry) {
	t.Helper()
	n := 0
	for i := range es {
		var p struct{ N int }
		if es[i].Kind == Recovered {
			continue
		}
		if err := es[i].Decode(&p); err != nil || p.N != n {
			t.Fatalf("entry %d has number %d, want %d; %v", es[i].Seq, p.N, n, err)
		}
		n++
	}
}

func TestAppendIfSideBySide(t *testing.T) {
	_, path := temp(t)
	const writers, each = 6, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			j := Open(path, clock)
			for got := 0; got < each; {
				switch _, err := claim(t.Context(), j, fmt.Sprint("w", w)); {
				case err == nil:
					got++
				case !errors.Is(err, errTaken):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantClaims(t, wantWhole(t, Open(path, clock), writers*each))
}
