package casefolder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"midwatch/casefile"
)

func draft(t *testing.T, path, text string) *Draft {
	t.Helper()
	d, err := Begin(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.File(Events), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteSources(d.File(Sources), []casefile.Source{{Path: text}}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "a.case")
	d := draft(t, path, "one")
	if _, err := os.Stat(path); err == nil {
		t.Error("the case is there before it is published")
	}
	if err := d.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Error(err)
	}
	d, err := Begin(path)
	if err != nil || !d.Exists {
		t.Fatalf("%+v %v", d, err)
	}
	prior, err := d.TakeEvents()
	if err != nil || len(prior) != 1 || prior[0].Path != "one" {
		t.Fatalf("%v %v", prior, err)
	}
	if b, _ := os.ReadFile(d.File(Events)); string(b) != "one" {
		t.Errorf("the draft begins with %q, not with the case's events", b)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := draft(t, path, "two").Publish(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(path, Events)); string(b) != "two" {
		t.Errorf("published %q", b)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"new", "old"} {
		if err := os.MkdirAll(filepath.Join(dir, name, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := replace(filepath.Join(dir, "new"), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "old", "new")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNothingIsOverwrittenButACase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "thesis.case")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(dir); !errors.Is(err, ErrNotACase) {
		t.Errorf("got %v", err)
	}
}

func TestDefaultName(t *testing.T) {
	for in, want := range map[string]string{"./logs/": "logs.case", "-": "stdin.case", "a/b.ndjson.gz": "b.case", "x.zip": "x.case", "/var/audit.duckdb": "audit.case"} {
		if got := DefaultName([]string{in}); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestStoreOfACase(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadStore(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	const url = "clickhouse://reader@db.example:9000/audit?secure=true&x=1"
	if err := WriteStore(filepath.Join(dir, Store), url); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadStore(dir); err != nil || got != url {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, Store), []byte(`{"schema":"midwatch.store/9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadStore(dir); err == nil {
		t.Error("another schema was read")
	}
}
