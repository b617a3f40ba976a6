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
		case strings.HasPrefix(view(id), "ServicePrincipal_"):
			e.ActorKind = event.ActorApp
			e.SPID = s.Lower(id[len("ServicePrincipal_"):])
			e.ActorID = e.SPID
		case strings.HasPrefix(view(id), "User_"):
			e.ActorID = s.Lower(id[len("User_"):])
		case isType(a, 1) && e.ActorKind == event.ActorApp:
			e.AppName = s.Bytes(id)
		case isType(a, 2) && isGUID(id) && e.ActorKind == event.ActorApp:
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
		prefix, rest, found := strings.Cut(view(id), "_")
		switch {
		case len(id) == 0:
		case found && (prefix == "User" || prefix == "ServicePrincipal" || prefix == "Application" || prefix == "Group" || prefix == "Role" || prefix == "Device") && isGUID([]byte(rest)):
			e.TargetID = s.Copy(strings.ToLower(rest))
			kind = targetKind(prefix)
		case isType(t, 1):
			e.Target = s.Bytes(id)
		case isType(t, 5) && strings.Contains(view(id), "@"):
			e.Target = s.Lower(id)
		case kind == "" && isType(t, 2) && !isGUID(id):
			kind = targetKind(view(id))
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
// The strings are valid for this record only.
func modifiedProperties(v *fastjson.Value, r *Record) []change {
	if v != nil && v.Type() == fastjson.TypeString {
		v, _ = r.opened(v)
	}
	list := v.GetArray()
	out := make([]change, 0, len(list))
	for _, p := range list {
		if p.Type() == fastjson.TypeString {
			out = append(out, change{Name: view(text(p))})
			continue
		}
		out = append(out, change{Name: view(str(p, "Name")), Old: view(str(p, "OldValue")), New: view(str(p, "NewValue"))})
	}
	return out
}
