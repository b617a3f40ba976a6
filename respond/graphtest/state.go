package graphtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// object is anything in a tenant. Members whose names begin with "_" are ours
// and never sent: _by says whose it is (actor, owner), _taken that it is an
// owner's and was in the actor's hands.
type object = map[string]any

// state is the collections of a tenant, by path.
type state map[string][]object

func (s state) clone() state {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // it came from JSON, or from the builder
	}
	var out state
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// Tenant is one organization.
type Tenant struct {
	ID       string
	now, old state
	begin    state // as the actor left it
	lag      int   // reads that still see old
	n        int   // ids that were made
}

// ID makes an object id of a name, the same each time.
func ID(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	x := hex.EncodeToString(h[:16])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-8" + x[17:20] + "-" + x[20:32]
}

// Add puts an object into a collection.
func (t *Tenant) Add(path string, o object) { t.now[path] = append(t.now[path], o) }

// Find returns an object by id, nil when it is not there.
func (t *Tenant) Find(path, id string) object { return find(t.now[path], id) }

func find(list []object, id string) object {
	for _, o := range list {
		if text(o, "id") == id {
			return o
		}
	}
	return nil
}

func text(o object, member string) string {
	s, _ := o[member].(string)
	return s
}

// audit writes an audit record; one of user and app is the initiator.
func (t *Tenant) audit(at, activity, user, app string) {
	by := object{}
	if user != "" {
		by["user"] = object{"id": user}
	} else {
		by["app"] = object{"appId": app}
	}
	t.Add("/auditLogs/directoryAudits", object{"id": ID("audit", fmt.Sprint(len(t.now["/auditLogs/directoryAudits"]))), "activityDateTime": at, "activityDisplayName": activity, "initiatedBy": by})
}

// Audit writes a record of what somebody else did now.
func (s *Server) Audit(tenant, activity, user, app string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenant(tenant).audit(s.tick(), activity, user, app)
}

// locate resolves a path to a collection, and the object in it if the path ends
// with one. Paths by name or application id become paths by object id.
func locate(st state, path string) (collection, id string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i, s := range segments {
		segments[i], _ = url.PathUnescape(s)
	}
	if kind, rest, ok := strings.Cut(segments[0], "(appId='"); ok {
		appID := strings.TrimSuffix(rest, "')")
		id := "nobody"
		for _, o := range st["/"+kind] {
			if text(o, "appId") == appID {
				id = text(o, "id")
			}
		}
		segments = append([]string{kind, id}, segments[1:]...)
	}
	if segments[0] == "users" && len(segments) > 1 {
		for _, u := range st["/users"] {
			if strings.EqualFold(text(u, "userPrincipalName"), segments[1]) {
				segments[1] = text(u, "id")
			}
		}
	}
	if n := len(segments); segments[n-1] == "$ref" {
		segments = segments[:n-1]
	}
	whole := "/" + strings.Join(segments, "/")
	switch {
	case whole == "/roleManagement/directory/roleAssignments", whole == "/oauth2PermissionGrants", whole == "/auditLogs/directoryAudits",
		len(segments)%2 == 1 && segments[0] != "users" && segments[0] != "roleManagement",
		strings.HasSuffix(whole, "/authentication/methods"), strings.HasSuffix(whole, "/registeredDevices"), strings.HasSuffix(whole, "/messageRules"):
		return whole, ""
	}
	last := len(segments) - 1
	return "/" + strings.Join(segments[:last], "/"), segments[last]
}

// parent reports whether what a path is below of is there.
func parent(st state, collection string) bool {
	segments := strings.Split(strings.Trim(collection, "/"), "/")
	if len(segments) < 3 || segments[0] == "roleManagement" {
		return true
	}
	return find(st["/"+segments[0]], segments[1]) != nil
}

// read serves a GET.
func (s *Server) read(w http.ResponseWriter, r *http.Request, t *Tenant, path string) int {
	st := t.now
	if t.lag > 0 {
		st = t.old
		t.lag--
	}
	collection, id := locate(st, path)
	if !parent(st, collection) {
		return failure(w, 404, "Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")
	}
	if id != "" {
		o := find(st[collection], id)
		if o == nil {
			return failure(w, 404, "Request_ResourceNotFound", "Resource %q does not exist.", id)
		}
		answer(w, 200, shown(o, r.URL.Query().Get("$select")))
		return 200
	}
	items := st[collection]
	if owner, ok := strings.CutSuffix(collection, "/oauth2PermissionGrants"); ok && owner != "" {
		sp := owner[strings.LastIndex(owner, "/")+1:]
		items = where(st["/oauth2PermissionGrants"], func(o object) bool { return text(o, "clientId") == sp })
	}
	if user, ok := strings.CutSuffix(collection, "/registeredDevices"); ok {
		user = user[strings.LastIndex(user, "/")+1:]
		items = where(st["/devices"], func(o object) bool { return text(o, "_user") == user })
	}
	if f := r.URL.Query().Get("$filter"); f != "" {
		member, rest, _ := strings.Cut(f, " ")
		op, value, _ := strings.Cut(rest, " ")
		value = strings.Trim(value, "'")
		switch {
		case op == "eq":
			items = where(items, func(o object) bool { return text(o, member) == value })
		case op == "ge":
			items = where(items, func(o object) bool { return text(o, member) >= value })
		default:
			return failure(w, 400, "BadRequest", "Invalid filter clause")
		}
	}
	size := s.Faults.Page
	if size == 0 {
		size = 2
	}
	skip, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	page := object{"value": []object{}}
	if skip < len(items) {
		end := min(skip+size, len(items))
		var out []object
		for _, o := range items[skip:end] {
			out = append(out, shown(o, ""))
		}
		page["value"] = out
		if end < len(items) {
			q := r.URL.Query()
			q.Set("$skiptoken", strconv.Itoa(end))
			page["@odata.nextLink"] = s.URL + r.URL.EscapedPath() + "?" + q.Encode()
		}
	}
	answer(w, 200, page)
	return 200
}

func where(list []object, keep func(object) bool) []object {
	return slices.DeleteFunc(slices.Clone(list), func(o object) bool { return !keep(o) })
}

// shown is an object as it is sent.
func shown(o object, sel string) object {
	out := object{}
	names := strings.Split(sel, ",")
	for k, v := range o {
		if strings.HasPrefix(k, "_") || sel != "" && k != "id" && !slices.Contains(names, k) {
			continue
		}
		if list, ok := v.([]any); ok {
			var clean []any
			for _, x := range list {
				if m, ok := x.(object); ok {
					x = shown(m, "")
				}
				clean = append(clean, x)
			}
			if v = clean; clean == nil {
				v = []any{}
			}
		}
		out[k] = v
	}
	return out
}

// sorted returns the collections' paths in order.
func (s state) sorted() []string { return slices.Sorted(maps.Keys(s)) }
