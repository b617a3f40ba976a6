package simulate

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What comes through the pipe is what the files hold, cut into parts of which
// each can be read alone, and all else is the same bytes.
func TestPipe(t *testing.T) {
	o := Options{Scenario: "mixed", Users: 300, Days: 12, Seed: 3, Loss: 0.05, Workers: 2}
	dir, res := generate(t, o)
	before, piped := t.TempDir(), t.TempDir()
	if err := Context(before, o); err != nil {
		t.Fatal(err)
	}
	if err := Context(piped, o); err != nil { // it may be there already
		t.Fatal(err)
	}
	var stream bytes.Buffer
	got, err := pipe(t.Context(), &stream, 64<<10, piped, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Records != res.Records || got.Truth.Lost != res.Truth.Lost {
		t.Errorf("%d records, %d lost; in files %d and %d", got.Records, got.Truth.Lost, res.Records, res.Truth.Lost)
	}
	part := regexp.MustCompile(`-\d{5}(\.\w+)$`)
	parts, whole := 0, map[string]*bytes.Buffer{}
	in := tar.NewReader(&stream)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, ".json") {
			b = values(t, b)
		}
		parts++
		log := logName(part.ReplaceAllString(h.Name, "$1"))
		if whole[log] == nil {
			whole[log] = &bytes.Buffer{}
		} else if strings.HasSuffix(log, ".csv") {
			_, b, _ = bytes.Cut(b, []byte("\r\n")) // the header
		}
		whole[log].Write(b)
	}
	if parts != len(got.Truth.Logs) || parts < 2*len(res.Truth.Logs) {
		t.Errorf("%d parts, the answer key has %d; %d files", parts, len(got.Truth.Logs), len(res.Truth.Logs))
	}
	files := map[string]*bytes.Buffer{}
	for _, l := range res.Truth.Logs { // in the order of their names
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(l.Path)))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(l.Path, ".json") {
			b = values(t, b)
		}
		log := logName(l.Path)
		if files[log] == nil {
			files[log] = &bytes.Buffer{}
		} else if strings.HasSuffix(log, ".csv") {
			_, b, _ = bytes.Cut(b, []byte("\r\n"))
		}
		files[log].Write(b)
	}
	if len(files) != len(whole) {
		t.Errorf("%d logs, in files %d", len(whole), len(files))
	}
	for log, b := range files {
		if whole[log] == nil || !bytes.Equal(whole[log].Bytes(), b.Bytes()) {
			t.Errorf("%s is not the same", log)
		}
	}
	for _, name := range []string{"asn.csv", "directory.csv", "mail.ndjson"} {
		a, err := os.ReadFile(filepath.Join(dir, ContextDir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{before, piped} {
			if b, err := os.ReadFile(filepath.Join(other, ContextDir, name)); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s is not the same in %s: %v", name, other, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(before, ContextDir, TruthFile)); err == nil {
		t.Error("there is an answer key before there are logs")
	}
	// Somebody who stops reading is an error, and not a success.
	if _, err := Pipe(t.Context(), full{}, "", o, nil); !errors.Is(err, errFull) {
		t.Errorf("the error is %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// logName takes days and parts from a file's name.
func logName(path string) string {
	return regexp.MustCompile(`[-_]\d[-\d]*\.`).ReplaceAllString(path, ".")
}

// values is the records of a page of Graph, which must be whole, a line each.
func values(t *testing.T, b []byte) []byte {
	t.Helper()
	var page struct{ Value []json.RawMessage }
	if err := json.Unmarshal(b, &page); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, v := range page.Value {
		out = append(append(out, v...), '\n')
	}
	return out
}
