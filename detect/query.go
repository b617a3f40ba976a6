package detect

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// scanner reads the columns of a row.
type scanner = func(dest ...any) error

// record is one event, as far as detectors look at single ones. Absent is the
// empty string.
type record struct {
	ID, Source, Tenant, Class, Operation, Outcome, Code, Reason string
	ActorKind, Actor, ActorID, AppID, AppName                   string
	ResourceID, ResourceName, SPID, KeyID, IP                   string
	SessionID, TokenID, RequestID, CorrID                       string
	Mailbox, Target, TargetID, TargetKind, Permissions, Detail  string
	Country, UserAgent                                          string
	IPService                                                   bool
	Time                                                        time.Time

	detail detail
	copies []string // ids of the same event in another log
}

// detail is what detectors read of column detail.
type detail struct {
	AppID          string            `json:"app_id"`
	AppOnly        bool              `json:"app_only"`
	ConsentAdmin   bool              `json:"consent_admin"`
	ConsentAppOnly bool              `json:"consent_app_only"`
	ConsentAll     bool              `json:"consent_all"`
	ConsentType    string            `json:"consent_type"`
	KeyName        string            `json:"key_name"`
	KeyType        string            `json:"key_type"`
	Role           string            `json:"role"`
	RoleTemplate   string            `json:"role_template"`
	User           string            `json:"user"`
	Owner          string            `json:"owner"`
	Folder         string            `json:"folder"`
	Search         string            `json:"search"`
	Forward        []string          `json:"forward"`
	RuleActions    []string          `json:"rule_actions"`
	RuleName       string            `json:"RuleName"`
	RuleCondition  string            `json:"RuleCondition"`
	RuleOperation  string            `json:"RuleOperation"`
	Params         map[string]string `json:"params"`
	Changes        []struct {
		Name string `json:"name"`
		Old  string `json:"old"`
		New  string `json:"new"`
	} `json:"changes"`
}

const recordColumns = `CAST(id AS VARCHAR), source, coalesce(tenant, ''), class, coalesce(operation, ''), coalesce(outcome, ''), coalesce(code, ''), coalesce(reason, ''),
	coalesce(actor_kind, ''), coalesce(actor, ''), coalesce(actor_id, ''), coalesce(app_id, ''), coalesce(app_name, ''),
	coalesce(resource_id, ''), coalesce(resource_name, ''), coalesce(sp_id, ''), coalesce(key_id, ''), coalesce(ip, ''),
	coalesce(session_id, ''), coalesce(token_id, ''), coalesce(request_id, ''), coalesce(corr_id, ''),
	coalesce(mailbox, ''), coalesce(target, ''), coalesce(target_id, ''), coalesce(target_kind, ''), coalesce(permissions, ''), coalesce(detail, ''),
	coalesce(country, ''), coalesce(user_agent, ''), coalesce(ip_service, false), time`

// records reads the events that satisfy a condition, in order of time. It is
// for kinds of which a tenant has few.
func records(ctx context.Context, q store.Querier, where string, args ...any) ([]record, error) {
	var out []record
	err := store.Each(ctx, q, `SELECT `+recordColumns+` FROM events WHERE `+where+` ORDER BY time, id`, args, func(scan scanner) error {
		var r record
		var t sql.NullTime
		err := scan(&r.ID, &r.Source, &r.Tenant, &r.Class, &r.Operation, &r.Outcome, &r.Code, &r.Reason,
			&r.ActorKind, &r.Actor, &r.ActorID, &r.AppID, &r.AppName,
			&r.ResourceID, &r.ResourceName, &r.SPID, &r.KeyID, &r.IP,
			&r.SessionID, &r.TokenID, &r.RequestID, &r.CorrID,
			&r.Mailbox, &r.Target, &r.TargetID, &r.TargetKind, &r.Permissions, &r.Detail,
			&r.Country, &r.UserAgent, &r.IPService, &t)
		if err != nil {
			return err
		}
		if t.Valid {
			r.Time = t.Time.UTC()
		}
		// A detail of another shape is none: parsers differ, and what
		// detectors need of it they also ask of the columns.
		_ = json.Unmarshal([]byte(r.Detail), &r.detail)
		out = append(out, r)
		return nil
	})
	return out, err
}

// oneOf merges the copies of an event that two logs hold: the unified audit
// log repeats Entra's audit log, with the same correlation id and within
// seconds. The copy that knows the address is kept.
func oneOf(rs []record) []record {
	const near = 10 * time.Second
	out := make([]record, 0, len(rs))
next:
	for _, r := range rs {
		for i := len(out) - 1; i >= 0; i-- {
			o := &out[i]
			if r.Time.Sub(o.Time) > near {
				break
			}
			if o.Source == r.Source || !sameEvent(o, &r) {
				continue
			}
			copies := append(o.copies, r.ID)
			if o.IP == "" && r.IP != "" {
				copies = append(o.copies, o.ID)
				*o, r = r, *o
			}
			o.copies = copies
			continue next
		}
		out = append(out, r)
	}
	return out
}

func sameEvent(a, b *record) bool {
	return a.Operation == b.Operation && a.TargetID == b.TargetID && a.Permissions == b.Permissions && a.KeyID == b.KeyID &&
		(a.CorrID == b.CorrID || a.CorrID == "" || b.CorrID == "")
}

// ids returns the ids of a record and its copies.
func (r *record) ids() []string { return append([]string{r.ID}, r.copies...) }

// appID is the application id of what a directory record is about.
func (r *record) targetApp() string {
	if r.detail.AppID != "" {
		return strings.ToLower(r.detail.AppID)
	}
	return ""
}

// targetEntities names the application that a directory record is about.
func (r *record) targetEntities(role string) []casefile.Entity {
	name := r.Target
	es := []casefile.Entity{{Kind: casefile.App, ID: r.targetApp(), Role: role, Name: name}}
	switch r.TargetKind {
	case "service_principal":
		es = append(es, casefile.Entity{Kind: casefile.ServicePrincipal, ID: r.TargetID, Role: role, Name: name})
	case "application":
		es = append(es, casefile.Entity{Kind: casefile.AppObject, ID: r.TargetID, Role: role, Name: name})
	}
	return es
}

// actorEntities names who did it, and from where.
func (r *record) actorEntities() []casefile.Entity {
	var es []casefile.Entity
	if r.ActorKind == string(event.ActorApp) || r.ActorKind == string(event.ActorManaged) {
		es = append(es,
			casefile.Entity{Kind: casefile.App, ID: r.AppID, Role: casefile.RoleActor, Name: r.AppName},
			casefile.Entity{Kind: casefile.ServicePrincipal, ID: r.SPID, Role: casefile.RoleActor, Name: r.AppName})
		if r.AppID == "" && r.SPID == "" {
			es = append(es, casefile.Entity{Kind: casefile.ServicePrincipal, ID: r.ActorID, Role: casefile.RoleActor, Name: r.AppName})
		}
	} else {
		es = append(es, casefile.Entity{Kind: casefile.Account, ID: r.Actor, Role: casefile.RoleActor})
	}
	if !r.IPService {
		es = append(es, casefile.Entity{Kind: casefile.IP, ID: r.IP, Role: casefile.RoleSource})
	}
	return append(es,
		casefile.Entity{Kind: casefile.Session, ID: r.SessionID, Role: casefile.RoleUsed},
		casefile.Entity{Kind: casefile.Token, ID: r.TokenID, Role: casefile.RoleUsed})
}

// who names the actor in words.
func (r *record) who() string {
	switch {
	case r.ActorKind == string(event.ActorApp) && r.AppName != "":
		return "application " + r.AppName
	case r.ActorKind == string(event.ActorApp):
		return "application " + firstOf(r.AppID, r.SPID, r.ActorID, r.Actor, "unknown")
	}
	return firstOf(r.Actor, r.ActorID, "an unnamed actor")
}

// what names the target application in words.
func (r *record) what() string {
	name, id := r.Target, firstOf(r.targetApp(), r.TargetID)
	switch {
	case name == "" || name == id:
		return firstOf(id, "an unnamed application")
	case id == "":
		return name
	}
	return name + " (" + id + ")"
}

// first returns the first string that is not empty.
func firstOf(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// citation is the events that a finding stands on.
type citation struct {
	ids   []string
	count int64
	query string
}

func (c citation) into(f *casefile.Finding) {
	f.Events, f.EventCount, f.EventsQuery = c.ids, c.count, c.query
}

// cite lists the ids of what "with" and "from" describe: all of them up to
// [casefile.MaxEvents], else the first and the last half, with the SQL for all.
// from begins with the relation and holds the condition.
func cite(ctx context.Context, q store.Querier, with, from string, args ...any) (citation, error) {
	var c citation
	err := store.Each(ctx, q, with+` SELECT count(*) FROM `+from, args, func(scan scanner) error { return scan(&c.count) })
	if err != nil {
		return c, fmt.Errorf("count events: %w", err)
	}
	take := func(order string, n int) (ids []string, err error) {
		err = store.Each(ctx, q, fmt.Sprintf(`%s SELECT CAST(id AS VARCHAR) FROM %s ORDER BY %s LIMIT %d`, with, from, order, n), args, func(scan scanner) error {
			var id string
			if err := scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
			return nil
		})
		return ids, err
	}
	if c.count <= casefile.MaxEvents {
		c.ids, err = take("time, id", casefile.MaxEvents)
		return c, err
	}
	head, err := take("time, id", casefile.MaxEvents/2)
	if err != nil {
		return c, err
	}
	tail, err := take("time DESC, id DESC", casefile.MaxEvents/2)
	if err != nil {
		return c, err
	}
	slices.Reverse(tail)
	c.ids = append(head, tail...)
	c.query = inline(with+` SELECT id FROM `+from+` ORDER BY time, id`, args)
	return c, nil
}

// capIDs keeps the first and the last half of a list that is too long.
func capIDs(ids []string) []string {
	if len(ids) <= casefile.MaxEvents {
		return ids
	}
	return append(slices.Clone(ids[:casefile.MaxEvents/2]), ids[len(ids)-casefile.MaxEvents/2:]...)
}

// inline writes arguments into a query, for people to run again.
func inline(query string, args []any) string {
	var b strings.Builder
	for _, a := range args {
		before, after, ok := strings.Cut(query, "?")
		if !ok {
			break
		}
		b.WriteString(before)
		switch x := a.(type) {
		case string:
			b.WriteString("'" + strings.ReplaceAll(x, "'", "''") + "'")
		case time.Time:
			b.WriteString("TIMESTAMP '" + x.UTC().Format("2006-01-02 15:04:05.999999") + "'")
		default:
			fmt.Fprint(&b, x)
		}
		query = after
	}
	b.WriteString(query)
	return strings.Join(strings.Fields(b.String()), " ")
}

// limit returns a pointer for [casefile.Count].
func limit(v float64) *float64 { return &v }

// plural writes a number and a noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// list joins words with commas; beyond max it counts the rest.
func list(words []string, max int) string {
	if len(words) <= max {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:max], ", "), len(words)-max)
}

// quoted writes values as a list for IN.
func quoted(values []string) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("'" + strings.ReplaceAll(v, "'", "''") + "'")
	}
	return b.String()
}
