package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"midwatch/sigma"
	"midwatch/store/dialect"
)

func sources() []sigma.LogSource {
	var out []sigma.LogSource
	for _, s := range []string{"azure/signinlogs", "azure/auditlogs", "azure/activitylogs", "azure/riskdetection", "azure/pim", "m365/audit", "m365/exchange", "m365/threat_management", "m365/threat_detection", "m365/", "okta/okta", "midwatch/"} {
		p, v, _ := strings.Cut(s, "/")
		out = append(out, sigma.LogSource{Product: p, Service: v})
	}
	return out
}

func where(t *testing.T, ls sigma.LogSource, item string) (string, error) {
	t.Helper()
	text := fmt.Sprintf("title: t\nlogsource: {product: %s, service: '%s'}\ndetection:\n  s:\n    %s\n  condition: not s\n", ls.Product, ls.Service, item)
	docs, err := sigma.Parse("r.yml", []byte(text), sigma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	source, cond, err := sigma.Where(docs[0].Rule, Schema{})
	return source + " AND " + cond, err
}

// Every field of every log, asked in every way, is a question in the notation.
func TestFields(t *testing.T) {
	for _, ls := range sources() {
		s, err := find(ls)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Concat(slices.Sorted(maps.Keys(s.fields)), slices.Sorted(maps.Keys(columns())))
		for _, name := range names {
			if !(Schema{}).Known(ls, name) {
				t.Errorf("%s: %s is not known", ls, name)
			}
			for _, ask := range []string{": x", "|contains: 'a*b'", "|re: x", "|gt: 1", "|cidr: 10.0.0.0/8", ": null", "|exists: true", "|cased: x", "|fieldref: actor", "|hour: 3"} {
				q, err := where(t, ls, name+ask)
				if err == nil {
					err = dialect.Check("SELECT id FROM events WHERE " + q)
				}
				if err != nil {
					t.Errorf("%s: %s%s: %v", ls, name, ask, err)
				}
			}
		}
	}
}

func TestWhere(t *testing.T) {
	signin := sigma.LogSource{Product: "azure", Service: "signinlogs"}
	audit := sigma.LogSource{Product: "m365", Service: "audit"}
	own := sigma.LogSource{Product: "midwatch"}
	for _, tt := range []struct {
		ls         sigma.LogSource
		item, want string
	}{
		{signin, "ResultType: 50057", "lower(code) = '50057'"},
		{signin, "AuthenticationRequirement: singleFactorAuthentication", "json_extract_string(detail, '$.auth_requirement') = 'single'"},
		{signin, "properties.message: Device Code", "= 'devicecode'"},
		{audit, "Operation|contains: 'Disable Strong Authentication.'", "operation LIKE '%disable strong authentication%'"},
		{audit, "Operation: 'Update application – Certificates and secrets management '", "operation = 'update application - certificates and secrets management'"},
		{audit, "Operation|startswith: 'Add app role assignment '", "starts_with(operation, 'add app role assignment')"},
		{audit, "Operation: 'Add * to *.'", "operation LIKE 'add % to %'"},
		{own, "class: sign_in", "id IS NOT NULL AND NOT (CASE WHEN lower(class) = 'sign_in'"},
		{audit, "Some.Field: x", `coalesce(flags, 0) % 4 < 2 THEN coalesce(record, raw) END, '$."Some"."Field"')`},
	} {
		if got, err := where(t, tt.ls, tt.item); err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s\n got %s, %v\nwant %s", tt.item, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		ls         sigma.LogSource
		item, want string
	}{
		{sigma.LogSource{Product: "windows", Service: "security"}, "a: x", "no log that is read is windows/security"},
		{own, "ResultType: x", "there is no column ResultType"},
		{audit, `"a'b": x`, "cannot be looked for"},
		{audit, "a..b: x", "cannot be looked for"},
		{audit, `"a\nb": x`, "cannot be looked for"},
	} {
		if _, err := where(t, tt.ls, tt.item); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.item, err, tt.want)
		}
	}
	if got, err := where(t, audit, "Äger: x"); err != nil || !strings.Contains(got, `"äger"`) {
		t.Error(got, err)
	}
	if (Schema{}).Known(audit, "Some.Field") {
		t.Error("a field that no log has is known")
	}
}
