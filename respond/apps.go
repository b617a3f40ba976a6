package respond

import (
	"slices"
	"strings"

	"midwatch/casefile"
)

// presence is an application in one tenant, as far as the findings say.
type presence struct {
	tenant      string
	principal   string // object id of its service principal
	application string // object id of its registration
	keys        []string
	home        string // another tenant of the case in which it is registered
}

// presences says in which tenants an application was met, and as what.
func (b *builder) presences(a *casefile.AppRef) []presence {
	of := map[string]*presence{}
	at := func(tenant string) *presence {
		tenant = b.tenant(tenant)
		if of[tenant] == nil {
			of[tenant] = &presence{tenant: tenant}
		}
		return of[tenant]
	}
	for _, id := range a.Findings {
		f := b.findings[id]
		if f == nil || !slices.Contains(b.p.Findings, id) {
			continue
		}
		here := false
		for _, e := range f.Entities {
			switch {
			case e.Kind == casefile.App && e.ID == a.ID && a.ID != "":
				at(f.Tenant)
			case e.Kind == casefile.ServicePrincipal && slices.Contains(a.ServicePrincipals, e.ID):
				at(f.Tenant).principal = e.ID
			case e.Kind == casefile.AppObject && slices.Contains(a.ServicePrincipals, e.ID):
				at(f.Tenant).application = e.ID
				here = true
			}
		}
		for _, e := range f.Entities {
			if here && e.Kind == casefile.Credential && b.credential(e.ID, a) {
				x := at(f.Tenant)
				x.keys = append(x.keys, e.ID)
			}
		}
	}
	// Keys that no finding places are looked for wherever the application is.
	for _, k := range b.p.Credentials {
		placed := false
		for _, x := range of {
			placed = placed || slices.Contains(x.keys, k.KeyID)
		}
		if placed || !b.credential(k.KeyID, a) {
			continue
		}
		for _, x := range of {
			x.keys = append(x.keys, k.KeyID)
		}
	}
	if len(of) == 0 {
		for _, t := range b.p.Tenants {
			at(t)
		}
	}
	var out []presence
	for _, x := range of {
		x.keys = casefile.Unique(x.keys)
		for _, y := range of {
			if y.application != "" && x.application == "" && (x.home == "" || y.tenant < x.home) {
				x.home = y.tenant
			}
		}
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b presence) int { return strings.Compare(a.tenant, b.tenant) })
	return out
}

// credential reports whether a key that the actor added belongs to the application.
func (b *builder) credential(key string, a *casefile.AppRef) bool {
	return slices.ContainsFunc(b.p.Credentials, func(k casefile.CredentialRef) bool {
		return k.KeyID == key && (k.App == a.ID || slices.Contains(a.ServicePrincipals, k.App))
	})
}

// app plans for an application, in each tenant in which it was met.
func (b *builder) app(a *casefile.AppRef) {
	name := a.Name
	if name == "" {
		name = a.ID
	}
	in := b.presences(a)
	defer func() { b.at = "" }()
	for _, x := range in {
		if b.at = ""; len(in) > 1 {
			b.at = ", in " + b.place(x.tenant)
		}
		base := draft{since: a.Since}
		base.power = b.acts(append([]string{a.ID, x.principal}, a.ServicePrincipals...)...) ||
			slices.ContainsFunc(a.Permissions, func(p string) bool { return slices.Contains(opening(), p) })
		base.Phase = Identities
		if base.power {
			base.Phase = Doors
		}
		base.Tenant = x.tenant
		base.Object = Object{Kind: casefile.App, ID: a.ID, Name: name, Origin: a.Role}
		base.Suspected = a.Certainty != casefile.Confirmed
		base.Findings, base.Events = b.evidence(a.Findings, a.Events)
		base.Executable = true
		base.Target = Target{All: a.Role != casefile.AppTakenOver, Since: a.Since, Home: x.application != ""}
		if GUID(a.ID) {
			base.Target.App = a.ID
		}
		if GUID(x.principal) {
			base.Target.Principal = x.principal
		}
		if GUID(x.application) {
			base.Target.Application = x.application
		}
		if base.Target.App == "" && base.Target.Principal == "" {
			base.Executable, base.ByHand = false, "neither its application id nor the object id of its service principal has the form of one; find it by hand"
		}
		n := places(&base.Target)
		b.add(disablePrincipal(base, a, x, n))
		if base.Target.All || len(x.keys) > 0 || x.home == "" {
			b.add(removeCredentials(base, a, x, n))
		}
		b.add(removeAppRoles(base, a, n))
		b.add(b.removeConsents(base, a, n))
		if made := b.created(base.Tenant); len(made) > 0 || base.Target.All {
			base.Target.Principals = made
			if len(made) > 0 {
				b.add(removeOwners(base, n))
			}
			base.Target.Principals = nil
		}
		if base.Target.All {
			b.add(removeAppDirectoryRoles(base, n))
		}
		b.appProposals(base, a, n)
	}
}

// paths are how the objects of an application are addressed.
type paths struct {
	find        string // a read by application id, or by object id
	principal   string
	findApp     string
	application string
}

func places(t *Target) paths {
	p := paths{principal: "/servicePrincipals/{service principal}", application: "/applications/{application}"}
	if t.Principal != "" {
		p.principal = "/servicePrincipals/" + t.Principal
		p.find = p.principal
	}
	if t.Application != "" {
		p.application = "/applications/" + t.Application
		p.findApp = p.application
	}
	if t.App != "" {
		p.find = "/servicePrincipals(appId='" + t.App + "')"
		p.findApp = "/applications(appId='" + t.App + "')"
	}
	if p.find == "" {
		p.find = p.principal
	}
	return p
}

func disablePrincipal(d draft, a *casefile.AppRef, x presence, n paths) draft {
	d.Kind = DisablePrincipal
	d.Title = "Disable the application " + d.Object.Name
	switch {
	case a.Role == casefile.AppCreated:
		d.Reason = "the actor registered it: " + a.Why
		d.Breaks = "nothing of the organization's: nobody else is known to use it"
	case a.Role == casefile.AppIntroduced && x.application == "" && x.home == "":
		d.Reason = "the actor brought it in: " + a.Why + ". It is registered in another tenant, where this organization can change nothing: it is blocked here. It is not deleted, since the next consent would bring it back"
		d.Breaks = "whoever uses it in good faith cannot any more"
	default:
		d.Reason = "it was there before and the actor took it over: " + a.Why + ". While it is cleaned nobody may use it, so that tokens that are out end where access is evaluated continuously"
		d.Breaks = "everything that the organization does with this application, until it is enabled again"
		d.CannotTell = "which of its sign-ins without the actor's credentials were the organization's"
		switch {
		case x.home != "":
			d.Reason += ". It is registered in tenant " + x.home + ", where its credentials are; here it is blocked"
		case x.application == "":
			d.CannotTell += "; its registration was not met in the evidence: if it is another organization's, only blocking helps"
		}
	}
	d.Calls = []Call{
		{Method: "GET", Path: n.find + SelectPrincipal},
		{Method: "PATCH", Path: n.principal, Body: body(map[string]any{"accountEnabled": false})},
	}
	d.Undo = Undo{true, "enabled again, if it was enabled", []Call{{Method: "PATCH", Path: n.principal, Body: body(map[string]any{"accountEnabled": true})}}}
	d.Verify = Check{"GET " + n.find + "?$select=accountEnabled", "accountEnabled is false, or 404: it is not in this tenant"}
	d.Permissions = []string{"Application.ReadWrite.All"}
	return d
}

func removeCredentials(d draft, a *casefile.AppRef, x presence, n paths) draft {
	d.Kind, d.Phase = RemoveCredentials, Keys
	for _, k := range x.keys {
		if GUID(k) {
			d.Target.Keys = append(d.Target.Keys, k)
		}
	}
	left := "none of these key ids in passwordCredentials or keyCredentials"
	d.Title = "Remove the credentials of " + d.Object.Name + " that the actor added"
	d.Reason = "with them the actor signs in as the application: " + a.Why
	d.Breaks = "nothing of the organization's: its own credentials stay"
	d.CannotTell = "credentials that begin since then without a record in the case, and federated credentials, which have no date: they are left and listed, and the application's owner has to say which are theirs"
	if d.Target.All {
		left = "passwordCredentials and keyCredentials are empty, and so is the list of federated credentials"
		d.Title = "Remove all credentials of " + d.Object.Name
		d.Reason = "the application is the actor's altogether: " + a.Why
		d.Breaks = "nothing of the organization's"
		d.CannotTell = ""
	}
	if x.application == "" && x.home != "" {
		d.CannotTell = "the credentials of its registration are in tenant " + x.home + "; these are the ones on the service principal here"
	} else if a.Role == casefile.AppIntroduced && x.application == "" {
		d.CannotTell = "the credentials of its registration are in its own tenant and out of reach; these are the ones on the service principal here"
	}
	if len(d.Target.Keys) < len(x.keys) {
		d.CannotTell = "some key ids in the case have not the form of one; look for them by hand"
	}
	exact := d.Target.Keys
	if d.Target.All {
		exact = nil
	}
	if n.findApp != "" {
		d.Calls = append(d.Calls, Call{Method: "GET", Path: n.findApp + SelectApplication, Note: "404: it is not registered in this tenant"})
		d.Calls = append(d.Calls, perObject(n.application, exact)...)
		d.Calls = append(d.Calls, Call{Method: "GET", Path: n.application + "/federatedIdentityCredentials"})
		if d.Target.All {
			d.Calls = append(d.Calls, Call{Method: "DELETE", Path: n.application + "/federatedIdentityCredentials/{credential}", Note: "each"})
		}
	}
	d.Calls = append(d.Calls, Call{Method: "GET", Path: n.find + SelectCredentials})
	d.Calls = append(d.Calls, perObject(n.principal, exact)...)
	d.Undo = Undo{true, "certificates are put back; a client secret cannot be: nobody can read its value", []Call{
		{Method: "PATCH", Path: n.principal, Body: body(map[string]any{"keyCredentials": []any{"{as they were}"}})},
	}}
	if n.findApp != "" {
		d.Undo.Calls = append(d.Undo.Calls, Call{Method: "PATCH", Path: n.application, Body: body(map[string]any{"keyCredentials": []any{"{as they were}"}})})
	}
	if d.Target.All && n.findApp != "" {
		d.Undo.Text = "certificates and federated credentials are put back; a client secret cannot be: nobody can read its value"
		d.Undo.Calls = append(d.Undo.Calls, Call{Method: "POST", Path: n.application + "/federatedIdentityCredentials", Body: body(map[string]any{"name": "{as it was}"})})
	}
	d.Verify = Check{"GET " + n.find + SelectCredentials, left}
	if n.findApp != "" {
		d.Verify.Call = "GET " + n.findApp + SelectApplication + " and GET " + n.find + SelectCredentials
	}
	d.Permissions = []string{"Application.ReadWrite.All"}
	if !d.Target.All && len(d.Target.Keys) == 0 {
		return review(d, "Look at the credentials of "+d.Object.Name, "no key id of the actor's is known in this tenant")
	}
	return d
}

// perObject are the requests that take credentials away. Certificates go by
// writing the list of those that stay: removeKey wants a proof that only the
// holder of the key can give.
func perObject(path string, keys []string) []Call {
	var out []Call
	for _, k := range keys {
		out = append(out, Call{Method: "POST", Path: path + "/removePassword", Body: body(map[string]any{"keyId": k}), Note: "if it is a client secret there"})
	}
	if len(keys) == 0 {
		out = append(out, Call{Method: "POST", Path: path + "/removePassword", Body: body(map[string]any{"keyId": "{key id}"}), Note: "each client secret"})
		return append(out, Call{Method: "PATCH", Path: path, Body: body(map[string]any{"keyCredentials": []any{}}), Note: "if it has certificates"})
	}
	return append(out, Call{Method: "PATCH", Path: path, Body: body(map[string]any{"keyCredentials": []any{"{all but these}"}}), Note: "if one of them is a certificate there"})
}

// review makes of a step that cannot be carried out one that says what to look at.
func review(d draft, title, why string) draft {
	d.Phase, d.Executable, d.ByHand, d.Title = Proposals, false, why, title
	d.Calls = slices.DeleteFunc(d.Calls, func(c Call) bool { return c.Method != "GET" })
	d.Breaks, d.Undo = "nothing: it is only read", Undo{Text: "nothing is changed"}
	d.Verify.Expect = "only what its owner can say what it is for"
	return d
}
