package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// cluster is an entry of a MISP galaxy, as far as it is used.
type cluster struct {
	UUID    string         `json:"uuid"`
	Value   string         `json:"value"`
	Text    string         `json:"description"`
	Revoked bool           `json:"revoked"`
	Meta    map[string]any `json:"meta"`
	Related []struct {
		Dest string   `json:"dest-uuid"`
		Type string   `json:"type"`
		Tags []string `json:"tags"`
	} `json:"related"`
}

// text is a member of Meta that is one string.
func (c cluster) text(key string) string {
	s, _ := c.Meta[key].(string)
	return s
}

// list is a member of Meta that is a list of strings.
func (c cluster) list(key string) (out []string) {
	items, _ := c.Meta[key].([]any)
	for _, i := range items {
		if s, ok := i.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// place is where an entry stands in the tables.
type place struct{ source, entry string }

// generate makes the tables, by file name.
func generate(data string) (map[string][]byte, error) {
	actors, err := galaxy(data, "actors/misp-threat-actor.json")
	if err != nil {
		return nil, err
	}
	microsoft, err := galaxy(data, "actors/misp-microsoft-activity-group.json")
	if err != nil {
		return nil, err
	}
	groups, err := galaxy(data, "actors/misp-mitre-intrusion-set.json")
	if err != nil {
		return nil, err
	}
	patterns, err := galaxy(data, "attack-patterns.json")
	if err != nil {
		return nil, err
	}
	g := &generator{places: map[string]place{}, techniques: map[string]cluster{}}
	for _, c := range patterns {
		if technique.MatchString(c.text("external_id")) {
			g.techniques[c.UUID] = c
		}
	}
	for _, c := range actors {
		if err := g.named("misp", strings.TrimSpace(c.Value), c); err != nil {
			return nil, err
		}
	}
	for _, c := range microsoft {
		if err := g.named("misp-microsoft", strings.TrimSpace(c.Value), c); err != nil {
			return nil, err
		}
	}
	for _, c := range groups {
		id := c.text("external_id")
		c.Value = strings.TrimSuffix(c.Value, " - "+id)
		if err := g.named("mitre", id, c); err != nil {
			return nil, err
		}
		g.names = append(g.names, row("mitre", id, "id", id, ""))
		g.uses(id, c)
	}
	if err := g.mapping(filepath.Join(data, "actors", "microsoft-mapping.json")); err != nil {
		return nil, err
	}
	for _, cs := range [][]cluster{actors, microsoft, groups} {
		for _, c := range cs {
			g.relate(c)
		}
	}
	if err := g.patterns(); err != nil {
		return nil, err
	}
	return map[string][]byte{
		"names.tsv":      table("source\tentry\tkind\tname\tvendor", g.names),
		"relations.tsv":  table("by\tsource\tentry\tkind\tsource\tentry\tlikelihood", g.relations),
		"groups.tsv":     table("group\ttechniques", g.groups),
		"techniques.tsv": table("id\tname\tstatus\tsuccessor\tcloud\ttactics", g.rows),
	}, nil
}

// galaxy reads a MISP galaxy's clusters.
func galaxy(data, file string) ([]cluster, error) {
	b, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	var g struct {
		Values []cluster `json:"values"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return g.Values, nil
}

var technique = regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)

type generator struct {
	places                         map[string]place   // by uuid
	techniques                     map[string]cluster // by uuid
	names, relations, groups, rows []string
}

// named writes the names of one entry.
func (g *generator) named(source, entry string, c cluster) error {
	if entry == "" {
		return fmt.Errorf("%s: entry %s has no name", source, c.UUID)
	}
	g.places[c.UUID] = place{source, entry}
	vendor := map[string]string{}
	known := producers()
	for _, a := range c.list("name-attribution") {
		i := strings.LastIndexByte(a, ':')
		if i < 0 {
			return fmt.Errorf("%s: %s: name-attribution %q has no producer", source, entry, a)
		}
		p, ok := known[a[i+1:]]
		if !ok {
			return fmt.Errorf("%s: %s: producer %q is not in the list of this program; MISP's clusters/producer.json has its name", source, entry, a[i+1:])
		}
		n := strings.TrimSpace(a[:i])
		vendor[n] = strings.TrimPrefix(vendor[n]+", "+p, ", ")
	}
	main := strings.TrimSpace(c.Value)
	g.names = append(g.names, row(source, entry, "main", main, vendor[main]))
	for _, n := range c.list("synonyms") {
		if n = strings.TrimSpace(n); n != "" && n != main {
			g.names = append(g.names, row(source, entry, "other", n, vendor[n]))
		}
	}
	return nil
}

// mapping reads Microsoft's own mapping.
func (g *generator) mapping(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var rows []struct {
		Name   string `json:"Threat actor name"`
		Others string `json:"Other names"`
	}
	if err := json.Unmarshal(b, &rows); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, r := range rows {
		name := strings.TrimSpace(r.Name)
		g.names = append(g.names, row("microsoft", name, "main", name, "Microsoft"))
		for n := range strings.SplitSeq(r.Others, ",") {
			if n = strings.TrimSpace(n); n != "" && n != name {
				g.names = append(g.names, row("microsoft", name, "other", n, ""))
			}
		}
	}
	return nil
}

// relate writes what an entry's relations to other entries say. MITRE says
// which group replaced another; every other relation is MISP's.
func (g *generator) relate(c cluster) {
	from := g.places[c.UUID]
	for _, r := range c.Related {
		to, ok := g.places[r.Dest]
		if !ok || to == from || r.Type == "uses" {
			continue
		}
		by, likelihood := "misp", ""
		if r.Type == "revoked-by" {
			by = "mitre"
		}
		for _, t := range r.Tags {
			if v, ok := strings.CutPrefix(t, "estimative-language:likelihood-probability="); ok {
				likelihood = strings.Trim(v, `"`)
			}
		}
		a, b := from, to
		if r.Type == "similar" && (b.source < a.source || b.source == a.source && b.entry < a.entry) {
			a, b = b, a // says the same in both directions, and often twice
		}
		g.relations = append(g.relations, row(by, a.source, a.entry, r.Type, b.source, b.entry, likelihood))
	}
}

// uses writes which techniques a group is known for by itself: those of its
// software are not the group's, and those of campaigns are not in the source.
func (g *generator) uses(id string, c cluster) {
	var ts []string
	for _, r := range c.Related {
		if t, ok := g.techniques[r.Dest]; ok && r.Type == "uses" {
			ts = append(ts, t.text("external_id"))
		}
	}
	slices.Sort(ts)
	if ts = slices.Compact(ts); len(ts) > 0 && !c.Revoked {
		g.groups = append(g.groups, row(id, strings.Join(ts, ",")))
	}
}

// patterns writes the techniques.
func (g *generator) patterns() error {
	for _, c := range g.techniques {
		id, status, successor, cloud := c.text("external_id"), "", "", ""
		var tactics []string
		for _, k := range c.list("kill_chain") {
			platform, tactic, _ := strings.Cut(k, ":")
			switch strings.TrimPrefix(platform, "attack-") {
			case "IaaS", "Office-Suite", "SaaS", "Identity-Provider", "Office-365":
				cloud = "cloud"
			case "pre-attack":
				status = "deprecated"
			}
			tactics = append(tactics, tactic)
		}
		if strings.Contains(c.Text[:min(len(c.Text), 200)], "has been deprecated") || strings.HasPrefix(c.Text, "This object is deprecated") || strings.Contains(c.Text[:min(len(c.Text), 100)], "This technique is deprecated") {
			status = "deprecated"
		}
		if c.Revoked {
			status = "revoked"
		}
		for _, r := range c.Related {
			if r.Type == "revoked-by" {
				if t, ok := g.techniques[r.Dest]; ok {
					successor = t.text("external_id")
				}
			}
		}
		name := strings.TrimSuffix(c.Value, " - "+id)
		slices.Sort(tactics)
		g.rows = append(g.rows, row(id, name, status, successor, cloud, strings.Join(slices.Compact(tactics), ",")))
	}
	if len(g.rows) == 0 {
		return fmt.Errorf("attack-patterns.json has no technique")
	}
	return nil
}

// row is one line. What would break it is made a blank.
func row(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.Join(strings.Fields(c), " ")
	}
	return strings.Join(cells, "\t")
}

// table is a whole file: its head, and its lines sorted, each once.
func table(head string, rows []string) []byte {
	slices.Sort(rows)
	return []byte("# Written by actor/gen. Sources and licences: README.md in this folder.\n#" + head + "\n" + strings.Join(slices.Compact(rows), "\n") + "\n")
}

// producers names the organizations that MISP's name-attribution points to.
// Source: MISP/misp-galaxy clusters/producer.json, commit 9434ace.
func producers() map[string]string {
	return map[string]string{
		"1c141c9b-ec78-4f86-a8ea-b02944fa5492": "Bitdefender",
		"94e95ed2-e07a-464a-9d56-a03679b9717a": "BlackBerry Blog",
		"0904b30c-a86b-402b-9a14-87bbc44648aa": "Broadcom Blog",
		"adb3369a-5683-46b2-bceb-4dafa6526b21": "Check Point",
		"0adf6f0f-3795-4de1-9763-1bdd1c31a5d7": "Cisco Talos Intelligence Group",
		"f9eb432f-2293-48b7-bca4-cc78beb50df0": "CrowdStrike",
		"e4ed3168-7830-490f-9eed-d1b3ef2daccd": "Dragos",
		"58d7efca-402a-4b36-9178-dc14e52f12e5": "Elastic",
		"3a43aca5-6366-4168-b182-a8afec4550b5": "ESET",
		"bfafdca5-3171-4953-86ab-c74f44822fd3": "Fortinet",
		"4c94ea8e-6bbd-4638-b7ba-34354cfa2281": "Fox-IT",
		"598308b3-5475-48c6-9a2c-676fe1d2c6fb": "Google Cloud Blog",
		"21afba9e-cd2a-45c9-b421-b1f14fd181e9": "Group-IB",
		"ac46bac7-e7b5-4efe-8f32-b79e9015ab86": "Intezer",
		"0d4886f9-97e1-4cb2-8822-580fd09540e5": "Kaspersky",
		"f063b54b-293c-4713-87c1-92ff760ee4ba": "Malwarebytes",
		"da5cdcd1-7b15-4371-b7eb-ca32916d2052": "Mandiant",
		"b8ca0932-c4cb-45c0-b7b1-88b9685ba24b": "McAfee Labs",
		"d0c33595-b684-45ef-91c3-e2f5ce1a8191": "Microsoft",
		"a1ad5090-2487-46d2-8237-6151a2dd5063": "MITRE",
		"e9491d3b-2174-47d6-8a15-ecec552d16ae": "Palo Alto",
		"cae79680-67a6-4411-903c-f824dbcc813f": "Proofpoint",
		"9f2ba728-8b29-48f9-badf-4f4cefb929f0": "PwC",
		"adc57f66-9910-4500-a16b-311cd4f08409": "Rapid7",
		"ad7032df-0e9a-4ea9-b35c-c68ff854be80": "Recorded Future",
		"a7119872-bc6b-494b-9f7a-8c50faaf53a9": "Secureworks",
		"996c48de-7bb8-414d-b6fe-ec94abb5f461": "SentinelOne",
		"455b9e40-e8dd-443b-87b3-c70bd09b4231": "Sophos",
		"e583434b-7fb8-42c8-90ce-89aa8ed35f0c": "Symantec",
		"3176f708-da5b-4c41-926b-0a94ebeb0e3b": "Trellix",
		"3ac8f6fc-9c04-4ebd-bda2-788cc02fe4ed": "Trend Micro",
		"c2f76813-f24c-450e-abfd-0db4495ab68e": "Volexity",
		"d597f230-4f70-43cb-817e-c745efd4fe35": "WithSecure",
		"1427d7df-a9b8-4809-afe0-1180cfdd930d": "Zscaler",
	}
}
