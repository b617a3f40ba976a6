package posture

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"midwatch/casefile"
	"midwatch/source"
)

// maxExport bounds an export in bytes; they are read into memory.
const maxExport = 256 << 20

// row is a row of an export: names in lower case without _, - and space.
type row struct {
	cells map[string]any // string, bool, float64, list or object
	place Place
}

func (r *row) text(names ...string) string {
	for _, n := range names {
		switch v := r.cells[n].(type) {
		case string:
			if s := strings.TrimSpace(v); s != "" {
				return s
			}
		case bool, float64:
			return fmt.Sprint(v)
		}
	}
	return ""
}

func (r *row) bool(names ...string) *bool {
	t, f := true, false
	switch strings.ToLower(r.text(names...)) {
	case "true", "1", "yes", "enabled":
		return &t
	case "false", "0", "no", "disabled":
		return &f
	}
	return nil
}

func (r *row) time(names ...string) time.Time {
	s := r.text(names...)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// kind is a kind of export: a row of it has all of these members.
type kind struct {
	name string
	has  []string // each may be alternatives, separated by |
	read func(*facts, *row) error
	why  string // in the place of read: why it is not used
}

const upnNames = "userprincipalname|user|upn|username"

// kinds lists what is recognized, the most particular first. The columns are
// those of Microsoft-Extractor-Suite and the properties of Microsoft Graph.
func kinds() []kind {
	return []kind{
		{name: "application permissions", has: []string{"permissiontype", "appid", "permission"}, read: (*facts).readPermission},
		{name: "mailbox audit status", has: []string{"userprincipalname", "auditenabled"}, read: (*facts).readMailboxAudit},
		{name: "role assignments", has: []string{"role|rolename", "username|userprincipalname"}, read: (*facts).readRole},
		{name: "applications", has: []string{"appid", "passwordcredentials|keycredentials"}, read: (*facts).readApplication},
		{name: "registration details", has: []string{upnNames, "ismfaregistered|mfaregistered|mfastatus"}, read: (*facts).readUser},
		{name: "users", has: []string{upnNames, "accountenabled|enabled"}, read: (*facts).readUser},
		{name: "conditional access policies", has: []string{"displayname", "state", "conditions"}, why: "recognized, and not used: what policies come to for an account is not judged"},
	}
}

func kindOf(r *row) *kind {
next:
	for _, k := range kinds() {
		for _, h := range k.has {
			found := false
			for _, n := range strings.Split(h, "|") {
				_, ok := r.cells[n]
				found = found || ok
			}
			if !found {
				continue next
			}
		}
		return &k
	}
	return nil
}

// readExports reads the exports at the paths: files, folders and archives.
// What is none is listed with its reason and stops nothing.
func (f *facts) readExports(ctx context.Context, paths []string) error {
	rd := &source.Reader{Stream: func(sf *source.File, s io.Reader) error {
		x := Export{File: sf.Path}
		if err := f.readExport(&x, s); err != nil {
			x.Reason = err.Error()
		}
		f.exports = append(f.exports, x)
		return nil
	}}
	files, err := rd.Read(ctx, paths, func(b *source.Block) error { b.Release(); return nil })
	if err != nil {
		return fmt.Errorf("read exports: %w", err)
	}
	at := map[string]int{}
	for i := range f.exports {
		at[f.exports[i].File] = i
	}
	for _, sf := range files {
		i, ok := at[sf.Path]
		if !ok {
			i = len(f.exports)
			f.exports = append(f.exports, Export{File: sf.Path})
		}
		x := &f.exports[i]
		x.SHA256 = sf.SHA256
		if sf.Err != nil {
			x.Reason = sf.Err.Error()
		}
	}
	return nil
}

func (f *facts) readExport(x *Export, s io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(transform.NewReader(s, unicode.BOMOverride(transform.Nop)), maxExport+1))
	if err != nil {
		return err
	}
	if len(data) > maxExport {
		return fmt.Errorf("more than %d MiB, which no export of settings has", maxExport>>20)
	}
	var k *kind
	skipped, firstBad := 0, ""
	each := func(r *row) error {
		if k == nil {
			if k = kindOf(r); k == nil {
				return errors.New("not an export that Midwatch knows; docs/POSTURE.md lists them")
			}
			x.Kind = k.name
			f.have[k.name] = append(f.have[k.name], x.File)
		}
		if k.read == nil {
			return errors.New(k.why)
		}
		r.place.File = x.File
		if err := k.read(f, r); err != nil {
			if skipped++; skipped == 1 {
				firstBad = fmt.Sprintf("line %d: %v", r.place.Line, err)
			}
			return nil
		}
		x.Rows++
		return nil
	}
	if head := bytes.TrimLeft(data, " \t\r\n"); len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		err = jsonRows(data, each)
	} else {
		err = csvRows(data, each)
	}
	if k == nil && err == nil {
		err = errors.New("it has no rows")
	}
	if err == nil && skipped > 0 {
		err = fmt.Errorf("%s not used, the first of them: %s", plural(skipped, "row was", "rows were"), firstBad)
	}
	return err
}

func normalName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", "\ufeff", "").Replace(s))
}

func csvRows(data []byte, each func(*row) error) error {
	cr := csv.NewReader(bytes.NewReader(data))
	cr.FieldsPerRecord, cr.LazyQuotes = -1, true
	if first, _, _ := bytes.Cut(data, []byte("\n")); bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		cr.Comma = ';'
	}
	head, err := cr.Read()
	if err != nil {
		return fmt.Errorf("neither JSON nor a table: %w", err)
	}
	for i := range head {
		head[i] = normalName(head[i])
	}
	for {
		cells, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := cr.FieldPos(0)
		r := &row{cells: map[string]any{}, place: Place{Line: int64(line)}}
		for i, h := range head {
			if _, twice := r.cells[h]; twice || h == "" {
				continue
			}
			r.cells[h] = ""
			if i < len(cells) {
				r.cells[h] = cells[i]
			}
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// jsonRows walks arrays, {"value": […]}, single objects and JSON lines.
func jsonRows(data []byte, each func(*row) error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	line, counted := int64(1), int64(0)
	lineOf := func(at int64) int64 {
		line += int64(bytes.Count(data[counted:at], []byte("\n")))
		counted = at
		return line
	}
	skip := func(at int64) int64 { // to the value's first byte
		for at < int64(len(data)) && strings.IndexByte(" \t\r\n,:", data[at]) >= 0 {
			at++
		}
		return at
	}
	object := func(raw json.RawMessage, at int64) error {
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil || m == nil {
			return nil // no row
		}
		r := &row{cells: map[string]any{}, place: Place{Line: lineOf(at)}}
		for k, v := range m {
			r.cells[normalName(k)] = v
		}
		return each(r)
	}
	list := func() error {
		for d.More() {
			at := skip(d.InputOffset())
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return err
			}
			if err := object(raw, at); err != nil {
				return err
			}
		}
		_, err := d.Token()
		return err
	}
	for {
		at := skip(d.InputOffset())
		if at >= int64(len(data)) {
			return nil
		}
		if data[at] == '[' {
			if _, err := d.Token(); err != nil {
				return err
			}
			if err := list(); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("line %d: %w", lineOf(at), err)
		}
		var page struct {
			Value []json.RawMessage `json:"value"`
		}
		if json.Unmarshal(raw, &page) != nil || page.Value == nil {
			if err := object(raw, at); err != nil {
				return err
			}
			continue
		}
		// The place of each is looked for from the one before on.
		from := at
		for _, v := range page.Value {
			i := bytes.Index(data[from:], v)
			if i >= 0 {
				from += int64(i)
			}
			if err := object(v, from); err != nil {
				return err
			}
			from += int64(len(v))
		}
	}
}

// readUser reads a row of users or of their methods.
func (f *facts) readUser(r *row) error {
	upn := strings.ToLower(r.text("userprincipalname", "user", "upn", "username"))
	if upn == "" {
		return errors.New("no user")
	}
	a := f.listed(upn, r.place)
	set := func(to **bool, v *bool) {
		if v != nil && *to == nil {
			*to = v
		}
	}
	set(&a.enabled, r.bool("accountenabled", "enabled"))
	set(&a.mfa, r.bool("ismfaregistered", "mfaregistered", "mfastatus"))
	if isTrue(r.bool("isadmin")) && len(a.roles) == 0 {
		a.roles = []string{adminByList}
	}
	last := r.time("lastsignindatetime", "lastinteractivesignin")
	if m, ok := r.cells["signinactivity"].(map[string]any); ok {
		x := row{cells: map[string]any{"a": m["lastSignInDateTime"], "b": m["lastNonInteractiveSignInDateTime"]}}
		for _, n := range []string{"a", "b"} {
			if t := x.time(n); t.After(last) {
				last = t
			}
		}
	}
	if last.After(a.last) {
		a.last, a.lastBy = last, "the export"
	}
	return nil
}

func (f *facts) readRole(r *row) error {
	role, upn := r.text("role", "rolename"), strings.ToLower(r.text("userprincipalname", "username"))
	if role == "" || upn == "" {
		return errors.New("no role or no user")
	}
	a := f.account(f.tenantOf(upn), upn)
	a.roles = casefile.Unique(append(a.roles, role))
	a.places = append(a.places, r.place)
	if a.enabled == nil {
		a.enabled = r.bool("accountenabled")
	}
	return nil
}

// readPermission reads a row of Get-OAuthPermissions.
func (f *facts) readPermission(r *row) error {
	id, perm := strings.ToLower(r.text("appid")), r.text("permission")
	if id == "" || perm == "" {
		return errors.New("no application or no permission")
	}
	if !strings.EqualFold(r.text("permissiontype"), "application") {
		return nil
	}
	a := f.app(f.only(), id, r.text("clientobjectid"), r.text("appdisplayname", "clientdisplayname"))
	a.grant(perm, "", r.place)
	return nil
}

func (f *facts) readMailboxAudit(r *row) error {
	upn := strings.ToLower(r.text("userprincipalname"))
	if upn == "" {
		return errors.New("no mailbox")
	}
	on := r.bool("auditenabled")
	if on == nil {
		return errors.New("it does not say whether auditing is on")
	}
	f.audits = append(f.audits, mailboxAudit{tenant: f.tenantOf(upn), upn: upn, on: *on, bypass: isTrue(r.bool("auditbypassenabled")),
		actions: r.text("ownerauditactions", "auditowner"), place: r.place})
	return nil
}

// readApplication reads an application of Graph, with its credentials and, if
// they were asked for, owners.
func (f *facts) readApplication(r *row) error {
	id := strings.ToLower(r.text("appid"))
	if id == "" {
		return errors.New("no application id")
	}
	a := f.app(f.only(), id, "", r.text("displayname"))
	for _, name := range []string{"passwordcredentials", "keycredentials"} {
		list, _ := r.cells[name].([]any)
		for _, x := range list {
			m, _ := x.(map[string]any)
			c := row{cells: map[string]any{}}
			for k, v := range m {
				c.cells[normalName(k)] = v
			}
			if key := strings.ToLower(c.text("keyid")); key != "" {
				k := a.key(key)
				k.added, k.expires = c.time("startdatetime"), c.time("enddatetime")
				k.places = append(k.places, r.place)
			}
		}
	}
	owners, _ := r.cells["owners"].([]any)
	for _, x := range owners {
		if m, ok := x.(map[string]any); ok {
			if upn, _ := m["userPrincipalName"].(string); upn != "" {
				a.owner(strings.ToLower(upn), "", r.place)
			}
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }
