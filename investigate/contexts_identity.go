package investigate

import (
	"context"
	"slices"

	"midwatch/casefile"
)

// seedIdentity takes from a finding on accounts and sessions what the actor
// acted as. What is slight may be the owner.
func (g *grower) seedIdentity(ctx context.Context, f *casefile.Finding) error {
	if f.Severity.Rank() < casefile.Medium.Rank() {
		return nil
	}
	ips := append(entities(f, casefile.IP, casefile.RoleSource), entities(f, casefile.IP, casefile.RoleUsed)...)
	sessions, tokens := entities(f, casefile.Session, casefile.RoleUsed), entities(f, casefile.Token, casefile.RoleUsed)
	switch f.Detector {
	case "canary_account":
		for _, upn := range entities(f, casefile.Account, casefile.RoleConverted) {
			if len(sessions)+len(tokens) > 0 { // it signed in: nobody else does
				g.wholeAccount(upn, f.First.Time, f.ID, "it is a canary, which nobody uses")
			}
		}
	case "dormant_account_wakes", "legacy_auth_first", "mfa_fatigue", "new_method_after_new_network", "single_factor_new_network":
		for _, upn := range entities(f, casefile.Account, casefile.RoleConverted) {
			known := g.contexts["account "+upn] != nil
			if err := g.guessed(ctx, f, upn, ips); err != nil {
				return err
			}
			c := g.contexts["account "+upn]
			if c == nil {
				continue
			}
			if !known {
				c.Why = taken(*f, casefile.Entity{Kind: casefile.Account, ID: upn, Role: casefile.RoleConverted})
				c.Why = "it " + c.Why + ": what it does from there, and from new addresses since that are rare and not the owner's, is the actor's"
			}
			if !c.whole {
				c.addSessions(sessions...)
				c.addTokens(tokens...)
			}
		}
	case "sign_in_bypass":
		for _, id := range entities(f, casefile.App, casefile.RoleActor) {
			if sharedApps()[id] {
				continue
			}
			if err := g.app(ctx, id, f.First.Time, f.ID, "it used tokens that no sign-in minted"); err != nil {
				return err
			}
			if c := g.contexts["app "+g.w.ids.root(id)]; c != nil {
				c.addTokens(tokens...)
			}
		}
		for _, upn := range entities(f, casefile.Account, casefile.RoleActor) {
			if len(ips) == 0 {
				continue // an account from nowhere would be all of it
			}
			c := g.account(upn, f.First.Time, f.ID, "tokens in its name were used that no sign-in minted")
			c.addTokens(tokens...)
			rare := slices.DeleteFunc(slices.Clone(ips), func(ip string) bool { return !g.w.rareIP(ip) })
			if len(rare) == 0 && len(c.ips) == 0 {
				rare = ips
			}
			c.addIPs(rare...)
		}
	case "session_second_network":
		for _, token := range entities(f, casefile.Token, casefile.RoleTarget) {
			for _, upn := range entities(f, casefile.Account, casefile.RoleTarget) {
				if from := entities(f, casefile.IP, casefile.RoleSource); len(from) > 0 {
					c := g.account(upn, f.Detected.Time, f.ID, "its token "+token+" was used from a second network: what comes from there is the actor's")
					c.addIPs(from...)
				}
			}
		}
	}
	return nil
}
