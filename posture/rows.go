package posture

import (
	"encoding/json"
	"strings"
	"time"

	"midwatch/casefile"
)

func (f *facts) tenantRow(scan scanner) error {
	var id, log, kind string
	var l Log
	var from, to time.Time
	if err := scan(&id, &log, &kind, &l.Records, &from, &to, &l.Days); err != nil {
		return err
	}
	t := f.tenant(id)
	if l.Name = log; kind != "" {
		l.Name += "/" + kind
	}
	l.First, l.Last = casefile.TimeOf(from.UTC()), casefile.TimeOf(to.UTC())
	t.From, t.To = casefile.Earlier(t.From, l.First), casefile.Later(t.To, l.Last)
	t.logs[l.Name] = &l
	return nil
}

func (f *facts) domainRow(scan scanner) error {
	var id, domain string
	var n int64
	if err := scan(&id, &domain, &n); err != nil {
		return err
	}
	if _, ok := f.domains[domain]; !ok { // most accounts first
		f.domains[domain] = id
	}
	if t := f.tenant(id); t.Name == t.ID {
		t.Name = domain
	}
	return nil
}

func (f *facts) signInRow(scan scanner) error {
	var id, upn, single string
	var x account
	var last time.Time
	if err := scan(&id, &upn, &x.signIns, &x.single, &x.multi, &last, &single); err != nil {
		return err
	}
	a := f.account(id, upn)
	a.signIns, a.single, a.multi = x.signIns, x.single, x.multi
	_, a.singleID = stamp(single)
	a.seen(last.UTC(), "a sign-in")
	return nil
}

func (a *account) seen(at time.Time, by string) {
	if at.After(a.last) {
		a.last, a.lastBy = at, by
	}
}

func (f *facts) aliveRow(scan scanner) error {
	var id, upn string
	var last time.Time
	if err := scan(&id, &upn, &last); err != nil {
		return err
	}
	f.account(id, upn).seen(last.UTC(), "what it did")
	return nil
}

func (f *facts) legacyRow(scan scanner) error {
	var id, upn, source, via, at string
	var n int64
	if err := scan(&id, &upn, &source, &via, &n, &at); err != nil {
		return err
	}
	_, ev := stamp(at)
	a := f.account(id, upn)
	if a.legacyFrom != source { // the unified audit log repeats Entra's sign-ins, which come first
		if a.legacyFrom != "" {
			return nil
		}
		a.legacyFrom = source
	}
	a.legacy[via] = &legacyUse{n: n, id: ev}
	return nil
}

func (f *facts) appSignInRow(scan scanner) error {
	var id, appID, sp, name, keyID, at string
	var n, nets int64
	var from, to time.Time
	if err := scan(&id, &appID, &sp, &name, &keyID, &n, &nets, &from, &to, &at); err != nil {
		return err
	}
	if appID == "" && sp == "" {
		return nil
	}
	a := f.app(id, appID, sp, name)
	a.signIns += n
	_, ev := stamp(at)
	if to.UTC().After(a.lastSignIn) {
		a.lastSignIn, a.signInID = to.UTC(), ev
	}
	if keyID == "" {
		return nil
	}
	k := a.key(strings.ToLower(keyID))
	k.uses, k.networks = k.uses+n, max(k.networks, nets)
	if k.first.IsZero() || from.UTC().Before(k.first) {
		k.first = from.UTC()
	}
	if to.UTC().After(k.last) {
		k.last, k.useID = to.UTC(), ev
	}
	return nil
}

func (f *facts) appReadRow(scan scanner) error {
	var id, appID, sp, name, at string
	var n, boxes int64
	if err := scan(&id, &appID, &sp, &name, &n, &boxes, &at); err != nil {
		return err
	}
	a := f.app(id, appID, sp, name)
	a.reads, a.boxes = a.reads+n, max(a.boxes, boxes)
	_, a.readID = stamp(at)
	return nil
}

func (f *facts) appWriteRow(scan scanner) error {
	var id, appID, sp, name, class, at string
	var n int64
	if err := scan(&id, &appID, &sp, &name, &class, &n, &at); err != nil {
		return err
	}
	a := f.app(id, first(appID, map[bool]string{true: "name:" + name}[sp == ""]), sp, name)
	a.writes[class] += n
	_, a.writeID = stamp(at)
	return nil
}

func (f *facts) ewsRow(scan scanner) error {
	var id, at string
	var u ewsUse
	if err := scan(&id, &u.app, &u.name, &u.records, &u.boxes, &at); err != nil {
		return err
	}
	_, u.id = stamp(at)
	f.tenant(id).ews[u.app] = &u
	return nil
}

func (f *facts) mailboxRow(scan scanner) error {
	var id string
	var b mailbox
	if err := scan(&id, &b.name, &b.reads, &b.other); err != nil {
		return err
	}
	t := f.tenant(id)
	t.boxes = append(t.boxes, b)
	t.mailReads += b.reads
	return nil
}

func (f *facts) searchRow(scan scanner) error {
	var id string
	var n int64
	if err := scan(&id, &n); err != nil {
		return err
	}
	f.tenant(id).searches = n
	return nil
}

// record is a record of what was granted or changed, as far as it is looked at.
type record struct {
	tenant, id, class, op, kind, actor, target, targetID, targetKind, perms, keyID, detail string
	at                                                                                     time.Time
	d                                                                                      struct {
		AppID        string            `json:"app_id"`
		ConsentAdmin bool              `json:"consent_admin"`
		Owner        string            `json:"owner"`
		Role         string            `json:"role"`
		User         string            `json:"user"`
		Params       map[string]string `json:"params"`
	}
}

func (f *facts) recordRow(scan scanner) error {
	var r record
	var source string
	if err := scan(&r.tenant, &r.id, &source, &r.class, &r.op, &r.kind, &r.actor, &r.target, &r.targetID, &r.targetKind, &r.perms, &r.keyID, &r.detail, &r.at); err != nil {
		return err
	}
	_ = json.Unmarshal([]byte(r.detail), &r.d) // of another shape: it says nothing of these
	r.at = r.at.UTC()
	f.records = append(f.records, r)
	return nil
}

// target finds the application that a record is about. Some records of a
// registration name its object id only, which others tie to the application.
func (f *facts) target(r *record) *app {
	switch {
	case r.targetKind == "service_principal" && (r.d.AppID != "" || r.targetID != ""):
		return f.app(r.tenant, r.d.AppID, r.targetID, r.target)
	case r.d.AppID != "":
		return f.app(r.tenant, r.d.AppID, "", r.target)
	case r.targetKind == "application" && r.targetID != "":
		k := r.tenant + " " + strings.ToLower(r.targetID)
		a := f.objects[k]
		if a == nil {
			a = f.unnamed(r.tenant, r.target)
			f.objects[k] = a
		}
		return a
	}
	return nil
}

// readRecords makes facts of the records. The unified audit log and Entra's
// have the same ones; what is kept of them is the same either way.
func (f *facts) readRecords() {
	for i := range f.records {
		if r := &f.records[i]; r.targetKind == "application" && r.d.AppID != "" && r.targetID != "" {
			f.objects[r.tenant+" "+strings.ToLower(r.targetID)] = f.app(r.tenant, r.d.AppID, "", r.target)
		}
	}
	for i := range f.records {
		f.records[i].read(f)
	}
	f.records = nil
}

func (r *record) read(f *facts) {
	t := f.tenant(r.tenant)
	person := r.kind != "app" && r.kind != "service" && r.kind != "managed" && strings.Contains(r.actor, "@")
	removed := strings.HasPrefix(r.op, "remove")
	switch r.class {
	case "app_role_grant":
		a := f.target(r)
		if a == nil {
			return
		}
		for role := range strings.FieldsSeq(r.perms) {
			if removed {
				delete(a.grants, role)
			} else {
				a.grant(role, r.id, Place{})
			}
		}
	case "consent":
		if person && !r.d.ConsentAdmin && !removed {
			t.consents = append(t.consents, act{id: r.id, actor: r.actor, target: r.target, permissions: r.perms, at: r.at})
		}
	case "owner_add":
		if a := f.target(r); a != nil && r.d.Owner != "" {
			if owner := strings.ToLower(r.d.Owner); removed {
				delete(a.owners, owner)
			} else {
				a.owner(owner, r.id, Place{})
			}
		}
	case "role_add":
		who := strings.ToLower(first(r.d.User, r.target))
		role := first(r.d.Role, r.d.Params["Identity"])
		if role == "" || !strings.Contains(who, "@") {
			return
		}
		a := f.account(r.tenant, who)
		if removed {
			a.roles = remove(a.roles, role)
		} else {
			a.roles = casefile.Unique(append(a.roles, role))
			a.roleEvents = append(a.roleEvents, r.id)
		}
	case "credential_add":
		if a := f.target(r); a != nil && r.keyID != "" && !removed {
			k := a.key(strings.ToLower(r.keyID))
			k.added, k.addID = r.at, r.id
		}
	case "app_create":
		if person {
			t.creates = append(t.creates, act{id: r.id, actor: r.actor, target: r.target, at: r.at})
		}
	case "audit_change":
		text := strings.ToLower(r.op + " " + r.detail)
		if strings.Contains(text, "bypassenabled") && strings.Contains(text, "true") || strings.Contains(text, "auditenabled") && strings.Contains(text, "false") || strings.Contains(text, "unifiedauditlogingestionenabled") && strings.Contains(text, "false") {
			t.bypass = append(t.bypass, act{id: r.id, actor: r.actor, target: r.target, permissions: r.op, at: r.at})
		}
	}
}

func remove(list []string, s string) (out []string) {
	for _, x := range list {
		if x != s {
			out = append(out, x)
		}
	}
	return out
}

// settle joins what was known of an application by name or service principal
// only with what is known of it by its id, once everything was read.
func (f *facts) settle() {
	for _, k := range sortedKeys(f.apps) {
		a := f.apps[k]
		name, byName := strings.CutPrefix(a.id, "name:")
		if !byName {
			continue
		}
		delete(f.apps, k)
		var same []*app
		for _, k2 := range sortedKeys(f.apps) {
			if b := f.apps[k2]; b.tenant == a.tenant && strings.EqualFold(b.name, name) && !strings.HasPrefix(b.id, "name:") {
				same = append(same, b)
			}
		}
		a.id = ""
		if len(same) != 1 { // none, or several of that name
			f.apps[a.tenant+" "+"name "+name] = a
			continue
		}
		for class, n := range a.writes {
			same[0].writes[class] += n
		}
		if same[0].writeID == "" {
			same[0].writeID = a.writeID
		}
	}
	for _, k := range sortedKeys(f.sps) { // known by the object id alone
		if a := f.sps[k]; a.id == "" {
			f.apps[a.tenant+" sp "+a.sp] = a
		}
	}
}
