package report

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/internal/schematest"
)

func bundleOf(t *testing.T, c *casefile.Case, o Options) (id string, objects []map[string]any) {
	t.Helper()
	var b struct {
		Type, ID string
		Objects  []map[string]any
	}
	if err := json.Unmarshal(render(t, STIX{}, "stix.json", c, o), &b); err != nil {
		t.Fatal(err)
	}
	if b.Type != "bundle" {
		t.Fatalf("type is %q", b.Type)
	}
	return b.ID, b.Objects
}

func ofType(objects []map[string]any, kind string) (out []map[string]any) {
	for _, o := range objects {
		if o["type"] == kind {
			out = append(out, o)
		}
	}
	return out
}

// stixRequired is what STIX 2.1 requires of each type that we write, besides
// type, id and spec_version. nil: a type that we do not write.
func stixRequired(kind string) []string {
	domain := []string{"created", "modified"}
	switch kind {
	case "marking-definition":
		return []string{"created", "definition_type", "definition"}
	case "identity", "campaign", "attack-pattern":
		return append(domain, "name")
	case "report":
		return append(domain, "name", "published", "object_refs")
	case "relationship":
		return append(domain, "relationship_type", "source_ref", "target_ref")
	case "sighting":
		return append(domain, "sighting_of_ref")
	case "observed-data":
		return append(domain, "first_observed", "last_observed", "number_observed", "object_refs")
	case "autonomous-system":
		return []string{"number"}
	case "ipv4-addr", "ipv6-addr", "email-addr":
		return []string{"value"}
	case "email-message":
		return []string{"is_multipart"}
	case "software":
		return []string{"name"}
	case "user-account":
		return []string{"id"} // and one of its own, which is checked below
	}
	return nil
}

// Every object has what the specification requires: properties, ids, times in
// order, references that the bundle holds.
func TestSTIXIsABundle(t *testing.T) {
	id := regexp.MustCompile(`^([a-z0-9-]+)--[0-9a-f]{8}-[0-9a-f]{4}-([45])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for name, c := range map[string]*casefile.Case{"case": readCase(t, "case"), "quiet": readCase(t, "quiet"), "empty": {}, "hostile": hostileCase(), "large": largeCase(300, 3)} {
		of, objects := bundleOf(t, c, Options{})
		if !id.MatchString(of) {
			t.Errorf("%s: the bundle's id is %q", name, of)
		}
		have := map[string]bool{}
		for _, o := range objects {
			if have[o["id"].(string)] {
				t.Errorf("%s: %s is there twice", name, o["id"])
			}
			have[o["id"].(string)] = true
		}
		for _, o := range objects {
			kind, _ := o["type"].(string)
			m := id.FindStringSubmatch(o["id"].(string))
			if m == nil || m[1] != kind || o["spec_version"] != "2.1" || kind != "marking-definition" && (m[2] == "4") != (kind == "email-message") {
				t.Errorf("%s: %v of type %q", name, o["id"], kind)
			}
			need := stixRequired(kind)
			if need == nil {
				t.Errorf("%s: type %q", name, kind)
			}
			for _, p := range need {
				if v, ok := o[p]; !ok || v == "" {
					t.Errorf("%s: %s has no %s", name, o["id"], p)
				}
			}
			if kind == "user-account" && o["account_login"] == nil && o["user_id"] == nil {
				t.Errorf("%s: %s names no account", name, o["id"])
			}
			for p, v := range o {
				switch list, ok := v.([]any); {
				case strings.HasSuffix(p, "_ref"):
					if !have[v.(string)] {
						t.Errorf("%s: %s.%s is %s, which is not in the bundle", name, o["id"], p, v)
					}
				case strings.HasSuffix(p, "_refs"):
					if !ok || len(list) == 0 {
						t.Errorf("%s: %s.%s is empty", name, o["id"], p)
					}
					for _, x := range list {
						if !have[x.(string)] {
							t.Errorf("%s: %s.%s has %s, which is not in the bundle", name, o["id"], p, x)
						}
					}
				case v == nil || ok && len(list) == 0:
					t.Errorf("%s: %s.%s is nothing", name, o["id"], p)
				}
			}
			for _, p := range [][2]string{{"created", "modified"}, {"first_seen", "last_seen"}, {"first_observed", "last_observed"}, {"start_time", "stop_time"}} {
				var at [2]time.Time
				for i, k := range p {
					if s, ok := o[k].(string); ok {
						var err error
						if at[i], err = time.Parse("2006-01-02T15:04:05.000Z", s); err != nil {
							t.Errorf("%s: %s.%s: %v", name, o["id"], k, err)
						}
					}
				}
				if !at[1].IsZero() && at[1].Before(at[0]) {
					t.Errorf("%s: %s: %s is before %s", name, o["id"], p[1], p[0])
				}
			}
		}
		r := ofType(objects, "report")
		if len(r) != 1 || len(r[0]["object_refs"].([]any)) != len(objects)-2 {
			t.Errorf("%s: the report does not hold all objects but itself and the marking", name)
		}
	}
}

// Ids of observables are those that other producers make of the same things.
// The expected ones were made by OASIS' Python library stix2, version 3.
func TestSTIXObservableIDs(t *testing.T) {
	c := &casefile.Case{Campaigns: []casefile.Campaign{{
		IPs:       []casefile.IPRef{{IP: "198.51.100.3", ASN: 64500, ASOrg: "x"}},
		Mailboxes: []casefile.MailboxRef{{UPN: "a@x.example"}},
		Accounts:  []casefile.AccountRef{{UPN: "a@x.example", ID: "u"}},
		Apps:      []casefile.AppRef{{Name: "Legacy <Mail> & Test"}},
	}}}
	_, objects := bundleOf(t, c, Options{})
	for kind, want := range map[string]string{
		"ipv4-addr": "28bb3599-77cd-5a82-a950-b5bc3caf07c4", "email-addr": "5fc28414-10ce-585a-bb52-fb4b8a0e4794", "autonomous-system": "0a5f7072-df00-5729-9f0a-4eb18631a446",
		"user-account": "2db4c29c-c39d-5871-90bf-1d5e76aa36b4", "software": "c6f4c52e-2799-5616-b82b-a6e596575a2a",
	} {
		if got := ofType(objects, kind); len(got) != 1 || got[0]["id"] != kind+"--"+want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

func TestSTIXSaysNoMoreThanTheCase(t *testing.T) {
	c := readCase(t, "case")
	k := c.Campaigns[0]
	_, objects := bundleOf(t, c, Options{})
	for kind, want := range map[string]int{"campaign": len(c.Campaigns), "attack-pattern": len(k.Techniques), "software": len(k.Apps), "user-account": len(k.Accounts), "email-addr": len(k.Mailboxes), "indicator": 0, "threat-actor": 0, "intrusion-set": 0, "sighting": 1} {
		if got := len(ofType(objects, kind)); got != want {
			t.Errorf("%d of %s, want %d", got, kind, want)
		}
	}
	text := string(render(t, STIX{}, "stix.json", c, Options{}))
	for _, s := range c.Verdict {
		if s.Kind == casefile.Absence && strings.Contains(text, s.Text) {
			t.Errorf("an absence stands without its coverage: %q", s.Text)
		}
	}
}

// What is only suspected is said with less confidence, everywhere.
func TestSTIXConfidence(t *testing.T) {
	for standing, most := range map[string]float64{"established": confidenceHigh, "suspected": confidenceLow, "": confidenceLow} {
		c := readCase(t, "case")
		c.Campaigns[0].Standing = standing
		_, objects := bundleOf(t, c, Options{})
		var all []float64
		for _, o := range objects {
			if v, ok := o["confidence"].(float64); ok {
				all = append(all, v)
			}
		}
		if len(all) == 0 || slices.Max(all) != most {
			t.Errorf("%q: confidences %v, want at most %v", standing, all, most)
		}
	}
}

func TestSTIXMarking(t *testing.T) {
	for _, tlp := range append(TLPs(), "") {
		_, objects := bundleOf(t, readCase(t, "case"), Options{TLP: tlp})
		if tlp == "" {
			tlp = "amber"
		}
		m := ofType(objects, "marking-definition")
		if len(m) != 1 || m[0]["name"] != "TLP:"+strings.ToUpper(tlp) {
			t.Fatalf("%s: markings %v", tlp, m)
		}
		for _, o := range objects {
			switch refs, ok := o["object_marking_refs"].([]any); {
			case ok && refs[0] == m[0]["id"]:
			case o["type"] == "marking-definition", o["type"] == "attack-pattern", o["name"] == "Midwatch":
			default:
				t.Errorf("%s: %s has no marking", tlp, o["id"])
			}
		}
	}
	if err := (STIX{}).Write(fullDisk{}, "stix.json", &casefile.Case{}, Options{TLP: "purple"}); err == nil || !strings.Contains(err.Error(), "white, green, amber, red") {
		t.Errorf("error is %v", err)
	}
}

// What cannot be said in STIX is left out and counted.
func TestSTIXHostile(t *testing.T) {
	hidden(t, "the bundle", render(t, STIX{}, "stix.json", hostileCase(), Options{}))
	c := &casefile.Case{Campaigns: []casefile.Campaign{{
		IPs:       []casefile.IPRef{{IP: "<script>"}, {IP: "fe80::1%eth0"}, {IP: "::ffff:192.0.2.1"}},
		Accounts:  []casefile.AccountRef{{}},
		Mailboxes: []casefile.MailboxRef{{UPN: "no address"}, {UPN: "a@x.example", Messages: []casefile.MessageRef{{InternetMessageID: "1"}, {InternetMessageID: "2"}, {ItemID: "3"}}}},
	}}}
	_, objects := bundleOf(t, c, Options{Rows: 1})
	said := ofType(objects, "report")[0]["description"].(string)
	for _, want := range []string{"4 values that are no addresses", "1 more message,", "1 message or item without a message id"} {
		if !strings.Contains(said, want) {
			t.Errorf("the report does not count %q: %s", want, said)
		}
	}
	if got := ofType(objects, "ipv4-addr"); len(got) != 1 || got[0]["value"] != "192.0.2.1" {
		t.Errorf("addresses are %v", got)
	}
}

// Bundles hold in OASIS' own schemas.
func TestSTIXSchema(t *testing.T) {
	schema := schematest.STIX(t)
	for name, c := range map[string]*casefile.Case{"case": readCase(t, "case"), "quiet": readCase(t, "quiet"), "empty": {}, "hostile": hostileCase(), "large": largeCase(60, 2)} {
		for _, tlp := range TLPs() {
			if tlp != DefaultTLP && name != "quiet" { // nothing but the marking differs
				continue
			}
			if err := schema.Check(render(t, STIX{}, "stix.json", c, Options{TLP: tlp})); err != nil {
				t.Errorf("%s, TLP:%s: %v", name, tlp, err)
			}
		}
	}
}

// What OASIS' schemas would not let pass, object by object.
func TestSTIXSchemaRefuses(t *testing.T) {
	schema := schematest.STIX(t)
	bundle := render(t, STIX{}, "stix.json", readCase(t, "case"), Options{})
	refuses := func(what string, breaks func(objects []any, i int) bool) {
		var whole map[string]any
		if err := json.Unmarshal(bundle, &whole); err != nil {
			t.Fatal(err)
		}
		n, kinds := len(whole["objects"].([]any)), map[string]bool{}
		for i := range n {
			var b map[string]any
			if err := json.Unmarshal(bundle, &b); err != nil {
				t.Fatal(err)
			}
			objects := b["objects"].([]any)
			kind := objects[i].(map[string]any)["type"].(string)
			if kinds[kind] || !breaks(objects, i) { // one of each kind
				continue
			}
			kinds[kind] = true
			broken, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if schema.Check(broken) == nil {
				t.Errorf("%s of %s was let pass", what, kind)
			}
		}
		if len(kinds) == 0 {
			t.Errorf("%s: done to no object", what)
		}
	}
	for _, p := range []string{"id", "type"} {
		refuses("no "+p, func(objects []any, i int) bool { delete(objects[i].(map[string]any), p); return true })
	}
	for _, p := range []string{"created", "modified", "published", "first_seen", "last_seen", "first_observed", "last_observed"} {
		refuses("a "+p+" that is no time", func(objects []any, i int) bool {
			o := objects[i].(map[string]any)
			_, ok := o[p]
			o[p] = "yesterday"
			return ok
		})
	}
	refuses("a type that there is not", func(objects []any, i int) bool { objects[i].(map[string]any)["type"] = "intruder"; return true })
	refuses("an id of another form", func(objects []any, i int) bool { objects[i].(map[string]any)["id"] = "1"; return true })
	refuses("a confidence of 101", func(objects []any, i int) bool {
		o := objects[i].(map[string]any)
		_, ok := o["confidence"]
		o["confidence"] = 101
		return ok
	})
	required := func(p string) {
		refuses("no "+p, func(objects []any, i int) bool {
			o := objects[i].(map[string]any)
			need := stixRequired(o["type"].(string))
			_, ok := o[p]
			delete(o, p)
			return ok && slices.Contains(need, p)
		})
	}
	for _, p := range []string{"created", "modified", "name", "published", "object_refs", "relationship_type", "source_ref", "target_ref", "sighting_of_ref", "first_observed", "last_observed", "number_observed", "number", "value", "is_multipart"} {
		required(p)
	}
}
