// Package contracttest holds what the tests of contracts share: the JSON Schema
// and the reference of a file that Midwatch writes are made from its Go types
// and their comments, so that none of the three can say something else.
package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Contract is a file's form. Paths are relative to the package under test.
type Contract struct {
	Package   string          // folder of the package
	Root      reflect.Type    // of the whole file
	ID        string          // its schema and version
	Title     string          // of the JSON Schema
	Files     []string        // Go files with the types; of types of one name the first counts
	Schema    string          // path of the JSON Schema
	Reference string          // path of the document that ends in the reference
	More      func(io.Writer) // what stands before the types in the reference; nil: nothing
	Update    bool            // write both
}

// Check holds the documents to the types, or writes them. A member without a
// comment fails.
func (c Contract) Check(t *testing.T) {
	t.Helper()
	d := readDocs(t, &c)
	d.schema(t)
	d.reference(t)
}

// isTime reports whether a type is that of times in contracts, which knows
// null. It goes by its name: that package's own tests use this one.
func isTime(t reflect.Type) bool {
	return t.Name() == "Time" && strings.HasSuffix(t.PkgPath(), "/casefile")
}

// docs is what the source says about types, members and constants.
type docs struct {
	*Contract
	types   map[string]string            // type -> comment
	fields  map[string]map[string]string // type -> Go field -> comment
	consts  map[string][]string          // type -> values
	order   []string
	structs map[string]reflect.Type
}

func readDocs(t *testing.T, c *Contract) *docs {
	t.Helper()
	d := &docs{Contract: c, types: map[string]string{}, fields: map[string]map[string]string{}, consts: map[string][]string{}, structs: map[string]reflect.Type{}}
	var decls []ast.Decl
	for _, name := range c.Files {
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
				if _, twice := d.types[s.Name.Name]; twice { // of an earlier file
					continue
				}
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
	d.walk(c.Root)
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
		if isTime(t) || d.structs[t.Name()] != nil {
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
	if isTime(t) {
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

func (d *docs) schema(t *testing.T) {
	defs := object{}
	for _, name := range d.order {
		props, required := object{}, []string{}
		for _, m := range d.members(d.structs[name]) {
			s := d.typeSchema(m.typ)
			if m.doc != "" {
				s["description"] = m.doc
			}
			if name == d.Root.Name() && m.name == "schema" {
				s["const"] = d.ID
			}
			props[m.name] = s
			if !m.optional {
				required = append(required, m.name)
			}
		}
		slices.Sort(required)
		defs[name] = object{"type": "object", "description": d.types[name], "properties": props, "required": required, "additionalProperties": false}
	}
	root := object{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": d.ID, "title": d.Title, "$ref": "#/$defs/" + d.Root.Name(), "$defs": defs}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	d.golden(t, d.Schema, b.Bytes())
}

func (d *docs) reference(t *testing.T) {
	path, mark := d.Reference, fmt.Sprintf("<!-- reference: made from %s/%s by go test ./%s -update -->\n", d.Package, d.Files[0], d.Package)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := bytes.Cut(old, []byte(mark))
	if !ok {
		t.Fatalf("%s: no line %q", path, mark)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(mark)
	if d.More != nil {
		d.More(&b)
	}
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
	d.golden(t, path, b.Bytes())
}

func (d *docs) typeWords(t reflect.Type) string {
	if isTime(t) {
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

func (d *docs) golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if d.Update {
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
		t.Errorf("%s is not what the types say; run: go test ./%s -update", path, d.Package)
	}
}
