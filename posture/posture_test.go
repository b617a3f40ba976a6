package posture

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/detect/detecttest"
	"midwatch/enrich"
	"midwatch/store"
	"midwatch/store/dialect"
)

// checked is a store that refuses questions which only one engine understands.
type checked struct {
	store.Querier
	t *testing.T
}

func (c checked) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if err := dialect.Check(q); err != nil {
		c.t.Errorf("%v\n%s", err, q)
	}
	return c.Querier.Query(ctx, q, args...)
}

func build(t *testing.T, rows string, o Options, exports map[string]string) *Posture {
	t.Helper()
	db := detecttest.Open(t)
	db.LoadText(t, "rows", rows)
	o.Store = checked{db, t}
	dir := t.TempDir()
	for _, name := range sortedKeys(exports) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(exports[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Exports = append(o.Exports, path)
	}
	p, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func answer(p *Posture, check string) *Answer {
	for i := range p.Answers {
		if p.Answers[i].Check == check {
			return &p.Answers[i]
		}
	}
	return &Answer{}
}

func doors(p *Posture, check string) (out []Door) {
	for _, d := range p.Doors {
		if d.Check == check {
			out = append(out, d)
		}
	}
	return out
}

// Pieces of evidence. The days lie thirty apart.
const (
	signIn = `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-30T08:00:00Z","actor":"%s","ip":"192.0.2.1","detail":{"auth_requirement":"%s"}}` + "\n"
	old    = `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-01T08:00:00Z","actor":"%s","ip":"192.0.2.1","detail":{"auth_requirement":"multi"}}` + "\n"
	spIn   = `{"class":"sign_in","source":"signin","workload":"service_principal","time":"%s","actor_kind":"app","app_id":"%s","sp_id":"sp-1","app_name":"%s","key_id":"%s","ip":"198.51.100.%d"}` + "\n"
	grantR = `{"class":"app_role_grant","source":"directory","time":"2024-01-02T08:00:00Z","actor":"admin@own.example","target":"%s","target_id":"sp-1","target_kind":"service_principal","permissions":"%s","detail":{"app_id":"%s"}}` + "\n"
	reads  = `{"class":"mail_access","time":"2024-01-20T08:00:00Z","actor_kind":"%s","app_id":"%s","mailbox":"%s","client":"%s"}` + "\n"
	app1   = "11111111-2222-3333-4444-555555555555"
)

func f(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// Each door where it is open, where it is not, and where nothing can tell.
func TestDoors(t *testing.T) {
	people := f(old, "ann@own.example") + f(signIn, "ann@own.example", "multi")
	for _, c := range []struct {
		check, name string
		rows        string
		exports     map[string]string
		people      []enrich.Person
		state       State
		severity    casefile.Severity
		members     string // ids, in order
	}{
		{check: "no_mfa", name: "single factor only", rows: people + f(signIn, "bo@own.example", "single"), state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "no_mfa", name: "an administrator", rows: people + f(signIn, "bo@own.example", "single") +
			`{"class":"role_add","source":"directory","time":"2024-01-02T08:00:00Z","actor":"x@own.example","target":"bo@own.example","target_kind":"user","detail":{"role":"Global Administrator","user":"bo@own.example"}}`, state: Open, severity: casefile.Critical, members: "bo@own.example"},
		{check: "no_mfa", name: "a role that was taken again", rows: people + f(signIn, "bo@own.example", "single") +
			`{"class":"role_add","source":"directory","time":"2024-01-02T08:00:00Z","actor":"x@own.example","target":"bo@own.example","target_kind":"user","detail":{"role":"Global Administrator","user":"bo@own.example"}}
			{"class":"role_add","operation":"remove member from role","source":"directory","time":"2024-01-03T08:00:00Z","actor":"x@own.example","target":"bo@own.example","target_kind":"user","detail":{"role":"Global Administrator","user":"bo@own.example"}}`, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "no_mfa", name: "a service account apart", rows: people + f(signIn, "svc-x@own.example", "single"), state: Open, severity: casefile.Medium, members: "svc-x@own.example"},
		{check: "no_mfa", name: "refreshed tokens say single", rows: people + strings.ReplaceAll(f(signIn, "bo@own.example", "single"), "interactive", "noninteractive"), state: NotSeen},
		{check: "no_mfa", name: "nobody", rows: people, state: NotSeen},
		{check: "no_mfa", name: "registered by the list", rows: people, exports: map[string]string{"a.csv": "userPrincipalName,isMfaRegistered\nann@own.example,True\n"}, state: Closed},
		{check: "no_mfa", name: "one is not in the list", rows: people + f(signIn, "cy@own.example", "multi"), exports: map[string]string{"a.csv": "userPrincipalName,isMfaRegistered\nann@own.example,True\n"}, state: NotSeen},
		{check: "no_mfa", name: "not registered by the list", rows: people, exports: map[string]string{"a.json": `[{"userPrincipalName":"bo@own.example","isMfaRegistered":false}]`}, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "no_mfa", name: "disabled", rows: people, exports: map[string]string{"a.csv": "user,enabled,mfa_registered\nbo@own.example,false,false\n"}, state: NotSeen},
		{check: "no_mfa", name: "nothing says", rows: `{"class":"mail_access","time":"2024-01-20T08:00:00Z"}`, state: Unknown},

		{check: "test_account", name: "by name", rows: people + f(signIn, "svc-test@own.example", "single"), state: Open, severity: casefile.High, members: "svc-test@own.example"},
		{check: "test_account", name: "by domain", rows: people + f(signIn, "bo@own-test.example", "single"), state: Open, severity: casefile.High, members: "bo@own-test.example"},
		{check: "test_account", name: "with a second factor", rows: people + f(signIn, "test@own.example", "multi"), state: NotSeen},
		{check: "test_account", name: "people are called so", rows: people + f(signIn, "a.tester@own.example", "single") + f(signIn, "contest@own.example", "single"), state: NotSeen},
		{check: "test_account", name: "nobody known", rows: `{"class":"other","time":"2024-01-20T08:00:00Z"}`, state: Unknown},

		{check: "dormant", name: "enabled and never seen", rows: people, people: []enrich.Person{{User: "ann@own.example", Enabled: yes()}, {User: "bo@own.example", Enabled: yes()}}, state: Open, severity: casefile.Low, members: "bo@own.example"},
		{check: "dormant", name: "and without a second factor", rows: people, people: []enrich.Person{{User: "bo@own.example", Enabled: yes(), MFARegistered: no()}}, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "dormant", name: "alive without a sign-in", rows: people + `{"class":"mail_send","time":"2024-01-29T08:00:00Z","actor":"bo@own.example"}`, people: []enrich.Person{{User: "bo@own.example", Enabled: yes()}}, state: NotSeen},
		{check: "dormant", name: "disabled", rows: people, people: []enrich.Person{{User: "ann@own.example", Enabled: yes()}, {User: "bo@own.example", Enabled: no()}}, state: NotSeen},
		{check: "dormant", name: "no list", rows: people, state: Unknown},
		{check: "dormant", name: "too few days", rows: f(signIn, "ann@own.example", "multi"), people: []enrich.Person{{User: "bo@own.example", Enabled: yes()}}, state: Unknown},

		{check: "legacy_protocol", name: "in two logs, once", rows: people + `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","protocol":"ropc"}
			{"class":"sign_in","source":"ual","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","user_agent":"BAV2ROPC"}`, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "legacy_protocol", name: "refused", rows: people + `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","protocol":"ropc","outcome":"failure"}`, state: NotSeen},
		{check: "legacy_protocol", name: "no sign-ins", rows: `{"class":"other","time":"2024-01-20T08:00:00Z"}`, state: Unknown},

		{check: "user_consent", name: "to mail", rows: `{"class":"consent","source":"directory","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","target":"Tool","permissions":"Mail.Read","detail":{"consent_admin":false}}`, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "user_consent", name: "by an administrator", rows: `{"class":"consent","source":"directory","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","target":"Tool","permissions":"Mail.Read","detail":{"consent_admin":true}}`, state: NotSeen},
		{check: "user_consent", name: "no log", rows: people, state: Unknown},
		{check: "user_registration", name: "by a person", rows: `{"class":"app_create","source":"directory","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","target":"Tool"}`, state: Open, severity: casefile.Low, members: "bo@own.example"},
		{check: "user_registration", name: "by one with a role", rows: `{"class":"app_create","source":"directory","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","target":"Tool"}`, exports: map[string]string{"r.csv": "Role,UserName\nApplication Administrator,bo@own.example\n"}, state: NotSeen},
		{check: "user_registration", name: "no log", rows: people, state: Unknown},

		{check: "test_app", name: "writes to the directory", rows: `{"class":"user_create","source":"directory","time":"2024-01-20T08:00:00Z","actor_kind":"app","app_name":"Legacy Mail Test App","sp_id":"sp-1","target":"x@own.example"}`, state: Open, severity: casefile.Critical, members: "sp-1"},
		{check: "test_app", name: "holds mail", rows: f(grantR, "Archive (test)", "full_access_as_app", app1), state: Open, severity: casefile.High, members: app1},
		{check: "test_app", name: "not a test", rows: f(grantR, "Attestation Archive", "full_access_as_app", app1), state: NotSeen},
		{check: "test_app", name: "no application", rows: people, state: Unknown},

		{check: "unused_power", name: "never signs in", rows: f(grantR, "Archive", "full_access_as_app", app1) + strings.ReplaceAll(f(spIn, "2024-01-30T08:00:00Z", "other", "Other", "k", 1), "sp-1", "sp-2"), state: Open, severity: casefile.High, members: app1},
		{check: "unused_power", name: "signs in and reads nothing", rows: f(grantR, "Archive", "Mail.Read", app1) + f(spIn, "2024-01-30T08:00:00Z", app1, "Archive", "k", 1) + f(reads, "user", "", "ann@own.example", ""), state: Open, severity: casefile.High, members: app1},
		{check: "unused_power", name: "reads", rows: f(grantR, "Archive", "Mail.Read", app1) + f(spIn, "2024-01-30T08:00:00Z", app1, "Archive", "k", 1) + f(reads, "app", app1, "ann@own.example", ""), state: NotSeen},
		{check: "unused_power", name: "taken away again", rows: f(grantR, "Archive", "Mail.Read", app1) + strings.Replace(strings.Replace(f(grantR, "Archive", "Mail.Read", app1), "{", `{"operation":"remove app role assignment",`, 1), "-02T", "-03T", 1), state: Unknown},
		{check: "unused_power", name: "by the export", rows: f(spIn, "2024-01-30T08:00:00Z", "other", "Other", "k", 1), exports: map[string]string{"p.csv": "PermissionType,AppId,ClientObjectId,AppDisplayName,Permission\nDelegated,x,y,z,Mail.Read\nApplication," + app1 + ",sp-9,Archive,Mail.ReadWrite\n"}, state: Open, severity: casefile.High, members: app1},
		{check: "unused_power", name: "no log of its use", rows: f(grantR, "Archive", "Mail.Read", app1), state: Unknown},
		{check: "unused_power", name: "no permission known", rows: people, state: Unknown},

		{check: "old_credentials", name: "two side by side", rows: f(spIn, "2024-01-01T08:00:00Z", app1, "A", "k1", 1) + f(spIn, "2024-01-30T08:00:00Z", app1, "A", "k1", 1) + f(spIn, "2024-01-02T08:00:00Z", app1, "A", "k2", 1) + f(spIn, "2024-01-29T08:00:00Z", app1, "A", "k2", 1), state: Open, severity: casefile.Medium, members: app1},
		{check: "old_credentials", name: "one after the other", rows: f(spIn, "2024-01-01T08:00:00Z", app1, "A", "k1", 1) + f(spIn, "2024-01-14T08:00:00Z", app1, "A", "k1", 1) + f(spIn, "2024-01-14T09:00:00Z", app1, "A", "k2", 1) + f(spIn, "2024-01-29T08:00:00Z", app1, "A", "k2", 1), state: NotSeen},
		{check: "old_credentials", name: "old, of the export", rows: people, exports: map[string]string{"a.json": `{"value":[{"appId":"` + app1 + `","displayName":"A","passwordCredentials":[{"keyId":"k1","startDateTime":"2022-01-01T00:00:00Z","endDateTime":"2030-01-01T00:00:00Z"},{"keyId":"k0","startDateTime":"2020-01-01T00:00:00Z","endDateTime":"2021-01-01T00:00:00Z"}]}]}`}, state: Open, severity: casefile.Low, members: "k1"},
		{check: "old_credentials", name: "none known", rows: people, state: Unknown},

		{check: "ordinary_owner", name: "by object id", rows: `{"class":"app_create","source":"directory","time":"2024-01-01T08:00:00Z","actor":"admin@own.example","target":"Archive","target_id":"obj-1","target_kind":"application","detail":{"app_id":"` + app1 + `"}}
			{"class":"owner_add","source":"directory","time":"2024-01-01T08:00:01Z","actor":"admin@own.example","target":"Archive","target_id":"obj-1","target_kind":"application","detail":{"owner":"bo@own.example"}}
			` + f(grantR, "Archive", "Mail.Read", app1), state: Open, severity: casefile.High, members: "bo@own.example"},
		{check: "ordinary_owner", name: "an administrator", rows: f(grantR, "Archive", "Mail.Read", app1), exports: map[string]string{"a.json": `[{"appId":"` + app1 + `","passwordCredentials":[],"owners":[{"userPrincipalName":"bo@own.example"}]}]`, "r.csv": "RoleName,UserPrincipalName\nGlobal Administrator,bo@own.example\n"}, state: NotSeen},
		{check: "ordinary_owner", name: "no owner known", rows: f(grantR, "Archive", "Mail.Read", app1), state: Unknown},

		{check: "ews_in_use", name: "by an application", rows: f(reads, "app", app1, "ann@own.example", "Client=WebServices;ExchangeServicesClient/15"), state: Open, severity: casefile.Medium, members: app1},
		{check: "ews_in_use", name: "by none", rows: f(reads, "app", app1, "ann@own.example", "Client=REST;"), state: NotSeen},
		{check: "ews_in_use", name: "no reads", rows: people, state: Unknown},

		{check: "reads_not_recorded", name: "of one of four", rows: f(reads, "user", "", "a@own.example", "") + f(reads, "user", "", "b@own.example", "") + f(reads, "user", "", "c@own.example", "") + `{"class":"mail_send","time":"2024-01-20T08:00:00Z","actor":"d@own.example","mailbox":"d@own.example"}`, state: Open, severity: casefile.Medium, members: "d@own.example"},
		{check: "reads_not_recorded", name: "of none", rows: `{"class":"mail_send","time":"2024-01-20T08:00:00Z","actor":"d@own.example","mailbox":"d@own.example"}`, state: Open, severity: casefile.High, members: "d@own.example"},
		{check: "reads_not_recorded", name: "of all", rows: f(reads, "user", "", "a@own.example", ""), state: NotSeen},
		{check: "reads_not_recorded", name: "no mail", rows: people, state: Unknown},
		{check: "audit_off", name: "bypass", rows: people, exports: map[string]string{"m.csv": "UserPrincipalName,AuditEnabled,AuditBypassEnabled\nbo@own.example,True,True\nann@own.example,True,False\n"}, state: Open, severity: casefile.High, members: "bo@own.example"},
		{check: "audit_off", name: "without reads", rows: people, exports: map[string]string{"m.csv": "UserPrincipalName,AuditEnabled,AuditBypassEnabled,OwnerAuditActions\nbo@own.example,True,False,\"Update, MoveToDeletedItems\"\nann@own.example,True,False,\"Update, MailItemsAccessed\"\n"}, state: Open, severity: casefile.Medium, members: "bo@own.example"},
		{check: "no_mfa", name: "an administrator by the list", rows: people, exports: map[string]string{"a.json": `[{"userPrincipalName":"bo@own.example","isAdmin":true,"isMfaRegistered":false}]`}, state: Open, severity: casefile.Critical, members: "bo@own.example"},
		{check: "audit_off", name: "all on", rows: people, exports: map[string]string{"m.csv": "UserPrincipalName,AuditEnabled,AuditBypassEnabled\nann@own.example,True,False\n"}, state: Closed},
		{check: "audit_off", name: "seen in the log", rows: `{"class":"audit_change","operation":"set-mailboxauditbypassassociation","time":"2024-01-20T08:00:00Z","actor":"bo@own.example","target":"ann","detail":{"params":{"AuditBypassEnabled":"True"}}}`, state: Open, severity: casefile.High, members: "bo@own.example"},
		{check: "audit_off", name: "no log", rows: people, state: Unknown},
		{check: "searches_not_recorded", name: "none", rows: f(reads, "user", "", "a@own.example", ""), state: Open, severity: casefile.Low},
		{check: "searches_not_recorded", name: "some", rows: f(reads, "user", "", "a@own.example", "") + `{"class":"search","operation":"searchqueryinitiatedexchange","time":"2024-01-20T08:00:00Z","actor":"a@own.example"}`, state: NotSeen},
		{check: "searches_not_recorded", name: "no reads", rows: people, state: Unknown},
		{check: "logs_not_kept", name: "most", rows: people, state: Open, severity: casefile.Medium},
		{check: "logs_not_kept", name: "no evidence", state: Unknown},
		{check: "short_retention", name: "no case", rows: people, state: Unknown},
		{check: "no_canary", name: "none", rows: people, state: Open, severity: casefile.Info},
	} {
		t.Run(c.check+"/"+c.name, func(t *testing.T) {
			p := build(t, c.rows, Options{People: c.people, Place: "settings.json"}, c.exports)
			a, ds := answer(p, c.check), doors(p, c.check)
			if a.State != c.state {
				t.Fatalf("%s: %s; %+v, exports %+v", a.State, a.Text, ds, p.Exports)
			}
			if c.state != Open {
				if len(ds) > 0 {
					t.Errorf("a door is open: %+v", ds)
				}
				if a.Text == "" {
					t.Error("it does not say on what it stands")
				}
				if c.state == Unknown && a.Fetch == "" {
					t.Error("it does not say what would tell")
				}
				return
			}
			if len(ds) != 1 {
				t.Fatalf("%d doors: %+v", len(ds), ds)
			}
			d := ds[0]
			if d.Severity != c.severity || strings.Join(ids(d.Members), " ") != c.members {
				t.Errorf("%s, members %q, want %s and %q", d.Severity, ids(d.Members), c.severity, c.members)
			}
			if d.Why == "" || d.Breaks == "" || len(d.Fix) == 0 || len(d.Techniques) == 0 || d.Seen == "" {
				t.Errorf("something is not said: %+v", d)
			}
			for _, m := range d.Members {
				if len(m.Events)+len(m.Places) == 0 && c.check != "reads_not_recorded" {
					t.Errorf("no evidence of %+v", m)
				}
			}
		})
	}
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

func TestCanariesAndRetention(t *testing.T) {
	rows := f(signIn, "ann@own.example", "multi")
	p := build(t, rows, Options{Canaries: []string{"old@own.example"}}, nil)
	if a := answer(p, "no_canary"); a.State != Closed {
		t.Errorf("%+v", a)
	}
	k := &casefile.Case{}
	k.Coverage.Retention = []string{"Entra sign-ins begin 30 days before the export"}
	if d := doors(build(t, rows, Options{Case: k}, nil), "short_retention"); len(d) != 1 || !strings.Contains(d[0].Seen, "30 days") {
		t.Errorf("%+v", d)
	}
	if a := answer(build(t, rows, Options{Case: &casefile.Case{}}, nil), "short_retention"); a.State != NotSeen {
		t.Errorf("%+v", a)
	}
}

// Evidence leads to the row of the export.
func TestPlaces(t *testing.T) {
	p := build(t, f(old, "ann@own.example")+f(signIn, "ann@own.example", "multi"), Options{}, map[string]string{
		"a.csv":  "\ufeffuser;MFAstatus\nann@own.example;Enabled\n\"bo@own.example\";Disabled\n",
		"b.json": "[\n {\"userPrincipalName\": \"cy@own.example\",\n  \"isMfaRegistered\": false}\n,\n {\"userPrincipalName\": \"di@own.example\", \"isMfaRegistered\": false}\n]",
		"c.json": "{\"userPrincipalName\":\"ed@own.example\",\"isMfaRegistered\":false}\n{\"userPrincipalName\":\"fi@own.example\",\"isMfaRegistered\":false}\n",
		"d.json": "{\"value\":[{\"userPrincipalName\":\"gu@own.example\",\"isMfaRegistered\":false},\n{\"userPrincipalName\":\"hu@own.example\",\"isMfaRegistered\":false}]}",
		"e.txt":  "nothing of the kind\n",
		"f.json": "[{\"displayName\":\"x\",\"state\":\"enabled\",\"conditions\":{}}]",
		"g.csv":  "",
	})
	want := map[string]int64{"bo@own.example": 3, "cy@own.example": 2, "di@own.example": 5, "ed@own.example": 1, "fi@own.example": 2, "gu@own.example": 1, "hu@own.example": 2}
	for _, m := range doors(p, "no_mfa")[0].Members {
		if len(m.Places) != 1 || m.Places[0].Line != want[m.ID] {
			t.Errorf("%s: %+v, want line %d", m.ID, m.Places, want[m.ID])
		}
		delete(want, m.ID)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	reasons := map[string]string{}
	for _, x := range p.Exports {
		reasons[filepath.Base(x.File)] = x.Reason
		if x.SHA256 == "" {
			t.Errorf("%s has no hash", x.File)
		}
	}
	for name, part := range map[string]string{"a.csv": "", "e.txt": "no rows", "f.json": "not used", "g.csv": "table"} {
		if r := reasons[name]; (part == "") != (r == "") || !strings.Contains(r, part) {
			t.Errorf("%s: %q", name, r)
		}
	}
}

// hostile are names that somebody chose who reads how names are quoted.
func hostile() []string {
	return []string{
		`a'; Remove-MgUser -UserId 'x`, "a\u2019; Remove-MgUser \u2018x", "a\u201b;x", "$(calc)", "`\"$(calc)`\"", `a" ; calc ; "`, "a' or startswith(displayName,'", "a\nRemove-MgUser", "a\rcalc", "\u202egpj.exe",
		"a\x00b", "\x1b]0;x\x07", "\xff\xfe", "[x](javascript:alert(1))", "<script>alert(1)</script>", "|a|b|", "```\ncalc", "# head", strings.Repeat("A", 5000), "@everyone", "--%", "a b", "ü@own.example", "{}", "a\u2028b",
	}
}

// Nothing in a name ends its literal, and no name breaks the line.
func TestHostileNames(t *testing.T) {
	var rows strings.Builder
	for _, n := range hostile() {
		if !strings.Contains(n, "\xff") {
			fmt.Fprintf(&rows, `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-30T08:00:00Z","actor":%s,"protocol":"ropc","detail":{"auth_requirement":"single"}}`+"\n", quoteJSON(n+"@own.example"))
			fmt.Fprintf(&rows, `{"class":"sign_in","source":"signin","workload":"interactive","time":"2024-01-30T08:00:00Z","actor":%s,"detail":{"auth_requirement":"single"}}`+"\n", quoteJSON("test "+n+"@own.example"))
			fmt.Fprintf(&rows, `{"class":"app_role_grant","source":"directory","time":"2024-01-02T08:00:00Z","actor":"a@own.example","target":%s,"target_id":%s,"target_kind":"service_principal","permissions":"full_access_as_app","detail":{"app_id":%s}}`+"\n", quoteJSON("test "+n), quoteJSON("sp "+n), quoteJSON("id "+n))
			fmt.Fprintf(&rows, `{"class":"mail_access","time":"2024-01-20T08:00:00Z","actor_kind":"app","app_id":%s,"mailbox":%s,"client":"Client=WebServices;x"}`+"\n", quoteJSON(n), quoteJSON(n))
			fmt.Fprintf(&rows, `{"class":"mail_send","time":"2024-01-20T08:00:00Z","actor":"b@own.example","mailbox":%s}`+"\n", quoteJSON("box "+n))
		}
	}
	rows.WriteString(f(spIn, "2024-01-30T08:00:00Z", "other", "Other", "k", 1))
	p := build(t, rows.String(), Options{}, nil)
	commands := 0
	for _, d := range p.Doors {
		for _, s := range d.Fix {
			if s.Command == "" {
				continue
			}
			commands++
			code, err := outside(s.Command)
			if err != nil {
				t.Errorf("%v: %s", err, s.Command)
			}
			if strings.ContainsAny(s.Command, "\n\r\x1b\x00\u202e\u2028") {
				t.Errorf("%q", s.Command)
			}
			for _, bad := range []string{"calc", "Remove-MgUser ", "alert", "startswith"} {
				if strings.Contains(code, bad) {
					t.Errorf("%q is code in %s", bad, s.Command)
				}
			}
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands were made", commands)
	}
	var doc bytes.Buffer
	if err := Markdown(&doc, p); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(doc.String()) {
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b\x00\u202e\u2028") {
			t.Errorf("%q", line)
		}
		if strings.HasPrefix(line, "    ") { // a command: shown as it is
			continue
		}
		for _, bad := range []string{"<script", "](javascript", "@everyone", "```"} {
			if strings.Contains(line, bad) {
				t.Errorf("%q in %q", bad, line)
			}
		}
	}
}

// outside is what of a command is not in a literal of PowerShell.
func outside(s string) (string, error) {
	var b strings.Builder
	quote := func(r rune) bool { return strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) }
	in := false
	rs := []rune(s)
	for i := 0; i < len(rs); i++ {
		switch {
		case !quote(rs[i]):
			if !in {
				b.WriteRune(rs[i])
			}
		case in && i+1 < len(rs) && quote(rs[i+1]):
			i++
		default:
			in = !in
		}
	}
	if in {
		return "", fmt.Errorf("a literal does not end")
	}
	return b.String(), nil
}

func quoteJSON(s string) string {
	var b bytes.Buffer
	for _, r := range s {
		fmt.Fprintf(&b, "%s", jsonRune(r))
	}
	return `"` + b.String() + `"`
}

func jsonRune(r rune) string {
	if r > 0xffff {
		return string(r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// The same evidence gives the same bytes.
func TestSameBytes(t *testing.T) {
	rows := f(old, "ann@own.example") + f(signIn, "bo@own.example", "single") + f(grantR, "Archive", "Mail.Read full_access_as_app", app1) + f(reads, "app", app1, "ann@own.example", "Client=WebServices;")
	var was []byte
	for range 3 {
		var b bytes.Buffer
		if err := Write(&b, build(t, rows, Options{}, nil)); err != nil {
			t.Fatal(err)
		}
		if was != nil && !bytes.Equal(was, b.Bytes()) {
			t.Fatal("other bytes")
		}
		was = b.Bytes()
	}
	p, err := Read(bytes.NewReader(was))
	if err != nil || len(p.Doors) == 0 || bytes.Contains(was, []byte("null,")) {
		t.Errorf("%v, %d doors", err, len(p.Doors))
	}
	if _, err := Read(strings.NewReader(`{"schema":"other"}`)); err == nil {
		t.Error("another schema is read")
	}
}

func FuzzExport(f *testing.F) {
	for _, s := range []string{"user,mfa_registered\na@b,false\n", `[{"userPrincipalName":"a","accountEnabled":true}]`, `{"value":[{"appId":"x","passwordCredentials":[{"keyId":1}]}]}`, "{}\n{}", "[[[", "PermissionType,AppId,Permission\nApplication,\n", `{"appId":"x","keyCredentials":null,"owners":[1,{"userPrincipalName":3}]}`, "\xff\xfeu\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x := newFacts()
		x.tenant("t")
		var e Export
		if err := x.readExport(&e, bytes.NewReader(data)); err == nil && e.Kind == "" {
			t.Error("read, and not recognized")
		}
		for _, a := range x.accounts {
			for _, p := range a.places {
				if p.Line < 1 || p.Line > int64(1+bytes.Count(data, []byte("\n"))+len(data)) {
					t.Errorf("line %d", p.Line)
				}
			}
		}
	})
}

func FuzzQuote(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !quotable(s) {
			return
		}
		for _, q := range []string{powerShell(s), powerShell("displayName eq " + odata(s))} {
			if code, err := outside(q); err != nil || code != "" {
				t.Errorf("%q gives %q with %q outside, %v", s, q, code, err)
			}
		}
	})
}
