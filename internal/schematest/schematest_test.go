package schematest

import (
	"encoding/json"
	"testing"
)

// A schema that lets everything pass proves nothing, so both are asked of the
// least that holds, and of that with one thing broken.

func TestOCSFRefuses(t *testing.T) {
	type object = map[string]any
	least := func() object {
		return object{
			"activity_id": 1, "category_uid": 2, "class_uid": 2004, "type_uid": 200401, "time": 0, "severity_id": 1,
			"metadata":     object{"version": "1.6.0", "product": object{"name": "x"}, "profiles": []any{"incident"}},
			"finding_info": object{"uid": "x"},
			"observables":  []any{object{"name": "finding_info.title", "type_id": 99}},
		}
	}
	for _, version := range Versions() {
		e := OCSF(t, version)
		check := func(change func(o object)) error {
			o := least()
			delete(o, "observables")
			change(o)
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			return e.Check(b)
		}
		if err := check(func(object) {}); err != nil {
			t.Fatalf("OCSF %s: the least that holds does not: %v", version, err)
		}
		for name := range least() {
			if name == "observables" { // recommended, not required
				continue
			}
			if check(func(o object) { delete(o, name) }) == nil {
				t.Errorf("OCSF %s: nothing without %s is an event", version, name)
			}
			if check(func(o object) { o[name] = "text" }) == nil {
				t.Errorf("OCSF %s: %s is no text", version, name)
			}
		}
		for what, change := range map[string]func(o object){
			"an attribute that there is not": func(o object) { o["x"] = 1 },
			"a name of another severity":     func(o object) { o["severity"] = "High" },
			"deprecated":                     func(o object) { o["ticket"] = object{"uid": "x"} },
			"deprecated below":               func(o object) { o["finding_info"] = object{"uid": "x", "product_uid": "x"} },
			"an observable that is nowhere":  func(o object) { o["observables"] = least()["observables"] },
			"a type that the place has not": func(o object) {
				o["observables"] = []any{object{"name": "finding_info.uid", "type_id": 2, "value": "x"}}
			},
		} {
			if check(change) == nil {
				t.Errorf("OCSF %s: %s was let pass", version, what)
			}
		}
		if check(func(o object) { o["severity"] = "Informational" }) != nil {
			t.Errorf("OCSF %s: the severity's own name was refused", version)
		}
	}
}

func TestSTIXRefuses(t *testing.T) {
	type object = map[string]any
	b := STIX(t)
	check := func(change func(bundle, o object)) error {
		const id = "--11111111-1111-4111-8111-111111111111"
		o := object{"type": "campaign", "spec_version": "2.1", "id": "campaign" + id, "created": "2024-01-01T00:00:00.000Z", "modified": "2024-01-01T00:00:00.000Z", "name": "x"}
		bundle := object{"type": "bundle", "id": "bundle" + id, "objects": []any{o}}
		change(bundle, o)
		text, err := json.Marshal(bundle)
		if err != nil {
			t.Fatal(err)
		}
		return b.Check(text)
	}
	if err := check(func(object, object) {}); err != nil {
		t.Fatalf("the least that holds does not: %v", err)
	}
	for what, change := range map[string]func(bundle, o object){
		"a bundle without an id":    func(bundle, _ object) { delete(bundle, "id") },
		"a bundle of another type":  func(bundle, _ object) { bundle["type"] = "report" },
		"a bundle of nothing":       func(bundle, _ object) { bundle["objects"] = []any{} },
		"no name":                   func(_, o object) { delete(o, "name") },
		"no time":                   func(_, o object) { delete(o, "created") },
		"a time without a zone":     func(_, o object) { o["modified"] = "2024-01-01T00:00:00.000" },
		"seconds only":              func(_, o object) { o["modified"] = "2024-01-01T00:00:00Z" },
		"an id of another type":     func(_, o object) { o["id"] = "report" + o["id"].(string)[len("campaign"):] },
		"a type that there is not":  func(_, o object) { o["type"], o["id"] = "intruder", "intruder"+o["id"].(string)[len("campaign"):] },
		"a confidence that is text": func(_, o object) { o["confidence"] = "high" },
		"a marking that is no id":   func(_, o object) { o["object_marking_refs"] = []any{"amber"} },
	} {
		if check(change) == nil {
			t.Errorf("%s was let pass", what)
		}
	}
}
