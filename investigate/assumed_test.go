package investigate

import (
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
)

// TestUnderWay: two applications read mail from ever new homes since before
// the logs begin. They are one campaign, which holds what they read and
// nothing else; the backup and the CRM connector are assumed to be legitimate,
// and the case says so.
func TestUnderWay(t *testing.T) {
	c := investigateRows(t, "under_way")
	p := one(t, c)
	if !p.OriginOutside {
		t.Errorf("nothing in the evidence explains it: %s", p.StartBasis)
	}
	var boxes []string
	for _, m := range p.Mailboxes {
		boxes = append(boxes, m.UPN)
		if m.Certainty != casefile.Confirmed {
			t.Errorf("%s is %s: %s", m.UPN, m.Certainty, m.Why)
		}
		for _, x := range m.Messages {
			if strings.HasPrefix(x.InternetMessageID, "b-") || strings.HasPrefix(x.InternetMessageID, "c-") {
				t.Errorf("%s was read by another application", x.InternetMessageID)
			}
		}
	}
	if want := []string{"ceo@contoso.com", "ciso@contoso.com", "counsel@contoso.com"}; !slices.Equal(boxes, want) {
		t.Errorf("mailboxes are %v, want %v", boxes, want)
	}
	if p.Reach.Messages.Confirmed != 12 {
		t.Errorf("%d messages, want 12", p.Reach.Messages.Confirmed)
	}
	var names []string
	for _, a := range c.Assumed {
		names = append(names, a.Name)
		if !a.SinceStart || len(a.Networks) != 1 || len(a.Credentials) != 1 || a.Why == "" || len(a.Events) != 2 || a.Days != 30 {
			t.Errorf("%+v", a)
		}
		for _, id := range a.Events {
			if c.Evidence[id].File == "" {
				t.Errorf("%s: where event %s stands is not in the case", a.Name, id)
			}
		}
	}
	if want := []string{"backup", "crm"}; !slices.Equal(names, want) {
		t.Errorf("assumed to be legitimate are %v, want %v", names, want)
	}
	if a := c.Assumed[0]; a.Mailboxes != 5 || a.MailboxesRepeated != 5 || a.Records != 150 {
		t.Errorf("%+v", a)
	}
}
