package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"midwatch/casefile"
)

// fill makes the objects of the case.
func (b *bundle) fill() {
	b.us = b.public("identity", "midwatch", stixObject{"name": "Midwatch", "identity_class": "system", "description": "Reads an organization's audit logs and says whether an intruder is in its mail, and what was reached."})
	tenants := map[string]string{}
	for _, t := range b.c.Case.Tenants {
		name := cmp.Or(strings.Join(t.Domains[:min(1, len(t.Domains))], ""), t.ID, "organization that its records do not name")
		tenants[t.ID] = b.domain("identity", t.ID, stixObject{"name": name, "identity_class": "organization", "description": "Tenant " + cmp.Or(t.ID, "without an id") + ", " + plural(t.Events, "record") + "."})
	}
	techniques := b.techniques()
	for i := range b.c.Campaigns {
		b.campaign(&b.c.Campaigns[i], tenants, techniques)
	}
	var said []string
	for _, s := range b.c.Verdict {
		if s.Kind != casefile.Absence { // it would stand without its coverage
			said = append(said, prose(s.Text))
		}
	}
	for _, x := range []struct {
		n    int
		what string
	}{{b.messages, "more message"}, {b.unnamed, "message or item without a message id/messages or items without a message id"}, {b.unreadable, "value that is no address/values that are no addresses"}} {
		if x.n > 0 {
			said = append(said, "Not in this bundle: "+plural(int64(x.n), strings.ReplaceAll(x.what, "more message", "more message/more messages"))+", which case.json has.")
		}
	}
	said = append(said, "What the logs cannot show is in the case's coverage; what is not in this bundle is not cleared.")
	b.domain("report", "report", stixObject{
		"name": "Midwatch, case " + b.c.Case.ID, "description": strings.Join(said, "\n"), "report_types": []string{"campaign"}, "published": b.made(), "object_refs": b.refs(),
	})
}

// techniques adds those of the campaigns, and says which campaign shows which.
func (b *bundle) techniques() map[string][]string {
	out := map[string][]string{}
	seen, _ := campaignTechniques(b.c, b.table)
	for _, s := range seen {
		name, _, ok := b.table.Technique(s.id)
		if !ok {
			name = s.id
		}
		o := stixObject{"name": name, "external_references": []stixObject{{"source_name": "mitre-attack", "external_id": s.id, "url": "https://attack.mitre.org/techniques/" + strings.ReplaceAll(s.id, ".", "/") + "/"}}}
		var phases []stixObject
		for _, t := range b.table.Tactics(s.id) {
			phases = append(phases, stixObject{"kill_chain_name": "mitre-attack", "phase_name": t})
		}
		if len(phases) > 0 {
			o["kill_chain_phases"] = phases
		}
		id := b.public("attack-pattern", s.id, o)
		for _, k := range s.campaigns {
			out[k] = append(out[k], id)
		}
	}
	return out
}

func (b *bundle) campaign(k *casefile.Campaign, tenants map[string]string, techniques map[string][]string) {
	sure := standingConfidence(k.Standing)
	var said []string
	for _, s := range k.Verdict {
		if s.Kind != casefile.Absence {
			said = append(said, prose(s.Text))
		}
	}
	n := k.Reach
	said = append(said, fmt.Sprintf("Standing: %s. Mailboxes reached: %s confirmed, %s probable, %s possible; messages: %s confirmed, %s probable. The certainties are not added up.", cmp.Or(k.Standing, "not known"),
		number(n.Mailboxes.Confirmed), number(n.Mailboxes.Probable), number(n.Mailboxes.Possible), number(n.Messages.Confirmed), number(n.Messages.Probable)))
	id := b.domain("campaign", k.ID, stixObject{
		"name": cmp.Or(k.Title, "Campaign "+k.ID), "description": strings.Join(said, "\n"), "confidence": sure,
		"external_references": []stixObject{{"source_name": "midwatch", "external_id": cmp.Or(k.ID, "campaign"), "description": "Id of the campaign in case.json."}},
	}.during("first_seen", "last_seen", k.Start, k.End))
	var sighted []string
	for _, t := range k.Tenants {
		if ref := tenants[t]; ref != "" {
			sighted = appendNew(sighted, ref)
			b.relate(id, "targets", ref, "", sure, casefile.Time{})
		}
	}
	for _, t := range techniques[k.ID] {
		b.relate(id, "uses", t, "", sure, casefile.Time{})
	}
	b.accounts(k, id, sure)
	b.apps(k, id, sure)
	observed := append(b.addresses(k, id, sure), b.mailboxes(k, id, sure)...)
	o := stixObject{"sighting_of_ref": id, "confidence": sure, "description": "Seen in the audit logs of the organizations named; the observed data are what the case holds to be of it."}
	if len(sighted) > 0 {
		o["where_sighted_refs"] = sighted
	}
	if len(observed) > 0 {
		o["observed_data_refs"] = observed
	}
	b.domain("sighting", k.ID, o.during("first_seen", "last_seen", k.Start, k.End))
}

func (b *bundle) accounts(k *casefile.Campaign, campaign string, sure int) {
	for _, a := range k.Accounts {
		of := stixObject{}
		if a.UPN != "" {
			of["account_login"] = a.UPN
		}
		if a.ID != "" {
			of["user_id"] = a.ID
		}
		if len(of) == 0 {
			b.unreadable++
			continue
		}
		ref := b.observable("user-account", of, nil)
		b.relate(campaign, "related-to", ref, "Account, "+words(a.Role)+" ("+string(a.Certainty)+"): "+sentence(a.Why), confident(a.Certainty, sure), a.Since)
	}
}

// apps are software by name. Applications of one name are one object, which is
// how STIX tells software apart; the relationship says which id was meant.
func (b *bundle) apps(k *casefile.Campaign, campaign string, sure int) {
	said := map[string][]string{}
	var order []string
	first := map[string]casefile.AppRef{}
	for _, a := range k.Apps {
		name := cmp.Or(a.Name, a.ID)
		if name == "" && len(a.ServicePrincipals) > 0 {
			name = a.ServicePrincipals[0]
		}
		if name == "" {
			b.unreadable++
			continue
		}
		ref := b.observable("software", stixObject{"name": name}, nil)
		if _, ok := first[ref]; !ok {
			first[ref], order = a, append(order, ref)
		}
		text := "Application " + cmp.Or(a.ID, "without an id") + ", " + words(a.Role) + " (" + string(a.Certainty) + "): " + sentence(a.Why)
		if len(a.Permissions) > 0 {
			text += " Permissions: " + strings.Join(a.Permissions, ", ") + "."
		}
		said[ref] = append(said[ref], text)
	}
	for _, ref := range order {
		b.relate(campaign, "related-to", ref, strings.Join(said[ref], "\n"), confident(first[ref].Certainty, sure), first[ref].Since)
	}
}

// addresses adds addresses with their networks, and what was observed of them.
func (b *bundle) addresses(k *casefile.Campaign, campaign string, sure int) (observed []string) {
	for _, x := range k.IPs {
		ip, err := netip.ParseAddr(x.IP)
		if err != nil || ip.Zone() != "" {
			b.unreadable++
			continue
		}
		kind := "ipv6-addr"
		if ip = ip.Unmap(); ip.Is4() {
			kind = "ipv4-addr"
		}
		others := stixObject{}
		refs := []string{}
		if x.ASN > 0 && x.ASN <= 1<<32-1 {
			as := stixObject{}
			if x.ASOrg != "" {
				as["name"] = x.ASOrg
			}
			refs = append(refs, b.observable("autonomous-system", stixObject{"number": x.ASN}, as))
			others["belongs_to_refs"] = []string{refs[0]}
		}
		ref := b.observable(kind, stixObject{"value": ip.String()}, others)
		why := sentence(x.Why)
		if x.Shared {
			why += " It is used by others, too, and is not malicious by itself."
		}
		b.relate(campaign, "related-to", ref, strings.TrimSpace("Address that the campaign acted from. "+why), sure, x.First)
		observed = b.observe(observed, campaign, ref, append(refs, ref), x.First, x.Last, x.Events)
	}
	return observed
}

// mailboxes adds mailboxes that were reached, and the messages that records name.
func (b *bundle) mailboxes(k *casefile.Campaign, campaign string, sure int) (observed []string) {
	address := regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	for _, m := range k.Mailboxes {
		if !address.MatchString(m.UPN) {
			b.unreadable++
			continue
		}
		box := b.observable("email-addr", stixObject{"value": m.UPN}, nil)
		refs := []string{box}
		for _, x := range m.Messages {
			switch {
			case x.InternetMessageID == "":
				b.unnamed++
				continue
			case b.most == 0:
				b.messages++
				continue
			}
			b.most--
			// The logs do not say whether a message has parts, which STIX requires
			// to be said. One with attachments has.
			o := stixObject{"is_multipart": x.Attachments != "", "message_id": x.InternetMessageID}
			if x.Subject != "" {
				o["subject"] = x.Subject
			}
			// Of the properties that an id would be made of only the subject is
			// known, and messages may share it. STIX has version 4 for such.
			refs = appendNew(refs, b.observableAs("email-message--"+uuidOf(4, stixOurs(), "email-message\x00"+x.InternetMessageID), "email-message", o))
		}
		n := m.Counts.Messages
		b.relate(campaign, "related-to", box, fmt.Sprintf("Mailbox reached (%s): %s Messages: %s confirmed, %s probable; folders synchronized as a whole: %d.", m.Certainty, sentence(m.Why), number(n.Confirmed), number(n.Probable), len(m.WholeFolders)), confident(m.Certainty, sure), m.First)
		observed = b.observe(observed, campaign, box, refs, m.First, m.Last, m.EventCount)
	}
	return observed
}

// observe adds what was observed between two records. Where no record bounds
// it, nothing was observed.
func (b *bundle) observe(observed []string, campaign, key string, refs []string, first, last casefile.Time, n int64) []string {
	if first.IsZero() || last.IsZero() || last.Before(first.Time) || n < 1 {
		return observed
	}
	return appendNew(observed, b.domain("observed-data", campaign+"\x00"+key, stixObject{
		"first_observed": stixTime(first), "last_observed": stixTime(last), "number_observed": min(n, 999_999_999), "object_refs": refs,
	}))
}
