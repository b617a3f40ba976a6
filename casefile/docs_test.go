package casefile

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
)

var update = flag.Bool("update", false, "write docs/case.schema.json and the reference in docs/CASE.md from the types")

// TestDocs holds the contract's documents to the types: the JSON Schema and
// the reference in docs/CASE.md are made from them and from their comments.
func TestDocs(t *testing.T) {
	d := readDocs(t)
	d.schema(t, "../docs/case.schema.json")
	d.reference(t, "../docs/CASE.md")
}

// docs is what the source says about types, members and constants.
type docs struct {
	types   map[string]string            // type -> comment
	fields  map[string]map[string]string // type -> Go field -> comment
	consts  map[string][]string          // type -> values
	order   []string
	structs map[string]reflect.Type
}

func readDocs(t *testing.T) *docs {
	t.Helper()
	d := &docs{types: map[string]string{}, fields: map[string]map[string]string{}, consts: map[string][]string{}, structs: map[string]reflect.Type{}}
	var decls []ast.Decl
	for _, name := range []string{"casefile.go", "answers.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	for _, decl := range decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				d.types[s.Name.Name] = words(g.Doc)
				if st, ok := s.Type.(*ast.StructType); ok {
					m := map[string]string{}
					for _, field := range st.Fields.List {
						for _, n := range field.Names {
							m[n.Name] = strings.TrimSpace(words(field.Doc) + " " + words(field.Comment))
						}
					}
					d.fields[s.Name.Name] = m
				}
			case *ast.ValueSpec:
				if id, ok := s.Type.(*ast.Ident); ok && len(s.Values) == 1 {
					if lit, ok := s.Values[0].(*ast.BasicLit); ok {
						d.consts[id.Name] = append(d.consts[id.Name], strings.Trim(lit.Value, `"`))
					}
				}
			}
		}
	}
	d.walk(reflect.TypeFor[Case]())
	for name := range d.structs {
		for i := range d.structs[name].NumField() {
			field := d.structs[name].Field(i)
			if !field.Anonymous && d.fields[name][field.Name] == "" {
				t.Errorf("%s.%s has no comment", name, field.Name)
			}
		}
	}
	return d
}

func words(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

func (d *docs) walk(t reflect.Type) {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer, reflect.Map:
		d.walk(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[Time]() || d.structs[t.Name()] != nil {
			return
		}
		d.structs[t.Name()] = t
		d.order = append(d.order, t.Name())
		for i := range t.NumField() {
			d.walk(t.Field(i).Type)
		}
	}
}

// member is one member of an object as JSON has it.
type member struct {
	name, doc string
	typ       reflect.Type
	optional  bool
}

func (d *docs) members(t reflect.Type) (out []member) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			out = append(out, d.members(f.Type)...)
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, member{name, d.fields[t.Name()][f.Name], f.Type, strings.Contains(opts, "omitempty")})
	}
	return out
}

type object = map[string]any

func (d *docs) typeSchema(t reflect.Type) object {
	if t == reflect.TypeFor[Time]() {
		return object{"type": []string{"string", "null"}, "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := d.typeSchema(t.Elem())
		s["type"] = []string{fmt.Sprint(s["type"]), "null"}
		return s
	case reflect.String:
		s := object{"type": "string"}
		if v := d.consts[t.Name()]; t.Name() != "string" && len(v) > 0 {
			s["enum"] = v
		}
		return s
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": d.typeSchema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.typeSchema(t.Elem())}
	case reflect.Struct:
		return object{"$ref": "#/$defs/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

func (d *docs) schema(t *testing.T, path string) {
	defs := object{}
	for _, name := range d.order {
		props, required := object{}, []string{}
		for _, m := range d.members(d.structs[name]) {
			s := d.typeSchema(m.typ)
			if m.doc != "" {
				s["description"] = m.doc
			}
			if name == "Case" && m.name == "schema" {
				s["const"] = Schema
			}
			props[m.name] = s
			if !m.optional {
				required = append(required, m.name)
			}
		}
		slices.Sort(required)
		defs[name] = object{"type": "object", "description": d.types[name], "properties": props, "required": required, "additionalProperties": false}
	}
	root := object{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": Schema, "title": "Midwatch case", "$ref": "#/$defs/Case", "$defs": defs}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	golden(t, path, b.Bytes())
}

const referenceMark = "<!-- reference: made from casefile/casefile.go by go test ./casefile -update -->\n"

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
	for _, name := range d.order {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| member | type | meaning |\n|---|---|---|\n", name, strings.TrimPrefix(d.types[name], name+" "))
		for _, m := range d.members(d.structs[name]) {
			opt := ""
			if m.optional {
				opt = ", may be left out"
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", m.name, d.typeWords(m.typ), opt, strings.ReplaceAll(m.doc, "|", `\|`))
		}
	}
	golden(t, path, b.Bytes())
}

func (d *docs) typeWords(t reflect.Type) string {
	if t == reflect.TypeFor[Time]() {
		return "time or null"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.typeWords(t.Elem()) + " or null"
	case reflect.String:
		if v := d.consts[t.Name()]; t.Name() != "string" && len(v) > 0 {
			return "one of " + strings.Join(v, ", ")
		}
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + d.typeWords(t.Elem())
	case reflect.Map:
		return "object of " + d.typeWords(t.Elem())
	case reflect.Struct:
		return "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
	}
	return t.String()
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
		t.Errorf("%s is not what the types say; run: go test ./casefile -update", path)
	}
}
