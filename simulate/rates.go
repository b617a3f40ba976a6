package simulate

// Rates are what benign life is made of. "estimate" means that nobody has
// published it. Rates a day are for an average person and a working day unless
// they say otherwise; those under Volume are multiplied by [Options].Volume.
//
// Real tenants write 35 to 150 sign-in rows a user and day, 15 directory audit
// records (Microsoft, "Activity logs in Azure Monitor", 2018) and 20 to 200
// reads of mail (estimate). At Volume 1 this is scaled down to about 15 records
// a user and working day altogether. What is scaled is repetition that carries
// no signal; failures are at their real rates.
type Rates struct {
	// Volume: scaled.
	Interactive    float64 // successful interactive sign-ins; estimate
	NonInteractive float64 // rows of token refreshes; estimate, real ones are ten times as many
	MailBind       float64 // MailItemsAccessed records of a person's own clients; estimate, real 20 to 200
	MailSync       float64 // desktop clients' folder synchronizations; estimate
	FileAccess     float64 // SharePoint and OneDrive; estimate
	Teams          float64 // estimate
	GraphRequests  float64 // Graph requests of people's clients; estimate, real ones are hundreds
	UserAudit      float64 // directory changes about a person, by administrators and by themselves; real 15 (Microsoft 2018), nearly all by services
	MessagesSent   float64 // messages a person sends to colleagues; estimate
	MessagesIn     float64 // messages a person receives from outside; estimate

	// Presence.
	Active        float64 // share of people at work on a working day; estimate
	WeekendActive float64 // share on a weekend or holiday; estimate
	AtOffice      float64 // of those active; estimate
	VPN           float64 // of those at home; estimate
	MobileUse     float64 // share who use a phone on another network in a day; estimate

	// Failures: not scaled.
	WrongPassword     float64 // episodes; estimate, detection.md 4.3: 0.03 to 0.05
	WrongTries        float64 // tries an episode; estimate, 1.67
	SelfResolved      float64 // share that ends in success; estimate, 0.9
	WeekendFactor     float64 // on failures; estimate, 0.2
	MondayFactor      float64 // on failures, also after holidays; estimate, 1.5
	DayCV             float64 // coefficient of variation of a day's failures; estimate, 0.12
	UnknownName       float64 // tries with a misspelt name (50034), a person; estimate, 6 % of failures
	Interrupt         float64 // 50140, 50058, 50089, a sign-in; estimate, 15 % of failures
	MFAInterrupt      float64 // 50074, 50076, 50072, a sign-in; estimate, 15 % of failures
	MFADone           float64 // share of sign-ins with a fresh second factor; estimate
	MFADenied         float64 // 500121 for each fresh second factor, by denial or timeout; estimate
	CABlock           float64 // 53003, 53000, a person; estimate, 5 % of failures
	NoConsent         float64 // 65001, 50105, a person; estimate, 3 % of failures
	Lockout           float64 // 50053, a person; 0.2 to 1 per 1,000 (estimate; threshold 10: Microsoft, smart lockout)
	Expired           float64 // 50055, a person; estimate, 4 % of failures
	StaleLoopPeople   float64 // share of people with a device that repeats an old password at some time in 30 days; estimate, 1 per 1,000 to 5,000 at any time
	StaleLoopDays     float64 // mean length; estimate
	StaleLoopHour     float64 // tries an hour; estimate, 6 to 60
	ROPCShare         float64 // share of people with an old client that uses the password grant; estimate
	ResetDayShare     float64 // share of people who meet 50055 on the forced reset day; estimate
	OutageShare       float64 // share of sign-ins that fail on the outage day; estimate
	TripShare         float64 // share of people who travel in 14 days; estimate
	TripDays          float64 // mean length; estimate
	DisabledTries     float64 // 50057, a disabled account; estimate
	DuplicateUAL      float64 // records that an export holds twice; far more in public exports (invictus: 73 %)
	SprayBackground   float64 // sprays from the internet a day; always on (Huntress 2026: 81 M tries in 2 weeks over all tenants), count for one tenant: estimate
	SprayTargets      int     // accounts that one of them tries; estimate
	SprayRight        float64 // share of its guesses that are right: none here, so that "somebody is in" has one answer
	HostingEgress     int     // addresses that one uses; estimate
	DisabledPeople    float64 // share of accounts that are disabled; estimate
	NoMFA             float64 // share of people without a second factor; estimate
	UnlicensedMail    float64 // share of mailboxes whose reads are not recorded; before 2024 all but E5 (Microsoft), estimate
	IPv6Home          float64 // share of homes with IPv6; estimate
	HomeChurnDays     float64 // mean life of a home address; active sets change by a quarter a year and more (Richter et al.), estimate
	DelegateTeams     float64 // share of teams whose head has a delegate; estimate
	DelegateReads     float64 // records a day of such a delegate; estimate
	PeoplePerEgress   int     // people behind an office address; estimate, 1,000 to 5,000 (NAT: Casado and Freedman 2007)
	InboxRules        float64 // new rules, a person; estimate
	ExternalForward   float64 // share of new rules that forward to the owner's address outside; estimate
	Apps              float64 // own applications a person; 0.2 connected ones (Adaptive Shield), registered here fewer: estimate
	ConsentsWeek      float64 // consents to new applications in a week and 1,000 people; 10 to 20 per 10,000 (estimate)
	AdminConsentsWeek float64 // in a week; 1 to 5 (estimate)
	SecretsWeek       float64 // secrets added by developers in a week and 10,000 people; 5 to 20 (estimate)
	BackupEvery       int     // days between two backups of a mailbox; estimate
	CRMReads          float64 // records a sales mailbox and day; estimate
	OnboardWeek       float64 // new people in a week, share; estimate
	SecurityInfo      float64 // registrations of a second factor, a person; estimate
	PasswordReset     float64 // by the help desk, a person; estimate
}

// DefaultRates are the rates of version [Version].
func DefaultRates() Rates {
	return Rates{
		Interactive: 1.3, NonInteractive: 3, MailBind: 2.5, MailSync: 0.5, FileAccess: 1.5, Teams: 0.6,
		GraphRequests: 1, UserAudit: 0.05, MessagesSent: 1.6, MessagesIn: 1.2,

		Active: 0.92, WeekendActive: 0.08, AtOffice: 0.55, VPN: 0.3, MobileUse: 0.4,

		WrongPassword: 0.04, WrongTries: 1.67, SelfResolved: 0.9, WeekendFactor: 0.2, MondayFactor: 1.5, DayCV: 0.12,
		UnknownName: 0.007, Interrupt: 0.014, MFAInterrupt: 0.014, MFADone: 0.25, MFADenied: 0.02,
		CABlock: 0.006, NoConsent: 0.0035, Lockout: 0.0006, Expired: 0.005,
		StaleLoopPeople: 0.003, StaleLoopDays: 4, StaleLoopHour: 8, ROPCShare: 0.01,
		ResetDayShare: 0.3, OutageShare: 0.4, TripShare: 0.04, TripDays: 4, DisabledTries: 0.01,
		DuplicateUAL: 0.01, SprayBackground: 0.6, SprayTargets: 40, SprayRight: 0, HostingEgress: 3,
		DisabledPeople: 0.02, NoMFA: 0.06, UnlicensedMail: 0.1, IPv6Home: 0.15, HomeChurnDays: 45,
		DelegateTeams: 0.15, DelegateReads: 1.5, PeoplePerEgress: 2500,
		InboxRules: 0.002, ExternalForward: 0.01, Apps: 0.01, ConsentsWeek: 1.5, AdminConsentsWeek: 2, SecretsWeek: 12,
		BackupEvery: 3, CRMReads: 1, OnboardWeek: 0.0025, SecurityInfo: 0.001, PasswordReset: 0.0015,
	}
}
