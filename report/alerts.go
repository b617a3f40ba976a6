package report

import (
	"fmt"
	"strings"
)

// AlertWords says how many findings there are to be looked at, and how many
// there would be if nobody were there.
func (p *page) AlertWords() (out []string) {
	a := &p.Case.Alerts
	if a.TenantDays == 0 {
		return nil
	}
	s := fmt.Sprintf("Of medium severity or more: %s in %s, in %s.", plural(a.Raised, "finding"), plural(int64(a.TenantDays+0.5), "day of evidence/days of evidence"), plural(a.Incidents, "incident"))
	if a.Expected > 0 {
		s += fmt.Sprintf(" If nobody were there, these detectors would be expected to raise about %.2g: %.2g a tenant and day.", a.Expected, a.PerDay)
	}
	out = append(out, s)
	if len(a.Over) > 0 {
		var who []string
		for _, o := range a.Over {
			who = append(who, fmt.Sprintf("%s %d, expected %.2g", o.Detector, o.Raised, o.Expected))
		}
		out = append(out, "Far more than their share: "+strings.Join(who, "; ")+". Either somebody is there, or something here is usual that is not elsewhere.")
	}
	if len(a.Unknown) > 0 {
		out = append(out, "How often these are wrong is not known: "+strings.Join(a.Unknown, ", ")+".")
	}
	return out
}
