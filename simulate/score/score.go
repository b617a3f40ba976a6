// Package score compares a case with the answer key of a simulated tenant.
//
// Everything is answered with one of three, never two: right, wrong, and
// unknown, which is what a case says when it lists something as possible, as
// not to be cleared, or as not assessed. Unknown is neither a hit nor a miss,
// and is counted apart. What a case does not mention it is held to have
// cleared.
//
// Of the answer key only what the logs can hold is asked for: entities of
// tenants whose logs were not handed over, and accounts of a guessing that the
// logs have no record of, are counted and are in no rate. Of an address the key
// does not say where and when it was used, so addresses are all asked for.
//
// The package asks no store and no detector: it reads truth.json and
// case.json. It may import what made the former and the words of the latter,
// nothing else.
package score

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/simulate"
)

// Schema is the version of the score as JSON.
const Schema = "midwatch.score/1"

// The weights of the mailboxes' cost. They are a judgement, not a measurement:
// a mailbox that is falsely cleared is a person who is not told and a password
// in it that is not changed; one listed for nothing is an hour of somebody's
// work; one that cannot be cleared is a line in a list.
const (
	// FalselyClearedWeight is what a mailbox costs that was reached and that
	// the case neither lists nor says it cannot clear.
	FalselyClearedWeight = 10.0
	// OverListedWeight is what a mailbox costs that is listed as reached and
	// was not.
	OverListedWeight = 1.0
	// UnclearedWeight is what a mailbox costs that the case says it cannot
	// clear, reached or not, counted statements included.
	UnclearedWeight = 0.1
)

// minShare is how much of a set of addresses must be an actor's for them to
// speak for the actor: of the case's set, or of the actor's. One address that
// strayed in does not make a false alarm true.
const minShare = 0.2

// maxListed is how many ids of each kind of error are listed.
const maxListed = 20

// Score is what a case is worth, given the answer key.
type Score struct {
	Schema   string   `json:"schema"`
	Scenario string   `json:"scenario"`
	Seed     uint64   `json:"seed"`
	Users    int      `json:"users"`
	Days     int      `json:"days"`
	Warnings []string `json:"warnings"` // reasons to doubt that case and key belong together

	Campaigns []Campaign `json:"campaigns"` // one for each actor of the key
	Actors    Actors     `json:"actors"`    // how the case told them apart
	Entities  []Entity   `json:"entities"`  // one for each kind
	// Established is the same for the case's established campaigns alone, as
	// if it had said nothing else.
	Established []Entity   `json:"entities_established"`
	Mailboxes   Cost       `json:"mailboxes"`   // what errors about mailboxes cost
	Findings    Findings   `json:"findings"`    // right ones, false ones
	LookAlikes  LookAlikes `json:"look_alikes"` // what is benign and was joined
}

// Entity compares one kind of entity, over all campaigns.
type Entity struct {
	Kind string `json:"kind"`
	// Truth is how many there are in tenants whose logs were handed over; each
	// is Found, Unknown or Missed.
	Truth   int `json:"truth"`
	Found   int `json:"found"`
	Unknown int `json:"unknown"` // listed as possible, or said not to be cleared or assessed
	Missed  int `json:"missed"`  // not mentioned: falsely cleared
	// UnknownByCount are those of Unknown that no list names: a statement with
	// a count covers them.
	UnknownByCount int `json:"unknown_by_count"`
	Outside        int `json:"outside"` // not in the logs that were handed over; in no rate
	// Listed is how many the case claims; each is Right or Wrong.
	Listed       int `json:"listed"`
	Right        int `json:"right"`
	Wrong        int `json:"wrong"`
	Hedged       int `json:"hedged"`       // listed as possible, and not the actor's
	Unidentified int `json:"unidentified"` // listed by an id that the key cannot know; in no rate

	Precision         *float64 `json:"precision"`           // right / listed; null when nothing is listed
	Recall            *float64 `json:"recall"`              // found / truth; null when there is nothing to find
	RecallWithUnknown *float64 `json:"recall_with_unknown"` // (found + unknown) / truth

	MissedIDs []string `json:"missed_ids"` // the first 20
	WrongIDs  []string `json:"wrong_ids"`  // the first 20
}

// The kinds of entity.
const (
	Accounts    = "accounts" // in the actor's hands
	Sprayed     = "sprayed"  // accounts that were guessed at
	Apps        = "apps"
	Credentials = "credentials"
	IPs         = "ips"
	Mailboxes   = "mailboxes"
	Messages    = "messages"
)

// Campaign compares one actor's campaign with the case.
type Campaign struct {
	ID    string `json:"id"`
	Actor string `json:"actor"`
	Kind  string `json:"kind"`
	// Matched is the case's campaign that holds most of the actor's; empty
	// when none holds any.
	Matched     string   `json:"matched"`
	Overlap     float64  `json:"overlap"`  // 0..1, mean share over the kinds that the actor has
	Standing    string   `json:"standing"` // of the matched campaign
	Touching    []string `json:"touching"` // all of the case's campaigns that hold some of the actor's
	InLogs      bool     `json:"in_logs"`  // the logs have at least one of its records
	Findings    int      `json:"findings"` // findings about it
	EarlyAlarms int      `json:"early"`    // of these, raised before its first record: by something benign
	FoundAt     *Moment  `json:"found_at"` // the first finding of any severity
	// By is the first finding of each detector that found it, whatever its
	// severity.
	By         map[string]casefile.Time `json:"by"`
	AlertedAt  *Moment                  `json:"alerted_at"`  // the first finding of medium severity or more
	StartError *float64                 `json:"start_error"` // hours, case minus key's first record; null when either is not known
	// StartDeedError is the same against the first deed, recorded or not.
	StartDeedError *float64 `json:"start_deed_error"`
	AccessError    *float64 `json:"access_error"` // hours, case minus key's first record of the actor inside
	// OriginOutside says whether case and key agree on the origin being
	// outside the evidence; null without a match.
	OriginAgrees *bool `json:"origin_agrees"`
}

// Moment is when a campaign was found, in hours after what a defender would
// count from. Negative: before. Null: the logs do not have it.
type Moment struct {
	Finding      string        `json:"finding"`
	Detector     string        `json:"detector"`
	At           casefile.Time `json:"at"`
	AfterFirst   *float64      `json:"after_first"`   // first malicious record
	AfterSuccess *float64      `json:"after_success"` // first record of the actor inside
}

// Actors says how the case told the actors apart.
type Actors struct {
	Truth  int      `json:"truth"`
	Found  int      `json:"found"`
	Missed []string `json:"missed"` // actors of whom no campaign of the case holds anything
	Merged []Merge  `json:"merged"` // campaigns of the case that hold several actors
	Split  []Split  `json:"split"`  // actors whom several campaigns of the case hold
}

// Merge is a campaign of the case that holds several actors.
type Merge struct {
	Campaign string   `json:"campaign"`
	Actors   []string `json:"actors"` // ids of the key's campaigns
}

// Split is an actor whom several campaigns of the case hold.
type Split struct {
	Actor     string   `json:"actor"` // id of the key's campaign
	Campaigns []string `json:"campaigns"`
}

// Cost weighs the errors about mailboxes, with the weights of this package.
type Cost struct {
	FalselyCleared int     `json:"falsely_cleared"`
	OverListed     int     `json:"over_listed"`
	Uncleared      int     `json:"uncleared"` // listed or counted as not to be cleared
	Cost           float64 `json:"cost"`
	// What the two answers cost that need no work: nobody, and everybody.
	CostOfSilence    float64 `json:"cost_of_silence"`
	CostOfEverything float64 `json:"cost_of_everything"`
	// Value is 1 - cost / the cheaper of the two: 1 is perfect, 0 is no better
	// than an answer without work, below is worse. Null where an answer
	// without work is free.
	Value   *float64 `json:"value"`
	Weights Weights  `json:"weights"`
}

// Weights are the weights of [Cost].
type Weights struct {
	FalselyCleared float64 `json:"falsely_cleared"`
	OverListed     float64 `json:"over_listed"`
	Uncleared      float64 `json:"uncleared"`
}

// Findings counts the case's findings.
type Findings struct {
	Total int `json:"total"`
	Right int `json:"right"` // about an actor of the key
	Noise int `json:"noise"` // about somebody else's attack that went nowhere: right, and of no campaign
	// False are about neither; those of info and low severity are counted
	// apart, since nobody is woken by them.
	False      int `json:"false"`
	FalseMinor int `json:"false_minor"`
	// PerDay1000 is false ones per day and 1,000 users; null without users or
	// days.
	PerDay1000      *float64       `json:"false_per_day_1000"`
	MinorPerDay1000 *float64       `json:"false_minor_per_day_1000"`
	ByDetector      map[string]int `json:"false_by_detector"` // all severities
	// ByLookAlike says what of the key's look-alikes false findings are about.
	ByLookAlike map[string]int `json:"false_by_look_alike"`
	// Campaigns of the case that hold nothing of any actor, by standing. Those
	// about noise alone are not among them.
	FalseEstablished int `json:"false_established"`
	FalseSuspected   int `json:"false_suspected"`
	// FalseOnes are all false findings and campaigns, in the case's order.
	FalseOnes []FalseOne `json:"false_ones"`
}

// FalseOne is a false finding or campaign.
type FalseOne struct {
	ID       string            `json:"id"`
	Detector string            `json:"detector"` // empty: a campaign
	Severity casefile.Severity `json:"severity"`
	Standing string            `json:"standing"` // of a campaign
	Detected casefile.Time     `json:"detected"`
	About    string            `json:"about"` // kind of look-alike, where it is one's
}

// LookAlikes says what is benign, or somebody else's, and was joined.
type LookAlikes struct {
	Total  int      `json:"total"`
	Joined []Joined `json:"joined"`
	// Noise is other people's attacks; they are joined only when they are in a
	// campaign of an actor.
	Noise       int      `json:"noise"`
	NoiseJoined []Joined `json:"noise_joined"`
}

// Joined is a look-alike that is in a campaign of the case.
type Joined struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Campaign string `json:"campaign"`
	Standing string `json:"standing"`
	Actor    string `json:"actor"` // the key's campaign that it was joined to; empty: the case's campaign is of no actor
}

// ReadTruth reads a truth.json and refuses another schema.
func ReadTruth(r io.Reader) (*simulate.Truth, error) {
	var t simulate.Truth
	if err := json.NewDecoder(r).Decode(&t); err != nil {
		return nil, fmt.Errorf("read answer key: %w", err)
	}
	if t.Schema != simulate.TruthSchema {
		return nil, fmt.Errorf("read answer key: schema is %q, this version reads %q; is it a truth.json?", t.Schema, simulate.TruthSchema)
	}
	return &t, nil
}

// Compare scores a case. Neither argument is changed.
func Compare(t *simulate.Truth, c *casefile.Case) *Score {
	s := &Score{Schema: Schema, Scenario: t.Scenario, Seed: t.Seed, Users: t.Users, Days: t.Days, Warnings: warnings(t, c)}
	m := newMatcher(t, c)
	s.Campaigns = m.campaigns()
	s.Actors = m.actors()
	s.Entities, s.Established = m.entities(), m.only(established).entities()
	s.Mailboxes = m.cost(s.Entities)
	s.Findings = m.findings()
	s.LookAlikes = m.lookAlikes()
	return s
}

// Entity returns the comparison of a kind.
func (s *Score) Entity(kind string) Entity {
	i := slices.IndexFunc(s.Entities, func(e Entity) bool { return e.Kind == kind })
	if i < 0 {
		return Entity{Kind: kind}
	}
	return s.Entities[i]
}

// warnings says what makes it doubtful that case and key belong together.
func warnings(t *simulate.Truth, c *casefile.Case) []string {
	out := []string{}
	known := map[string]bool{}
	for _, x := range t.Tenants {
		known[fold(x.ID)] = true
	}
	var ours, others []string
	for _, x := range c.Case.Tenants {
		switch {
		case x.ID == "":
		case known[fold(x.ID)]:
			ours = append(ours, x.ID)
		default:
			others = append(others, x.ID)
		}
	}
	switch {
	case len(others) > 0 && len(ours) == 0:
		out = append(out, "the case is of other tenants than the answer key: "+strings.Join(others, ", "))
	case len(others) > 0:
		out = append(out, "the case has tenants that the answer key does not know: "+strings.Join(others, ", "))
	}
	if c.Case.Events == 0 {
		out = append(out, "the case has no events")
	}
	if t.Records == 0 {
		out = append(out, "the answer key says that no records were written")
	}
	return out
}

// established is the standing of a campaign whose steps hang together, as the
// contract of case.json has it.
const established = "established"

// fold makes ids comparable: exports differ by case.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func foldMessage(mailbox, id string) string {
	return fold(mailbox) + " " + strings.Trim(fold(id), "<>")
}

// claim is how a case lists an entity.
type claim int

const (
	absent claim = iota
	hedged       // possible, or not to be cleared
	listed       // claimed
)

type claims map[string]claim

func (cs claims) add(id string, c claim) {
	if id != "" {
		cs[id] = max(cs[id], c)
	}
}

func byCertainty(c casefile.Certainty) claim {
	if c.Rank() >= casefile.Probable.Rank() {
		return listed
	}
	return hedged
}

// compare fills in a kind. assessed is false when the case says that the kind
// was not assessed; covered says whether a folder or a window covers an id that
// is not listed.
func compare(kind string, truth map[string]bool, cs claims, assessed bool, covered func(id string) bool) Entity {
	e := Entity{Kind: kind, Truth: len(truth), MissedIDs: []string{}, WrongIDs: []string{}}
	for _, id := range slices.Sorted(maps.Keys(truth)) {
		switch {
		case cs[id] == listed:
			e.Found++
		case cs[id] == hedged || !assessed || covered != nil && covered(id):
			e.Unknown++
		default:
			e.Missed++
			e.MissedIDs = append(e.MissedIDs, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(cs)) {
		switch {
		case cs[id] == listed && truth[id]:
			e.Right++
		case cs[id] == listed:
			e.Wrong++
			e.WrongIDs = append(e.WrongIDs, id)
		case cs[id] == hedged && !truth[id]:
			e.Hedged++
		}
	}
	e.Listed = e.Right + e.Wrong
	return e
}

// byCount moves up to n missed ones to unknown: a statement with a count
// covers them without naming them. The case has the benefit of the doubt.
func (e *Entity) byCount(n int) {
	k := min(n, e.Missed)
	if k <= 0 {
		return
	}
	e.Missed, e.Unknown, e.UnknownByCount = e.Missed-k, e.Unknown+k, e.UnknownByCount+k
	e.MissedIDs = e.MissedIDs[:min(e.Missed, len(e.MissedIDs))]
}

func (e *Entity) rates() {
	e.Precision = ratio(e.Right, e.Listed)
	e.Recall = ratio(e.Found, e.Truth)
	e.RecallWithUnknown = ratio(e.Found+e.Unknown, e.Truth)
	e.MissedIDs = e.MissedIDs[:min(len(e.MissedIDs), maxListed)]
	e.WrongIDs = e.WrongIDs[:min(len(e.WrongIDs), maxListed)]
}

func ratio(n, of int) *float64 {
	if of == 0 {
		return nil
	}
	x := float64(n) / float64(of)
	return &x
}

// hours is a minus b; null when either is not known.
func hours(a, b time.Time) *float64 {
	if a.IsZero() || b.IsZero() {
		return nil
	}
	h := a.Sub(b).Hours()
	return &h
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
