package parse

import (
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// directory reads Entra's own records (type 8): actor, target and modified
// properties. Most of them carry no address at all.
func (UAL) directory(r *Record, e *event.Event, f *ualFields, s *Sink) {
	var apps []string
	for _, a := range f.actor.GetArray() {
		id := str(a, "ID")
		switch {
		case len(id) == 0:
		case strings.HasPrefix(string(id), "ServicePrincipal_"):
			e.ActorKind = event.ActorApp
			e.SPID = s.Lower(id[len("ServicePrincipal_"):])
			e.ActorID = e.SPID
		case strings.HasPrefix(string(id), "User_"):
			e.ActorID = s.Lower(id[len("User_"):])
		case string(text(get(a, "Type"))) == "1" && e.ActorKind == event.ActorApp:
			e.AppName = s.Bytes(id)
		case string(text(get(a, "Type"))) == "2" && isGUID(id) && e.ActorKind == event.ActorApp:
			apps = append(apps, s.Lower(id))
		}
	}
	// The list names the service principal's object id twice, once bare; the
	// other bare id is the application's.
	for _, id := range apps {
		if id != e.SPID && e.AppID == "" {
			e.AppID = id
		}
	}
	kind := ""
	for _, t := range f.target.GetArray() {
		id := str(t, "ID")
		typ := string(text(get(t, "Type")))
		prefix, rest, found := strings.Cut(string(id), "_")
		switch {
		case len(id) == 0:
		case found && (prefix == "User" || prefix == "ServicePrincipal" || prefix == "Application" || prefix == "Group" || prefix == "Role" || prefix == "Device") && isGUID([]byte(rest)):
			e.TargetID = s.Copy(strings.ToLower(rest))
			kind = targetKind(prefix)
		case typ == "1":
			e.Target = s.Bytes(id)
		case typ == "5" && strings.Contains(string(id), "@"):
			e.Target = s.Lower(id)
		case kind == "" && typ == "2" && !isGUID(id):
			kind = targetKind(string(id))
		}
	}
	e.TargetKind = kind
	r.pairs(f.extended, func(name string, v *fastjson.Value) {
		if name != "additionalDetails" {
			return
		}
		if x, err := r.Nested(text(v)); err == nil {
			e.UserAgent = s.Bytes(str(x, "User-Agent"))
		}
	})
	applyDirectoryChanges(s, e, modifiedProperties(f.modified, r))
}

func targetKind(word string) string {
	switch word {
	case "User":
		return "user"
	case "ServicePrincipal":
		return "service_principal"
	case "Application":
		return "application"
	case "Group":
		return "group"
	case "Role":
		return "role"
	case "Device":
		return "device"
	}
	return ""
}

// modifiedProperties lists {Name, OldValue, NewValue}. Some workloads write
// plain names instead of objects; those say that a property changed, not how.
func modifiedProperties(v *fastjson.Value, r *Record) []change {
	if v != nil && v.Type() == fastjson.TypeString {
		v, _ = r.nested(wrapNamed(v), "v")
	}
	var out []change
	for _, p := range v.GetArray() {
		if p.Type() == fastjson.TypeString {
			out = append(out, change{Name: string(text(p))})
			continue
		}
		out = append(out, change{Name: string(str(p, "Name")), Old: string(str(p, "OldValue")), New: string(str(p, "NewValue"))})
	}
	return out
}
