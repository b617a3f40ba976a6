package schematest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Events holds events of OCSF against the schema of one version. There are
// schemas of Detection Finding, with and without profile incident.
type Events struct {
	byProfiles map[string]*jsonschema.Schema // profiles, joined by commas
	exported   exported
}

// exported is what the server of OCSF exports, as far as it is used here. Up
// to 1.7 types lie at the top, then in a dictionary.
type exported struct {
	Classes    map[string]entity
	Objects    map[string]entity
	Types      map[string]attribute
	Dictionary struct {
		Types struct{ Attributes map[string]attribute }
	}
}

type entity struct{ Attributes map[string]attribute }

type attribute struct {
	Type       string
	ObjectType string `json:"object_type"`
	Sibling    string // the attribute with the caption of an enum's value
	Enum       map[string]struct{ Caption string }
	Observable int
	Deprecated json.RawMessage `json:"@deprecated"`
}

// OCSF reads the schema of a version. Without it the test is skipped, and
// fails in CI.
func OCSF(t testing.TB, version string) *Events {
	t.Helper()
	e, err := readEvents(filepath.Join(need(t), "ocsf", version))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readEvents(dir string) (*Events, error) {
	e := &Events{byProfiles: map[string]*jsonschema.Schema{}}
	b, err := os.ReadFile(filepath.Join(dir, "schema.json"))
	if err != nil {
		return nil, fmt.Errorf("read the schema of OCSF (versions are %s): %w", strings.Join(Versions(), ", "), err)
	}
	if err := json.Unmarshal(b, &e.exported); err != nil {
		return nil, fmt.Errorf("read the schema of OCSF: %w", err)
	}
	if len(e.exported.Types) == 0 {
		e.exported.Types = e.exported.Dictionary.Types.Attributes
	}
	for _, profiles := range []string{"", "incident"} {
		name := "detection_finding.json"
		if profiles != "" {
			name = "detection_finding+" + profiles + ".json"
		}
		doc, err := readJSON(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read the schema of OCSF: %w", err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			return nil, fmt.Errorf("read the schema of OCSF: %w", err)
		}
		if e.byProfiles[profiles], err = c.Compile(name); err != nil {
			return nil, fmt.Errorf("read the schema of OCSF: %w", err)
		}
	}
	return e, nil
}

// Check says what is wrong with an event: by the JSON Schema of its profiles,
// which knows types, forms, required and unknown attributes and constraints;
// then by what the exported schema says beyond that. Names of enums' values
// must be theirs, nothing may be deprecated, and observables must be where
// and of the type that they say.
func (e *Events) Check(event []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
	if err != nil {
		return err
	}
	var has struct {
		Metadata    struct{ Profiles []string }
		Observables []struct {
			Name, Value string
			TypeID      int `json:"type_id"`
		}
	}
	if err := json.Unmarshal(event, &has); err != nil {
		return err
	}
	s := e.byProfiles[strings.Join(has.Metadata.Profiles, ",")]
	if s == nil {
		return fmt.Errorf("there is no schema with profiles %q", has.Metadata.Profiles)
	}
	if err := s.Validate(doc); err != nil {
		return err
	}
	class := e.exported.Classes["detection_finding"]
	wrong := e.walk("", class, doc.(map[string]any))
	for i, o := range has.Observables {
		if o.Name == "" {
			continue
		}
		path := strings.Split(strings.ReplaceAll(o.Name, "[]", ""), ".")
		switch is := e.kind(class, path); {
		case !slices.Contains(at(doc, path), o.Value):
			wrong = append(wrong, fmt.Errorf("observable %d: %s is not %q", i, o.Name, o.Value))
		case is != o.TypeID:
			wrong = append(wrong, fmt.Errorf("observable %d: %s is of type %d, not %d", i, o.Name, is, o.TypeID))
		}
	}
	return errors.Join(wrong...)
}

// walk checks the attributes of an object and those below it.
func (e *Events) walk(path string, of entity, o map[string]any) (wrong []error) {
	for name, v := range o {
		a, known := of.Attributes[name]
		if !known { // of an object without attributes, where everything may stand
			continue
		}
		at := path + name
		if a.Deprecated != nil {
			wrong = append(wrong, fmt.Errorf("%s is deprecated", at))
		}
		if said, ok := o[a.Sibling].(string); ok && len(a.Enum) > 0 {
			key := fmt.Sprint(v)
			if want := a.Enum[key].Caption; key != "99" && said != want { // 99: other
				wrong = append(wrong, fmt.Errorf("%s is %q, and %s %s is %q", path+a.Sibling, said, at, key, want))
			}
		}
		if a.Type != "object_t" {
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			wrong = append(wrong, e.walk(at+".", e.exported.Objects[a.ObjectType], v)...)
		case []any:
			for i, x := range v {
				if below, ok := x.(map[string]any); ok {
					wrong = append(wrong, e.walk(fmt.Sprintf("%s[%d].", at, i), e.exported.Objects[a.ObjectType], below)...)
				}
			}
		}
	}
	return wrong
}

// kind returns which type of observable the schema has at a path; 0: none.
func (e *Events) kind(of entity, path []string) int {
	a := of.Attributes[path[0]]
	switch {
	case len(path) > 1:
		return e.kind(e.exported.Objects[a.ObjectType], path[1:])
	case a.Observable != 0:
		return a.Observable
	}
	return e.exported.Types[a.Type].Observable
}

// at returns the texts at a path.
func at(v any, path []string) (values []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			values = append(values, at(x, path)...)
		}
	case map[string]any:
		if len(path) > 0 {
			return at(v[path[0]], path[1:])
		}
	case string:
		if len(path) == 0 {
			return []string{v}
		}
	}
	return values
}
