// Package detect asks the event store whether somebody is in.
//
// A [Detector] is a question: SQL that does the counting inside the engine,
// and a small Go function that decides on the few rows that come back. Each
// lives in a file of its own, has an identity card, and data in
// testdata/<id>/ that it must and must not find. To add one: one file, one
// line in [All], two files of test data.
//
// A finding is not a verdict on a person or an application. Joining findings
// into campaigns and saying what they reached is the business of package
// investigate.
package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// Detector asks one question.
type Detector interface {
	// Card says what the detector is; it is the same in every call.
	Card() Card
	// Detect returns what was found, in any order. It changes nothing, keeps
	// nothing between calls, and may be called for several stores at once. An
	// error means that the question could not be asked, never that nothing
	// was found.
	Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error)
}

// optional is a detector that some organizations give nothing to look for.
type optional interface {
	// Off says why there is nothing to ask and what to do about it; both are
	// empty when there is.
	Off() (reason, do string)
}

// Card is a detector's identity card.
type Card struct {
	ID             string // name of its file and of its test folder
	Title          string
	Why            string // why this matters
	FalsePositives []string
	Techniques     []string // ATT&CK ids
	Stage          string   // of a campaign, one of casefile's stages; a finding may differ
	Needs          Needs
	Helps          []Help            // logs that would make it surer, where they are missing
	Severity       casefile.Severity // the usual one; a finding may differ
	FalseAlarms    FalseAlarms
}

// Help is a log without which a detector works, and sees less.
type Help struct {
	Source  event.Source
	Classes []event.Class // any of them; empty: any record of the source
	What    string        // what it would add, to follow "without it "
}

// FalseAlarms is a detector's share of the alarms that a person can bear.
type FalseAlarms struct {
	// PerDay is how many findings of medium severity or more are expected a
	// tenant and day when nobody is there.
	PerDay float64
	// Basis says where the number comes from: the threshold's construction, or
	// a measurement.
	Basis string
}

// Budget is how many findings of medium severity or more all detectors together
// may raise a tenant and day when nobody is there: one in ten days is what a
// person who has other work still reads.
const Budget = 0.1

// Settings are what an organization tells the detectors about itself. The zero
// value is valid.
type Settings struct {
	// Canaries are accounts that nobody may use (user principal names, lower
	// case): any touch of one is a finding.
	Canaries []string
}

// Needs says which records a detector cannot do without. It needs one of the
// sources, and, where Classes is set, at least one record of one of them: a
// log that was received without a single record of a kind that every tenant
// has was exported in part.
type Needs struct {
	Sources []event.Source
	Classes []event.Class
	Fetch   string // what to fetch when they are missing, and how
}

// All lists the detectors, by theme.
func All(s Settings) []Detector {
	return slices.Concat(guessing(), identity(s), applications(), mail())
}

// guessing lists the detectors of passwords being tried.
func guessing() []Detector {
	return []Detector{failureRise{}, failuresOneAccount{}, failuresOneIP{}, guessedPassword{}, slowSpray{}}
}

// Result is what a run of detectors says.
type Result struct {
	Findings    []casefile.Finding
	Assessed    []casefile.Assessed
	NotAssessed []casefile.NotAssessed
}

// Run asks each detector whose records are there. The others are not assessed,
// which is not the same as having found nothing.
func Run(ctx context.Context, q store.Querier, detectors []Detector) (*Result, error) {
	have, err := received(ctx, q)
	if err != nil {
		return nil, err
	}
	var r Result
	q = &session{Querier: q, memo: map[string]any{}}
	for _, d := range detectors {
		card := d.Card()
		if reason := have.lacks(card.Needs); reason != "" {
			r.NotAssessed = append(r.NotAssessed, casefile.NotAssessed{
				Detector: card.ID, Title: card.Title, Reason: reason, Fetch: card.Needs.Fetch,
			})
			continue
		}
		if o, ok := d.(optional); ok {
			if reason, do := o.Off(); reason != "" {
				r.NotAssessed = append(r.NotAssessed, casefile.NotAssessed{Detector: card.ID, Title: card.Title, Reason: reason, Fetch: do})
				continue
			}
		}
		fs, err := d.Detect(ctx, q)
		if errors.Is(err, store.ErrMemory) && ctx.Err() == nil {
			// What the others found is worth more than nothing at all.
			r.NotAssessed = append(r.NotAssessed, casefile.NotAssessed{
				Detector: card.ID, Title: card.Title, Reason: "it did not fit into memory (" + oneLine(err) + ")",
				Fetch: "nothing is missing: investigate on a machine with more memory, or a part of the time",
			})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", card.ID, err)
		}
		missing := have.missing(card.Helps)
		for i := range fs {
			finish(&fs[i], card)
			fs[i].Missing = missing
		}
		r.Findings = append(r.Findings, fs...)
		r.Assessed = append(r.Assessed, casefile.Assessed{
			Detector: card.ID, Title: card.Title, Findings: len(fs), Sources: have.of(card.Needs.Sources), Limits: missing,
			FalseAlarms: card.FalseAlarms.PerDay, Basis: card.FalseAlarms.Basis,
		})
	}
	casefile.SortFindings(r.Findings)
	slices.SortFunc(r.Assessed, func(a, b casefile.Assessed) int { return strings.Compare(a.Detector, b.Detector) })
	slices.SortFunc(r.NotAssessed, func(a, b casefile.NotAssessed) int { return strings.Compare(a.Detector, b.Detector) })
	return &r, nil
}

// oneLine is the first line of an error's text.
func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// finish fills in what follows from the card and from the finding's content.
func finish(f *casefile.Finding, card Card) {
	f.Detector = card.ID
	if f.Title == "" {
		f.Title = card.Title
	}
	if f.Severity == "" {
		f.Severity = card.Severity
	}
	if f.Stage == "" {
		f.Stage = card.Stage
	}
	f.Techniques = casefile.Unique(append(f.Techniques, card.Techniques...))
	f.Entities = casefile.SortEntities(f.Entities)
	if f.Detected.IsZero() {
		f.Detected = f.First
	}
	if f.EventCount == 0 {
		f.EventCount = int64(len(f.Events))
	}
	parts := []string{f.Detector, f.Tenant, f.First.String()}
	for _, e := range f.Entities {
		if e.Role != casefile.RoleVictim {
			parts = append(parts, string(e.Kind), e.ID)
		}
	}
	f.ID = casefile.ID("f", append(parts, f.Events...)...)
}

// inventory says which records the store has.
type inventory map[event.Source]map[event.Class]int64

func received(ctx context.Context, q store.Querier) (inventory, error) {
	inv := inventory{}
	err := store.Each(ctx, q, `SELECT source, class, count(*) FROM events GROUP BY source, class`, nil, func(scan scanner) error {
		var s, c string
		var n int64
		if err := scan(&s, &c, &n); err != nil {
			return err
		}
		if inv[event.Source(s)] == nil {
			inv[event.Source(s)] = map[event.Class]int64{}
		}
		inv[event.Source(s)][event.Class(c)] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("which logs were received: %w", err)
	}
	return inv, nil
}

// lacks says why needs are not met, or nothing when they are.
func (inv inventory) lacks(n Needs) string {
	var names []string
	got := false
	for _, s := range n.Sources {
		names = append(names, sourceName(s))
		for _, c := range n.Classes {
			if inv[s][c] > 0 {
				return ""
			}
		}
		got = got || len(inv[s]) > 0
	}
	switch {
	case !got:
		return "none of these logs was received: " + strings.Join(names, ", ")
	case len(n.Classes) > 0:
		return "the logs that were received hold no record of the kind: " + classNames(n.Classes)
	}
	return ""
}

// missing says, for each help that is not there, what it would add.
func (inv inventory) missing(hs []Help) (out []string) {
	for _, h := range hs {
		there := len(h.Classes) == 0 && len(inv[h.Source]) > 0
		for _, c := range h.Classes {
			there = there || inv[h.Source][c] > 0
		}
		if there {
			continue
		}
		name := sourceName(h.Source)
		if len(h.Classes) > 0 && len(inv[h.Source]) > 0 {
			name += ", records of " + classNames(h.Classes)
		}
		out = append(out, name+": without it "+h.What)
	}
	return out
}

// of lists those of the sources that were received.
func (inv inventory) of(ss []event.Source) (out []string) {
	for _, s := range ss {
		if len(inv[s]) > 0 {
			out = append(out, string(s))
		}
	}
	slices.Sort(out)
	return out
}

func classNames(cs []event.Class) string {
	var out []string
	for _, c := range cs {
		out = append(out, strings.ReplaceAll(string(c), "_", " "))
	}
	return strings.Join(out, ", ")
}

func sourceName(s event.Source) string {
	switch s {
	case event.UAL:
		return "Microsoft 365 unified audit log"
	case event.SignIn:
		return "Entra sign-in logs"
	case event.DirectoryLog:
		return "Entra audit log"
	case event.GraphActivity:
		return "Microsoft Graph activity logs"
	case event.MessageTrace:
		return "Exchange message trace"
	case event.Okta:
		return "Okta System Log"
	case event.Google:
		return "Google Workspace audit logs"
	}
	return string(s)
}

// directoryNeeds is met by any record of a change in the directory.
func directoryNeeds() Needs {
	return Needs{
		Sources: []event.Source{event.UAL, event.DirectoryLog, event.Google},
		Classes: []event.Class{
			event.ClassConsent, event.ClassAppRoleGrant, event.ClassDelegatedGrant, event.ClassPermissionRequest, event.ClassCredentialAdd,
			event.ClassAppCreate, event.ClassSPCreate, event.ClassAppUpdate, event.ClassUserCreate, event.ClassUserUpdate, event.ClassRoleAdd, event.ClassGroupAdd,
			event.ClassOwnerAdd, event.ClassAuthMethod, event.ClassPasswordReset,
		},
		Fetch: "Entra audit log (auditLogs/directoryAudits, kept 7 days without and 30 days with a P1 licence), or the unified audit log with workload AzureActiveDirectory (180 days)",
	}
}

// signInNeeds is met by any sign-in record.
func signInNeeds() Needs {
	return Needs{
		Sources: []event.Source{event.SignIn, event.UAL, event.Okta, event.Google},
		Classes: []event.Class{event.ClassSignIn},
		Fetch:   "Entra sign-in logs of all four kinds (Graph /beta auditLogs/signIns, kept 7 or 30 days), or the unified audit log's UserLoggedIn and UserLoginFailed (180 days)",
	}
}

// mailNeeds is met by any record of mail being read.
func mailNeeds() Needs {
	return Needs{
		Sources: []event.Source{event.UAL, event.Google},
		Classes: []event.Class{event.ClassMailAccess, event.ClassAttachmentAccess},
		Fetch:   "unified audit log, operation MailItemsAccessed (needs an E5 licence or, since 2024, E3 with mailbox auditing on)",
	}
}

// exchangeNeeds is met by any record of Exchange.
func exchangeNeeds() Needs {
	return Needs{
		Sources: []event.Source{event.UAL, event.Google},
		Classes: []event.Class{
			event.ClassInboxRule, event.ClassForwarding, event.ClassTransportRule, event.ClassMailboxPermission, event.ClassAdmin, event.ClassAuditChange,
			event.ClassMailAccess, event.ClassMailSend, event.ClassMailChange, event.ClassMailDelete,
		},
		Fetch: "unified audit log, workload Exchange (New-InboxRule, Set-InboxRule, UpdateInboxRules, Set-Mailbox, New-TransportRule)",
	}
}
