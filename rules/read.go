package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"midwatch/sigma"
)

// Bounds on a folder of rules; SigmaHQ's has 4,000 files. What a file may hold
// is for package sigma to bound.
const (
	maxFiles = 20_000
	maxBytes = 1 << 20
)

// File is what became of one file of rules.
type File struct {
	Path    string           // as the folder was given, joined
	Rules   int              // rules, correlations and filters that can be used
	Refused []*sigma.Refusal // the others
	Notes   []string         // what may not be meant
}

// Folder is the rules of a folder.
type Folder struct {
	Files        []File // by path
	Rules        []*sigma.Rule
	Correlations []*sigma.Correlation
}

// Text is what stands in a file of rules, kept so that it can be read again.
type Text struct {
	Path string
	Data []byte
}

// Read reads the rules below a folder, or of one file: every file whose name
// ends in .yml or .yaml. Rules that cannot be asked are refused, and are not an
// error; an error says that the folder cannot be read, or has no rules.
func Read(root string, o sigma.Options) (*Folder, error) {
	paths, err := files(root)
	if err != nil {
		return nil, err
	}
	return read(paths, func(path string) (io.ReadCloser, error) { return os.Open(path) }, o)
}

// Texts reads the same files and nothing of what is in them, for [ReadTexts].
// What would be too long for a file of rules is cut there, and refused then.
func Texts(root string) ([]Text, error) {
	paths, err := files(root)
	if err != nil {
		return nil, err
	}
	var out []Text
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
		_ = f.Close() // read only
		if err != nil {
			return nil, err
		}
		out = append(out, Text{path, data})
	}
	return out, nil
}

// ReadTexts reads the rules of files that were read before, as [Read] does.
func ReadTexts(texts []Text, o sigma.Options) (*Folder, error) {
	of := make(map[string][]byte, len(texts))
	var paths []string
	for _, t := range texts {
		of[t.Path] = t.Data
		paths = append(paths, t.Path)
	}
	return read(paths, func(path string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(of[path])), nil }, o)
}

// files lists the files of rules below a folder.
func files(root string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := strings.ToLower(filepath.Ext(path)); d.Type().IsRegular() && (ext == ".yml" || ext == ".yaml") {
			if paths = append(paths, path); len(paths) > maxFiles {
				return fmt.Errorf("%s: more than %d files of rules", root, maxFiles)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no rules; they are in files that end in .yml or .yaml", root)
	}
	slices.Sort(paths)
	return paths, nil
}

// read reads the files of rules at paths.
func read(paths []string, open func(string) (io.ReadCloser, error), o sigma.Options) (*Folder, error) {
	f := &folder{of: map[string]*File{}}
	f.Files = make([]File, len(paths))
	var docs []sigma.Document
	for i, path := range paths {
		f.Files[i].Path = path
		f.of[path] = &f.Files[i]
		r, err := open(path)
		if err != nil {
			return nil, err
		}
		// One byte more than a file may have at most.
		data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
		_ = r.Close()
		if err != nil {
			return nil, err
		}
		ds, err := sigma.Parse(path, data, o)
		f.refuse(err, false)
		f.of[path].Rules = len(ds)
		docs = append(docs, ds...)
	}
	f.link(docs)
	return &f.Folder, nil
}

type folder struct {
	Folder
	of map[string]*File
}

// refuse books each refusal of a joined error with its file. Of documents that
// were counted before, it takes the count back.
func (f *folder) refuse(err error, counted bool) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			f.refuse(e, counted)
		}
		return
	}
	var r *sigma.Refusal
	if errors.As(err, &r) {
		file := f.of[r.File]
		file.Refused = append(file.Refused, r)
		if counted {
			file.Rules--
		}
	}
}

// link resolves the rules' references and asks for the SQL of each.
func (f *folder) link(docs []sigma.Document) {
	ids := map[string]*sigma.Header{}
	var good []sigma.Document
	for _, d := range docs {
		h := d.Header()
		note := func(format string, args ...any) {
			f.of[h.File].Notes = append(f.of[h.File].Notes, fmt.Sprintf("%d: ", h.Line)+fmt.Sprintf(format, args...))
		}
		if other := ids[h.ID]; h.ID != "" && other != nil {
			note("the id is also that of %s:%d", other.File, other.Line)
		}
		ids[h.ID] = h
		if h.Status == "deprecated" {
			note("its author calls the rule deprecated")
		}
		if r := d.Rule; r != nil {
			if _, _, err := sigma.Where(r, Schema{}); err != nil {
				f.refuse(err, true)
				continue
			}
			for _, name := range r.FieldNames() {
				if !(Schema{}).Known(r.LogSource, name) {
					note("%s is not known to have a field %s; it is looked for in the record by that name", r.LogSource, name)
				}
			}
			for _, u := range r.Unused {
				note("no condition names %s", u)
			}
		}
		good = append(good, d)
	}
	set, err := sigma.Link(good)
	f.refuse(err, true)
	f.Rules = set.Rules
	for _, c := range set.Correlations {
		if _, err := sigma.Query(c, Schema{}); err != nil {
			f.refuse(err, true)
			continue
		}
		f.Correlations = append(f.Correlations, c)
	}
}
