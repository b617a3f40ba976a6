package graphtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Left lists what of the actor's still works: enabled identities, credentials,
// grants, roles, owners, rules, methods, devices, passwords and sessions. A
// mailbox's forwarding is listed as such: Graph cannot take it away.
func (s *Server) Left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for _, id := range sortedTenants(s) {
		t := s.tenants[id]
		for _, path := range t.now.sorted() {
			for _, o := range t.now[path] {
				out = append(out, left(path, o)...)
			}
		}
	}
	return out
}

func left(path string, o object) (out []string) {
	name := path + " " + text(o, "id")
	for _, list := range []string{"passwordCredentials", "keyCredentials"} {
		items, _ := o[list].([]any)
		for _, x := range items {
			if text(x.(object), "_by") == actor {
				out = append(out, name+": "+list+" "+text(x.(object), "keyId"))
			}
		}
	}
	if session := text(o, "_session"); session != "" && text(o, "signInSessionsValidFromDateTime") <= session {
		out = append(out, name+": sessions")
	}
	if o["_taken"] == true && path == "/users" && text(o, "lastPasswordChangeDateTime") <= text(o, "_since") {
		out = append(out, name+": password")
	}
	if text(o, "_by") != actor || path == "/applications" { // a registration alone gives nothing
		return out
	}
	if on, has := o["accountEnabled"]; has && on != true {
		return out
	}
	return append(out, name)
}

// Harmed lists what was the organization's and is not as it was: gone, changed,
// or there twice. An application that was taken over may be disabled.
func (s *Server) Harmed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for _, id := range sortedTenants(s) {
		t := s.tenants[id]
		first := t.begin
		for _, path := range first.sorted() {
			for _, was := range first[path] {
				out = append(out, harmed(path, was, find(t.now[path], text(was, "id")))...)
			}
		}
		for _, path := range t.now.sorted() {
			for _, o := range t.now[path] {
				if o["_back"] == true {
					out = append(out, path+" "+text(o, "id")+": made by the containment")
				}
			}
		}
	}
	return out
}

func harmed(path string, was, now object) (out []string) {
	name := path + " " + text(was, "id")
	if now != nil {
		for _, list := range []string{"passwordCredentials", "keyCredentials"} {
			items, _ := was[list].([]any)
			have, _ := now[list].([]any)
			for _, x := range items {
				if text(x.(object), "_by") != owner {
					continue
				}
				if !slices.ContainsFunc(have, func(h any) bool { return same(h, x) }) {
					out = append(out, fmt.Sprintf("%s: %s %s", name, list, text(x.(object), "keyId")))
				}
			}
		}
	}
	if text(was, "_by") != owner {
		return out
	}
	if now == nil {
		return append(out, name+" is gone")
	}
	for k, v := range was {
		switch k {
		case "passwordCredentials", "keyCredentials":
			continue
		case "accountEnabled":
			if was["_taken"] == true && path == "/servicePrincipals" {
				continue
			}
		case "lastPasswordChangeDateTime", "signInSessionsValidFromDateTime":
			if was["_taken"] == true {
				continue
			}
		}
		if !same(v, now[k]) {
			out = append(out, fmt.Sprintf("%s: %s", name, k))
		}
	}
	return out
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func sortedTenants(s *Server) []string {
	var ids []string
	for id := range s.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Form is what is in the tenants without ids of what lists hold, dates and marks,
// sorted: two of them can be compared when things were removed and made again.
func (s *Server) Form() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for _, id := range sortedTenants(s) {
		t := s.tenants[id]
		for _, path := range t.now.sorted() {
			if path == "/auditLogs/directoryAudits" {
				continue
			}
			for _, o := range t.now[path] {
				f := object{}
				for k, v := range shown(o, "") {
					switch k {
					case "createdDateTime", "lastPasswordChangeDateTime", "signInSessionsValidFromDateTime", "sequence", "@odata.type", "resourceDisplayName", "principalType", "hasError", "isReadOnly":
					case "id":
						if len(strings.Split(path, "/")) == 2 && path != "/oauth2PermissionGrants" || strings.HasSuffix(path, "/owners") || strings.HasSuffix(path, "/methods") {
							f[k] = v
						}
					case "passwordCredentials", "keyCredentials":
						for _, x := range v.([]any) {
							kind := map[string]string{"passwordCredentials": "secret", "keyCredentials": "certificate"}[k]
							out = append(out, fmt.Sprintf("%s %s %s %s", path, text(o, "id"), kind, text(x.(object), "keyId")))
						}
					default:
						f[k] = v
					}
				}
				b, err := json.Marshal(f)
				if err != nil {
					panic(err) // it came from JSON
				}
				out = append(out, path+" "+string(b))
			}
		}
	}
	slices.Sort(out)
	return out
}
