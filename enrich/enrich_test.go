package enrich

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"midwatch/event"
)

func TestCSVNetworks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asn.csv")
	const data = "\xef\xbb\xbfcidr,asn,org,kind,country\n192.0.2.0/24,64496,Office,office,de\n192.0.2.128/25,AS64497,Home,residential,fr\n2001:db8::/32,64498,Six,hosting,\n203.0.113.7,,Single,,\n"
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := OpenNetworks(path)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]Network{
		"192.0.2.1":   {64496, "Office", "office", "de"},
		"192.0.2.200": {64497, "Home", "residential", "fr"}, // the longer prefix wins
		"2001:db8::1": {64498, "Six", "hosting", ""},
		"203.0.113.7": {0, "Single", "", ""},
	} {
		got, ok := n.Lookup(netip.MustParseAddr(addr))
		if !ok || got != want {
			t.Errorf("%s: got %+v %v, want %+v", addr, got, ok, want)
		}
	}
	if _, ok := n.Lookup(netip.MustParseAddr("198.51.100.1")); ok {
		t.Error("an address outside every prefix was found")
	}
}

func TestNetworksRefused(t *testing.T) {
	for name, data := range map[string]string{
		"no header":  "192.0.2.0/24,1,a,b\n",
		"bad prefix": "cidr,asn\n192.0.2.0/99,1\n",
		"bad asn":    "cidr,asn\n192.0.2.0/24,many\n",
		"empty":      "",
	} {
		path := filepath.Join(t.TempDir(), "asn.csv")
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenNetworks(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A record's own words are never overwritten.
func TestBatchKeepsWhatRecordsSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asn.csv")
	if err := os.WriteFile(path, []byte("cidr,asn,org,kind,country\n192.0.2.0/24,64496,Office,office,de\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := OpenNetworks(path)
	if err != nil {
		t.Fatal(err)
	}
	en, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	b := event.Batch{Events: []event.Event{
		{IP: "192.0.2.1", AppID: "00000003-0000-0000-c000-000000000000"},
		{IP: "192.0.2.1", ASN: 7, Country: "NL", AppID: "00000003-0000-0000-c000-000000000000", AppName: "mine"},
		{IP: "not an address"},
	}}
	en.Batch(&b)
	if e := b.Events[0]; e.ASN != 64496 || e.Country != "DE" || e.IPKind != "office" || e.AppName != "Microsoft Graph" {
		t.Errorf("not enriched: %d %q %q %q", e.ASN, e.Country, e.IPKind, e.AppName)
	}
	if e := b.Events[1]; e.ASN != 7 || e.Country != "NL" || e.AppName != "mine" {
		t.Errorf("overwritten: %d %q %q", e.ASN, e.Country, e.AppName)
	}
}

func TestDirectory(t *testing.T) {
	for name, data := range map[string]string{
		"ours":  "user,department,job_title,enabled,mfa_registered\nA@x.example,Legal,Counsel,true,false\na@X.example,again,,,\n",
		"graph": "userPrincipalName,department,jobTitle,accountEnabled,isMfaRegistered\nA@x.example,Legal,Counsel,True,False\n",
	} {
		p, err := readDirectory([]byte(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(p) != 1 || p[0].User != "a@x.example" || p[0].JobTitle != "Counsel" || p[0].Enabled == nil || !*p[0].Enabled || p[0].MFARegistered == nil || *p[0].MFARegistered {
			t.Errorf("%s: got %+v", name, p)
		}
	}
	if _, err := readDirectory([]byte("name,age\nx,1\n")); err == nil {
		t.Error("a table without users was accepted")
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("cidr,asn,org,kind\n192.0.2.0/24,64496,Office,office\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readCSV(b)
		_, _ = readDirectory(b)
	})
}
