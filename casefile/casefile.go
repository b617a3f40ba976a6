// Package casefile holds the words for what Midwatch concludes: findings,
// campaigns, what they reached and how certain that is, coverage, evidence.
// A [Case] is written as case.json, schema [Schema]; docs/CASE.md documents
// every member and docs/case.schema.json is its JSON Schema.
//
// The package draws no conclusion itself and asks no store. It also keeps the
// contract's promises about form: lists are sorted, times are RFC 3339 in UTC,
// ids are hashes of content, so that the same input gives the same bytes.
package casefile

// Schema is the version of the contract that this package writes.
const Schema = "midwatch.case/1"

// Case is a whole case.json.
type Case struct {
	Schema      string              `json:"schema"`       // version of this contract
	Case        Summary             `json:"case"`         // what the case is about
	Verdict     []Sentence          `json:"verdict"`      // three to ten plain sentences, most important first
	Sources     []Source            `json:"sources"`      // files that were read, in order of reading
	Coverage    Coverage            `json:"coverage"`     // what the evidence can and cannot show
	Findings    []Finding           `json:"findings"`     // what detectors found, by time
	Alerts      Alerts              `json:"alerts"`       // how many of them are to be looked at, and how many would be there without anybody
	Campaigns   []Campaign          `json:"campaigns"`    // findings joined into campaigns, what is established first
	Assertions  []Assertion         `json:"assertions"`   // was this accessed: for each group of assets, answered with its coverage
	CannotClear []Uncleared         `json:"cannot_clear"` // what findings outside of campaigns leave open
	Earlier     []EarlierCase       `json:"earlier"`      // earlier cases of the same tenants, compared
	Overrides   []Override          `json:"overrides"`    // decisions of people that the campaigns follow, in order
	Assumed     []Assumed           `json:"assumed"`      // applications that read mail without a user and are assumed to be legitimate, who reads most mailboxes first
	Assessed    []Assessed          `json:"assessed"`     // detectors that had what they need, those that found nothing included
	NotAssessed []NotAssessed       `json:"not_assessed"` // detectors whose logs were never received: not the same as nothing found
	Evidence    map[string]Evidence `json:"evidence"`     // event id -> the log line it stands for
}

// Assumed is an application that read mail without a user, that no campaign
// holds and no finding of medium severity or more is about. Backup, archiving
// and CRM products do so, and an actor who is careful looks like one of them:
// the reader who knows the organization's products has to confirm each.
type Assumed struct {
	App               string   `json:"app"`                // application id
	ServicePrincipals []string `json:"service_principals"` // object ids that it signed in as
	Name              string   `json:"name,omitempty"`     // its name
	Tenant            string   `json:"tenant"`             // tenant id; empty when records do not name it
	Since             Time     `json:"since"`              // first read in the evidence
	SinceStart        bool     `json:"since_start"`        // it read within the first week of such records, so that it may have read before
	Last              Time     `json:"last"`               // last read
	Days              int64    `json:"days"`               // days on which it read
	Records           int64    `json:"records"`            // records of mail read
	Mailboxes         int64    `json:"mailboxes"`          // distinct mailboxes read
	MailboxesRepeated int64    `json:"mailboxes_repeated"` // of these, read on three days or more
	Networks          []string `json:"networks"`           // networks it acted from, in words, by first use
	Credentials       []string `json:"credentials"`        // key ids that it signed in with
	Why               string   `json:"why"`                // why it is assumed to be legitimate, and what speaks against it
	Findings          []string `json:"findings,omitempty"` // slight findings about it
	Events            []string `json:"events"`             // its first and last read
}

// Summary says what the case is about.
type Summary struct {
	ID      string   `json:"id"`      // hash of the sources' hashes
	Tenants []Tenant `json:"tenants"` // organizations in the evidence
	First   Time     `json:"first"`   // first and last event in the evidence
	Last    Time     `json:"last"`    // last event in the evidence
	Events  int64    `json:"events"`  // distinct records in the store
}

// Tenant is one organization in the case.
type Tenant struct {
	ID      string   `json:"id"`      // tenant id; empty for records that do not name theirs
	Domains []string `json:"domains"` // seen in mailboxes and accounts, most frequent first
	Events  int64    `json:"events"`  // records
	First   Time     `json:"first"`   // first record
	Last    Time     `json:"last"`    // last record
}

// Certainty says how sure a claim of access is. The three are never added up.
type Certainty string

// The certainties.
const (
	// Confirmed: a record says that this context reached this message.
	Confirmed Certainty = "confirmed"
	// Probable: the record says that the folder was synchronized, that items
	// were read whose ids were lost, or that a throttled window was open.
	Probable Certainty = "probable"
	// Possible: the context could have reached it and the logs cannot say.
	Possible Certainty = "possible"
)

// Severity orders findings and campaigns.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Rank orders severities: higher is more severe, unknown ones are 0.
func (s Severity) Rank() int {
	switch s {
	case Info:
		return 1
	case Low:
		return 2
	case Medium:
		return 3
	case High:
		return 4
	case Critical:
		return 5
	}
	return 0
}

// Rank orders certainties: higher is more certain, unknown ones are 0.
func (c Certainty) Rank() int {
	switch c {
	case Possible:
		return 1
	case Probable:
		return 2
	case Confirmed:
		return 3
	}
	return 0
}

// Sentence is one statement in words, with what it stands on.
type Sentence struct {
	// Kind is fact (the logs say so), limit (the logs cannot say),
	// absence (nothing of the kind is in logs that were complete) or advice.
	Kind   string   `json:"kind"`
	Text   string   `json:"text"`             // the sentence
	Events []string `json:"events,omitempty"` // ids of some events that it stands on
	Refs   []string `json:"refs,omitempty"`   // ids of findings and campaigns
}

// The kinds of sentence.
const (
	Fact    = "fact"
	Limit   = "limit"
	Absence = "absence"
	Advice  = "advice"
)

// Source is one file that was read.
type Source struct {
	File        int32      `json:"file"`                   // ordinal, column file of the store's tables
	Path        string     `json:"path"`                   // path as given; members of archives after "!"
	SHA256      string     `json:"sha256"`                 // of the decompressed bytes
	OuterSHA256 string     `json:"outer_sha256,omitempty"` // of the file on disk, where that differs (archives)
	Bytes       int64      `json:"bytes"`                  // decompressed
	Formats     []Format   `json:"formats"`                // formats that read its records
	Records     int64      `json:"records"`                // rows or objects found in the file
	Accepted    int64      `json:"accepted"`               // events stored from it
	Duplicates  int64      `json:"duplicates"`             // events that the store had already
	Rejected    []Rejected `json:"rejected"`               // records that were not used, by reason
	First       Time       `json:"first"`                  // of its events, duplicates included
	Last        Time       `json:"last"`                   // last of its events
	Incomplete  string     `json:"incomplete,omitempty"`   // why the file could not be read to its end
	Framing     string     `json:"framing,omitempty"`      // json lines, json, csv; empty when nothing was recognized
	Encoding    string     `json:"encoding,omitempty"`     // character encoding that was found
	Truncated   int64      `json:"truncated,omitempty"`    // events whose record was cut by its exporter
	Destroyed   int64      `json:"destroyed,omitempty"`    // events whose nested data the exporter destroyed
	NextPage    bool       `json:"next_page,omitempty"`    // the export ends with a link to a further page
	Windows     []Stretch  `json:"windows,omitempty"`      // what a collector noted of stretches of a log
}

// Stretch is what a collector noted of a stretch of a log.
type Stretch struct {
	Tenant     string `json:"tenant,omitempty"` // whose log
	Log        string `json:"log"`              // as the collector calls it
	Source     string `json:"source"`           // log: ual, signin, directory, ...
	Kind       string `json:"kind,omitempty"`   // kind of sign-in
	From       Time   `json:"from"`             // begin
	To         Time   `json:"to"`               // end, not included
	Fetched    Time   `json:"fetched"`          // when; a later note of the same stretch holds
	Differs    bool   `json:"differs"`          // two fetches of it had other records
	OnlyFirst  int64  `json:"only_first"`       // records that only the first had
	OnlySecond int64  `json:"only_second"`      // records that only the second had
}

// Format counts the records of a file that one format read.
type Format struct {
	Name    string `json:"name"`    // name as in `midwatch formats`
	Records int64  `json:"records"` // records that it read
}

// Rejected counts the records of a file that were not used, for one reason.
type Rejected struct {
	Reason    string `json:"reason"`     // why
	Count     int64  `json:"count"`      // how many
	FirstLine int64  `json:"first_line"` // line of the first one, from 1
}

// Evidence is where an event stands in the files.
type Evidence struct {
	File      string `json:"file"`             // path as given; members of archives after "!"
	SHA256    string `json:"sha256,omitempty"` // of the decompressed bytes of the file
	Line      int64  `json:"line"`             // first line of the record, from 1
	Offset    int64  `json:"offset"`           // byte offset in the decompressed file
	Length    int64  `json:"length,omitempty"` // bytes
	Time      Time   `json:"time"`             // when it happened
	Tenant    string `json:"tenant,omitempty"` // tenant as recorded
	Source    string `json:"source"`           // log: ual, signin, directory, ...
	Operation string `json:"operation"`        // operation, normalized
	Actor     string `json:"actor,omitempty"`  // who acted
	IP        string `json:"ip,omitempty"`     // client address
	Target    string `json:"target,omitempty"` // what was acted on, or the mailbox
}

// EntityKind says what an entity is.
type EntityKind string

// The kinds of entity.
const (
	Account          EntityKind = "account"           // user principal name
	App              EntityKind = "app"               // application id
	ServicePrincipal EntityKind = "service_principal" // object id
	AppObject        EntityKind = "app_object"        // object id of an application registration
	Credential       EntityKind = "credential"        // key id
	Session          EntityKind = "session"
	Token            EntityKind = "token"
	IP               EntityKind = "ip"
	Mailbox          EntityKind = "mailbox"
	Domain           EntityKind = "domain"
	Address          EntityKind = "address"  // mail address outside
	Journaled        EntityKind = "decision" // number of an entry in the case's journal
	Rule             EntityKind = "rule"
	UserAgent        EntityKind = "user_agent"
)

// Entity is what a finding is about. Findings that share one may belong to the
// same campaign; see package investigate for when they do.
type Entity struct {
	Kind EntityKind `json:"kind"`           // what it is
	ID   string     `json:"id"`             // its id
	Role string     `json:"role,omitempty"` // part it played: actor, target, victim, converted, source, used
	Name string     `json:"name,omitempty"` // its name, where it has one
}

// The parts that an entity plays in a finding.
const (
	RoleActor     = "actor"     // did it
	RoleTarget    = "target"    // it was done to it
	RoleVictim    = "victim"    // was attacked, without success as far as the logs say
	RoleConverted = "converted" // was attacked, and the password turned out right
	RoleSource    = "source"    // network it came from
	RoleUsed      = "used"      // what it was done with
)

// Count is a number that decided, with what it was compared to.
type Count struct {
	Name  string   `json:"name"`            // what was counted
	Value float64  `json:"value"`           // the number
	Limit *float64 `json:"limit,omitempty"` // threshold or baseline
}

// Finding is what one detector says once.
type Finding struct {
	ID          string   `json:"id"`                     // hash of its content
	Detector    string   `json:"detector"`               // id of the detector
	Title       string   `json:"title"`                  // what was found
	Severity    Severity `json:"severity"`               // info, low, medium, high, critical
	Stage       string   `json:"stage"`                  // guessing, access, persistence, privilege, collection, evasion, exfiltration
	Tenant      string   `json:"tenant"`                 // tenant id; empty when records do not name it
	First       Time     `json:"first"`                  // first record
	Last        Time     `json:"last"`                   // last record
	Detected    Time     `json:"detected"`               // earliest moment at which the logs could have raised it
	Entities    []Entity `json:"entities"`               // what it is about
	Techniques  []string `json:"techniques"`             // ATT&CK ids
	Counts      []Count  `json:"counts"`                 // the numbers that decided
	Events      []string `json:"events"`                 // ids of the events it stands on, at most [MaxEvents]
	EventCount  int64    `json:"event_count"`            // exact, also when events is capped
	EventsQuery string   `json:"events_query,omitempty"` // SQL for all of them when events is capped
	Why         string   `json:"why"`                    // why it is a finding, with the numbers
	Missing     []string `json:"missing,omitempty"`      // logs that would have made it surer, and how
	Series      []Series `json:"series,omitempty"`       // counts over time that decided, with the arithmetic
}

// Series is a count over time against what was expected of it, and the
// cumulative sum that decided: so that a sceptic can check it.
type Series struct {
	Name        string    `json:"name"`         // what was counted
	Step        string    `json:"step"`         // hour or day
	From        Time      `json:"from"`         // begin of the first step, UTC
	Counts      []int64   `json:"counts"`       // counts, a step each
	Expected    []float64 `json:"expected"`     // mean that the baseline expects
	Sum         []float64 `json:"sum"`          // cumulative sum of the log-likelihood ratio after each step
	Ratio       float64   `json:"ratio"`        // rate, as a multiple of the expected one, that the sum looks for
	Dispersion  float64   `json:"dispersion"`   // size parameter of the negative binomial distribution; larger is closer to Poisson
	Limit       float64   `json:"limit"`        // the sum that raises the alarm
	Change      Time      `json:"change"`       // change point: begin of the first step since which the sum was above 0
	Alarm       Time      `json:"alarm"`        // end of the step that raised it
	FalseAlarms float64   `json:"false_alarms"` // expected a year, of this limit
	Note        string    `json:"note"`         // how baseline and limit came about
}

// MaxEvents is how many event ids a finding or a member lists. Beyond that it
// lists the first and the last half of them; counts stay exact.
const MaxEvents = 200

// Assessed is a detector that could be asked.
type Assessed struct {
	Detector string   `json:"detector"`         // id of the detector
	Title    string   `json:"title"`            // what it looks for
	Findings int      `json:"findings"`         // how many it found
	Sources  []string `json:"sources"`          // logs it read
	Limits   []string `json:"limits,omitempty"` // what it could not see

	FalseAlarms float64 `json:"false_alarms"`                 // findings of medium severity or more expected a tenant and day when nobody is there
	Basis       string  `json:"false_alarms_basis,omitempty"` // where that number comes from; empty: nobody has said it
}

// Alerts weighs the findings of medium severity or more against how many of
// them there would be if nobody were there: the detectors' budget.
type Alerts struct {
	TenantDays float64      `json:"tenant_days"` // days of evidence, added up over tenants
	PerDay     float64      `json:"per_day"`     // expected a tenant and day when nobody is there, of the detectors that were assessed
	Expected   float64      `json:"expected"`    // the same in all of the evidence
	Raised     int64        `json:"raised"`      // findings of medium severity or more
	Incidents  int64        `json:"incidents"`   // what a person looks at: campaigns, and such findings outside of any
	Over       []AlertShare `json:"over"`        // detectors that raised far more than their share (probability by chance below 1 in 1,000)
	Unknown    []string     `json:"unknown"`     // detectors that raised findings and of which nobody has said how often they are wrong
}

// AlertShare is one detector's part in the alarms.
type AlertShare struct {
	Detector string  `json:"detector"` // id of the detector
	Raised   int64   `json:"raised"`   // findings of medium severity or more
	Expected float64 `json:"expected"` // when nobody is there
}

// NotAssessed is a detector, or a question, that could not be asked.
type NotAssessed struct {
	Detector string `json:"detector"` // id of the detector
	Title    string `json:"title"`    // what it looks for
	Reason   string `json:"reason"`   // why it could not be asked
	Fetch    string `json:"fetch"`    // the log to fetch, and how
}

// Campaign is what is held to be one actor's doing.
type Campaign struct {
	ID            string     `json:"id"`                      // hash of its earliest evidence
	Title         string     `json:"title"`                   // how it came in, and what it reached
	Severity      Severity   `json:"severity"`                // critical: established, and mail was reached
	Tenants       []string   `json:"tenants"`                 // tenants it touched
	Verdict       []Sentence `json:"verdict"`                 // the campaign in plain sentences
	Start         Time       `json:"start"`                   // first malicious record
	StartBasis    string     `json:"start_basis"`             // in words: which record is held to be the first, and why
	OriginOutside bool       `json:"origin_outside_evidence"` // the first malicious record has no explanation in the evidence
	Standing      string     `json:"standing"`                // established: guessing, access and use are in evidence; suspected: one step, or steps that may be legitimate
	InitialAccess Time       `json:"initial_access"`          // first record of the actor being inside; null when there is none
	End           Time       `json:"end"`                     // last record of the campaign
	FirstDetected Time       `json:"first_detected"`          // earliest `detected` of its findings
	DwellDays     float64    `json:"dwell_days"`              // start to first_detected, days of 24 h, one decimal
	ActiveDays    float64    `json:"active_days"`             // start to end
	// StartNotBefore and StartNotAfter bound the true beginning. Not before
	// null: it may lie before the evidence.
	StartNotBefore Time        `json:"start_not_before"`
	StartNotAfter  Time        `json:"start_not_after"` // see start_not_before
	Milestones     []Milestone `json:"milestones"`      // the turns of the campaign, by time
	Dwell          []Dwell     `json:"dwell"`           // how long between them, with bounds

	Findings    []string        `json:"findings"`    // ids of its findings
	Joins       []Join          `json:"joins"`       // why they are one campaign
	Techniques  []string        `json:"techniques"`  // ATT&CK ids
	Accounts    []AccountRef    `json:"accounts"`    // accounts, the strongest role first
	Apps        []AppRef        `json:"apps"`        // applications, by time
	Credentials []CredentialRef `json:"credentials"` // keys and certificates that the actor added
	IPs         []IPRef         `json:"ips"`         // addresses
	Sessions    []SessionRef    `json:"sessions"`    // sessions
	Tokens      []TokenRef      `json:"tokens"`      // tokens
	Contexts    []Context       `json:"contexts"`    // what the actor acted as

	Mailboxes        []MailboxRef    `json:"mailboxes"`          // mailboxes reached, the most certain first
	Reach            Reach           `json:"reach"`              // what was reached, in numbers
	ShareOfMailboxes Share           `json:"share_of_mailboxes"` // the mailboxes in proportion
	CannotClear      []Uncleared     `json:"cannot_clear"`       // what the logs cannot clear
	Timeline         []TimelineEntry `json:"timeline"`           // steps, by time
	Interests        []Interest      `json:"interests"`          // what is over-represented among what was reached
	Consistency      Consistency     `json:"consistency"`        // groups that its techniques are consistent with
}

// Join says why two findings are one campaign.
type Join struct {
	A      string `json:"a"`      // finding ids
	B      string `json:"b"`      // the other finding
	Entity Entity `json:"entity"` // what they share
	Reason string `json:"reason"` // why sharing it joins them
}

// OverrideKind says what a person decided.
type OverrideKind string

// The kinds of override.
const (
	OverrideJoin    OverrideKind = "join"    // the findings are one actor's doing
	OverrideSplit   OverrideKind = "split"   // the findings are not of the campaign that they were in, and a group of their own
	OverrideExclude OverrideKind = "exclude" // the findings are of no campaign; the entity joins nothing, and no actor acted as it
)

// Override is what a person decided about the campaigns, against what the
// evidence says by itself. It stands in the case's journal (docs/JOURNAL.md),
// and holds until it is taken back.
type Override struct {
	Seq      int64        `json:"seq"`               // number of its entry in the case's journal
	Time     Time         `json:"time"`              // when it was decided
	Author   string       `json:"author"`            // who decided it
	Claimed  bool         `json:"claimed,omitempty"` // the author's name was said, and nobody has checked it
	Kind     OverrideKind `json:"kind"`              // what was decided
	Findings []string     `json:"findings"`          // ids of the findings that it is about
	Entities []Entity     `json:"entities"`          // entities that it is about
	Reason   string       `json:"reason"`            // why, in the author's words
	Applies  bool         `json:"applies"`           // false: it changes nothing any more, and effect says why
	Effect   string       `json:"effect"`            // what became of it
}

// AccountRef is an account in a campaign.
type AccountRef struct {
	UPN       string    `json:"upn"`              // user principal name, lower case
	ID        string    `json:"id,omitempty"`     // object id
	Tenant    string    `json:"tenant,omitempty"` // tenant of its domain
	Role      string    `json:"role"`             // the strongest of roles: compromised, created, consenter, suspected, guessed, sprayed
	Roles     []string  `json:"roles"`            // all parts it played
	Certainty Certainty `json:"certainty"`        // that it played that role
	Since     Time      `json:"since"`            // from when on
	Why       string    `json:"why"`              // why it is listed
	Findings  []string  `json:"findings"`         // findings that name it
	Events    []string  `json:"events,omitempty"` // records that show it
}

// The roles of accounts, the strongest first.
const (
	AccountCreated     = "created"     // made by the actor
	AccountCompromised = "compromised" // used by the actor
	AccountConsenter   = "consenter"   // granted or consented
	AccountSuspected   = "suspected"   // acted in a finding; whether it was the actor is not shown
	AccountOwner       = "mailbox_owner"
	AccountGuessed     = "guessed" // the password was right; no use of the account in evidence
	AccountSprayed     = "sprayed" // passwords were tried, none was right as far as the logs say
)

// AppRef is an application in a campaign.
type AppRef struct {
	ID                string    `json:"id"`                 // application id; empty when only the service principal is known
	ServicePrincipals []string  `json:"service_principals"` // object ids of its service principals and registrations
	Name              string    `json:"name,omitempty"`     // its name
	Role              string    `json:"role"`               // created, introduced, taken_over
	Certainty         Certainty `json:"certainty"`          // that the actor used it
	Permissions       []string  `json:"permissions"`        // granted, as far as the evidence says
	Requested         []string  `json:"requested"`          // requested, no grant seen
	Since             Time      `json:"since"`              // from when on it is the actor's
	Why               string    `json:"why"`                // why it is listed
	Findings          []string  `json:"findings"`           // findings that name it
	Events            []string  `json:"events,omitempty"`   // records that show it
}

// The roles of applications.
const (
	AppCreated    = "created"    // registered in the evidence
	AppIntroduced = "introduced" // registered elsewhere; came into the tenant in the evidence
	AppTakenOver  = "taken_over" // was there before
)

// CredentialRef is a key or certificate in a campaign.
type CredentialRef struct {
	KeyID     string   `json:"key_id"`             // key id
	App       string   `json:"app,omitempty"`      // application it opens
	Added     Time     `json:"added"`              // when it was added
	AddedBy   string   `json:"added_by,omitempty"` // who added it
	FirstUsed Time     `json:"first_used"`         // first sign-in with it; null: none seen
	Uses      int64    `json:"uses"`               // sign-ins with it
	Why       string   `json:"why"`                // why it is listed
	Events    []string `json:"events,omitempty"`   // records that show it
}

// IPRef is an address in a campaign.
type IPRef struct {
	IP       string `json:"ip"`                // the address
	ASN      int64  `json:"asn,omitempty"`     // autonomous system
	ASOrg    string `json:"as_org,omitempty"`  // its name
	Kind     string `json:"kind,omitempty"`    // kind of network, as --asn says
	Country  string `json:"country,omitempty"` // ISO 3166-1 alpha-2
	First    Time   `json:"first"`             // first use by the campaign
	Last     Time   `json:"last"`              // last use by the campaign
	Events   int64  `json:"events"`            // the campaign's records from it
	Accounts int64  `json:"accounts"`          // distinct accounts from it in all of the evidence
	Shared   bool   `json:"shared"`            // used by others too: not malicious by itself
	Why      string `json:"why"`               // why it is listed
}

// SessionRef is a session in a campaign.
type SessionRef struct {
	ID      string   `json:"id"`                // session id
	Account string   `json:"account,omitempty"` // whose session
	First   Time     `json:"first"`             // first record
	Last    Time     `json:"last"`              // last record
	Events  int64    `json:"events"`            // records of the campaign in it
	IPs     []string `json:"ips"`               // addresses it came from
	Why     string   `json:"why"`               // why it is listed
}

// TokenRef is a token in a campaign.
type TokenRef struct {
	ID      string `json:"id"`                // token id, the id of the sign-in that minted it where possible
	Account string `json:"account,omitempty"` // whose token
	App     string `json:"app,omitempty"`     // application that used it
	First   Time   `json:"first"`             // first record
	Last    Time   `json:"last"`              // last record
	Events  int64  `json:"events"`            // records of the campaign with it
	Why     string `json:"why"`               // why it is listed
	// MintedBy is the event id of the sign-in that minted it; empty: that sign-in
	// is not in the evidence.
	MintedBy   string `json:"minted_by,omitempty"`
	MintedAt   Time   `json:"minted_at"`             // when; null without that sign-in
	MintedFrom string `json:"minted_from,omitempty"` // address of that sign-in
	KeyID      string `json:"key_id,omitempty"`      // credential that it was made with, of an application
}

// Context is what the actor acted as: everything that a context did from Since
// on is held to be the actor's.
type Context struct {
	ID    string   `json:"id"`              // hash of kind and keys
	Kind  string   `json:"kind"`            // app, credential, session, token, account_from_ip, account
	Keys  []Entity `json:"keys"`            // all of them hold
	Since Time     `json:"since"`           // from when on it is the actor's
	Until Time     `json:"until"`           // null: to the end of the evidence
	Why   string   `json:"why"`             // why it is the actor's
	Limit string   `json:"limit,omitempty"` // what of it is not taken, and why
	From  string   `json:"from"`            // finding or context it was derived from
}

// MailboxRef is a mailbox that a campaign reached, or cannot be cleared of.
type MailboxRef struct {
	UPN             string          `json:"upn"`              // owner's address
	ID              string          `json:"id,omitempty"`     // mailbox GUID
	Tenant          string          `json:"tenant,omitempty"` // its tenant
	Certainty       Certainty       `json:"certainty"`        // the highest that holds for anything in it
	First           Time            `json:"first"`            // first access; a lower bound
	Last            Time            `json:"last"`             // last access; a lower bound
	Messages        []MessageRef    `json:"messages"`         // messages that records name, by time
	WholeFolders    []FolderRef     `json:"whole_folders"`    // folders that were synchronized
	Windows         []Window        `json:"windows"`          // times in which reads were not recorded
	Attachments     int64           `json:"attachments"`      // distinct attachments read by themselves
	AttachmentItems []AttachmentRef `json:"attachment_items"` // those attachments
	Counts          Reach           `json:"counts"`           // the mailbox in numbers
	Contexts        []string        `json:"contexts"`         // contexts that reached it
	Tokens          []string        `json:"tokens"`           // tokens that it was read with, see the campaign's
	NoToken         int64           `json:"no_token"`         // records of reading that name no token, so that no sign-in can be found for them
	Why             string          `json:"why"`              // what the certainty rests on
	Events          []string        `json:"events"`           // records that show it
	EventCount      int64           `json:"event_count"`      // exact number of them
}

// MessageRef is a message that was reached.
type MessageRef struct {
	InternetMessageID string    `json:"internet_message_id"`   // internet message id; empty where only the item id is known
	ItemID            string    `json:"item_id,omitempty"`     // id in the mailbox store
	Folder            string    `json:"folder,omitempty"`      // folder it was in
	Subject           string    `json:"subject,omitempty"`     // subject, where a record has it
	Attachments       string    `json:"attachments,omitempty"` // names, where a record has them
	Bytes             *int64    `json:"bytes"`                 // null unknown
	Certainty         Certainty `json:"certainty"`             // of access
	First             Time      `json:"first"`                 // lower bounds: repeated reads within an hour are not recorded
	Last              Time      `json:"last"`                  // last record that names it
	Reads             int64     `json:"reads"`                 // records that name it; not the number of reads
	Contexts          []string  `json:"contexts"`              // contexts that reached it
	Events            []string  `json:"events"`                // records that name it
	Purged            Time      `json:"purged"`                // first record of its being deleted for good, by anybody; null: none
	PurgedBy          string    `json:"purged_by,omitempty"`   // who did that
}

// AttachmentRef is an attachment that was read by itself. Logs give its id and
// size, not its name.
type AttachmentRef struct {
	ID        string    `json:"id"`                // id of the attachment
	ItemID    string    `json:"item_id,omitempty"` // of its message
	Bytes     *int64    `json:"bytes"`             // size; null unknown
	Certainty Certainty `json:"certainty"`         // of access
	First     Time      `json:"first"`             // first read
	Last      Time      `json:"last"`              // last read
	Events    []string  `json:"events"`            // records that show it
}

// FolderRef is a folder that was synchronized: every message in it at that
// time is held to be reached, and the log does not say which those were.
type FolderRef struct {
	Folder    string    `json:"folder"`    // path, or name
	Certainty Certainty `json:"certainty"` // of access to its messages
	First     Time      `json:"first"`     // first synchronization
	Last      Time      `json:"last"`      // last synchronization
	Contexts  []string  `json:"contexts"`  // by which contexts
	Events    []string  `json:"events"`    // records that show it
}

// Window is a time in which reads of a mailbox were not, or may not have been,
// recorded while a context of the campaign could read it.
type Window struct {
	From      Time      `json:"from"`      // begin
	To        Time      `json:"to"`        // end; null: open
	Certainty Certainty `json:"certainty"` // that something may have been read in it
	Why       string    `json:"why"`       // why reads were not recorded
	Events    []string  `json:"events"`    // records that show it
}

// Reach counts what was reached. Certainties are counted apart and a thing is
// counted once, under the highest certainty that holds for it.
type Reach struct {
	Mailboxes    PerCertainty `json:"mailboxes"`     // distinct mailboxes
	Messages     PerCertainty `json:"messages"`      // distinct by mailbox and message id; probable: items whose ids were lost
	WholeFolders int64        `json:"whole_folders"` // folders synchronized: the number of messages in them is not in the logs
	Attachments  int64        `json:"attachments"`   // distinct attachments read by themselves
	Windows      int64        `json:"windows"`       // times without records of reads
}

// PerCertainty is a count for each certainty.
type PerCertainty struct {
	Confirmed int64 `json:"confirmed"` // a record says so
	Probable  int64 `json:"probable"`  // folder synchronized, ids lost, or throttled
	Possible  int64 `json:"possible"`  // could be, and the logs cannot say
}

// Share is a part of a named whole.
type Share struct {
	PerCertainty
	Denominator     int64   `json:"denominator"`      // the whole
	DenominatorName string  `json:"denominator_name"` // what the whole is
	ConfirmedShare  float64 `json:"confirmed_share"`  // 0..1
	ProbableShare   float64 `json:"probable_share"`   // 0..1
	PossibleShare   float64 `json:"possible_share"`   // 0..1
}

// Uncleared is a statement about things that the logs cannot clear, as a
// count instead of rows.
type Uncleared struct {
	What      string    `json:"what"`            // mailboxes, messages, files, ...
	Count     int64     `json:"count"`           // how many
	CountName string    `json:"count_name"`      // what was counted
	Certainty Certainty `json:"certainty"`       // possible
	Members   []string  `json:"members"`         // their names, where they are few
	Why       string    `json:"why"`             // why they cannot be cleared
	Fetch     string    `json:"fetch,omitempty"` // what would clear them
	Events    []string  `json:"events"`          // records that show it
}

// TimelineEntry is one step of a campaign.
type TimelineEntry struct {
	Time    Time     `json:"time"`              // begin
	Until   Time     `json:"until"`             // null for a moment
	Stage   string   `json:"stage"`             // guessing, access, persistence, privilege, collection, evasion, exfiltration
	Text    string   `json:"text"`              // what happened
	Finding string   `json:"finding,omitempty"` // finding it comes from
	Events  []string `json:"events"`            // records that show it
	Seen    Time     `json:"seen"`              // earliest moment at which the logs could have shown it; null: only what was found later did
}

// The stages, in the order in which a campaign tends to go through them.
const (
	StageGuessing    = "guessing"
	StageAccess      = "access"
	StagePersistence = "persistence"
	StagePrivilege   = "privilege"
	StageCollection  = "collection"
	StageEvasion     = "evasion"
	StageExfil       = "exfiltration"
)

// Coverage says what the evidence can and cannot show.
type Coverage struct {
	From           Time          `json:"from"`            // window: first to last event of the case
	To             Time          `json:"to"`              // end of the window
	Sources        []SourceCover `json:"sources"`         // each log of each tenant
	NeverReceived  []Missing     `json:"never_received"`  // logs without a single record
	MissingClasses []Missing     `json:"missing_classes"` // kinds of record that never occur although their log was received
	Smells         []Smell       `json:"smells"`          // signs that exports are not complete
	Quality        Quality       `json:"quality"`         // records that are peculiar as evidence
	MailAccess     MailCoverage  `json:"mail_access"`     // what is known about reads of mail
	Matrix         Matrix        `json:"matrix"`          // by the hour
	Retention      []string      `json:"retention"`       // logs that begin where their retention ends, in words
}

// SourceCover is how well one log of one tenant covers the window.
type SourceCover struct {
	Tenant        string  `json:"tenant"`          // tenant id; empty for records that do not name theirs
	Source        string  `json:"source"`          // log
	Kind          string  `json:"kind,omitempty"`  // kind of sign-in or workload, where a log has several
	First         Time    `json:"first"`           // first record
	Last          Time    `json:"last"`            // last record
	Records       int64   `json:"records"`         // records
	Hours         int64   `json:"hours"`           // hours with at least one record
	HoursInWindow int64   `json:"hours_in_window"` // hours from the first to the last event of the case
	Share         float64 `json:"share"`           // hours / hours_in_window
	Days          int64   `json:"days"`            // days with at least one record
	DaysInWindow  int64   `json:"days_in_window"`  // days of the window
	Gaps          []Gap   `json:"gaps"`            // 24 whole hours or more without a record, the edges of the window included
}

// Gap is a time without records.
type Gap struct {
	From  Time    `json:"from"`  // last record before
	To    Time    `json:"to"`    // first record after
	Hours float64 `json:"hours"` // length
}

// Missing is a log, or a kind of record, that is not in the evidence.
type Missing struct {
	Tenant string `json:"tenant,omitempty"` // empty: of all tenants
	Source string `json:"source"`           // log, and kind after "/"
	What   string `json:"what"`             // what cannot be said without it
	Fetch  string `json:"fetch"`            // how to get it
}

// Smell is a sign that an export is not complete.
type Smell struct {
	Kind  string `json:"kind"`           // truncation, destroyed, ...
	File  string `json:"file,omitempty"` // file it concerns
	Count int64  `json:"count"`          // records
	Text  string `json:"text"`           // what it means
}

// Quality counts records that are peculiar as evidence.
type Quality struct {
	IDConflict    int64 `json:"id_conflict"`    // same id as another record, other content
	Truncated     int64 `json:"truncated"`      // cut by the exporter
	Destroyed     int64 `json:"destroyed"`      // nested data destroyed by the exporter
	TimeMissing   int64 `json:"time_missing"`   // without a usable time
	IPUnreadable  int64 `json:"ip_unreadable"`  // with an address that is none
	NoNativeID    int64 `json:"no_native_id"`   // without an id of their own
	AmbiguousDate int64 `json:"ambiguous_date"` // with day and month either way round
	InvalidUTF8   int64 `json:"invalid_utf8"`   // not UTF-8
	Rejected      int64 `json:"rejected"`       // records that could not be used at all
	Service       int64 `json:"service"`        // records of the vendor's own processes
}

// MailCoverage says what is known about reads of mail.
type MailCoverage struct {
	Records           int64    `json:"records"`            // records of mail being read
	Mailboxes         int64    `json:"mailboxes"`          // mailboxes with a record of reading
	MailboxesSeen     int64    `json:"mailboxes_seen"`     // mailboxes seen anywhere in the evidence
	MailboxesSilent   []string `json:"mailboxes_silent"`   // other mail records but never one of reading: licence or audit set?
	SilentCount       int64    `json:"silent_count"`       // exact, also when the list is capped
	Throttled         int64    `json:"throttled"`          // records that say so
	ThrottledInferred int64    `json:"throttled_inferred"` // mailbox-days with 1,000 or more, then silence
	ThrottleUnknown   int64    `json:"throttle_unknown"`   // records that do not say
	First             Time     `json:"first"`              // first of them
	Last              Time     `json:"last"`               // last of them
	// PerMailbox lists the mailboxes whose reads are not recorded as expected,
	// and those of campaigns; at most 500, counts are exact.
	PerMailbox []MailboxCover   `json:"per_mailbox"`
	States     map[string]int64 `json:"states"` // mailboxes by state
}
