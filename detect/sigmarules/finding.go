package sigmarules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

// finding begins a finding of a rule.
func (r rule) finding(tenant string) casefile.Finding {
	return casefile.Finding{
		Detector: r.id, Title: r.Title, Severity: severity(r.Level), Stage: stage(r.Tags), Tenant: tenant, Techniques: techniques(r.Tags),
	}
}

// finish gives a finding its id. It depends on nothing that later records
// change, but for the first one.
func finish(f *casefile.Finding) {
	f.Entities = casefile.SortEntities(f.Entities)
	f.Detected = f.First
	parts := []string{f.Detector, f.Tenant, f.First.String()}
	for _, e := range f.Entities {
		if e.Role == casefile.RoleActor {
			parts = append(parts, string(e.Kind), e.ID)
		}
	}
	if len(f.Events) > 0 {
		parts = append(parts, f.Events[0])
	}
	f.ID = casefile.ID("f", parts...)
}

// findings makes one finding for each actor.
func (a *asker) findings(ctx context.Context, r rule, m *match) ([]casefile.Finding, error) {
	var names []string
	for n := range m.actors {
		names = append(names, n)
	}
	slices.Sort(names)
	source, cond, err := sigma.Where(r.rule, rules.Schema{})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, name := range names {
		x := m.actors[name]
		rs := x.records()
		if len(rs) == 0 {
			return nil, fmt.Errorf("the records that %q matched are gone: does something write to the store?", r.Title)
		}
		f := r.finding(m.tenant)
		f.First, f.Last = casefile.TimeOf(x.first), casefile.TimeOf(x.last)
		f.EventCount = x.n
		for _, e := range rs {
			f.Events = append(f.Events, e.id)
			f.Entities = append(f.Entities, entities(e)...)
		}
		if x.n > int64(len(f.Events)) {
			f.EventsQuery = fmt.Sprintf("SELECT id FROM events WHERE (%s) AND (%s) AND coalesce(tenant, '') = %s AND (%s) = %s ORDER BY time, id", source, cond, quote(m.tenant), whoSQL, quote(name))
		}
		f.Counts = []casefile.Count{{Name: "records that the rule matches", Value: float64(x.n)}}
		shown, err := a.shown(ctx, r.rule, rs[0])
		if err != nil {
			return nil, err
		}
		f.Why = fmt.Sprintf("Sigma rule %q (%s) matches %s by %s%s. %s", r.Title, r.place(), plural(x.n, "record"), called(name, rs[0]), between(f), r.reads(shown))
		finish(&f)
		out = append(out, f)
	}
	return out, nil
}

// summary is the finding of a rule that is a sign of nothing in a tenant.
func (a *asker) summary(ctx context.Context, r rule, m *match, much string) (casefile.Finding, error) {
	f := r.finding(m.tenant)
	f.Severity = casefile.Info
	f.First, f.Last = casefile.TimeOf(m.first), casefile.TimeOf(m.last)
	f.EventCount = m.n
	var of int64
	for k := range m.kinds {
		of += a.kinds[k]
	}
	share, actors := maxShare*float64(of), float64(maxActors)
	f.Counts = []casefile.Count{
		{Name: "records that the rule matches", Value: float64(m.n), Limit: &share},
		{Name: "actors", Value: float64(m.actorCount()), Limit: &actors},
	}
	source, cond, err := sigma.Where(r.rule, rules.Schema{})
	if err != nil {
		return f, err
	}
	where := fmt.Sprintf("(%s) AND (%s) AND coalesce(tenant, '') = %s", source, cond, quote(m.tenant))
	f.EventsQuery = "SELECT id FROM events WHERE " + where + " ORDER BY time, id"
	// A few of them for whoever wants to look.
	var args []any
	if !m.first.IsZero() {
		where += " AND time <= ?"
		args = append(args, m.first)
	}
	err = store.Each(ctx, a.q, `SELECT CAST(id AS VARCHAR) FROM events WHERE `+where+` ORDER BY time, id LIMIT 10`, args, func(scan scanner) error {
		var id string
		err := scan(&id)
		f.Events = append(f.Events, id)
		return err
	})
	if err != nil {
		return f, err
	}
	f.Title += " (matches too much here to be a sign of anything)"
	f.Why = fmt.Sprintf("Sigma rule %q (%s) matches too much here to be a sign of anything: %s. Its author rates it %s.", r.Title, r.place(), much, level(r.Level))
	finish(&f)
	return f, nil
}

// place is where a rule stands.
func (r rule) place() string {
	if r.set == "built-in" {
		return r.set + " " + r.File
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

func level(l string) string {
	if l == "" {
		return "in no way"
	}
	return l
}

// reads says what the rule asks for, what was found, and what that is worth.
func (r rule) reads(shown string) string {
	var b strings.Builder
	if shown != "" {
		fmt.Fprintf(&b, "In the first of them %s. ", shown)
	}
	if r.rule != nil {
		fmt.Fprintf(&b, "The rule's condition is: %s. ", strings.Join(r.rule.Conditions, "; or: "))
	}
	if d := strings.Join(strings.Fields(r.Description), " "); d != "" {
		fmt.Fprintf(&b, "It says: %s ", strings.TrimSuffix(cut(d, 400), ".")+".")
	}
	fmt.Fprintf(&b, "Its author rates it %s, of any organization", level(r.Level))
	if r.Status != "" && r.Status != "stable" {
		fmt.Fprintf(&b, ", and calls it %s", r.Status)
	}
	return b.String() + "."
}

// shown tells the values of the fields that the rule asks for.
func (a *asker) shown(ctx context.Context, r *sigma.Rule, e record) (string, error) {
	var names, exprs []string
	for _, n := range r.FieldNames() {
		if x, ok := rules.Shown(r.LogSource, n); ok && len(names) < 8 {
			names, exprs = append(names, n), append(exprs, "substr("+x+", 1, 120)")
		}
	}
	if names == nil {
		return "", nil
	}
	where, args := "id = ?::UUID", []any{e.id}
	if e.time.Valid {
		where, args = "time = ? AND "+where, append([]any{e.time.Time}, e.id)
	}
	var out []string
	err := store.Each(ctx, a.q, "SELECT "+strings.Join(exprs, ", ")+" FROM events WHERE "+where, args, func(scan scanner) error {
		values, dest := make([]string, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := scan(dest...); err != nil {
			return err
		}
		for i, v := range values {
			if v != "" {
				out = append(out, fmt.Sprintf("%s is %q", names[i], v))
			}
		}
		return nil
	})
	return strings.Join(out, ", "), err
}

// entities are what a record is about. Whom it was done to is a target, which
// joins nothing by itself.
func entities(e record) []casefile.Entity {
	var es []casefile.Entity
	add := func(kind casefile.EntityKind, id, role, name string) {
		es = append(es, casefile.Entity{Kind: kind, ID: id, Role: role, Name: name})
	}
	if e.actorKind == string(event.ActorApp) || e.actorKind == string(event.ActorManaged) {
		add(casefile.App, e.appID, casefile.RoleActor, e.appName)
		add(casefile.ServicePrincipal, e.spID, casefile.RoleActor, e.appName)
		if e.appID == "" && e.spID == "" {
			add(casefile.ServicePrincipal, first(e.actorID, e.actor), casefile.RoleActor, e.appName)
		}
	} else {
		add(casefile.Account, first(e.actor, e.actorID), casefile.RoleActor, "")
	}
	if !e.service {
		add(casefile.IP, e.ip, casefile.RoleSource, "")
	}
	add(casefile.Session, e.session, casefile.RoleUsed, "")
	add(casefile.Token, e.token, casefile.RoleUsed, "")
	add(casefile.Mailbox, e.mailbox, casefile.RoleTarget, "")
	switch e.targetKind {
	case "user":
		if strings.Contains(e.target, "@") {
			add(casefile.Account, strings.ToLower(e.target), casefile.RoleTarget, "")
		}
	case "service_principal", "serviceprincipal":
		add(casefile.ServicePrincipal, e.targetID, casefile.RoleTarget, e.target)
		add(casefile.App, strings.ToLower(e.targetApp), casefile.RoleTarget, e.target)
	case "application":
		add(casefile.AppObject, e.targetID, casefile.RoleTarget, e.target)
		add(casefile.App, strings.ToLower(e.targetApp), casefile.RoleTarget, e.target)
	}
	if e.key != "" {
		role := casefile.RoleTarget
		if e.kind == string(event.ClassSignIn) {
			role = casefile.RoleUsed
		}
		add(casefile.Credential, e.key, role, "")
	}
	return es
}

// called names an actor in words.
func called(name string, e record) string {
	if name == "" {
		return nobody
	}
	if e.actorKind == string(event.ActorApp) || e.actorKind == string(event.ActorManaged) {
		if e.appName != "" && e.appName != name {
			return "application " + e.appName + " (" + name + ")"
		}
		return "application " + name
	}
	return name
}

func between(f casefile.Finding) string {
	if f.Last.After(f.First.Time) {
		return fmt.Sprintf(" from %s to %s", f.First, f.Last)
	}
	return fmt.Sprintf(" at %s", f.First)
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return strings.TrimSpace(string(r[:n])) + "…"
	}
	return s
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
