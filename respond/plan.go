// Package respond says how to put an intruder out: an ordered plan of steps,
// each with the call that carries it out, what it breaks, how it is undone and
// how its effect is verified. Package respond/graph carries a plan out.
//
// A plan is made of a case alone ([Build]), so that what was reviewed can be
// made again and compared by its hash. Whatever a case names may be an attacker's
// text: an id stands in a path only when it has the form of one, values stand in
// PowerShell only as literals ([Quote]), and a step that would need more than
// that is one for a person.
package respond

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"midwatch/casefile"
)

// Schema is the version of the plan's form.
const Schema = "midwatch.containment/1"

// Plan is what to do, in order.
type Plan struct {
	Schema    string   `json:"schema"`
	Case      string   `json:"case"`      // id of the case
	Hash      string   `json:"hash"`      // of everything else in the plan
	Suspected bool     `json:"suspected"` // steps of suspected campaigns are carried out, too
	Tenants   []string `json:"tenants"`   // that it has steps in
	Phases    []Phase  `json:"phases"`    // in order
	Steps     []Step   `json:"steps"`     // in order
}

// Phase is what is done together: all of its changes first, then all of its
// verifications.
type Phase struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
	Why    string `json:"why"` // why it comes at its place
}

// The phases' numbers.
const (
	Doors = iota + 1
	Identities
	Keys
	Sessions
	Grants
	Mail
	Verify
	Proposals
)

// Phases lists the phases of every plan.
func Phases() []Phase {
	return []Phase{
		{Doors, "Close the doors that can open others", "who can give permissions or add credentials undoes every later step; the newest first, since these are what an actor falls back on"},
		{Identities, "Close the other identities", "they read, but open nothing"},
		{Keys, "Take away keys, roles, methods and devices", "what would open a door again, now that nobody can add more"},
		{Sessions, "End sessions", "after passwords, methods and credentials: a session that is ended before can be begun again"},
		{Grants, "Take back permissions and consents", "what closed identities still hold would be theirs again when somebody enables them"},
		{Mail, "Take away what sends or hides mail", "rules and forwardings go on without any session"},
		{Verify, "Look whether anything new appeared meanwhile", "everything is read again, and what the actor's identities did since the first step"},
		{Proposals, "What people have to decide", "these change what others work with, or depend on what only the organization knows"},
	}
}

// Kind says what a step does.
type Kind string

// The kinds of step.
const (
	DisableAccount    Kind = "disable_account"
	ResetPassword     Kind = "reset_password"
	RevokeSessions    Kind = "revoke_sessions"
	RemoveMethods     Kind = "remove_authentication_methods"
	DisableDevices    Kind = "disable_devices"
	RemoveRoles       Kind = "remove_directory_roles"
	DisablePrincipal  Kind = "disable_service_principal"
	RemoveCredentials Kind = "remove_credentials"
	RemoveOwners      Kind = "remove_owners"
	RemoveAppRoles    Kind = "remove_app_role_assignments"
	RemoveConsents    Kind = "remove_permission_grants"
	RemoveRule        Kind = "remove_inbox_rule"
	RemoveForwarding  Kind = "remove_forwarding"
	RemoveDelegates   Kind = "remove_mailbox_permissions"
	RemoveMailRoles   Kind = "remove_exchange_roles"
	DisableFlowRule   Kind = "disable_mail_flow_rule"
	NothingNew        Kind = "verify_nothing_new"
	ReviewRoles       Kind = "review_directory_roles"
	EnableAgain       Kind = "enable_service_principal_again"
	DeleteLater       Kind = "delete_later"
	NarrowEWS         Kind = "narrow_ews"
	NarrowApps        Kind = "narrow_application_access"
)

// Step is one thing to do.
type Step struct {
	ID        string `json:"id"`        // hash of tenant, kind and target
	Number    int    `json:"number"`    // place in the plan, from 1
	Phase     int    `json:"phase"`     //
	Kind      Kind   `json:"kind"`      //
	Title     string `json:"title"`     // what, in words
	Tenant    string `json:"tenant"`    // tenant in which it is done
	Object    Object `json:"object"`    // what it is done to
	Suspected bool   `json:"suspected"` // of a suspected campaign, or of an object that is not shown to be the actor's

	Campaigns []string `json:"campaigns"` // ids
	Reason    string   `json:"reason"`    // why, in words
	Findings  []string `json:"findings"`  // it stands on
	Events    []string `json:"events"`    // some records that it stands on

	Calls       []Call   `json:"calls"`       // what Midwatch sends, in order; {…} is read before
	PowerShell  []string `json:"powershell"`  // Exchange Online PowerShell, where Graph has no way or not all of it
	Breaks      string   `json:"breaks"`      // what stops to work
	Undo        Undo     `json:"undo"`        // how it is taken back
	Verify      Check    `json:"verify"`      // how its effect is seen
	Permissions []string `json:"permissions"` // application permissions of Microsoft Graph
	Executable  bool     `json:"executable"`  // Midwatch can carry it out
	ByHand      string   `json:"by_hand,omitempty"`
	CannotTell  string   `json:"cannot_tell,omitempty"` // what cannot be told apart

	Target Target `json:"target"` // the same for machines
}

// Object is what a step is about.
type Object struct {
	Kind   casefile.EntityKind `json:"kind"`
	ID     string              `json:"id"`
	Name   string              `json:"name,omitempty"`
	Origin string              `json:"origin"` // created, introduced: the actor's altogether; taken_over, compromised: there before
}

// Call is a request to Microsoft Graph, version 1.0.
type Call struct {
	Method string          `json:"method"`
	Path   string          `json:"path"` // below /v1.0
	Body   json.RawMessage `json:"body,omitempty"`
	Note   string          `json:"note,omitempty"` // when, or for which
}

// Undo says how a step is taken back.
type Undo struct {
	Possible bool   `json:"possible"`
	Text     string `json:"text"`            // how, or why not
	Calls    []Call `json:"calls,omitempty"` // values in {…} are those that were read before the step
}

// What is read of accounts, service principals and registrations.
const (
	SelectUser        = "?$select=id,userPrincipalName,accountEnabled,onPremisesSyncEnabled,lastPasswordChangeDateTime,signInSessionsValidFromDateTime"
	SelectPrincipal   = "?$select=id,appId,displayName,appOwnerOrganizationId,accountEnabled"
	SelectCredentials = "?$select=id,appId,displayName,appOwnerOrganizationId,passwordCredentials,keyCredentials"
	SelectApplication = "?$select=id,appId,displayName,passwordCredentials,keyCredentials"
	SelectRoles       = "?$select=id,appId,displayName,appRoles"
)

// Check is a call and the answer that shows the effect.
type Check struct {
	Call   string `json:"call"`
	Expect string `json:"expect"`
}

// Target is what carrying out a step needs. Members that have not the form of
// an id are left out, and the step is one for a person.
type Target struct {
	User        string        `json:"user,omitempty"`        // object id, or user principal name
	App         string        `json:"app,omitempty"`         // application id
	Principal   string        `json:"principal,omitempty"`   // object id of the service principal
	Application string        `json:"application,omitempty"` // object id of the registration
	Home        bool          `json:"home,omitempty"`        // the registration is in this tenant, as far as the evidence says
	All         bool          `json:"all,omitempty"`         // everything of it is the actor's
	Keys        []string      `json:"keys,omitempty"`        // key ids
	Permissions []string      `json:"permissions,omitempty"` // names of application permissions or scopes
	Principals  []string      `json:"principals,omitempty"`  // the actor's accounts
	Since       casefile.Time `json:"since"`                 // from when on it is the actor's
	Rule        string        `json:"rule,omitempty"`        // name of an inbox rule
	Apps        []string      `json:"apps,omitempty"`        // the actor's applications
}

// seal numbers the steps and gives the plan its hash.
func (p *Plan) seal() error {
	tenants := []string{}
	for i := range p.Steps {
		p.Steps[i].Number = i + 1
		tenants = append(tenants, p.Steps[i].Tenant)
	}
	p.Tenants = casefile.Unique(tenants)
	p.Hash = ""
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	h := sha256.Sum256(b)
	p.Hash = "p-" + hex.EncodeToString(h[:16])
	return nil
}

// Runs reports whether applying the plan carries the step out.
func (p *Plan) Runs(s *Step) bool { return s.Executable && (!s.Suspected || p.Suspected) }

// Needed lists the application permissions that the steps which are carried out
// in a tenant need, sorted.
func (p *Plan) Needed(tenant string) []string {
	var out []string
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Tenant == tenant && p.Runs(s) {
			out = append(out, s.Permissions...)
		}
	}
	return casefile.Unique(out)
}

// Allows reports whether a request is one of those that the step names, to do
// it or to take it back: what is sent is what was reviewed.
func (s *Step) Allows(method, path string) bool {
	path, _, _ = strings.Cut(path, "?")
	for _, list := range [][]Call{s.Calls, s.Undo.Calls} {
		for _, c := range list {
			if c.Method == method && matches(c.Path, path) {
				return true
			}
		}
	}
	return false
}

// matches compares a path with one that has {…} for what is read first.
func matches(template, path string) bool {
	template, _, _ = strings.Cut(template, "?")
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if strings.HasPrefix(a[i], "{") && strings.HasSuffix(a[i], "}") {
			if b[i] == "" || b[i] == "." || b[i] == ".." {
				return false
			}
			continue
		}
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
