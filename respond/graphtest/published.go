package graphtest

import (
	"bytes"
	_ "embed" // the tables
	"encoding/csv"
	"fmt"
	"strings"
)

//go:embed published.csv
var publishedCSV []byte

//go:embed properties.csv
var propertiesCSV []byte

// published is one request of Microsoft's description.
type published struct {
	method, path string
	permissions  []string // any one suffices
}

func readPublished() ([]published, map[string][]string) {
	rows := func(b []byte) [][]string {
		r := csv.NewReader(bytes.NewReader(b))
		r.Comment = '#'
		all, err := r.ReadAll()
		if err != nil {
			panic(fmt.Sprintf("the table of what is published: %v", err)) // it is part of the program
		}
		return all[1:]
	}
	var out []published
	for _, r := range rows(publishedCSV) {
		out = append(out, published{r[0], r[1], strings.Fields(r[2])})
	}
	members := map[string][]string{}
	for _, r := range rows(propertiesCSV) {
		members[r[0]] = strings.Fields(r[1])
	}
	return out, members
}

// Published reports whether Microsoft's description has a request, and any of
// which application permissions it wants. Segments in braces stand for any id.
func Published(method, path string) (permissions []string, ok bool) {
	all, _ := readPublished()
	return lookUp(all, method, path)
}

// Members lists the members that Microsoft's description has of a type.
func Members(of string) []string {
	_, m := readPublished()
	return m[of]
}

func (s *Server) describe(method, path string) (published, bool) {
	p, ok := lookUp(s.published, method, path)
	return published{method, path, p}, ok
}

func lookUp(all []published, method, path string) ([]string, bool) {
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimSuffix(path, "/$ref")
	segments := strings.Split(path, "/")
	for _, p := range all {
		want := strings.Split(p.path, "/")
		if p.method != method || len(want) != len(segments) {
			continue
		}
		if fits(want, segments) {
			return p.permissions, true
		}
	}
	return nil, false
}

func fits(want, have []string) bool {
	for i := range want {
		key, keyed := strings.CutSuffix(want[i], "(appId={value})")
		switch {
		case want[i] == "{id}":
			if have[i] == "" {
				return false
			}
		case keyed:
			if !strings.HasPrefix(have[i], key+"(appId='") || !strings.HasSuffix(have[i], "')") {
				return false
			}
		case want[i] != have[i]:
			return false
		}
	}
	return true
}
