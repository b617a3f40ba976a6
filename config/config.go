// Package config reads the file in which an organization tells Midwatch about
// itself. It knows the file's form and nothing of who uses it.
//
// The file is YAML:
//
//	# accounts that nobody uses
//	canaries:
//	  - old.payroll@contoso.com
//	  - svc-backup2@contoso.com
//
//	# what the case answers for whether it was accessed: source_code and the
//	# other ready-made groups, or groups of your own
//	assets:
//	  source_code:
//	    applications: ["GitHub*"]      # ids, or names with * and ?
//	    resources: [499b84ac-1321-427f-aa17-267ca6975798]
//	    repositories: ["contoso/*"]
//	  board:
//	    name: board documents
//	    sites: [https://contoso.sharepoint.com/sites/board]
//	    accounts: [board.portal@contoso.com]
//	  customer_environments:
//	    tenants: [customer.example]
//	  production_systems:
//	    subscriptions: [11111111-2222-3333-4444-555555555555]
//
//	# how many people have to approve a step before midwatch contain --apply
//	# carries it out; 0, or nothing: none has to
//	containment:
//	  approvals: 2
//
// Reading is strict, and says where: a key that is misspelt would otherwise
// switch off, in silence, what it was written for.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is what the file says. The zero value is that of an empty file.
type Config struct {
	// Canaries are user principal names of accounts that nobody may use, in
	// lower case, each once, in the order of the file.
	Canaries []string
	// Assets are groups of things of which the case answers whether they were
	// accessed, in the order of the file.
	Assets []Asset
	// Containment is what has to be so before an actor is put out.
	Containment Containment
}

// Containment is what has to be so before a containment is carried out.
type Containment struct {
	Approvals int // people who have to approve a step, 0 to [MaxApprovals]
}

// MaxApprovals is the most people who can have to approve a step. It is there to
// catch mistakes.
const MaxApprovals = 20

// Asset is a group of things that the organization cares about, and how its
// parts are recognized. Values are as the file has them.
type Asset struct {
	Key           string   // of the file
	Name          string   // in words; empty: made of the key
	Applications  []string // ids, or names with * and ?
	Resources     []string // the same, of APIs
	Tenants       []string // ids or domains
	Subscriptions []string // ids of Azure subscriptions
	Sites         []string // beginnings of addresses in SharePoint or OneDrive
	Repositories  []string // names with * and ?
	Accounts      []string // user principal names
}

// Read reads the file at path. Errors name file and line.
func Read(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	return Parse(path, f)
}

// Parse reads what is called name.
func Parse(name string, r io.Reader) (c Config, err error) {
	d := yaml.NewDecoder(r)
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return c, nil
	case err != nil:
		return c, syntax(name, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return c, syntax(name, err)
		}
		return c, at(name, &more, "a second document; put everything into one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return c, nil // only comments
	}
	if root.Kind != yaml.MappingNode {
		return c, at(name, root, "expected keys with values, such as canaries: [user@example.com]")
	}
	keys := map[string]func(*yaml.Node) error{
		"canaries":    func(v *yaml.Node) (err error) { c.Canaries, err = accounts(name, v); return err },
		"assets":      func(v *yaml.Node) (err error) { c.Assets, err = assets(name, v); return err },
		"containment": func(v *yaml.Node) (err error) { c.Containment, err = containment(name, v); return err },
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		read := keys[k.Value]
		switch {
		case read == nil:
			return Config{}, at(name, k, "unknown key %q; known: %s", k.Value, known(keys))
		case seen[k.Value]:
			return Config{}, at(name, k, "%s is there twice", k.Value)
		}
		seen[k.Value] = true
		if err := read(v); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// containment reads what has to be so before a containment is carried out.
func containment(name string, v *yaml.Node) (c Containment, err error) {
	if v.Kind != yaml.MappingNode {
		return c, at(name, v, "expected members of containment, such as {approvals: 2}")
	}
	seen := false
	for i := 0; i+1 < len(v.Content); i += 2 {
		k, w := v.Content[i], v.Content[i+1]
		switch {
		case k.Value != "approvals":
			return c, at(name, k, "unknown member %q of containment; known: approvals", k.Value)
		case seen:
			return c, at(name, k, "approvals is there twice")
		}
		seen = true
		// Written as a plain number: 010 is eight to one reader and ten to another.
		n, err := strconv.Atoi(w.Value)
		if w.Kind != yaml.ScalarNode || w.Tag != "!!int" || err != nil || n < 0 || n > MaxApprovals || strconv.Itoa(n) != w.Value {
			return c, at(name, w, "%q is no number of people; expected 0 to %d", w.Value, MaxApprovals)
		}
		c.Approvals = n
	}
	return c, nil
}

// accounts reads a list of user principal names.
func accounts(name string, v *yaml.Node) ([]string, error) {
	if v.Kind != yaml.SequenceNode {
		return nil, at(name, v, "expected a list of user principal names")
	}
	var out []string
	for _, n := range v.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		upn := strings.ToLower(n.Value)
		local, domain, ok := strings.Cut(upn, "@")
		if n.Kind != yaml.ScalarNode || !ok || local == "" || domain == "" || strings.ContainsAny(upn, " \t\n,;'\"<>") || strings.Contains(domain, "@") {
			return nil, at(name, n, "%q is no user principal name, such as user@example.com", n.Value)
		}
		if !slices.Contains(out, upn) {
			out = append(out, upn)
		}
	}
	return out, nil
}

func known[V any](m map[string]V) string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// at is an error at a node.
func at(name string, n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", name, n.Line, fmt.Sprintf(format, args...))
}

// syntax gives an error of the reader, "yaml: line 3: ...", its file and line.
func syntax(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			return fmt.Errorf("%s:%s: %s", name, line, what)
		}
	}
	return fmt.Errorf("%s: %s", name, text)
}
