package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/respond"
)

// lookAround is the step at the end: is everything still as it should be, and
// what did the actor's identities do since the plan was begun?
func (x *run) lookAround(ctx context.Context, w *work) (State, string) {
	var found []string
	for i := range x.p.Steps {
		s := &x.p.Steps[i]
		if s.Tenant != w.s.Tenant || s.Phase >= respond.Verify || s.Kind == respond.ResetPassword || s.Kind == respond.RevokeSessions {
			continue
		}
		if state, _ := x.leave(s); state != "" {
			continue
		}
		again := &work{s: s, c: w.c}
		changes, err := x.needed(ctx, again)
		switch {
		case err != nil:
			found = append(found, fmt.Sprintf("step %d: %v", s.Number, err))
		case len(changes) > 0:
			found = append(found, fmt.Sprintf("step %d is open again or still: %s", s.Number, changes[0].What))
		}
	}
	deeds, err := x.deeds(ctx, w)
	if err != nil {
		return Failed, err.Error()
	}
	found = append(found, deeds...)
	if len(found) == 0 {
		return Done, ""
	}
	return Attention, strings.Join(found, "; ") + "; apply the plan once more, and investigate the logs of today"
}

// maxDeeds is how many records of the actor's are told one by one.
const maxDeeds = 10

// deeds are the audit records since the plan was begun whose initiator is one of
// the actor's identities.
func (x *run) deeds(ctx context.Context, w *work) ([]string, error) {
	items, err := w.list(ctx, "/auditLogs/directoryAudits?$filter=activityDateTime ge "+x.began.UTC().Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	t := &w.s.Target
	one := func(ids []string, of ...string) bool {
		return slices.ContainsFunc(of, func(s string) bool {
			return s != "" && slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, s) })
		})
	}
	var out []string
	n := 0
	for _, raw := range items {
		var r struct {
			Activity string `json:"activityDisplayName"`
			Time     string `json:"activityDateTime"`
			By       struct {
				User struct {
					ID   string `json:"id"`
					Name string `json:"userPrincipalName"`
				} `json:"user"`
				App struct {
					ID        string `json:"appId"`
					Principal string `json:"servicePrincipalId"`
				} `json:"app"`
			} `json:"initiatedBy"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("an audit record: %w", err)
		}
		if !one(t.Principals, r.By.User.ID, r.By.User.Name) && !one(t.Apps, r.By.App.ID, r.By.App.Principal) {
			continue
		}
		if n++; n <= maxDeeds {
			who := r.By.User.Name + r.By.User.ID
			if r.By.User.Name != "" {
				who = r.By.User.Name
			}
			if who == "" {
				who = "application " + r.By.App.ID
			}
			out = append(out, fmt.Sprintf("%s did %q at %s", who, r.Activity, r.Time))
		}
	}
	if n > maxDeeds {
		out = append(out, fmt.Sprintf("and %d more", n-maxDeeds))
	}
	return out, nil
}
