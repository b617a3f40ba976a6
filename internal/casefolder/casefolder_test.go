package casefolder

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/journal"
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
	if err := d.Publish(t.Context(), time.Now); err != nil {
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
	if err := draft(t, path, "two").Publish(t.Context(), time.Now); err != nil {
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

// A case is replaced again and again while others write to its journal, and to
// the record of who read mail: no entry that was acknowledged is lost, however
// the file system puts one folder in the place of another.
func TestJournalOutlivesTheCase(t *testing.T) {
	noLink := func(string, string) error { return errors.ErrUnsupported }
	for name, set := range map[string]func(*Draft){
		"linked":                   func(*Draft) {},
		"copied":                   func(d *Draft) { d.link = noLink },
		"linked, with two renames": func(d *Draft) { d.swap = replace },
		"copied, with two renames": func(d *Draft) { d.link, d.swap = noLink, replace },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.case")
			if err := draft(t, path, "one").Publish(t.Context(), time.Now); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			acknowledged := map[string]map[string]bool{Journal: {}, Access: {}}
			stop := make(chan struct{})
			for i := range 6 {
				file, kind := Journal, journal.Note
				if i%2 == 0 {
					file, kind = Access, journal.MailRead
				}
				wg.Go(func() {
					j := journal.Open(filepath.Join(path, file), time.Now)
					for {
						select {
						case <-stop:
							return
						default:
						}
						e, err := j.Append(t.Context(), journal.Author{Name: "kim", User: "kim"}, kind, map[string]string{"text": "x"})
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						acknowledged[file][e.Hash] = true
						mu.Unlock()
						time.Sleep(time.Millisecond) // as busy as this nobody is
					}
				})
			}
			const rounds = 40
			for range rounds {
				d := draft(t, path, "one")
				set(d)
				if err := d.Publish(t.Context(), time.Now); err != nil {
					t.Fatal(err)
				}
			}
			close(stop)
			wg.Wait()
			for file, hashes := range acknowledged {
				es, err := journal.Open(filepath.Join(path, file), time.Now).Entries()
				if err != nil || len(es) != len(hashes) || len(es) < rounds {
					t.Errorf("%s: %d entries, %d acknowledged, %v", file, len(es), len(hashes), err)
				}
				for _, e := range es {
					if !hashes[e.Hash] {
						t.Errorf("%s: entry %d was not acknowledged", file, e.Seq)
					}
				}
				t.Logf("%s: %d entries over %d cases", file, len(es), rounds)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A case that nobody wrote about has no journal, before and after, and one in
// which nobody read mail no record of it.
func TestNoJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.case")
	for range 2 {
		if err := draft(t, path, "one").Publish(t.Context(), time.Now); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{Journal, Access} {
			if _, err := os.Stat(filepath.Join(path, name)); !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	}
}

// Records that another process added while a case was made are not lost to it.
func TestChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.case")
	first, second := draft(t, path, "one"), draft(t, path, "two")
	if err := first.Publish(t.Context(), time.Now); err != nil {
		t.Fatal(err)
	}
	if err := second.Publish(t.Context(), time.Now); !errors.Is(err, ErrChanged) {
		t.Errorf("a case that was made by two at once: %v", err)
	}
	for name, take := range map[string]func(*Draft) ([]casefile.Source, error){"copied": (*Draft).TakeEvents, "shared": (*Draft).ShareEvents} {
		slow, err := Begin(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(slow); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(slow.File(Events)); len(b) == 0 {
			t.Errorf("%s: no events", name)
		}
		if err := draft(t, path, "by another, "+name).Publish(t.Context(), time.Now); err != nil {
			t.Fatal(err)
		}
		if err := slow.Publish(t.Context(), time.Now); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(filepath.Join(path, Events)); string(b) != "by another, "+name {
			t.Errorf("the case has %q", b)
		}
		if err := slow.Discard(); err != nil {
			t.Error(err)
		}
	}
	if err := second.Discard(); err != nil {
		t.Error(err)
	}
}
