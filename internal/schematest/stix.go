package schematest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bundles holds STIX 2.1 bundles against OASIS' JSON Schemas.
type Bundles struct {
	bundle *jsonschema.Schema
	types  map[string]*jsonschema.Schema // type -> its own schema
}

// STIX reads the schemas. Without them the test is skipped, and fails in CI.
func STIX(t testing.TB) *Bundles {
	t.Helper()
	b, err := readBundles(filepath.Join(need(t), "stix"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readBundles(dir string) (*Bundles, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ids := map[string]string{} // name of the file without .json -> id of the schema
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		doc, err := readJSON(path)
		if err != nil {
			return err
		}
		o, _ := doc.(map[string]any)
		id, _ := o["$id"].(string)
		if id == "" {
			return fmt.Errorf("%s has no $id", path)
		}
		ids[d.Name()[:len(d.Name())-len(".json")]] = id
		return c.AddResource(id, doc)
	})
	if err != nil {
		return nil, fmt.Errorf("read the schemas of STIX: %w", err)
	}
	b := &Bundles{types: map[string]*jsonschema.Schema{}}
	for name, id := range ids {
		s, err := c.Compile(id)
		if err != nil {
			return nil, fmt.Errorf("read the schemas of STIX: %w", err)
		}
		b.types[name] = s
	}
	if b.bundle = b.types["bundle"]; b.bundle == nil {
		return nil, errors.New("read the schemas of STIX: there is none of a bundle")
	}
	return b, nil
}

func readJSON(path string) (any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return doc, nil
}

// Check says what is wrong with a bundle: first each object by the schema of
// its type, which must be one that STIX defines, then the bundle as a whole.
func (b *Bundles) Check(bundle []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(bundle))
	if err != nil {
		return err
	}
	var has struct{ Objects []struct{ Type, ID string } }
	if err := json.Unmarshal(bundle, &has); err != nil {
		return err
	}
	var wrong []error
	for i, o := range has.Objects {
		s := b.types[o.Type]
		if s == nil {
			wrong = append(wrong, fmt.Errorf("object %d: STIX 2.1 has no type %q", i, o.Type))
			continue
		}
		if err := s.Validate(doc.(map[string]any)["objects"].([]any)[i]); err != nil {
			wrong = append(wrong, fmt.Errorf("object %d, %s: %w", i, o.ID, err))
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	return b.bundle.Validate(doc)
}
