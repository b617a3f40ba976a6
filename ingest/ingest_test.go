package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/event"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func ual(id int, fields string) string {
	return fmt.Sprintf(`{"Id":"00000000-0000-4000-8000-%012d","CreationTime":"2024-01-02T03:04:05","RecordType":6,"Workload":"SharePoint","UserType":0,%s}`, id, fields)
}

const plain = `"Operation":"FileAccessed","OrganizationId":"11111111-0000-4000-8000-000000000001","UserId":"a@fabrikam.example"`

// Every reason for a reject is worded for a person, counted, and has a place.
func TestRejects(t *testing.T) {
	lines := []string{
		ual(1, plain),
		`{"Id":"cut`,
		"{\"a\":\"\x00\"}\x00",
		`[1,2]`,
		`{"what":"is this"}`,
		`{"AuditData":""}`,
		`not json}`,
		ual(2, plain),
	}
	p := writeFile(t, "x.log", strings.Join(lines, "\n"))
	st := openStore(t)
	res, err := Run(t.Context(), st, []string{p}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Records != 8 || res.Accepted != 2 || res.Rejected != 6 {
		t.Errorf("records %d, accepted %d, rejected %d", res.Records, res.Accepted, res.Rejected)
	}
	want := []casefile.Rejected{
		{Reason: "no known log format; `midwatch formats` lists them", Count: 1, FirstLine: 5},
		{Reason: "not JSON: NUL bytes", Count: 1, FirstLine: 3},
		{Reason: "not JSON: the record is cut off", Count: 1, FirstLine: 2},
		{Reason: "not JSON: unexpected value found", Count: 1, FirstLine: 7},
		{Reason: "not a JSON object", Count: 1, FirstLine: 4},
		{Reason: "ual: AuditData is empty", Count: 1, FirstLine: 6},
	}
	if d := cmp.Diff(want, res.Sources[0].Rejected); d != "" {
		t.Errorf("reasons (-want +got):\n%s", d)
	}
	if n := queryInt(t, st, "SELECT count(*) FROM rejects WHERE line BETWEEN 2 AND 7 AND length > 0 AND head IS NOT NULL"); n != 6 {
		t.Errorf("%d rejects in the store, want 6", n)
	}
}

// However many workers there are, the same copies are kept and the same counts come out.
func TestOrderIsThatOfTheInput(t *testing.T) {
	dir := t.TempDir()
	for f := range 6 {
		var b strings.Builder
		for i := range 4000 {
			b.WriteString(ual(i*(f%3+1), plain) + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", f)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var before string
	for _, workers := range []int{1, 2, 7} {
		st := openStore(t)
		res, err := Run(t.Context(), st, []string{dir}, Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%+v", res.Sources)
		got += fmt.Sprint(queryInt(t, st, "SELECT CAST(sum(hash(id, file, line, pos) % 1000003) AS BIGINT) FROM events"))
		if before != "" && got != before {
			t.Errorf("%d workers give another result", workers)
		}
		before = got
	}
}

// Exports that name no tenant get that of their accounts' domain, where it is
// one tenant's.
func TestInferTenants(t *testing.T) {
	const one, two = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	named := writeFile(t, "a.json", ual(1, plain)+"\n"+
		ual(2, `"Operation":"FileAccessed","OrganizationId":"`+two+`","UserId":"b@contoso.example"`))
	audit := func(id, user string) string {
		return `{"id":"` + id + `","activityDateTime":"2024-01-02T03:04:05Z","activityDisplayName":"Add user","category":"UserManagement","result":"success","initiatedBy":{"user":{"userPrincipalName":"` + user + `"}},"targetResources":[]}`
	}
	fabrikam := writeFile(t, "b.json", "["+audit("x1", "A@fabrikam.example")+","+audit("x2", "nobody")+"]")
	mixed := writeFile(t, "c.json", "["+audit("y1", "a@fabrikam.example")+","+audit("y2", "b@contoso.example")+"]")
	st := openStore(t)
	if _, err := Run(t.Context(), st, []string{named, fabrikam, mixed}, Options{}); err != nil {
		t.Fatal(err)
	}
	for q, want := range map[string]int{
		"SELECT count(*) FROM events WHERE tenant = '" + one + "'":                                          3,
		"SELECT count(*) FROM events WHERE tenant = '" + two + "'":                                          1,
		"SELECT count(*) FROM events WHERE tenant IS NULL":                                                  2, // two tenants' accounts in one file: left alone
		fmt.Sprintf("SELECT count(*) FROM events WHERE flags >= %d AND file = 1", event.FlagTenantInferred): 2,
	} {
		if got := queryInt(t, st, q); got != want {
			t.Errorf("%s: got %d, want %d", q, got, want)
		}
	}
}

// A run that fails leaves the store as it was.
func TestFailedRunLeavesNothing(t *testing.T) {
	st := openStore(t)
	good := writeFile(t, "a.json", ual(1, plain))
	if _, err := Run(t.Context(), st, []string{good}, Options{}); err != nil {
		t.Fatal(err)
	}
	boom := fmt.Errorf("boom")
	n := 0
	_, err := Run(t.Context(), &failing{Store: st, err: boom, after: &n}, []string{writeFile(t, "b.json", strings.Repeat(ual(2, plain)+"\n", 40000))}, Options{})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Fatalf("got %v", err)
	}
	if n := queryInt(t, st, "SELECT count(*) FROM events"); n != 1 {
		t.Errorf("%d events, want the one of before", n)
	}
}
