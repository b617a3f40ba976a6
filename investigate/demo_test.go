package investigate

import (
	"fmt"
	"os"
	"testing"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/ingest"
	"midwatch/store/duckdb"
)

func TestScratch(t *testing.T) {
	st, err := duckdb.Open(t.TempDir()+"/x.duckdb", duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	src := os.Getenv("SRC")
	if src == "" {
		src = "../testdata/demo"
	}
	in, err := ingest.Run(t.Context(), st, []string{src}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := detect.Run(t.Context(), st, detect.All())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Investigate(t.Context(), st, r.Findings, Options{Sources: in.Sources, Assessed: r.Assessed, NotAssessed: r.NotAssessed})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Findings {
		fmt.Println(f.ID, f.Severity, f.Detector, f.First, f.Title, len(f.Events), f.EventCount)
	}
	for _, s := range c.Verdict {
		fmt.Println("  *", s.Kind, s.Text)
	}
	for _, p := range c.Campaigns {
		fmt.Println("CAMPAIGN", p.Title, p.Severity, p.Standing, p.Start, p.StartBasis, p.InitialAccess, p.End, p.FirstDetected, p.DwellDays, len(p.Findings))
		fmt.Printf("  %+v\n  %+v\n", p.Reach, p.ShareOfMailboxes)
		for _, s := range p.Verdict {
			fmt.Println("   *", s.Kind, s.Text)
		}
		for _, j := range p.Joins {
			fmt.Println("   J", j.A, j.B, j.Entity, j.Reason)
		}
		for _, a := range p.Accounts {
			fmt.Println("   A", a.UPN, a.Role, a.Roles, a.Since, a.Why)
		}
		for _, a := range p.Apps {
			fmt.Println("   P", a.ID, a.Name, a.Role, a.Since, a.Permissions, a.Requested, a.Why)
		}
		for _, a := range p.Credentials {
			fmt.Println("   K", a)
		}
		for _, m := range p.Mailboxes {
			fmt.Println("   M", m.UPN, m.Certainty, m.First, m.Last, len(m.Messages), m.Counts, m.Why)
		}
		for _, m := range p.CannotClear {
			fmt.Println("   U", m.Count, m.CountName, m.Members, m.Why)
		}
		for _, m := range p.Timeline {
			fmt.Println("   T", m.Time, m.Until, m.Stage, m.Text)
		}
		for i, m := range p.IPs {
			if i < 12 {
				fmt.Println("   I", m.IP, m.Events, m.Accounts, m.Shared, m.Why)
			}
		}
	}
	for _, m := range c.Coverage.NeverReceived {
		fmt.Println("never", m.Tenant, m.Source)
	}
	fmt.Printf("%+v %+v\n", c.Coverage.Smells, c.Coverage.MailAccess)
	f, _ := os.Create("/tmp/mw/case.json")
	if err := casefile.Write(f, c); err != nil {
		t.Fatal(err)
	}
}
