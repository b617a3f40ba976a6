package investigate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/store"
)

// assumed lists the applications that read mail without a user and that
// nothing is held against, so that silence about one is never a clearance.
func (w *world) assumed(ctx context.Context, q store.Querier, c *casefile.Case) ([]casefile.Assumed, error) {
	readers, err := detect.MailReaders(ctx, q)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, p := range c.Campaigns {
		for _, a := range p.Apps {
			for _, id := range append([]string{a.ID}, a.ServicePrincipals...) {
				held[w.ids.root(id)] = true
			}
		}
	}
	slight := map[string][]string{}
	for i := range c.Findings {
		f := &c.Findings[i]
		for _, e := range f.Entities {
			if e.Kind != casefile.App && e.Kind != casefile.ServicePrincipal && e.Kind != casefile.AppObject {
				continue
			}
			root := w.ids.root(e.ID)
			if f.Severity.Rank() >= casefile.Medium.Rank() {
				held[root] = true
			} else {
				slight[root] = addTo(slight[root], []string{f.ID})
			}
		}
	}
	var out []casefile.Assumed
	for i := range readers {
		r := &readers[i]
		root := w.ids.root(r.App)
		if held[root] {
			continue
		}
		out = append(out, casefile.Assumed{
			App: r.App, ServicePrincipals: r.ServicePrincipals, Name: r.Name, Tenant: r.Tenant,
			Since: casefile.TimeOf(r.Since), SinceStart: sinceStart(r), Last: casefile.TimeOf(r.Last), Days: r.Days, Records: r.Records,
			Mailboxes: r.Mailboxes, MailboxesRepeated: r.Repeated, Networks: r.Networks, Credentials: r.Keys,
			Why: assumedWhy(r, len(slight[root])), Findings: slight[root], Events: r.Events,
		})
	}
	slices.SortStableFunc(out, func(a, b casefile.Assumed) int {
		if a.Mailboxes != b.Mailboxes {
			return int(b.Mailboxes - a.Mailboxes)
		}
		return strings.Compare(a.Tenant+" "+a.App, b.Tenant+" "+b.App)
	})
	return out, nil
}

// sinceStart reports whether an application read so early that it may have
// read before the evidence.
func sinceStart(r *detect.Reader) bool { return r.Since.Sub(r.Start) < 7*24*time.Hour }

// fewBoxes is up to how many mailboxes are few for a product.
const fewBoxes = 20

// assumedWhy says what speaks for an application and what does not.
func assumedWhy(r *detect.Reader, findings int) string {
	var s []string
	if sinceStart(r) {
		s = append(s, "It read from the first week of the records on, so when it began, and who brought it in, is not in the evidence.")
	} else {
		s = append(s, fmt.Sprintf("It began to read %.0f days into the records.", r.Since.Sub(r.Start).Hours()/24))
	}
	switch n := len(r.Networks); {
	case n == 0:
		s = append(s, "From which networks it reads is not recorded.")
	case n <= 3:
		s = append(s, fmt.Sprintf("It acted from %s all the time, as products do.", plural(n, "network", "networks")))
	default:
		s = append(s, fmt.Sprintf("It acted from %d networks, which it used again and again.", n))
	}
	switch n := len(r.Keys); {
	case r.SignedIn.IsZero():
		s = append(s, "Its sign-ins are not in the evidence, so with which credential it reads is not known.")
	case n == 1:
		s = append(s, "It signed in with one credential.")
	case n > 1:
		s = append(s, fmt.Sprintf("It signed in with %d credentials.", n))
	}
	if r.Mailboxes <= fewBoxes && r.Repeated > 0 {
		s = append(s, fmt.Sprintf("It reads few mailboxes, and %s on three days or more: check that they belong together, as those of a department do.", fmt.Sprintf("%d of them", r.Repeated)))
	}
	if findings == 0 {
		s = append(s, "No detector found anything about it.")
	} else {
		s = append(s, fmt.Sprintf("Of it there %s, no more.", map[bool]string{true: "is one slight finding", false: fmt.Sprintf("are %d slight findings", findings)}[findings == 1]))
	}
	return strings.Join(s, " ") + " That is an assumption and not a clearance: confirm that the organization knows this product, and who holds its credentials."
}
