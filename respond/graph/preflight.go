package graph

import (
	"context"
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/respond"
)

// Missing says which permissions a tenant's application lacks.
type Missing struct {
	Tenant      string
	Permissions []string
	Steps       []int // numbers of the steps that need them
	Err         error // no token at all
}

// MissingError is the error of a plan that cannot be carried out whole.
type MissingError struct{ Tenants []Missing }

func (m *MissingError) Error() string {
	var parts []string
	for _, t := range m.Tenants {
		if t.Err != nil {
			parts = append(parts, fmt.Sprintf("tenant %s: %v", t.Tenant, t.Err))
			continue
		}
		parts = append(parts, fmt.Sprintf("tenant %s: the application lacks %s (steps %s)", t.Tenant, strings.Join(t.Permissions, ", "), numbers(t.Steps)))
	}
	return "nothing was changed: " + strings.Join(parts, "; ") + "; give it these and consent, or carry out the rest with --partial"
}

func numbers(ns []int) string {
	var out []string
	for _, n := range ns {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

// history reads what was done before: a plan that was begun goes on.
func (x *run) history() error {
	x.began = x.o.Now()
	es, err := x.o.Recorder.Entries()
	if err != nil {
		return fmt.Errorf("read what was done before: %w", err)
	}
	first := true
	for _, e := range es {
		switch {
		case e.What == wroteStart && e.Plan == x.p.Hash && first && !e.Began.IsZero():
			x.began, first = e.Began.Time, false
		case e.What == wroteResult && (e.State == Done || e.State == Attention):
			x.done[e.Step] = true
		}
	}
	return nil
}

// preflight compares what the steps need with what the tokens carry.
func (x *run) preflight(ctx context.Context) error {
	var missing MissingError
	for _, tenant := range x.p.Tenants {
		var steps []*respond.Step
		for i := range x.p.Steps {
			if s := &x.p.Steps[i]; s.Tenant == tenant {
				if state, _ := x.leave(s); state == "" {
					steps = append(steps, s)
				}
			}
		}
		if len(steps) == 0 {
			continue
		}
		m := Missing{Tenant: tenant}
		token, err := x.o.Tokens.Token(ctx, tenant)
		who, readable := readToken(token)
		if err != nil {
			m.Err = fmt.Errorf("no token: %w", err)
		}
		for _, s := range steps {
			if readable && who.self(s.Target.User, s.Target.App, s.Target.Principal) {
				return fmt.Errorf("nothing was changed: step %d is about the very identity that signs in to tenant %s; sign in as another, that the actor never had", s.Number, tenant)
			}
			var lack []string
			for _, need := range s.Permissions {
				if err == nil && readable && !satisfies(who.have(), need) {
					lack = append(lack, need)
				}
			}
			if who.Scope != "" && s.Kind == respond.RemoveRule {
				lack = append(lack, "MailboxSettings.ReadWrite as an application permission (a person's opens that person's mailbox only)")
			}
			switch {
			case err != nil:
				x.lacking[s.ID] = "no token for the tenant"
			case len(lack) > 0:
				m.Permissions = append(m.Permissions, lack...)
				m.Steps = append(m.Steps, s.Number)
				x.lacking[s.ID] = "the application lacks " + strings.Join(lack, ", ")
			}
		}
		if m.Permissions = casefile.Unique(m.Permissions); m.Err != nil || len(m.Permissions) > 0 {
			missing.Tenants = append(missing.Tenants, m)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(missing.Tenants) > 0 && !x.o.Partial {
		return &missing
	}
	return nil
}
