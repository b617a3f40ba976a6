package ingest

import (
	"context"
	"encoding/json"
	"fmt"

	"midwatch/casefile"
	"midwatch/store"
)

// Accounts makes rows of table files out of sources: for stores that are older
// than the account in that table.
func Accounts(sources []casefile.Source) ([]store.File, error) {
	var out []store.File
	for _, s := range sources {
		f := store.File{
			Ordinal: s.File, Path: s.Path, SHA256: s.SHA256, Bytes: s.Bytes, OuterSHA256: s.OuterSHA256,
			Records: s.Records, Events: s.Accepted, Duplicates: s.Duplicates,
		}
		if f.OuterSHA256 == "" {
			f.OuterSHA256 = f.SHA256
		}
		manifest, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("account of %s: %w", s.Path, err)
		}
		f.Manifest = string(manifest)
		out = append(out, f)
	}
	return out, nil
}

// Sources reads the account of the store's files, in the order of their
// ordinals. How many events are in the store from each is what the store says:
// it may have lost the race for one to another process, or aged some out. Of a
// file that was read before stores had the whole account, only that is known.
func Sources(ctx context.Context, q store.Querier) ([]casefile.Source, error) {
	out := []casefile.Source{}
	err := files(ctx, q, func(s casefile.Source, _ string, _ bool) { out = append(out, s) })
	return out, err
}

// files calls fn with the account of each file, the hash of the file on disk,
// and whether the account is whole.
func files(ctx context.Context, q store.Querier, fn func(s casefile.Source, outer string, whole bool)) error {
	err := store.Each(ctx, q, `SELECT file, coalesce(path, ''), coalesce(sha256, ''), coalesce(bytes, 0), coalesce(outer_sha256, ''),
			coalesce(records, 0), coalesce(events, 0), coalesce(duplicates, 0), coalesce(manifest, '')
		FROM files ORDER BY file`, nil, func(scan func(...any) error) error {
		var f store.File
		if err := scan(&f.Ordinal, &f.Path, &f.SHA256, &f.Bytes, &f.OuterSHA256, &f.Records, &f.Events, &f.Duplicates, &f.Manifest); err != nil {
			return err
		}
		s := casefile.Source{
			Path: f.Path, SHA256: f.SHA256, Bytes: f.Bytes, Records: max(f.Records, f.Events),
			Formats: []casefile.Format{}, Rejected: []casefile.Rejected{},
		}
		if f.OuterSHA256 != f.SHA256 {
			s.OuterSHA256 = f.OuterSHA256
		}
		if f.Manifest != "" {
			s = casefile.Source{}
			if err := json.Unmarshal([]byte(f.Manifest), &s); err != nil {
				return fmt.Errorf("file %d: %w; `midwatch store check` says what else is wrong", f.Ordinal, err)
			}
		}
		s.File, s.Accepted, s.Duplicates = f.Ordinal, f.Events, f.Duplicates
		fn(s, f.OuterSHA256, f.Manifest != "")
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the account of the files: %w", err)
	}
	return nil
}

// holdings are what a store has already, as far as a run needs to know.
type holdings struct {
	// sums has the hashes of files that it holds whole: of their records, and
	// of the file on disk. A file that could not be read to its end is read
	// again, and so is one of which that is not known. An archive is held when
	// all of its members are.
	sums map[string]bool
	// barren has the files of which nothing could be read, and why. They are
	// tried again and not noted again.
	barren map[account]bool
}

// account is a file with its hash and what was wrong with it.
type account struct{ path, sum, why string }

func held(ctx context.Context, q store.Querier) (*holdings, error) {
	h := &holdings{sums: map[string]bool{}, barren: map[account]bool{}}
	type member struct{ archive, path, sum string }
	var parts []member // of which it is not known that they are whole
	paths := map[member]bool{}
	err := files(ctx, q, func(s casefile.Source, outer string, whole bool) {
		switch {
		case whole && s.Incomplete == "":
			h.sums[s.SHA256], h.sums[outer] = true, true
			paths[member{outer, s.Path, ""}] = true
			return
		case whole && s.Records == 0 && len(s.Rejected) == 0:
			h.barren[account{s.Path, s.SHA256, s.Incomplete}] = true
		}
		if outer != s.SHA256 {
			parts = append(parts, member{outer, s.Path, s.SHA256})
		}
	})
	for _, p := range parts {
		if !h.sums[p.sum] && !paths[member{p.archive, p.path, ""}] { // nor was it read whole another time
			delete(h.sums, p.archive)
		}
	}
	delete(h.sums, "")
	return h, err
}

// skip is what [source.Reader] asks before it reads a file; nil when there is
// nothing to leave out, which spares hashing every file beforehand.
func (h *holdings) skip() func(path, sha256 string) bool {
	if len(h.sums) == 0 {
		return nil
	}
	return func(_, sum string) bool { return h.sums[sum] }
}
