package simulate

func givenNames() []string {
	return []string{"ada", "alvin", "amina", "anders", "bela", "bram", "carys", "cato", "dara", "davit", "edda", "elio", "emre", "esme", "faro", "finn",
		"gala", "goran", "hana", "hugo", "ida", "ilan", "ines", "ivo", "jana", "joren", "june", "kaia", "kamal", "kit", "lars", "leda", "lena", "luca",
		"maia", "marek", "mika", "milo", "nadia", "nils", "noor", "olga", "omar", "orla", "otis", "petra", "piet", "quinn", "ravi", "rhea", "rolf",
		"sana", "selma", "soren", "tamar", "theo", "tomas", "ula", "viggo", "vera", "wim", "yara", "yusuf", "zora"}
}

func familyNames() []string {
	return []string{"abara", "alder", "amari", "arden", "baines", "beck", "brandt", "calder", "carrow", "castell", "corven", "dahl", "delmar", "drummer", "eames",
		"ekholm", "farrow", "fenn", "fogg", "garrick", "gilder", "hale", "harrow", "holt", "ibarra", "iversen", "jansky", "jory", "kestrel", "kolb", "lambert",
		"lindqvist", "lunde", "marlow", "mertens", "moss", "nader", "northey", "nyland", "oakes", "okafor", "orban", "pell", "price", "quill", "quist", "reiter",
		"rowe", "saville", "seddon", "soren", "stroud", "teller", "thorne", "underhay", "unwin", "valdez", "veld", "wade", "warwick", "yates", "yilmaz", "zeller", "zoric"}
}

// functions are what teams are for. The first six are fixed: the people a
// spy wants, and those who hold the keys.
func functions() []string {
	return []string{"Leadership", "Legal", "Security", "Threat Intelligence", "IT", "Engineering", "Sales", "Finance", "People", "Operations", "Support", "Marketing", "Research", "Facilities"}
}

func titles(function string) []string {
	switch function {
	case "Leadership":
		return []string{"Chief Executive Officer", "Chief Financial Officer", "Chief Operating Officer", "Chief Technology Officer", "Chief Marketing Officer", "Chief People Officer", "Chief of Staff", "Executive Assistant"}
	case "Legal":
		return []string{"General Counsel", "Deputy General Counsel", "Senior Counsel", "Counsel", "Counsel", "Compliance Officer", "Paralegal", "Paralegal"}
	case "Security":
		return []string{"Chief Information Security Officer", "Head of Incident Response", "Security Engineer", "Security Engineer", "Security Analyst", "Security Analyst", "Security Analyst", "Identity Architect"}
	case "Threat Intelligence":
		return []string{"Head of Threat Intelligence", "Threat Researcher", "Threat Researcher", "Threat Analyst", "Threat Analyst", "Malware Analyst", "Malware Analyst", "Intelligence Officer"}
	case "IT":
		return []string{"Head of IT", "Identity Administrator", "Exchange Administrator", "Help Desk Lead", "Help Desk", "Help Desk", "Network Engineer", "Endpoint Engineer"}
	case "Engineering":
		return []string{"Engineering Manager", "Senior Developer", "Developer", "Developer", "Developer", "Developer", "Tester", "Site Reliability Engineer"}
	}
	return []string{"Manager", "Lead", "Specialist", "Specialist", "Specialist", "Associate", "Associate", "Coordinator"}
}

func subjects(function string) []string {
	switch function {
	case "Leadership":
		return []string{"Board pack: draft for comments", "Q4 outlook, confidential", "Acquisition: term sheet", "Succession planning", "Investor call script", "Letter to the regulator", "Reorganization, not for circulation", "Travel for next week"}
	case "Legal":
		return []string{"Privileged: incident counsel", "NDA with Woodgrove Bank", "Litigation hold", "Contract redlines", "Export licence", "Data transfer agreement", "Settlement, draft 3", "Counsel meeting notes"}
	case "Security":
		return []string{"Incident report, restricted", "Red team results", "Pen test findings", "Sentinel tuning", "Access review", "Break-glass procedure", "Vulnerability exceptions", "SOC handover"}
	case "Threat Intelligence":
		return []string{"Actor profile: update", "Residential proxy infrastructure", "Notification list, customers", "Indicators for this week", "Blizzard tracking notes", "Malware family report", "Partner exchange", "Victim outreach"}
	case "IT":
		return []string{"Maintenance window", "License true-up", "New starter accounts", "VPN certificates", "Backup report", "Migration wave plan", "Firewall change", "Service account rotation"}
	case "Engineering":
		return []string{"Design review", "Release checklist", "Build broken", "Pull request feedback", "Deploy credentials", "Sprint notes", "On-call handover", "API keys for staging"}
	}
	return []string{"Weekly report", "Meeting notes", "Customer feedback", "Invoice question", "Lunch?", "Slides for tomorrow", "Schedule change", "Purchase order", "Project status", "Holiday plans", "Training session", "Numbers for the month"}
}

func outsideSubjects() []string {
	return []string{"Your order", "Newsletter: this month", "Invitation to a webinar", "Quote as discussed", "Re: contract", "Invoice 48213", "Delivery note", "Question about your product", "Appointment", "Statement of account", "Re: re: offer", "Password reminder from the portal"}
}

func outsideDomains() []string {
	return []string{"woodgrovebank.example", "fourthcoffee.example", "adventureworks.example", "contosotravel.example", "litware.example", "proseware.example", "wingtip.example", "treyresearch.example", "humongous.example", "margies.example"}
}

// agent is what a client calls itself.
type agent struct {
	ua      string
	os      string
	browser string // of deviceDetail
	family  string // of UAL DeviceProperties
}

func browsers() []agent {
	return []agent{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 Edg/119.0.0.0", "Windows10", "Edge 119.0.0", "Edge"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 Edg/119.0.0.0", "Windows10", "Edge 119.0.0", "Edge"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36", "Windows10", "Chrome 119.0.0", "Chrome"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36", "Windows10", "Chrome 118.0.0", "Chrome"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15", "MacOs", "Safari 17.1", "Safari"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36", "MacOs", "Chrome 119.0.0", "Chrome"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) Gecko/20100101 Firefox/119.0", "Windows10", "Firefox 119.0", "Firefox"},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0", "Linux", "Firefox 119.0", "Firefox"},
	}
}

func phones() []agent {
	return []agent{
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1", "Ios 17.1.1", "Mobile Safari", "Safari"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1", "Ios 16.7", "Mobile Safari", "Safari"},
		{"Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36", "Android 13", "Chrome Mobile 119.0.0", "Chrome"},
	}
}

// application is a client or a resource as sign-ins name it.
type application struct{ id, name string }

const (
	idExchange = "00000002-0000-0ff1-ce00-000000000000"
	idGraph    = "00000003-0000-0000-c000-000000000000"
	idSPO      = "00000003-0000-0ff1-ce00-000000000000"
	idAADGraph = "00000002-0000-0000-c000-000000000000"
	idARM      = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	idOWA      = "9199bf20-a13f-4107-85dc-02114787ef48"
	idPortal   = "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"
	idTeams    = "1fec8e78-bce4-4aaf-ab1b-5451cc387264"
	idOffice   = "d3590ed6-52b3-4102-aeff-aad2292ab01c"
	idOutlookM = "27922004-5251-4030-b22d-91ecd9a37ea4"
	idAzurePS  = "1950a258-227b-4e31-a9cf-717495945fc2"
	idKeyVault = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"
)

func exchange() application { return application{idExchange, "Office 365 Exchange Online"} }
func graphRes() application { return application{idGraph, "Microsoft Graph"} }

// clientOf are the pairs of client and resource of people's sign-ins.
type clientOf struct {
	app, res application
	browser  bool
}

func interactiveClients() []clientOf {
	return []clientOf{
		{application{idOWA, "One Outlook Web"}, exchange(), true},
		{application{idOWA, "One Outlook Web"}, exchange(), true},
		{application{idTeams, "Microsoft Teams"}, graphRes(), false},
		{application{idOffice, "Microsoft Office"}, exchange(), false},
		{application{idSPO, "Office 365 SharePoint Online"}, application{idSPO, "Office 365 SharePoint Online"}, true},
		{application{idOffice, "Microsoft Office"}, graphRes(), false},
	}
}

func portalClient() clientOf {
	return clientOf{application{idPortal, "Azure Portal"}, application{idARM, "Windows Azure Service Management API"}, true}
}

func refreshClients() []clientOf {
	return []clientOf{
		{application{idOffice, "Microsoft Office"}, exchange(), false},
		{application{idTeams, "Microsoft Teams"}, graphRes(), false},
		{application{idTeams, "Microsoft Teams"}, application{idSPO, "Office 365 SharePoint Online"}, false},
		{application{idOffice, "Microsoft Office"}, application{idSPO, "Office 365 SharePoint Online"}, false},
		{application{idOWA, "One Outlook Web"}, exchange(), true},
	}
}
