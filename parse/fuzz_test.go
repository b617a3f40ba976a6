package parse

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// fuzzFormat feeds any JSON to one format, starting from its records in
// testdata. A parser may refuse anything; it may not panic, and what it makes
// must be whole.
func fuzzFormat(f *testing.F, format Format) {
	for _, dir := range []string{format.Name(), "unwrap"} {
		files, _ := filepath.Glob(filepath.Join("testdata", dir, "*"))
		for _, path := range files {
			switch filepath.Ext(path) {
			case ".jsonl":
				for _, m := range cutFile(&testing.T{}, path) {
					f.Add([]byte(m), false)
				}
			case ".csv":
				for _, m := range cutCSV(&testing.T{}, path) {
					f.Add([]byte(m), true)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, table bool) {
		var p fastjson.Parser
		v, err := p.ParseBytes(b)
		if err != nil || v.Type() != fastjson.TypeObject {
			return
		}
		batch := &event.Batch{}
		s := NewSink(batch)
		r := &Record{Raw: b, Value: v, Table: table, FileName: "x.csv"}
		Unwrap(r)
		format.Sniff(r)
		s.Begin(r, format.Name())
		if err := format.Parse(r, s); err != nil {
			s.Abort()
			if len(batch.Events) > 0 || len(batch.Items) > 0 {
				t.Error("Abort left something")
			}
			return
		}
		s.Finish()
		if len(batch.Events) == 0 && len(batch.Windows) == 0 {
			t.Error("accepted without an event")
		}
		for i := range batch.Events {
			e := &batch.Events[i]
			for _, x := range []string{e.Detail, e.Record} {
				if x != "" && !json.Valid([]byte(x)) {
					t.Errorf("not JSON: %q", x)
				}
			}
		}
		for _, it := range batch.Items {
			if it.Event < 0 || int(it.Event) >= len(batch.Events) {
				t.Errorf("item of event %d of %d", it.Event, len(batch.Events))
			}
		}
	})
}

func FuzzSignIn(f *testing.F)         { fuzzFormat(f, SignIn{}) }
func FuzzDirectory(f *testing.F)      { fuzzFormat(f, Directory{}) }
func FuzzGraphActivity(f *testing.F)  { fuzzFormat(f, GraphActivity{}) }
func FuzzMessageTrace(f *testing.F)   { fuzzFormat(f, MessageTrace{}) }
func FuzzOkta(f *testing.F)           { fuzzFormat(f, Okta{}) }
func FuzzGoogle(f *testing.F)         { fuzzFormat(f, Google{}) }
func FuzzOfficeActivity(f *testing.F) { fuzzFormat(f, OfficeActivity{}) }
func FuzzDefender(f *testing.F)       { fuzzFormat(f, Defender{}) }
func FuzzRisk(f *testing.F)           { fuzzFormat(f, Risk{}) }
func FuzzAzureMonitor(f *testing.F)   { fuzzFormat(f, AzureMonitor{}) }
func FuzzCollected(f *testing.F)      { fuzzFormat(f, Collected{}) }
func FuzzUnwrapped(f *testing.F)      { fuzzFormat(f, UAL{}) }

// FuzzChanges feeds any text to the reader of modified properties.
func FuzzChanges(f *testing.F) {
	for _, v := range []string{
		`[] => [[Id: x, ConsentType: AllPrincipals, Scope: A B], [Scope: C]]; `, `"[\"[KeyIdentifier=a,KeyType=b,KeyUsage=c,DisplayName=d]\"]"`,
		`[KeyIdentifier=a,KeyType=b`, `[{"ResourceAppId":"a","RequiredAppPermissions":[{"EntitlementId":"b","DirectAccessGrant":true}]}]`, `"\"x\""`, `[1,2.50,null,"a"]`,
	} {
		f.Add("KeyDescription", "[]", v)
		f.Add("ConsentAction.Permissions", v, v)
		f.Add("RequiredResourceAccess", v, v)
		f.Add("StrongAuthenticationPhoneAppDetail", "", v)
	}
	f.Fuzz(func(t *testing.T, name, before, after string) {
		batch := &event.Batch{}
		s := NewSink(batch)
		s.Begin(&Record{}, "x")
		e := s.Event(event.DirectoryLog)
		e.Class, e.Operation, e.Target = event.ClassAppUpdate, "update application", "t"
		e.Detail = `{"service":"x"}`
		applyDirectoryChanges(s, e, []change{{name, before, after}, {"ServicePrincipal.ObjectID", "", after}})
		if !json.Valid([]byte(e.Detail)) {
			t.Errorf("not JSON: %q", e.Detail)
		}
	})
}
