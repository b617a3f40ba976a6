package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"midwatch/detect/detecttest"
)

// failed writes one failed sign-in.
func failed(at time.Time, user, ip, extra string) string {
	return fmt.Sprintf(`{"time":%q,"class":"sign_in","source":"signin","workload":"interactive","outcome":"failure","code":"50126","actor":%q,"ip":%q,"app_id":"portal","user_agent":"ff"%s}`+"\n",
		at.Format(time.RFC3339), user, ip, extra)
}

func ok(at time.Time, user, ip string) string {
	return strings.Replace(strings.Replace(failed(at, user, ip, ""), `"failure"`, `"success"`, 1), `"50126"`, `"0"`, 1)
}

func fires(t *testing.T, text string) map[string]int {
	t.Helper()
	db := detecttest.Open(t)
	db.LoadText(t, "rows", text)
	out := map[string]int{}
	for _, b := range baselines() {
		as, err := ask(t.Context(), db, &b, nil, map[string]bool{"10.9.9.9": true})
		if err != nil {
			t.Fatal(err)
		}
		if !b.oracle && len(as) > 0 {
			out[b.ID] = len(as)
		}
	}
	return out
}

func want(t *testing.T, got map[string]int, rules ...string) {
	t.Helper()
	if len(got) != len(rules) {
		t.Errorf("raised %v, want %v", got, rules)
	}
	for _, r := range rules {
		if got[r] == 0 {
			t.Errorf("%s was not raised; raised were %v", r, got)
		}
	}
}

var noon = time.Date(2024, 1, 2, 12, 0, 0, 0, time.UTC)

func TestBaselines(t *testing.T) {
	var b strings.Builder
	// One address, six accounts in ten minutes.
	for i := range 6 {
		b.WriteString(failed(noon.Add(time.Duration(i)*time.Minute), fmt.Sprintf("u%d@x.example", i), "203.0.113.9", ""))
	}
	loud := b.String()
	want(t, fires(t, loud), "sentinel_signin_password_spray")

	// The same from an office: more accounts succeed than fail.
	for i := range 9 {
		b.WriteString(ok(noon.Add(time.Duration(i)*time.Minute-time.Hour), fmt.Sprintf("w%d@x.example", i), "203.0.113.9"))
	}
	want(t, fires(t, b.String()))

	// Fifteen accounts from fifteen addresses in a quarter of an hour: the
	// site's bucket sees it; with a second error it does not.
	b.Reset()
	for i := range 15 {
		b.WriteString(failed(noon.Add(time.Duration(i)*30*time.Second), fmt.Sprintf("u%d@x.example", i), fmt.Sprintf("203.0.113.%d", i), ""))
	}
	want(t, fires(t, b.String()), "elastic_site_bucket")
	want(t, fires(t, strings.Replace(b.String(), "50126", "50053", 1)))

	// Stuffing: 31 failures of 22 accounts from 21 addresses in four minutes
	// are also the multi-source spike, with one user agent.
	b.Reset()
	for i := range 31 {
		b.WriteString(failed(noon.Add(time.Duration(i)*8*time.Second), fmt.Sprintf("u%d@x.example", i%22), fmt.Sprintf("203.0.113.%d", i%21), ""))
	}
	want(t, fires(t, b.String()), "elastic_site_bucket", "splunk_multi_source", "splunk_multi_source_azure")
	// A second user agent silences one of them.
	want(t, fires(t, strings.Replace(b.String(), `"ff"`, `"chrome"`, 1)), "elastic_site_bucket", "splunk_multi_source")

	// A program that keeps an old password.
	b.Reset()
	for i := range 40 {
		b.WriteString(failed(noon.Add(time.Duration(i)*time.Minute), "loop@x.example", "10.0.0.1", `,"country":"DE"`))
	}
	want(t, fires(t, b.String()), "per_user_hour", "per_user_10min")

	// One account, a country a day, each address once; then the same at home.
	b.Reset()
	for i := range 7 {
		b.WriteString(failed(noon.AddDate(0, 0, i), "quiet@x.example", fmt.Sprintf("203.0.113.%d", i), fmt.Sprintf(`,"country":"C%d"`, i)))
	}
	want(t, fires(t, b.String()), "hunt_low_and_slow")
	b.Reset()
	for i := range 7 {
		b.WriteString(failed(noon.AddDate(0, 0, i), "quiet@x.example", fmt.Sprintf("203.0.113.%d", i), `,"country":"DE"`))
	}
	want(t, fires(t, b.String()))

	// More than 30 in a day from three countries.
	b.Reset()
	for i := range 33 {
		b.WriteString(failed(noon.Add(-11*time.Hour+time.Duration(i)*40*time.Minute), "torn@x.example", fmt.Sprintf("203.0.113.%d", i%4), fmt.Sprintf(`,"country":"C%d"`, i%3)))
	}
	want(t, fires(t, b.String()), "per_user_places")

	// Other logs and other codes are none of theirs.
	want(t, fires(t, strings.ReplaceAll(loud, `"signin"`, `"ual"`)))
	want(t, fires(t, strings.ReplaceAll(loud, "50126", "50076")))
}

func TestWhomAnAlertIsAbout(t *testing.T) {
	for want, a := range map[string]alert{"actor": {Records: 4, Actor: 2}, "noise": {Records: 4, Actor: 1, Noise: 1}, "benign": {Records: 5, Actor: 1, Noise: 1}} {
		if got := a.about(); got != want {
			t.Errorf("%+v is about %s, want %s", a, got, want)
		}
	}
}

func TestOracle(t *testing.T) {
	as := []alert{{Records: 3, Actor: 3, Size: 2}, {Records: 3, Size: 5}, {Records: 3, Size: 1}, {Records: 1, Actor: 1, Size: 1}}
	got, limit := tune(as, 0)
	if limit != 2 || len(got) != 2 {
		t.Errorf("limit %d, %v", limit, got)
	}
	if got, _ := tune(as[1:3], 0); len(got) != 0 { // nobody to find: nothing to tune
		t.Errorf("%v", got)
	}
	if got, _ := tune(as[1:3], 2); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
