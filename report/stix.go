package report

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // UUID version 5 is made of SHA-1; nothing secret rests on it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"midwatch/actor"
	"midwatch/casefile"
)

// STIX writes the case as a STIX 2.1 bundle, for platforms that exchange what
// is known of intrusions: campaigns, what they used and reached, what was
// observed of it, and a report that holds all of it together.
//
// It states facts of this case. It makes no indicators, since an address that
// an intruder used is not malicious for others, and no threat actor: see
// package actor. Ids are version 5, so that the same case gives the same
// objects. Source: OASIS, STIX Version 2.1.
type STIX struct{}

// Name implements [Format].
func (STIX) Name() string { return "stix" }

// Doc implements [Format].
func (STIX) Doc() string {
	return "stix.json: campaigns, what they used and reached, as a STIX 2.1 bundle with a TLP marking"
}

// Files implements [Format].
func (STIX) Files() []string { return []string{"stix.json"} }

// TLPs lists the markings of the Traffic Light Protocol that [Options.TLP] may
// name, the most open first. They are those of version 1, which STIX 2.1 defines.
func TLPs() []string { return []string{"white", "green", "amber", "red"} }

// DefaultTLP is the marking when Options.TLP is empty.
const DefaultTLP = "amber"

// tlpMarking gives the id that STIX 2.1, section 7.2.1.4, fixes for a marking.
func tlpMarking(tlp string) (id string, ok bool) {
	switch tlp {
	case "white":
		return "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", true
	case "green":
		return "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", true
	case "amber":
		return "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", true
	case "red":
		return "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", true
	}
	return "", false
}

// Write implements [Format].
func (f STIX) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	tlp := cmp.Or(o.TLP, DefaultTLP)
	marking, ok := tlpMarking(tlp)
	if !ok {
		return fmt.Errorf("no TLP marking %q; there are %s", tlp, strings.Join(TLPs(), ", "))
	}
	table, err := actor.Load()
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	b := &bundle{c: shown(c), table: table, marking: marking, most: o.rows(), at: map[string]int{}}
	b.add(stixObject{
		"type": "marking-definition", "spec_version": "2.1", "id": marking, "created": "2017-01-20T00:00:00.000Z", "definition_type": "tlp",
		"name": "TLP:" + strings.ToUpper(tlp), "definition": stixObject{"tlp": tlp},
	})
	b.fill()
	all, err := compact(b.objects)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if err := writeJSON(w, stixObject{"type": "bundle", "id": "bundle--" + uuid5(stixOurs(), all), "objects": b.objects}); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// stixObject is one object; encoding/json sorts its keys.
type stixObject map[string]any

// bundle collects objects, each once.
type bundle struct {
	c       *casefile.Case
	table   *actor.Table
	marking string
	most    int // messages
	objects []stixObject
	at      map[string]int // id -> place in objects
	us      string         // identity of the producer

	messages, unnamed, unreadable int // left out: too many, without a message id, no address
}

func (b *bundle) add(o stixObject) string {
	id := o["id"].(string)
	if _, ok := b.at[id]; !ok {
		b.at[id] = len(b.objects)
		b.objects = append(b.objects, o)
	}
	return id
}

// Namespaces: the one that STIX 2.1, section 2.9, fixes for cyber observables,
// and ours, made of it.
const stixObservables = "00abedb4-aa42-466c-9c01-fed23315a9b7"

func stixOurs() string { return uuid5(stixObservables, "midwatch") }

// uuid5 makes a UUID of a namespace and a name. Source: RFC 9562, section 5.5.
func uuid5(namespace, name string) string { return uuidOf(5, namespace, name) }

// uuidOf makes a UUID that says it is of a version. Of version 4, whose bits
// are anyone's, it makes one that is the same again.
func uuidOf(version byte, namespace, name string) string {
	ns, _ := hex.DecodeString(strings.ReplaceAll(namespace, "-", "")) // ours, always well formed
	sum := sha1.Sum(append(ns, name...))                              //nolint:gosec // see above
	sum[6], sum[8] = sum[6]&0x0f|version<<4, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// compact writes v as RFC 8785 has it, as far as our values need: keys sorted,
// no blanks, no escapes of HTML. Control characters are gone by now, see shown.
func compact(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// observable adds a cyber observable. contributing are the properties that its
// id is made of.
func (b *bundle) observable(kind string, contributing, others stixObject) string {
	name, err := compact(contributing)
	if err != nil { // strings and numbers can always be encoded
		name = fmt.Sprint(contributing)
	}
	return b.observableAs(kind+"--"+uuid5(stixObservables, name), kind, contributing, others)
}

func (b *bundle) observableAs(id, kind string, parts ...stixObject) string {
	o := stixObject{"type": kind, "spec_version": "2.1", "id": id, "object_marking_refs": []string{b.marking}}
	for _, p := range parts {
		for k, v := range p {
			o[k] = v
		}
	}
	return b.add(o)
}

// domain adds an object of ours that belongs to this case. key tells it from
// others of its kind.
func (b *bundle) domain(kind, key string, with stixObject) string {
	made := b.made()
	o := stixObject{
		"type": kind, "spec_version": "2.1", "id": kind + "--" + uuid5(stixOurs(), strings.Join([]string{b.c.Case.ID, kind, key}, "\x00")),
		"created": made, "modified": made, "created_by_ref": b.us, "object_marking_refs": []string{b.marking},
	}
	for k, v := range with {
		o[k] = v
	}
	return b.add(o)
}

// public adds an object that is the same in all cases, and nobody's secret.
func (b *bundle) public(kind, key string, with stixObject) string {
	const made = "2024-01-01T00:00:00.000Z"
	o := stixObject{"type": kind, "spec_version": "2.1", "id": kind + "--" + uuid5(stixOurs(), kind+"\x00"+key), "created": made, "modified": made}
	for k, v := range with {
		o[k] = v
	}
	return b.add(o)
}

// caseMade is when the case came to say what it says, without a clock: the last
// record, or the last decision of people after it.
func caseMade(c *casefile.Case) casefile.Time {
	t := c.Case.Last
	for _, o := range c.Overrides {
		t = casefile.Later(t, o.Time)
	}
	return t
}

func (b *bundle) made() string {
	return cmp.Or(stixTime(caseMade(b.c)), "1970-01-01T00:00:00.000Z")
}

// stixTime has milliseconds, as created and modified must; empty: not known.
func stixTime(t casefile.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// during puts a time and a later one into an object, as far as they are known.
func (o stixObject) during(first, last string, from, to casefile.Time) stixObject {
	if !from.IsZero() {
		o[first] = stixTime(from)
	}
	if !to.IsZero() && !to.Before(from.Time) {
		o[last] = stixTime(to)
	}
	return o
}

// relate adds a relationship, once.
func (b *bundle) relate(source, kind, target, why string, confidence int, since casefile.Time) {
	o := stixObject{"relationship_type": kind, "source_ref": source, "target_ref": target, "confidence": confidence}
	if why != "" {
		o["description"] = why
	}
	b.domain("relationship", strings.Join([]string{source, kind, target}, "\x00"), o.during("start_time", "", since, casefile.Time{}))
}

// Confidence, on STIX's scale of None, Low, Med, High (appendix A).
const (
	confidenceLow  = 15
	confidenceMed  = 50
	confidenceHigh = 85
)

// standingConfidence is the confidence in a campaign, by its standing.
func standingConfidence(standing string) int {
	if standing == "established" {
		return confidenceHigh
	}
	return confidenceLow
}

// confident is never surer than the campaign that a certainty is about.
func confident(c casefile.Certainty, campaign int) int {
	switch c {
	case casefile.Confirmed:
		return min(campaign, confidenceHigh)
	case casefile.Probable:
		return min(campaign, confidenceMed)
	}
	return min(campaign, confidenceLow)
}

// refs are the ids of all objects that the report holds together.
func (b *bundle) refs() []string {
	out := []string{}
	for _, o := range b.objects {
		if id := o["id"].(string); id != b.marking {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
