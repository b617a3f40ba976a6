package custody

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
)

func TestCompare(t *testing.T) {
	got, err := Compare([]byte(`{"a":[1,{"b":"x"}],"c":1.50,"d":null,"e":1}`), []byte(`{"a":[1,{"b":"y"},2],"c":1.5,"d":null,"f":{}}`), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{{"a[1].b", `"x"`, `"y"`}, {"a[2]", "missing", "2"}, {"c", "1.50", "1.5"}, {"e", "1", "missing"}, {"f", "missing", "{}"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, _ := Compare([]byte(`[1,2,3]`), []byte(`[]`), 2); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if _, err := Compare([]byte(`{`), []byte(`{}`), 2); err == nil {
		t.Error("what is no JSON is compared")
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"a":[1,null,{"b":true}]}`), []byte(`[{}]`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d, err := Compare(a, b, 5)
		if err != nil {
			return
		}
		if len(d) > 5 {
			t.Errorf("%d differences", len(d))
		}
		if e, err := Compare(a, a, 5); err != nil || len(e) > 0 {
			t.Errorf("it differs from itself: %v, %v", e, err)
		}
	})
}

// A window finds each record and its line, however the stream is cut.
func TestWindow(t *testing.T) {
	text := "one\ntwo\r\n\nfour, and more\nfive"
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		w := window{r: r, line: 1}
		for _, x := range []struct {
			text string
			line int64
		}{{"one", 1}, {"two", 2}, {"two\r\n\nfour", 2}, {"four", 4}, {"more", 4}, {"five", 5}} {
			got, line, err := w.at(int64(strings.Index(text, x.text)), int64(len(x.text)))
			if err != nil || string(got) != x.text || line != x.line {
				t.Errorf("%q on line %d, %v; want %q on %d", got, line, err, x.text, x.line)
			}
		}
		if _, _, err := w.at(0, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("it goes back: %v", err)
		}
		if _, _, err := w.at(int64(len(text)), 1); !errors.Is(err, io.EOF) {
			t.Errorf("beyond the end: %v", err)
		}
		if _, _, err := w.at(int64(len(text)), 1<<40); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a length that somebody wrote: %v", err)
		}
	}
}

// A name with a "!" is a name, and paths hold from the case's folder.
func TestLocate(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a!b.json"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of x
	sources := []casefile.Source{{Path: "a!b.json", SHA256: sum, Bytes: 1}, {Path: "elsewhere/c.json", SHA256: sum, Bytes: 1}, {Path: "d.json", SHA256: "00", Bytes: 2}, {Path: "-", SHA256: "01", Bytes: 2}}
	var r Result
	places, err := Locate(t.Context(), sources, []string{dir}, nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	var got []State
	for _, i := range r.Items {
		got = append(got, i.State)
	}
	if d := cmp.Diff([]State{Verified, Verified, Unchecked, Unchecked}, got); d != "" || places[0] == nil || !places[1].Moved || places[2] != nil {
		b, _ := json.Marshal(r)
		t.Errorf("%s\n%s", d, b)
	}
}
