package investigate

import (
	"path"
	"slices"
	"strings"
)

// Asset is something that an organization wants to know of whether it was
// accessed: how its parts are recognized in records.
type Asset struct {
	Key  string // as in the configuration: source_code
	Name string // in words, as it stands in sentences: "source code"

	Apps          []string // application ids, or names with * and ?
	Resources     []string // the same, of APIs that are signed in to
	Tenants       []string // tenant ids or domains
	Subscriptions []string // Azure subscription ids
	Sites         []string // beginnings of SharePoint and OneDrive addresses
	Repositories  []string // names with * and ?, in targets of records
	Accounts      []string // user principal names whose use is access to it

	// OtherTenants makes every organization an asset that the evidence is not
	// about: sign-ins of the organization's accounts to these.
	OtherTenants bool

	Own   bool     // the organization named some of it itself
	Blind []string // what no log here shows
	Fetch []string // logs outside of these that would show it
}

// ReadyAssets are the groups that everybody is asked about after an intrusion.
// In January 2024 Microsoft named customer environments, production systems,
// source code and AI systems in its first statement, and had to correct it for
// source code in March. Ids are from Microsoft's published applications
// (merill/microsoft-info, MIT).
func ReadyAssets() []Asset {
	return []Asset{
		{Key: "customer_environments", Name: "customer environments", OtherTenants: true,
			Apps:      []string{"2832473f-ec63-45fb-976f-5d45a7d4bb91", "4990cffe-04e8-4e8b-808a-1175604b879f", "9c0587f3-8665-4252-a8ad-b7a5ade57312", "*partner center*", "*lighthouse*"},
			Resources: []string{"2832473f-ec63-45fb-976f-5d45a7d4bb91", "*partner center*", "*lighthouse*"},
			Blind:     []string{"sign-ins of customers' own accounts, with secrets that stood in mail, are in the customers' logs", "remote support tools and VPNs into customers' networks leave no record here"},
			Fetch:     []string{"the sign-in logs of customers that the organization has access to (GDAP, Lighthouse, guest accounts)"}},
		{Key: "production_systems", Name: "production systems",
			Apps:      []string{"372140e0-b3b7-4226-8ef9-d57986796201", "*aws *", "*amazon web services*", "google cloud*", "*bastion*"},
			Resources: []string{"797f4846-ba00-4fd7-ba43-dac1f8f63013", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093", "e406a681-f3d4-42a8-90b6-c2b029497af1", "022907d3-0f1b-48f7-badc-1ba6abab6d66", "372140e0-b3b7-4226-8ef9-d57986796201", "6dae42f8-4368-4678-94ff-3960e28e3630"},
			Blind:     []string{"keys, connection strings and SSH keys need no sign-in to Entra", "what was done after a sign-in is in the Azure activity log and in the systems' own logs"},
			Fetch:     []string{"Azure activity logs of all subscriptions", "the systems' own audit logs"}},
		{Key: "source_code", Name: "source code",
			Apps:      []string{"499b84ac-1321-427f-aa17-267ca6975798", "*github*", "*gitlab*", "*bitbucket*", "*azure devops*"},
			Resources: []string{"499b84ac-1321-427f-aa17-267ca6975798", "*github*", "*gitlab*", "*bitbucket*"},
			Blind:     []string{"personal access tokens, deploy keys and SSH keys reach repositories without a sign-in to Entra"},
			Fetch:     []string{"the audit log of Azure DevOps, GitHub or GitLab, with git events"}},
		{Key: "ai_systems", Name: "AI systems",
			Apps:      []string{"*openai*", "*chatgpt*", "*machine learning*"},
			Resources: []string{"7d312290-28c8-473c-a0ed-8e53749b6d6d", "18a66f5f-dbdf-4c17-9dd7-1634712a9cbe", "*cognitive services*", "*openai*", "*machine learning*"},
			Blind:     []string{"API keys of models need no sign-in to Entra"},
			Fetch:     []string{"diagnostic logs of the AI services"}},
		{Key: "finance", Name: "finance systems",
			Apps:      []string{"*netsuite*", "*workday*", "*quickbooks*", "*concur*", "*coupa*", "*dynamics 365 finance*", "*business central*", "sap *", "*payroll*"},
			Resources: []string{"00000015-0000-0000-c000-000000000000", "996def3d-b36c-4153-8607-a6fd3c01b89f", "*netsuite*", "*workday*"},
			Blind:     []string{"systems with passwords of their own leave no sign-in here"},
			Fetch:     []string{"the finance systems' own audit logs"}},
		{Key: "backups", Name: "backups",
			Apps:      []string{"*backup*", "*veeam*", "*rubrik*", "*cohesity*", "*datto*", "*acronis*"},
			Resources: []string{"262044b1-e2ce-469f-a196-69ab7ada62d3", "*backup*"},
			Blind:     []string{"consoles of backup products with accounts of their own leave no sign-in here"},
			Fetch:     []string{"the backup products' own audit logs"}},
	}
}

// MergeAssets adds an organization's own assets to the ready-made ones. What
// is named under a ready-made key adds to that group.
func MergeAssets(own []Asset) []Asset {
	out := ReadyAssets()
	for _, a := range own {
		a.Own = true
		i := slices.IndexFunc(out, func(x Asset) bool { return x.Key == a.Key })
		if i < 0 {
			if a.Name == "" {
				a.Name = strings.ReplaceAll(a.Key, "_", " ")
			}
			out = append(out, a)
			continue
		}
		x := &out[i]
		x.Own = true
		if a.Name != "" {
			x.Name = a.Name
		}
		for _, p := range []struct{ to, from *[]string }{{&x.Apps, &a.Apps}, {&x.Resources, &a.Resources}, {&x.Tenants, &a.Tenants}, {&x.Subscriptions, &a.Subscriptions},
			{&x.Sites, &a.Sites}, {&x.Repositories, &a.Repositories}, {&x.Accounts, &a.Accounts}} {
			*p.to = append(*p.to, *p.from...)
		}
	}
	return out
}

// fits reports whether a value is meant by one of the patterns: an id, or a
// name with * and ?.
func fits(patterns []string, values ...string) (string, bool) {
	for _, p := range patterns {
		p = strings.ToLower(p)
		for _, v := range values {
			if v == "" {
				continue
			}
			v = strings.ToLower(v)
			if v == p {
				return p, true
			}
			// A slash is an ordinary character of names here.
			if ok, err := path.Match(strings.ReplaceAll(p, "/", "\x01"), strings.ReplaceAll(v, "/", "\x01")); err == nil && ok {
				return p, true
			}
		}
	}
	return "", false
}
