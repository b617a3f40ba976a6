package posture

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
)

var update = flag.Bool("update", false, "write docs/posture.schema.json and the reference in docs/POSTURE.md from the types")

// TestDocs holds the contract's documents to the types, as those of case.json
// are.
func TestDocs(t *testing.T) {
	d := &docs{types: map[string]string{}, fields: map[string]map[string]string{}, structs: map[string]reflect.Type{}}
	d.read(t, "posture.go")
	d.read(t, "../casefile/casefile.go")
	d.walk(reflect.TypeFor[Posture]())
	for name, s := range d.structs {
		for i := range s.NumField() {
			if d.fields[name][s.Field(i).Name] == "" {
				t.Errorf("%s.%s has no comment", name, s.Field(i).Name)
			}
		}
	}
	d.schema(t, "../docs/posture.schema.json")
	d.reference(t, "../docs/POSTURE.md")
}

type docs struct {
	types   map[string]string
	fields  map[string]map[string]string
	order   []string
	structs map[string]reflect.Type
}

func (d *docs) read(t *testing.T, file string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	words := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			s, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			st, ok := s.Type.(*ast.StructType)
			if _, twice := d.types[s.Name.Name]; !ok || twice {
				continue
			}
			d.types[s.Name.Name] = words(g.Doc)
			m := map[string]string{}
			for _, field := range st.Fields.List {
				for _, n := range field.Names {
					m[n.Name] = strings.TrimSpace(words(field.Doc) + " " + words(field.Comment))
				}
			}
			d.fields[s.Name.Name] = m
		}
	}
}

func (d *docs) walk(t reflect.Type) {
	switch t.Kind() {
	case reflect.Slice:
		d.walk(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[casefile.Time]() || d.structs[t.Name()] != nil {
			return
		}
		d.structs[t.Name()] = t
		d.order = append(d.order, t.Name())
		for i := range t.NumField() {
			d.walk(t.Field(i).Type)
		}
	}
}

// values of the types that are words.
func values(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[casefile.Severity]():
		return []string{string(casefile.Info), string(casefile.Low), string(casefile.Medium), string(casefile.High), string(casefile.Critical)}
	case reflect.TypeFor[State]():
		return []string{string(Open), string(NotSeen), string(Closed), string(Unknown)}
	}
	return nil
}

// typeOf describes a member's type: for the schema, and in words.
func typeOf(t reflect.Type) (schema map[string]any, words string) {
	if t == reflect.TypeFor[casefile.Time]() {
		return map[string]any{"type": []string{"string", "null"}, "format": "date-time"}, "time or null"
	}
	switch t.Kind() {
	case reflect.String:
		s := map[string]any{"type": "string"}
		if v := values(t); v != nil {
			s["enum"] = v
			return s, "one of " + strings.Join(v, ", ")
		}
		return s, "string"
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, "boolean"
	case reflect.Float64:
		return map[string]any{"type": "number"}, "number"
	case reflect.Int64:
		return map[string]any{"type": "integer"}, "integer"
	case reflect.Slice:
		s, w := typeOf(t.Elem())
		return map[string]any{"type": "array", "items": s}, "list of " + w
	case reflect.Struct:
		return map[string]any{"$ref": "#/$defs/" + t.Name()}, "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
	}
	panic("no schema for " + t.String())
}

func (d *docs) schema(t *testing.T, path string) {
	defs := map[string]any{}
	for _, name := range d.order {
		props, required := map[string]any{}, []string{}
		for i := range d.structs[name].NumField() {
			f := d.structs[name].Field(i)
			member, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			s, _ := typeOf(f.Type)
			s["description"] = d.fields[name][f.Name]
			if name == "Posture" && member == "schema" {
				s["const"] = Schema
			}
			props[member] = s
			if !strings.Contains(opts, "omitempty") {
				required = append(required, member)
			}
		}
		slices.Sort(required)
		defs[name] = map[string]any{"type": "object", "description": d.types[name], "properties": props, "required": required, "additionalProperties": false}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": Schema, "title": "Midwatch posture", "$ref": "#/$defs/Posture", "$defs": defs}); err != nil {
		t.Fatal(err)
	}
	golden(t, path, b.Bytes())
}

const referenceMark = "<!-- reference: made from posture/posture.go by go test ./posture -update -->\n"

func (d *docs) reference(t *testing.T, path string) {
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := bytes.Cut(old, []byte(referenceMark))
	if !ok {
		t.Fatalf("%s: no line %q", path, referenceMark)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(referenceMark)
	b.WriteString("\n### Checks\n\n| check | looks for | why it matters | what closing it may break | ATT&CK |\n|---|---|---|---|---|\n")
	for _, c := range Checks() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.ID, c.Title, c.Why, c.Breaks, strings.Join(c.Techniques, " "))
	}
	b.WriteString("\n### Exports\n\n| recognized as | by these columns or properties |\n|---|---|\n")
	for _, k := range kinds() {
		what := k.name
		if k.read == nil {
			what += " (" + k.why + ")"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", what, strings.ReplaceAll(strings.Join(k.has, ", "), "|", " or "))
	}
	for _, name := range d.order {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| member | type | meaning |\n|---|---|---|\n", name, strings.TrimPrefix(d.types[name], name+" "))
		for i := range d.structs[name].NumField() {
			f := d.structs[name].Field(i)
			member, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			_, words := typeOf(f.Type)
			if strings.Contains(opts, "omitempty") {
				words += ", may be left out"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", member, words, d.fields[name][f.Name])
		}
	}
	golden(t, path, b.Bytes())
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is not what the types say; run: go test ./posture -update", path)
	}
}
