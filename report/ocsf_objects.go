package report

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"midwatch/actor"
	"midwatch/casefile"
)

// ocsfMaker makes the events of a case.
type ocsfMaker struct {
	c        *casefile.Case
	cited    *sketcher // which findings and campaigns cite a record, and what it shows
	table    *actor.Table
	most     int // entries of a list
	made     casefile.Time
	assessed map[string]*casefile.Assessed
}

// Detection Finding, activity Create: the only one, since a case is concluded
// as a whole and knows no earlier version of its findings.
const (
	ocsfType     = 200401
	ocsfTypeName = "Detection Finding: Create"
)

// event has what findings and campaigns share.
func (m *ocsfMaker) event(uid, title string, first, last casefile.Time, s casefile.Severity) *ocsfEvent {
	e := &ocsfEvent{
		ActivityID: 1, ActivityName: "Create", CategoryUID: 2, CategoryName: "Findings", ClassUID: 2004, ClassName: "Detection Finding", TypeUID: ocsfType, TypeName: ocsfTypeName,
		StartTime: ocsfTime(first), EndTime: ocsfTime(last), Message: title, IsAlert: s.Rank() >= casefile.Medium.Rank(), // what a person is to look at, see casefile.Alerts
		Metadata:    ocsfMetadata{UID: uid, Version: OCSFVersion, Product: ocsfProduct{"Midwatch", "Midwatch"}, Profiles: []string{}},
		FindingInfo: ocsfInfo{UID: uid, Title: title, FirstSeenTime: ocsfTime(first), LastSeenTime: ocsfTime(last)},
	}
	e.SeverityID, e.Severity = ocsfSeverity(s)
	e.StatusID, e.Status = 1, "New"
	// The schema wants both; a case without any time has the epoch.
	for _, t := range []casefile.Time{m.made, first, last} {
		if !t.IsZero() {
			e.Time = t.UnixMilli()
		}
	}
	if made := cmp.Or(ocsfTime(m.made), ocsfTime(last), ocsfTime(first)); made != nil {
		e.FindingInfo.CreatedTime = *made
	}
	return e
}

func (m *ocsfMaker) finding(f *casefile.Finding) *ocsfEvent {
	e := m.event(f.ID, f.Title, f.First, f.Last, f.Severity)
	more := ocsfOfFinding{Kind: "finding", Case: m.c.Case.ID, Detected: ocsfTime(f.Detected), Counts: f.Counts, EventsQuery: f.EventsQuery, Missing: f.Missing, LeftOut: map[string]int64{}}
	e.Count = f.EventCount
	e.Metadata.Labels, e.Metadata.TenantUID, e.Metadata.EventCode = []string{"midwatch:finding"}, f.Tenant, f.Detector
	e.FindingInfo.Desc, e.FindingInfo.Types = f.Why, appendNew(nil, f.Stage)
	e.FindingInfo.Analytic = &ocsfAnalytic{UID: f.Detector, TypeID: 1, Type: "Rule"}
	if len(f.Series) > 0 { // a count over time decided
		e.FindingInfo.Analytic.TypeID, e.FindingInfo.Analytic.Type = 3, "Statistical"
	}
	if a := m.assessed[f.Detector]; a != nil {
		e.FindingInfo.Analytic.Name = a.Title
		if a.Basis != "" {
			more.FalseAlarms = &a.FalseAlarms
		}
	}
	e.FindingInfo.Attacks, more.Techniques = m.attacks(f.Techniques)
	standing := ""
	for _, k := range m.cited.campaigns[f.ID] {
		e.Metadata.CorrelationUID = cmp.Or(e.Metadata.CorrelationUID, k.ID)
		if standing != "established" {
			standing = k.Standing
		}
		e.FindingInfo.RelatedEvents = append(e.FindingInfo.RelatedEvents, related(k.ID, k.Title, k.Severity, 0, k.Start, k.End))
	}
	e.FindingInfo.RelatedEventsCount = len(e.FindingInfo.RelatedEvents)
	e.ConfidenceID, e.Confidence = ocsfConfidence(standing)
	m.decided(e, []*casefile.Finding{f})
	seen := newOCSFSeen(m.most)
	apps := ocsfApps{}
	for _, x := range f.Entities {
		seen.entity(x, ocsfRole(x.Role))
		if x.Kind == casefile.App || x.Kind == casefile.ServicePrincipal || x.Kind == casefile.AppObject {
			apps.add(x.Name, x.ID)
		}
	}
	m.evidences(e, f.Events, apps, nil, seen)
	m.finish(e, seen, more.LeftOut)
	if n := f.EventCount - int64(len(e.Evidences)); n > 0 {
		more.LeftOut["evidences"], e.Metadata.IsTruncated = n, true
	}
	e.Unmapped = more
	return e
}

func (m *ocsfMaker) campaign(k *casefile.Campaign) *ocsfEvent {
	e := m.event(k.ID, cmp.Or(k.Title, "Campaign "+k.ID), k.Start, k.End, k.Severity)
	more := ocsfOfCampaign{
		Kind: "campaign", Case: m.c.Case.ID, Standing: k.Standing, StartBasis: k.StartBasis, OriginOutside: k.OriginOutside, InitialAccess: ocsfTime(k.InitialAccess), Detected: ocsfTime(k.FirstDetected),
		Tenants: k.Tenants, Reach: k.Reach, CannotClear: k.CannotClear, LeftOut: map[string]int64{},
	}
	e.ConfidenceID, e.Confidence = ocsfConfidence(k.Standing)
	// False would say that there was none, which logs cannot.
	e.IsSuspectedBreach = !k.InitialAccess.IsZero() || k.Reach.Mailboxes.Confirmed+k.Reach.Mailboxes.Probable > 0
	e.Metadata.Profiles, e.Metadata.Labels, e.Metadata.CorrelationUID = []string{"incident"}, []string{"midwatch:campaign"}, k.ID
	if len(k.Tenants) == 1 {
		e.Metadata.TenantUID = k.Tenants[0]
	}
	var said []string
	for _, s := range k.Verdict {
		if s.Kind != casefile.Absence { // it would stand without its coverage
			said = append(said, prose(s.Text))
		}
	}
	e.FindingInfo.Desc = strings.Join(said, "\n")
	e.FindingInfo.Attacks, more.Techniques = m.attacks(k.Techniques)
	var fs []*casefile.Finding
	for _, id := range k.Findings {
		if f := m.cited.findings[id]; f != nil {
			fs = append(fs, f)
			e.FindingInfo.Types = appendNew(e.FindingInfo.Types, f.Stage)
		}
	}
	few, left := cut(fs, m.most)
	for _, f := range few {
		e.FindingInfo.RelatedEvents = append(e.FindingInfo.RelatedEvents, related(f.ID, f.Title, f.Severity, f.EventCount, f.First, f.Last))
	}
	e.FindingInfo.RelatedEventsCount = len(fs)
	m.decided(e, fs)
	var leftIPs int
	more.Addresses, leftIPs = cut(k.IPs, m.most)
	m.leave(e, more.LeftOut, "related_events", left)
	m.leave(e, more.LeftOut, "addresses", leftIPs)

	seen := newOCSFSeen(m.most)
	apps := ocsfReached(k, seen)
	networks := map[string]casefile.IPRef{}
	for _, x := range k.IPs {
		seen.observe(2, "IP Address", "", x.IP)
		networks[x.IP] = x
	}
	for _, x := range k.Sessions {
		seen.observe(99, "session", "", x.ID)
	}
	for _, x := range k.Tokens {
		seen.observe(99, "token", "", x.ID)
	}
	events := ocsfEvents(k, fs)
	few2, left := cut(events, casefile.MaxEvents)
	m.evidences(e, few2, apps, networks, seen)
	m.leave(e, more.LeftOut, "evidences", left)
	m.finish(e, seen, more.LeftOut)
	e.Unmapped = more
	return e
}

// leave counts what is left out of a list.
func (m *ocsfMaker) leave(e *ocsfEvent, out map[string]int64, list string, n int) {
	if n > 0 {
		out[list] = int64(n)
		e.Metadata.IsTruncated = true
	}
}

func (m *ocsfMaker) finish(e *ocsfEvent, seen *ocsfSeen, out map[string]int64) {
	e.Resources, e.Observables = seen.resources, seen.observables
	m.leave(e, out, "resources", seen.leftResources)
	m.leave(e, out, "observables", seen.leftObservables)
	// The attribute that holds a value, where one does.
	actors, addresses := map[string]bool{}, map[string]bool{}
	for _, x := range e.Evidences {
		if x.Actor != nil && x.Actor.User != nil {
			actors[x.Actor.User.Name] = true
		}
		if x.SrcEndpoint != nil {
			addresses[x.SrcEndpoint.IP] = true
		}
	}
	for i := range e.Observables {
		switch o := &e.Observables[i]; {
		case o.TypeID == 4 && actors[o.Value]:
			o.Name = "evidences[].actor.user.name"
		case o.TypeID == 2 && addresses[o.Value]:
			o.Name = "evidences[].src_endpoint.ip"
		}
	}
}

// ocsfEvents are the records that a campaign cites, those of its steps first.
func ocsfEvents(k *casefile.Campaign, fs []*casefile.Finding) []string {
	var out []string
	have := map[string]bool{}
	cite := func(events []string) {
		for _, id := range events {
			if !have[id] {
				have[id] = true
				out = append(out, id)
			}
		}
	}
	for _, x := range k.Timeline {
		cite(x.Events)
	}
	for _, x := range k.Accounts {
		cite(x.Events)
	}
	for _, x := range k.Apps {
		cite(x.Events)
	}
	for _, x := range k.Credentials {
		cite(x.Events)
	}
	for _, x := range k.Mailboxes {
		cite(x.Events)
	}
	for _, f := range fs {
		cite(f.Events)
	}
	return out
}

// ocsfReached adds what a campaign reached and used, and returns its
// applications.
func ocsfReached(k *casefile.Campaign, seen *ocsfSeen) ocsfApps {
	type data map[string]any // encoding/json sorts its keys
	for _, x := range k.Mailboxes {
		d := data{"kind": "mailbox", "certainty": x.Certainty, "counts": x.Counts, "event_count": x.EventCount, "why": x.Why, "tenant": x.Tenant, "first": x.First, "last": x.Last}
		seen.resource(x.ID, x.UPN, "mailbox", 3, d)
		seen.mailbox(x.UPN)
	}
	for _, x := range k.Accounts {
		role := map[string]int{casefile.AccountCreated: 2, casefile.AccountCompromised: 3, casefile.AccountOwner: 3, casefile.AccountGuessed: 1, casefile.AccountSprayed: 1, casefile.AccountConsenter: 4, casefile.AccountSuspected: 4}[x.Role]
		d := data{"kind": "account", "certainty": x.Certainty, "role": x.Role, "roles": x.Roles, "since": x.Since, "why": x.Why, "tenant": x.Tenant}
		seen.resource(x.ID, x.UPN, "account", role, d)
		seen.observe(4, "User Name", "", x.UPN)
	}
	apps := ocsfApps{}
	for _, x := range k.Apps {
		d := data{"kind": "app", "certainty": x.Certainty, "role": x.Role, "service_principals": x.ServicePrincipals, "permissions": x.Permissions, "requested": x.Requested, "since": x.Since, "why": x.Why}
		seen.resource(x.ID, x.Name, "application", 2, d)
		apps.add(x.Name, append([]string{x.ID}, x.ServicePrincipals...)...)
	}
	for _, x := range k.Credentials {
		d := data{"kind": "credential", "app": x.App, "added": x.Added, "added_by": x.AddedBy, "first_used": x.FirstUsed, "uses": x.Uses, "why": x.Why}
		seen.resource(x.KeyID, "", "credential", 4, d)
		seen.observe(19, "User Credential ID", "", x.KeyID)
	}
	return apps
}

// evidences adds the records of events that the case has.
func (m *ocsfMaker) evidences(e *ocsfEvent, events []string, apps ocsfApps, networks map[string]casefile.IPRef, seen *ocsfSeen) {
	for _, id := range events {
		ev, ok := m.c.Evidence[id]
		if !ok {
			continue
		}
		r := ocsfRecord{
			File: ev.File, Line: ev.Line, Offset: &ev.Offset, Length: ev.Length, SHA256: ev.SHA256, Time: ev.Time.String(), Tenant: ev.Tenant, Log: ev.Source, Operation: ev.Operation, Target: ev.Target,
			Certainty: m.cited.of(id).certainty,
		}
		x := ocsfEvidence{UID: id, Name: ev.Operation, Actor: apps.actor(ev.Actor)}
		if x.Actor != nil && x.Actor.User != nil {
			seen.observe(4, "User Name", "", ev.Actor)
		}
		if ip := ocsfIP(ev.IP); ip != "" {
			x.SrcEndpoint = &ocsfEndpoint{IP: ip}
			if n := networks[ev.IP]; n.ASN > 0 {
				x.SrcEndpoint.AS = &ocsfAS{n.ASN, n.ASOrg}
			}
			seen.observe(2, "IP Address", "", ip)
		} else {
			r.Address = ev.IP
		}
		x.Data = r
		e.FindingInfo.DataSources = appendNew(e.FindingInfo.DataSources, ev.Source)
		e.Evidences = append(e.Evidences, x)
	}
	slices.Sort(e.FindingInfo.DataSources)
}

// decided says what people decided about findings of the event.
func (m *ocsfMaker) decided(e *ocsfEvent, fs []*casefile.Finding) {
	about := func(o casefile.Override) bool {
		return slices.ContainsFunc(fs, func(f *casefile.Finding) bool {
			return slices.Contains(o.Findings, f.ID) || slices.ContainsFunc(o.Entities, func(x casefile.Entity) bool {
				return slices.ContainsFunc(f.Entities, func(y casefile.Entity) bool { return x.Kind == y.Kind && x.ID == y.ID })
			})
		})
	}
	var said []string
	for _, o := range m.c.Overrides {
		if !o.Applies || !about(o) {
			continue
		}
		by := o.Author
		if o.Claimed {
			by += " (nobody has checked the name)"
		}
		said = append(said, string(o.Kind)+" by "+by+": "+o.Reason+" ["+o.Effect+"]")
	}
	if len(said) > 0 { // somebody has looked at it, and the case does not say that it is done
		e.StatusID, e.Status, e.Comment = 2, "In Progress", strings.Join(said, "\n")
	}
}

// attacks lists techniques, once under each tactic, and what is no id.
func (m *ocsfMaker) attacks(ids []string) (out []ocsfAttack, refused []string) {
	id := regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	var done []string
	for _, t := range ids {
		if !id.MatchString(t) {
			refused = appendNew(refused, t)
			continue
		}
		if _, successor, ok := m.table.Technique(t); !ok && successor != "" {
			t = successor
		}
		if slices.Contains(done, t) {
			continue
		}
		done = append(done, t)
		base, _, sub := strings.Cut(t, ".")
		a := ocsfAttack{Technique: m.technique(base)}
		if sub {
			s := m.technique(t)
			a.SubTechnique = &s
		}
		tactics := m.table.Tactics(t)
		for _, tactic := range tactics {
			a.Tactic = &ocsfNamed{Name: tacticName(tactic)}
			out = append(out, a)
		}
		if len(tactics) == 0 { // the table does not know it
			out = append(out, a)
		}
	}
	return out, refused
}

func (m *ocsfMaker) technique(id string) ocsfNamed {
	name, _, _ := m.table.Technique(id)
	return ocsfNamed{id, name, "https://attack.mitre.org/techniques/" + strings.ReplaceAll(id, ".", "/") + "/"}
}

// tacticName makes ATT&CK's name of its short one: command-and-control is
// Command and Control.
func tacticName(short string) string {
	words := strings.Split(short, "-")
	for i, w := range words {
		if w != "and" && w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

func related(uid, title string, s casefile.Severity, n int64, first, last casefile.Time) ocsfRelated {
	r := ocsfRelated{UID: uid, TypeUID: ocsfType, TypeName: ocsfTypeName, Title: title, Count: n, FirstSeenTime: ocsfTime(first), LastSeenTime: ocsfTime(last)}
	r.SeverityID, r.Severity = ocsfSeverity(s)
	return r
}

// ocsfSeen collects resources and observables, each once, and counts those
// that are too many.
type ocsfSeen struct {
	most                           int
	resources                      []ocsfResource
	observables                    []ocsfObservable
	leftResources, leftObservables int
	have                           map[[2]string]bool
}

func newOCSFSeen(most int) *ocsfSeen {
	return &ocsfSeen{most: most, have: map[[2]string]bool{}}
}

func (s *ocsfSeen) resource(uid, name, kind string, role int, data any) {
	switch {
	case uid == "" && name == "":
		return
	case len(s.resources) == s.most:
		s.leftResources++
		return
	}
	roles := map[int]string{0: "Unknown", 1: "Target", 2: "Actor", 3: "Affected", 4: "Related"}
	s.resources = append(s.resources, ocsfResource{uid, name, kind, role, roles[role], data})
	if uid != "" && kind != "credential" { // which have a type of their own
		s.observe(10, "Resource UID", "resources[].uid", uid)
	}
}

func (s *ocsfSeen) observe(id int, kind, name, value string) {
	key := [2]string{kind, value}
	if value == "" || s.have[key] {
		return
	}
	if id == 2 {
		ip := ocsfIP(value)
		if ip == "" {
			s.observe(99, "ip", "", value)
			return
		}
		if value = ip; s.have[[2]string{kind, ip}] {
			return
		}
		key[1] = ip
	}
	s.have[key] = true
	if len(s.observables) == s.most {
		s.leftObservables++
		return
	}
	s.observables = append(s.observables, ocsfObservable{name, id, kind, value})
}

func (s *ocsfSeen) mailbox(upn string) {
	if strings.Contains(upn, "@") {
		s.observe(5, "Email Address", "", upn)
	} else {
		s.observe(99, "mailbox", "", upn)
	}
}

// entity adds what a finding is about: as a resource what an organization has,
// as an observable what can be searched for elsewhere.
func (s *ocsfSeen) entity(x casefile.Entity, role int) {
	data := map[string]string{"kind": string(x.Kind), "role": x.Role}
	switch x.Kind {
	case casefile.Account:
		s.resource("", x.ID, "account", role, data)
		s.observe(4, "User Name", "", x.ID)
	case casefile.Mailbox:
		s.resource("", x.ID, "mailbox", role, data)
		s.mailbox(x.ID)
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject, casefile.Rule:
		s.resource(x.ID, x.Name, map[casefile.EntityKind]string{casefile.App: "application", casefile.ServicePrincipal: "service principal", casefile.AppObject: "application object", casefile.Rule: "rule"}[x.Kind], role, data)
	case casefile.Credential:
		s.resource(x.ID, x.Name, "credential", role, data)
		s.observe(19, "User Credential ID", "", x.ID)
	case casefile.IP:
		s.observe(2, "IP Address", "", x.ID)
	case casefile.Domain:
		s.observe(1, "Hostname", "", x.ID)
	case casefile.Address:
		s.mailbox(x.ID)
	case casefile.UserAgent:
		s.observe(16, "HTTP User-Agent", "", x.ID)
	case casefile.Journaled: // a number of ours
	default:
		s.observe(99, words(string(x.Kind)), "", x.ID)
	}
}

// ocsfApps are ids and names that records name applications by, in lower case;
// the value is true for an id.
type ocsfApps map[string]bool

func (a ocsfApps) add(name string, ids ...string) {
	account := func(s string) bool { return strings.Contains(s, "@") } // or looks like one
	if !account(name) {
		a[strings.ToLower(name)] = false
	}
	for _, id := range ids {
		if !account(id) {
			a[strings.ToLower(id)] = true
		}
	}
}

// actor says who acted: an application, or else what is held to be a user.
func (a ocsfApps) actor(name string) *ocsfActor {
	// So the Unified Audit Log writes a service principal.
	if id, ok := strings.CutPrefix(strings.ToLower(name), "serviceprincipal_"); ok && id != "" {
		return &ocsfActor{AppUID: id}
	}
	switch id, known := a[strings.ToLower(name)]; {
	case name == "":
		return nil
	case known && id:
		return &ocsfActor{AppUID: name}
	case known:
		return &ocsfActor{AppName: name}
	}
	return &ocsfActor{User: &ocsfUser{name}}
}

func ocsfRole(role string) int {
	return map[string]int{casefile.RoleTarget: 1, casefile.RoleVictim: 1, casefile.RoleActor: 2, casefile.RoleConverted: 3, casefile.RoleSource: 4, casefile.RoleUsed: 4}[role]
}

func ocsfSeverity(s casefile.Severity) (int, string) {
	switch s {
	case casefile.Info:
		return 1, "Informational"
	case casefile.Low:
		return 2, "Low"
	case casefile.Medium:
		return 3, "Medium"
	case casefile.High:
		return 4, "High"
	case casefile.Critical:
		return 5, "Critical"
	}
	return 0, "Unknown"
}

// ocsfConfidence is that of a campaign, by its standing; of what is in none
// the case does not say it.
func ocsfConfidence(standing string) (int, string) {
	switch standing {
	case "established":
		return 3, "High"
	case "":
		return 0, "Unknown"
	}
	return 1, "Low"
}

// ocsfTime is in milliseconds; nil: not known.
func ocsfTime(t casefile.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// ocsfIP writes an address as the schema has it; empty: it is none.
func ocsfIP(s string) string {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return ""
	}
	return ip.Unmap().String()
}
