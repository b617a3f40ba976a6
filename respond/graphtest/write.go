package graphtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// typeOf is the type of what a collection holds, as properties.csv names it.
func typeOf(collection string) string {
	last := collection[strings.LastIndex(collection, "/")+1:]
	return map[string]string{
		"users": "User", "applications": "Application", "servicePrincipals": "ServicePrincipal", "devices": "Device",
		"appRoleAssignments": "AppRoleAssignment", "oauth2PermissionGrants": "OAuth2PermissionGrant", "roleAssignments": "UnifiedRoleAssignment",
		"messageRules": "MessageRule", "federatedIdentityCredentials": "FederatedIdentityCredential",
	}[last]
}

// check remembers members that the description does not have.
func (s *Server) check(of string, body object) {
	for k, v := range body {
		if !slices.Contains(s.members[of], k) {
			s.unknown = append(s.unknown, fmt.Sprintf("member %s of %s", k, of))
		}
		switch k {
		case "passwordProfile":
			s.check("PasswordProfile", v.(object))
		case "keyCredentials":
			for _, x := range v.([]any) {
				s.check("KeyCredential", x.(object))
			}
		}
	}
}

// write serves a change.
func (s *Server) write(w http.ResponseWriter, method string, t *Tenant, path string, body object) int {
	none := func() int {
		return failure(w, 404, "Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")
	}
	ok := func(status int, v any) int {
		if v == nil {
			w.WriteHeader(status)
			return status
		}
		answer(w, status, v)
		return status
	}
	for _, action := range []string{"removePassword", "revokeSignInSessions"} {
		rest, is := strings.CutSuffix(path, "/"+action)
		if !is {
			continue
		}
		collection, id := locate(t.now, rest)
		o := t.Find(collection, id)
		switch {
		case o == nil:
			return none()
		case action == "revokeSignInSessions":
			o["signInSessionsValidFromDateTime"] = s.tick()
			return ok(200, object{"value": true})
		}
		list, _ := o["passwordCredentials"].([]any)
		left := slices.DeleteFunc(slices.Clone(list), func(x any) bool { return text(x.(object), "keyId") == text(body, "keyId") })
		if len(left) == len(list) {
			return failure(w, 400, "Request_BadRequest", "No password credential found with keyId.")
		}
		o["passwordCredentials"] = left
		return ok(204, nil)
	}
	collection, id := locate(t.now, path)
	if !parent(t.now, collection) {
		return none()
	}
	switch method {
	case http.MethodPatch:
		o := t.Find(collection, id)
		if o == nil {
			return none()
		}
		s.check(typeOf(collection), body)
		for k, v := range body {
			switch k {
			case "passwordProfile":
				o["lastPasswordChangeDateTime"] = s.tick()
				o["_password"] = v.(object)["password"]
			case "keyCredentials":
				o[k] = remark(o[k], v.([]any))
			default:
				o[k] = v
			}
		}
		return ok(204, nil)
	case http.MethodDelete:
		return s.remove(w, t, collection, id)
	case http.MethodPost:
		return s.create(w, t, collection, body)
	}
	return failure(w, 405, "Request_BadRequest", "Method not allowed")
}

// remark puts our marks on certificates that come back.
func remark(old any, list []any) []any {
	have, _ := old.([]any)
	for _, x := range list {
		for _, h := range have {
			if text(h.(object), "keyId") == text(x.(object), "keyId") {
				x.(object)["_by"] = h.(object)["_by"]
			}
		}
	}
	return list
}

func (s *Server) remove(w http.ResponseWriter, t *Tenant, collection, id string) int {
	kind := ""
	if user, typed, ok := strings.Cut(collection, "/authentication/"); ok {
		collection = user + "/authentication/methods"
		kind = "#microsoft.graph." + strings.TrimSuffix(typed, "Methods")
	}
	list := t.now[collection]
	i := slices.IndexFunc(list, func(o object) bool { return text(o, "id") == id })
	if i < 0 {
		return failure(w, 404, "Request_ResourceNotFound", "Resource %q does not exist.", id)
	}
	if kind != "" && text(list[i], "@odata.type") != kind+"AuthenticationMethod" {
		return failure(w, 400, "badRequest", "The method is of another type.")
	}
	if list[i]["_default"] == true && slices.ContainsFunc(list, func(o object) bool {
		return text(o, "id") != id && text(o, "@odata.type") != "#microsoft.graph.passwordAuthenticationMethod" && o["_by"] == actor
	}) {
		return failure(w, 400, "badRequest", "The default method cannot be deleted while there are others.")
	}
	t.now[collection] = slices.Delete(slices.Clone(list), i, i+1)
	w.WriteHeader(204)
	return 204
}

// create makes an object; what is there already is refused as Graph does, but
// for inbox rules, of which there may be two.
func (s *Server) create(w http.ResponseWriter, t *Tenant, collection string, body object) int {
	if strings.HasSuffix(collection, "/owners") {
		ref := text(body, "@odata.id")
		id := ref[strings.LastIndex(ref, "/")+1:]
		if find(t.now[collection], id) != nil {
			return failure(w, 400, "Request_BadRequest", "One or more added object references already exist for the following modified properties: 'owners'.")
		}
		t.Add(collection, object{"id": id, "@odata.type": "#microsoft.graph.user", "_back": true})
		w.WriteHeader(204)
		return 204
	}
	s.check(typeOf(collection), body)
	same := map[string][]string{
		"AppRoleAssignment": {"principalId", "resourceId", "appRoleId"}, "OAuth2PermissionGrant": {"clientId", "principalId", "resourceId"},
		"UnifiedRoleAssignment": {"principalId", "roleDefinitionId", "directoryScopeId"}, "FederatedIdentityCredential": {"name"},
	}[typeOf(collection)]
	for _, o := range t.now[collection] {
		if same != nil && !slices.ContainsFunc(same, func(k string) bool { return o[k] != body[k] }) {
			return failure(w, 409, "Request_MultipleObjectsWithSameKeyValue", "Permission being assigned already exists on the object")
		}
	}
	t.n++
	body["id"] = ID("made", t.ID, fmt.Sprint(t.n))
	body["_back"] = true
	if typeOf(collection) == "AppRoleAssignment" {
		body["createdDateTime"] = s.tick()
	}
	t.Add(collection, body)
	answer(w, 201, shown(body, ""))
	return 201
}
