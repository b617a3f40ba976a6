package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"midwatch/config"
	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/enrich"
	"midwatch/internal/casefolder"
	"midwatch/investigate"
	"midwatch/rules"
	"midwatch/sigma"
)

// caseSettings are what a case is concluded with besides logs. settings.json
// keeps them, in full and not by name: the case can then be concluded again from
// its folder alone, and comes out the same.
type caseSettings struct {
	Schema    string                     `json:"schema"`
	Midwatch  string                     `json:"midwatch"` // revision that concluded it last
	Directory *directory                 `json:"directory,omitempty"`
	Config    *keptFile                  `json:"config,omitempty"`
	Rules     []ruleFolder               `json:"rules,omitempty"`
	Earlier   []investigate.EarlierInput `json:"earlier,omitempty"` // what is compared of earlier cases
	NoBuiltin bool                       `json:"no_builtin_rules,omitempty"`
}

const settingsSchema = "midwatch.settings/1"

// directory is what a directory says of people.
type directory struct {
	People []person `json:"people"`
}

type person struct {
	User          string `json:"user"`
	Department    string `json:"department,omitempty"`
	JobTitle      string `json:"job_title,omitempty"`
	Enabled       *bool  `json:"enabled,omitempty"`
	MFARegistered *bool  `json:"mfa_registered,omitempty"`
}

// keptFile is a file, byte for byte.
type keptFile struct {
	Path  string  `json:"path"` // as it was given
	Text  *string `json:"text,omitempty"`
	Bytes []byte  `json:"bytes,omitempty"` // in the place of text where that is not UTF-8
}

func keep(path string, b []byte) keptFile {
	if s := string(b); utf8.Valid(b) {
		return keptFile{Path: path, Text: &s}
	}
	return keptFile{Path: path, Bytes: b}
}

func (f *keptFile) data() []byte {
	if f.Text != nil {
		return []byte(*f.Text)
	}
	return f.Bytes
}

type ruleFolder struct {
	Path  string     `json:"path"`
	Files []keptFile `json:"files"`
}

// maxRules bounds the rules that are kept with a case, in bytes. SigmaHQ's are
// a fifth of it.
const maxRules = 64 << 20

// given are the settings that the flags say.
func (o *investigateOptions) given() (s caseSettings, err error) {
	s = caseSettings{Schema: settingsSchema, Midwatch: revision(), NoBuiltin: o.noBuiltin}
	if o.directory != "" {
		people, err := enrich.ReadDirectory(o.directory)
		if err != nil {
			return s, fmt.Errorf("--directory: %w", err)
		}
		s.Directory = &directory{}
		for _, p := range people {
			s.Directory.People = append(s.Directory.People, person(p))
		}
	}
	if o.config != "" {
		b, err := os.ReadFile(o.config)
		if err != nil {
			return s, fmt.Errorf("--config: %w", err)
		}
		f := keep(o.config, b)
		s.Config = &f
	}
	for _, dir := range o.earlier {
		if dir == "" {
			continue // given to leave out what the case had
		}
		c, err := readCase(dir)
		if err != nil {
			return s, fmt.Errorf("--earlier: %w", err)
		}
		s.Earlier = append(s.Earlier, investigate.EarlierOf(dir, c))
	}
	size := 0
	for _, dir := range o.rules {
		if dir == "" {
			continue // given to leave out what the case had
		}
		texts, err := rules.Texts(dir)
		if err != nil {
			return s, fmt.Errorf("--rules: %w", err)
		}
		folder := ruleFolder{Path: dir}
		for _, t := range texts {
			if size += len(t.Data); size > maxRules {
				return s, fmt.Errorf("--rules: more than %d MiB of rules; the case keeps them, so name fewer", maxRules>>20)
			}
			folder.Files = append(folder.Files, keep(t.Path, t.Data))
		}
		s.Rules = append(s.Rules, folder)
	}
	_, err = s.read("--config: ")
	return s, err
}

// after fills in what the flags did not say from the case as it was.
func (s caseSettings) after(old caseSettings, said func(flag string) bool) caseSettings {
	if !said("directory") {
		s.Directory = old.Directory
	}
	if !said("config") {
		s.Config = old.Config
	}
	if !said("rules") {
		s.Rules = old.Rules
	}
	if !said("earlier") {
		s.Earlier = old.Earlier
	}
	if !said("no-builtin-rules") {
		s.NoBuiltin = old.NoBuiltin
	}
	return s
}

// readable are settings as the detectors and rules want them.
type readable struct {
	people []enrich.Person
	detect detect.Settings
	assets []investigate.Asset
	sets   []sigmarules.Set
}

// read makes settings readable. where begins errors of the configuration.
func (s *caseSettings) read(where string) (r readable, err error) {
	if s.Directory != nil {
		for _, p := range s.Directory.People {
			r.people = append(r.people, enrich.Person(p))
		}
	}
	if s.Config != nil {
		c, err := config.Parse(s.Config.Path, bytes.NewReader(s.Config.data()))
		if err != nil {
			return r, fmt.Errorf("%s%w", where, err)
		}
		r.detect = detect.Settings{Canaries: c.Canaries}
		for _, a := range c.Assets {
			r.assets = append(r.assets, investigate.Asset{
				Key: a.Key, Name: a.Name, Apps: a.Applications, Resources: a.Resources, Tenants: a.Tenants, Subscriptions: a.Subscriptions,
				Sites: a.Sites, Repositories: a.Repositories, Accounts: a.Accounts,
			})
		}
	}
	if !s.NoBuiltin {
		b, err := sigmarules.Builtin()
		if err != nil {
			return r, err
		}
		r.sets = append(r.sets, b)
	}
	for _, folder := range s.Rules {
		var texts []rules.Text
		for _, f := range folder.Files {
			texts = append(texts, rules.Text{Path: f.Path, Data: f.data()})
		}
		f, err := rules.ReadTexts(texts, sigma.Options{})
		if err != nil {
			return r, fmt.Errorf("rules of %s: %w", folder.Path, err)
		}
		r.sets = append(r.sets, sigmarules.Set{Name: folder.Path, Folder: f})
	}
	return r, nil
}

// readSettings reads the settings of the case at dir. A case of an older
// version has none.
func readSettings(dir string) (s caseSettings, err error) {
	b, err := os.ReadFile(filepath.Join(dir, casefolder.Settings))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w", casefolder.Settings, err)
	}
	if s.Schema != settingsSchema {
		return s, fmt.Errorf("%s: schema %q is not one that this version reads", casefolder.Settings, s.Schema)
	}
	return s, nil
}

func (s *caseSettings) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(s)
	return b.Bytes(), err
}

func (s *caseSettings) write(path string) error {
	return casefolder.WriteFile(path, func(w io.Writer) error {
		b, err := s.encode()
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}

// same reports whether two settings are the same, to the byte.
func (s *caseSettings) same(old *caseSettings) bool {
	a, errA := s.encode()
	b, errB := old.encode()
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
