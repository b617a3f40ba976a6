package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midwatch/posture"
)

func postureOf(t *testing.T, dir string, args ...string) *posture.Posture {
	t.Helper()
	out := verb(t, []int{exitFindings}, append([]string{"posture", dir, "--json"}, args...)...)
	p, err := posture.Read(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func checksOf(p *posture.Posture, tenant string) (out []string) {
	for _, d := range p.Doors {
		if d.TenantName == tenant {
			out = append(out, string(d.Severity)+" "+d.Check)
		}
	}
	return out
}

// In the simulated incident the doors are found through which the actor came;
// what the same tenant shows without it is short, and true of it.
func TestPostureOfSimulatedTenants(t *testing.T) {
	args := []string{"--users", "150", "--days", "30", "--seed", "3", "--volume", "0.2"}
	dir, _ := simulated(t, append([]string{"--scenario", "midnight"}, args...)...)
	kase, _ := investigated(t, dir)
	p := postureOf(t, kase)
	for check, member := range map[string]string{
		"test_account":       "svc-test@fabrikam-test.example", // guessed
		"test_app":           "18248f8f-0561-4fad-9a38-e8246eef4f99",
		"ordinary_owner":     "svc-mailsync@fabrikam.example", // made by the actor
		"ews_in_use":         "6eb63933-5a08-46c7-b9c9-acd8d6716313",
		"reads_not_recorded": "ada.alder@fabrikam.example", // has no licence for it
	} {
		found := false
		for _, d := range p.Doors {
			found = found || d.Check == check && slices.ContainsFunc(d.Members, func(m posture.Member) bool { return m.ID == member })
		}
		if !found {
			t.Errorf("%s does not name %s", check, member)
		}
	}
	if p.Doors[0].Check != "test_app" || p.Doors[0].Severity != "critical" {
		t.Errorf("the worst is %s %s", p.Doors[0].Severity, p.Doors[0].Check)
	}
	kept, err := os.ReadFile(filepath.Join(kase, postureFile))
	if err != nil {
		t.Fatal(err)
	}
	if again := verb(t, []int{exitFindings}, "posture", kase, "--json", "--markdown", filepath.Join(t.TempDir(), "doors.md")); again != string(kept) || !bytes.HasSuffix(kept, []byte("}\n")) {
		t.Error("asked again, it has other bytes")
	}

	dir, _ = simulated(t, append([]string{"--scenario", "quiet"}, args...)...)
	kase, _ = investigated(t, dir)
	want := []string{"medium no_mfa", "medium legacy_protocol", "medium ews_in_use", "medium reads_not_recorded", "low user_consent", "low searches_not_recorded", "info no_canary"}
	if got := checksOf(postureOf(t, kase), "fabrikam.example"); !slices.Equal(got, want) {
		t.Errorf("of the quiet tenant\n%q, want\n%q", got, want)
	}
}
