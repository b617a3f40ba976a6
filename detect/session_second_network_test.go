package detect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/detect/detecttest"
)

// TestSessionPlaces: what of a session's places is a journey, and what is not,
// in networks that colleagues use as well.
func TestSessionPlaces(t *testing.T) {
	// Three colleagues in each network, so that none of them is strange.
	var people []string
	for i, n := range []struct {
		asn     int
		country string
	}{{64501, "IE"}, {64502, "US"}, {64503, "BR"}} {
		for p := range 3 {
			people = append(people, fmt.Sprintf(`{"time":"2023-11-01T08:0%d:00Z","source":"signin","class":"sign_in","operation":"sign-in","workload":"interactive","actor":"p%d%d@contoso.com","ip":"198.51.100.%d","asn":%d,"country":%q,"user_agent":"Windows","session_id":"s-%d-%d"}`, p, i, p, 10*i+p, n.asn, n.country, i, p))
		}
	}
	visit := func(day int, ip string, asn int, country, agent string) string {
		return fmt.Sprintf(`{"time":"2023-11-%02dT08:00:00Z","source":"signin","class":"sign_in","operation":"sign-in","workload":"noninteractive","actor":"ann@contoso.com","ip":%q,"asn":%d,"country":%q,"user_agent":%q,"session_id":"ann"}`, day, ip, asn, country, agent)
	}
	for _, x := range []struct {
		name   string
		visits []string
		want   casefile.Severity
	}{
		{"one country", []string{visit(2, "203.0.113.1", 64501, "IE", "Mozilla (Windows)"), visit(3, "203.0.113.2", 64501, "IE", "Mozilla (Windows)")}, ""},
		{"a journey", []string{visit(2, "203.0.113.1", 64501, "IE", "Mozilla (Windows)"), visit(3, "203.0.113.2", 64502, "US", "Mozilla (Windows)")}, ""},
		{"a tour of three countries", []string{visit(2, "203.0.113.1", 64501, "IE", "Mozilla (Windows)"), visit(3, "203.0.113.2", 64502, "US", "Mozilla (Windows)"), visit(4, "203.0.113.3", 64503, "BR", "Mozilla (Windows)")}, casefile.Medium},
		{"another operating system", []string{visit(2, "203.0.113.1", 64501, "IE", "Mozilla (Macintosh)"), visit(4, "203.0.113.3", 64502, "US", "Mozilla (Windows)")}, casefile.High},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := filepath.Join(t.TempDir(), "rows.ndjson")
			if err := os.WriteFile(p, []byte(strings.Join(append(people, x.visits...), "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			fs, err := sessionSecondNetwork{}.Detect(t.Context(), detecttest.Open(t, p))
			if err != nil {
				t.Fatal(err)
			}
			var got casefile.Severity
			for _, f := range fs {
				if f.Severity.Rank() > got.Rank() {
					got = f.Severity
				}
			}
			if got.Rank() < casefile.Medium.Rank() {
				got = ""
			}
			if got != x.want {
				t.Errorf("%q, want %q: %+v", got, x.want, fs)
			}
		})
	}
}
