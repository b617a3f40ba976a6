package casefile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// ID makes an id of what a thing is: a prefix and 16 hex digits of the SHA-256
// of the parts. The same parts give the same id in every run.
func ID(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s;", len(p), p)
	}
	return prefix + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// Write writes the case as indented JSON, in its canonical form: absent lists
// are empty lists, never null, so that readers need not tell the two apart.
func Write(w io.Writer, c *Case) error {
	if err := WriteJSON(w, c); err != nil {
		return fmt.Errorf("write case: %w", err)
	}
	return nil
}

// WriteJSON writes what the pointer v leads to in the form that all contracts
// have: indented, with absent lists as empty ones. It fills those in v itself.
func WriteJSON(w io.Writer, v any) error {
	fillLists(reflect.ValueOf(v))
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}

// Read reads a case.json and refuses another schema.
func Read(r io.Reader) (*Case, error) {
	var c Case
	if err := json.NewDecoder(r).Decode(&c); err != nil {
		return nil, fmt.Errorf("read case: %w", err)
	}
	if c.Schema != Schema {
		return nil, fmt.Errorf("read case: schema is %q, this version reads %q", c.Schema, Schema)
	}
	return &c, nil
}

// fillLists replaces nil slices and maps below v by empty ones, except where
// the member is left out when it is empty.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Time]() {
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == reflect.Slice && f.IsNil() && !strings.Contains(v.Type().Field(i).Tag.Get("json"), "omitempty") {
				f.Set(reflect.MakeSlice(f.Type(), 0, 0))
			}
			if f.Kind() == reflect.Map && f.IsNil() {
				f.Set(reflect.MakeMap(f.Type()))
			}
			fillLists(f)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}

// SortFindings puts findings in their order: by first event, then detector,
// then id.
func SortFindings(fs []Finding) {
	slices.SortFunc(fs, func(a, b Finding) int {
		if c := a.First.Compare(b.First.Time); c != 0 {
			return c
		}
		if c := strings.Compare(a.Detector, b.Detector); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Unique sorts a list and removes what is in it twice. Empty strings are
// removed too.
func Unique(s []string) []string {
	s = slices.DeleteFunc(slices.Clone(s), func(x string) bool { return x == "" })
	slices.Sort(s)
	return slices.Compact(s)
}

// SortEntities sorts entities and removes those that are in the list twice.
func SortEntities(es []Entity) []Entity {
	es = slices.DeleteFunc(slices.Clone(es), func(e Entity) bool { return e.ID == "" })
	slices.SortFunc(es, func(a, b Entity) int {
		if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
			return c
		}
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		if c := strings.Compare(a.Role, b.Role); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name) // a known name before none
	})
	return slices.CompactFunc(es, func(a, b Entity) bool { return a.Kind == b.Kind && a.ID == b.ID && a.Role == b.Role })
}
