package config

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// assets reads the groups of things that the organization cares about.
func assets(name string, v *yaml.Node) ([]Asset, error) {
	if v.Kind != yaml.MappingNode {
		return nil, at(name, v, "expected groups, such as source_code: {repositories: [\"contoso/*\"]}")
	}
	var out []Asset
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		k := v.Content[i]
		switch {
		case seen[k.Value]:
			return nil, at(name, k, "%s is there twice", k.Value)
		case k.Value == "" || strings.Trim(k.Value, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
			return nil, at(name, k, "%q is no key of a group; use small letters, digits and _, such as source_code", k.Value)
		}
		seen[k.Value] = true
		a, err := asset(name, k.Value, v.Content[i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func asset(name, key string, v *yaml.Node) (Asset, error) {
	a := Asset{Key: key}
	if v.Kind != yaml.MappingNode {
		return a, at(name, v, "expected what belongs to %s, such as sites: [https://contoso.sharepoint.com/sites/board]", key)
	}
	lists := map[string]*[]string{
		"applications": &a.Applications, "resources": &a.Resources, "tenants": &a.Tenants, "subscriptions": &a.Subscriptions,
		"sites": &a.Sites, "repositories": &a.Repositories, "accounts": &a.Accounts,
	}
	members := map[string]bool{"name": true}
	for k := range lists {
		members[k] = true
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		k, w := v.Content[i], v.Content[i+1]
		if seen[k.Value] {
			return a, at(name, k, "%s is there twice", k.Value)
		}
		seen[k.Value] = true
		var err error
		switch list := lists[k.Value]; {
		case k.Value == "name":
			if w.Kind != yaml.ScalarNode || strings.TrimSpace(w.Value) == "" {
				return a, at(name, w, "expected the name of %s in words", key)
			}
			a.Name = strings.TrimSpace(w.Value)
		case k.Value == "accounts":
			a.Accounts, err = accounts(name, w)
		case list != nil:
			*list, err = patterns(name, k.Value, w)
		default:
			return a, at(name, k, "unknown member %q of %s; known: %s", k.Value, key, known(members))
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// patterns reads a list of ids or of names with * and ?.
func patterns(name, what string, v *yaml.Node) ([]string, error) {
	if v.Kind != yaml.SequenceNode {
		return nil, at(name, v, "expected a list of %s", what)
	}
	var out []string
	for _, n := range v.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		s := strings.TrimSpace(n.Value)
		if n.Kind != yaml.ScalarNode || s == "" || strings.Trim(s, "*?%_") == "" {
			return nil, at(name, n, "%q says nothing; expected one of %s", n.Value, what)
		}
		if _, err := path.Match(strings.ReplaceAll(s, "/", "x"), ""); err != nil {
			return nil, at(name, n, "%q is no pattern: %v; write * and ? only", s, err)
		}
		if what == "sites" && !strings.HasPrefix(strings.ToLower(s), "https://") {
			return nil, at(name, n, "%q is no address of a site; it begins with https://", s)
		}
		out = append(out, s)
	}
	return out, nil
}
