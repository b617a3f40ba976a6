// Package arch holds the tree to its own rules: who may import whom, where C
// code may be, and what no package may do.
package arch

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed says which of our packages a folder may import. Imports point one
// way; what is not listed is refused. A folder that is missing here fails the
// test, so that a new one is placed on purpose.
func allowed() map[string][]string {
	return map[string][]string{
		"event":               {},
		"casefile":            {},
		"config":              {},
		"actor":               {},
		"actor/gen":           {}, // writes the tables of actor
		"journal":             {},
		"source":              {"event"},
		"source/kafka":        {"source"},
		"parse":               {"event"},
		"enrich":              {"event"},
		"store":               {"event"},
		"store/storetest":     {"event", "store"},
		"store/idset":         {"event"},
		"store/dialect":       {},
		"store/clickhouse":    {"event", "store", "store/dialect", "store/idset"},
		"store/duckdb":        {"event", "store", "store/idset"},
		"ingest":              {"event", "source", "parse", "store", "casefile"},
		"detect":              {"event", "store", "casefile", "detect/baseline"},
		"detect/baseline":     {},
		"detect/detecttest":   {"event", "store", "casefile"},
		"detect/sigmarules":   {"event", "store", "casefile", "detect", "sigma", "rules"},
		"investigate":         {"actor", "event", "store", "casefile", "detect", "journal"},
		"sigma":               {},
		"rules":               {"event", "sigma"},
		"exposure":            {"event", "source", "enrich", "store", "casefile"},
		"posture":             {"source", "enrich", "store", "casefile"},
		"exposure/score":      {"simulate", "casefile", "exposure"},
		"simulate":            {},
		"simulate/score":      {"simulate", "casefile"},
		"respond/notice":      {"casefile", "exposure", "report", "respond/clock"},
		"respond/clock":       {"casefile", "exposure"},
		"report":              {"actor", "casefile"},
		"internal/casefolder": {"casefile", "journal"},
		"respond":             {"casefile"},
		"respond/graph":       {"casefile", "respond"},
		"respond/graphtest":   {"simulate"},
		"casework":            {"casefile", "config", "detect/sigmarules", "exposure", "internal/casefolder", "investigate", "journal", "report", "respond", "respond/clock", "respond/graph", "respond/notice"},
		"web/auth":            {"journal"},
		"web/dossier":         {"casefile", "event", "internal/casefolder", "store"},
		"collect":             {"casefile", "event", "parse", "report"},
		"watch":               {"casefile", "ingest", "source/kafka", "store", "watch/alert"},
		"watch/alert":         {"casefile", "report"},
		"web":                 {"casefile", "casework", "event", "exposure", "journal", "report", "respond/clock", "respond/notice", "store", "web/audit", "web/auth", "web/dossier"},
		"web/audit":           {"journal"},
		"internal/custody":    {"casefile", "event", "source", "store"},
		"internal/progress":   {},
		"internal/corpora":    {},
		// Real ClickHouse servers for tests, and its two programs.
		"internal/clickhousetest":          {"internal/testkit"},
		"internal/clickhousetest/server":   {},
		"internal/clickhousetest/testdeps": {"internal/browsertest", "internal/clickhousetest", "internal/kafkatest", "internal/schematest"},
		"internal/clickhousetest/up":       {"internal/clickhousetest"},
		"internal/kafkatest":               {"internal/testkit"}, // a real Kafka broker for tests
		"internal/schematest":              {"internal/testkit"}, // the schemas of STIX and OCSF, for tests
		// A real browser for tests, and who takes pictures of pages with it.
		"internal/browsertest":             {"internal/testkit"},
		"internal/browsertest/screenshots": {"internal/browsertest"},
		// A case and a server of it, for tests.
		"internal/webtest":      {"casework", "internal/casefolder", "report", "store/duckdb", "web", "web/audit", "web/auth", "web/dossier"},
		"internal/testkit":      {},
		"internal/arch":         {},
		"internal/contracttest": {},
		"internal/engines":      {},
		"internal/bench":        {"casefile", "detect", "detect/sigmarules", "enrich", "event", "ingest", "investigate", "parse", "simulate", "store", "store/clickhouse", "store/duckdb", "internal/casefolder", "internal/clickhousetest", "web/auth", "web/dossier"},
		"internal/eval":         {"casefile", "event", "simulate", "simulate/score", "store", "store/duckdb"},
		"cmd/midwatch":          {"actor", "casefile", "casework", "collect", "config", "detect", "detect/sigmarules", "enrich", "event", "exposure", "exposure/score", "ingest", "investigate", "parse", "report", "rules", "sigma", "source", "source/kafka", "store", "store/clickhouse", "store/duckdb", "internal/casefolder", "internal/progress", "journal", "simulate", "simulate/score", "respond", "respond/graph", "respond/clock", "respond/notice", "internal/custody", "posture", "watch", "watch/alert", "web", "web/auth", "web/audit", "web/dossier"},
	}
}

// cgo is where C code may be linked.
func cgo() []string { return []string{"store/duckdb", "internal/bench"} }

// programs are those outside of cmd, for ourselves: they may print and exit.
func programs() []string {
	return []string{"actor/gen", "internal/bench", "internal/eval", "internal/clickhousetest/server", "internal/clickhousetest/testdeps", "internal/clickhousetest/up", "internal/browsertest/screenshots"}
}

type pkg struct {
	ImportPath, Dir string
	Imports         []string
	Module          *struct{ Path string }
	GoFiles         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Module,GoFiles", "midwatch/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	rules := allowed()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "midwatch/")
		may, listed := rules[name]
		if !listed {
			t.Errorf("package %s is not in the table of this test; place it", name)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "midwatch/"); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
			if strings.Contains(i, "duckdb-go") && !slices.Contains(cgo(), name) && name != "detect/detecttest" {
				t.Errorf("%s links C code through %s", name, i)
			}
			if i == "C" && !slices.Contains(cgo(), name) {
				t.Errorf("%s uses cgo", name)
			}
		}
	}
}

// No init(), no blank imports (but drivers in programs of ours), a comment for
// every package, and nothing that prints or exits outside of cmd.
func TestHabits(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "midwatch/")
		program := strings.HasPrefix(name, "cmd/") || slices.Contains(programs(), name)
		documented := len(p.GoFiles) == 0
		for _, file := range p.GoFiles {
			path := filepath.Join(p.Dir, file)
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil
			for _, i := range f.Imports {
				if i.Name != nil && i.Name.Name == "_" && i.Path.Value != `"embed"` && !program && name != "detect/detecttest" {
					t.Errorf("%s/%s: blank import of %s", name, file, i.Path.Value)
				}
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s: init()", name, file)
				}
			}
			if program {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if !ok {
					return true
				}
				switch x.Name + "." + sel.Sel.Name {
				case "os.Exit", "fmt.Println", "fmt.Printf", "fmt.Print", "log.Fatal", "log.Printf", "log.Println", "time.Now":
					t.Errorf("%s/%s: %s.%s; only cmd prints and exits, and time comes from events or an injected clock", name, file, x.Name, sel.Sel.Name)
				}
				return true
			})
		}
		if !documented {
			t.Errorf("package %s has no comment", name)
		}
	}
}
