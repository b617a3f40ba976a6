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
	Schema      string              `json:"schema"`
	Case        Summary             `json:"case"`
	Verdict     []Sentence          `json:"verdict"` // three to eight plain sentences, most important first
	Sources     []Source            `json:"sources"`
	Coverage    Coverage            `json:"coverage"`
	Findings    []Finding           `json:"findings"`
	Campaigns   []Campaign          `json:"campaigns"`
	Assessed    []Assessed          `json:"assessed"`     // detectors that had what they need, those that found nothing included
	NotAssessed []NotAssessed       `json:"not_assessed"` // detectors whose logs were never received: not the same as nothing found
	Evidence    map[string]Evidence `json:"evidence"`     // event id -> the log line it stands for
}

// Summary says what the case is about.
type Summary struct {
	ID      string   `json:"id"` // hash of the sources' hashes
	Tenants []Tenant `json:"tenants"`
	First   Time     `json:"first"` // first and last event in the evidence
	Last    Time     `json:"last"`
	Events  int64    `json:"events"` // distinct records in the store
}

// Tenant is one organization in the case.
type Tenant struct {
	ID      string   `json:"id"`
	Domains []string `json:"domains"` // seen in mailboxes and accounts, most frequent first
	Events  int64    `json:"events"`
	First   Time     `json:"first"`
	Last    Time     `json:"last"`
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
	Text   string   `json:"text"`
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
	File        int32      `json:"file"` // ordinal, column file of the store's tables
	Path        string     `json:"path"`
	SHA256      string     `json:"sha256"` // of the decompressed bytes
	OuterSHA256 string     `json:"outer_sha256,omitempty"`
	Bytes       int64      `json:"bytes"` // decompressed
	Formats     []Format   `json:"formats"`
	Records     int64      `json:"records"`    // rows or objects found in the file
	Accepted    int64      `json:"accepted"`   // events stored from it
	Duplicates  int64      `json:"duplicates"` // events that the store had already
	Rejected    []Rejected `json:"rejected"`
	First       Time       `json:"first"` // of its events, duplicates included
	Last        Time       `json:"last"`
	Incomplete  string     `json:"incomplete,omitempty"` // why the file could not be read to its end
	Framing     string     `json:"framing,omitempty"`    // json lines, json, csv; empty when nothing was recognized
	Encoding    string     `json:"encoding,omitempty"`
	Truncated   int64      `json:"truncated,omitempty"` // events whose record was cut by its exporter
	Destroyed   int64      `json:"destroyed,omitempty"` // events whose nested data the exporter destroyed
	NextPage    bool       `json:"next_page,omitempty"` // the export ends with a link to a further page
}

// Format counts the records of a file that one format read.
type Format struct {
	Name    string `json:"name"`
	Records int64  `json:"records"`
}

// Rejected counts the records of a file that were not used, for one reason.
type Rejected struct {
	Reason    string `json:"reason"`
	Count     int64  `json:"count"`
	FirstLine int64  `json:"first_line"`
}

// Evidence is where an event stands in the files.
type Evidence struct {
	File      string `json:"file"`
	SHA256    string `json:"sha256,omitempty"`
	Line      int64  `json:"line"`
	Offset    int64  `json:"offset"`
	Length    int64  `json:"length,omitempty"`
	Time      Time   `json:"time"`
	Tenant    string `json:"tenant,omitempty"`
	Source    string `json:"source"`
	Operation string `json:"operation"`
	Actor     string `json:"actor,omitempty"`
	IP        string `json:"ip,omitempty"`
	Target    string `json:"target,omitempty"`
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
	Address          EntityKind = "address" // mail address outside
	Rule             EntityKind = "rule"
	UserAgent        EntityKind = "user_agent"
)

// Entity is what a finding is about. Findings that share one may belong to the
// same campaign; see package investigate for when they do.
type Entity struct {
	Kind EntityKind `json:"kind"`
	ID   string     `json:"id"`
	Role string     `json:"role,omitempty"` // part it played: actor, target, victim, converted, source, used
	Name string     `json:"name,omitempty"`
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
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Limit *float64 `json:"limit,omitempty"` // threshold or baseline
}

// Finding is what one detector says once.
type Finding struct {
	ID          string   `json:"id"`
	Detector    string   `json:"detector"`
	Title       string   `json:"title"`
	Severity    Severity `json:"severity"`
	Tenant      string   `json:"tenant"`
	First       Time     `json:"first"`
	Last        Time     `json:"last"`
	Detected    Time     `json:"detected"` // earliest moment at which the logs could have raised it
	Entities    []Entity `json:"entities"`
	Techniques  []string `json:"techniques"` // ATT&CK ids
	Counts      []Count  `json:"counts"`
	Events      []string `json:"events"`                 // ids of the events it stands on, at most [MaxEvents]
	EventCount  int64    `json:"event_count"`            // exact, also when events is capped
	EventsQuery string   `json:"events_query,omitempty"` // SQL for all of them when events is capped
	Why         string   `json:"why"`
}

// MaxEvents is how many event ids a finding or a member lists. Beyond that it
// lists the first and the last half of them; counts stay exact.
const MaxEvents = 200

// Assessed is a detector that could be asked.
type Assessed struct {
	Detector string   `json:"detector"`
	Title    string   `json:"title"`
	Findings int      `json:"findings"`
	Sources  []string `json:"sources"`          // logs it read
	Limits   []string `json:"limits,omitempty"` // what it could not see
}

// NotAssessed is a detector, or a question, that could not be asked.
type NotAssessed struct {
	Detector string `json:"detector"`
	Title    string `json:"title"`
	Reason   string `json:"reason"`
	Fetch    string `json:"fetch"` // the log to fetch, and how
}

// Campaign is what is held to be one actor's doing.
type Campaign struct {
	ID            string     `json:"id"`
	Title         string     `json:"title"`
	Severity      Severity   `json:"severity"`
	Tenants       []string   `json:"tenants"`
	Verdict       []Sentence `json:"verdict"`
	Start         Time       `json:"start"`
	StartBasis    string     `json:"start_basis"`             // in words: which record is held to be the first, and why
	OriginOutside bool       `json:"origin_outside_evidence"` // the first malicious record has no explanation in the evidence
	Standing      string     `json:"standing"`                // established: guessing, access and use are in evidence; suspected: one step, or steps that may be legitimate
	InitialAccess Time       `json:"initial_access"`          // first record of the actor being inside; null when there is none
	End           Time       `json:"end"`                     // last record of the campaign
	FirstDetected Time       `json:"first_detected"`          // earliest `detected` of its findings
	DwellDays     float64    `json:"dwell_days"`              // start to first_detected, days of 24 h, one decimal
	ActiveDays    float64    `json:"active_days"`             // start to end

	Findings    []string        `json:"findings"`
	Joins       []Join          `json:"joins"`
	Techniques  []string        `json:"techniques"`
	Accounts    []AccountRef    `json:"accounts"`
	Apps        []AppRef        `json:"apps"`
	Credentials []CredentialRef `json:"credentials"`
	IPs         []IPRef         `json:"ips"`
	Sessions    []SessionRef    `json:"sessions"`
	Tokens      []TokenRef      `json:"tokens"`
	Contexts    []Context       `json:"contexts"`

	Mailboxes        []MailboxRef    `json:"mailboxes"`
	Reach            Reach           `json:"reach"`
	ShareOfMailboxes Share           `json:"share_of_mailboxes"`
	CannotClear      []Uncleared     `json:"cannot_clear"`
	Timeline         []TimelineEntry `json:"timeline"`
}

// Join says why two findings are one campaign.
type Join struct {
	A      string `json:"a"` // finding ids
	B      string `json:"b"`
	Entity Entity `json:"entity"`
	Reason string `json:"reason"`
}

// AccountRef is an account in a campaign.
type AccountRef struct {
	UPN       string    `json:"upn"`
	ID        string    `json:"id,omitempty"` // object id
	Tenant    string    `json:"tenant,omitempty"`
	Role      string    `json:"role"` // the strongest of roles: compromised, created, consenter, suspected, guessed, sprayed
	Roles     []string  `json:"roles"`
	Certainty Certainty `json:"certainty"`
	Since     Time      `json:"since"`
	Why       string    `json:"why"`
	Findings  []string  `json:"findings"`
	Events    []string  `json:"events,omitempty"`
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
	ID                string    `json:"id"` // application id; empty when only the service principal is known
	ServicePrincipals []string  `json:"service_principals"`
	Name              string    `json:"name,omitempty"`
	Role              string    `json:"role"` // created, introduced, taken_over
	Certainty         Certainty `json:"certainty"`
	Permissions       []string  `json:"permissions"` // granted, as far as the evidence says
	Requested         []string  `json:"requested"`   // requested, no grant seen
	Since             Time      `json:"since"`
	Why               string    `json:"why"`
	Findings          []string  `json:"findings"`
	Events            []string  `json:"events,omitempty"`
}

// The roles of applications.
const (
	AppCreated    = "created"    // registered in the evidence
	AppIntroduced = "introduced" // registered elsewhere; came into the tenant in the evidence
	AppTakenOver  = "taken_over" // was there before
)

// CredentialRef is a key or certificate in a campaign.
type CredentialRef struct {
	KeyID     string   `json:"key_id"`
	App       string   `json:"app,omitempty"`
	Added     Time     `json:"added"`
	AddedBy   string   `json:"added_by,omitempty"`
	FirstUsed Time     `json:"first_used"`
	Uses      int64    `json:"uses"`
	Why       string   `json:"why"`
	Events    []string `json:"events,omitempty"`
}

// IPRef is an address in a campaign.
type IPRef struct {
	IP       string `json:"ip"`
	ASN      int64  `json:"asn,omitempty"`
	ASOrg    string `json:"as_org,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Country  string `json:"country,omitempty"`
	First    Time   `json:"first"`
	Last     Time   `json:"last"`
	Events   int64  `json:"events"`   // the campaign's records from it
	Accounts int64  `json:"accounts"` // distinct accounts from it in all of the evidence
	Shared   bool   `json:"shared"`   // used by others too: not malicious by itself
	Why      string `json:"why"`
}

// SessionRef is a session in a campaign.
type SessionRef struct {
	ID      string   `json:"id"`
	Account string   `json:"account,omitempty"`
	First   Time     `json:"first"`
	Last    Time     `json:"last"`
	Events  int64    `json:"events"`
	IPs     []string `json:"ips"`
	Why     string   `json:"why"`
}

// TokenRef is a token in a campaign.
type TokenRef struct {
	ID      string `json:"id"`
	Account string `json:"account,omitempty"`
	App     string `json:"app,omitempty"`
	First   Time   `json:"first"`
	Last    Time   `json:"last"`
	Events  int64  `json:"events"`
	Why     string `json:"why"`
}

// Context is what the actor acted as: everything that a context did from Since
// on is held to be the actor's.
type Context struct {
	ID    string   `json:"id"`
	Kind  string   `json:"kind"` // app, credential, session, token, account_from_ip, account
	Keys  []Entity `json:"keys"` // all of them hold
	Since Time     `json:"since"`
	Until Time     `json:"until"` // null: to the end of the evidence
	Why   string   `json:"why"`
	Limit string   `json:"limit,omitempty"` // what of it is not taken, and why
	From  string   `json:"from"`            // finding or context it was derived from
}

// MailboxRef is a mailbox that a campaign reached, or cannot be cleared of.
type MailboxRef struct {
	UPN             string          `json:"upn"`
	ID              string          `json:"id,omitempty"` // mailbox GUID
	Tenant          string          `json:"tenant,omitempty"`
	Certainty       Certainty       `json:"certainty"` // the highest that holds for anything in it
	First           Time            `json:"first"`
	Last            Time            `json:"last"`
	Messages        []MessageRef    `json:"messages"`
	WholeFolders    []FolderRef     `json:"whole_folders"`
	Windows         []Window        `json:"windows"`     // times in which reads were not recorded
	Attachments     int64           `json:"attachments"` // distinct attachments read by themselves
	AttachmentItems []AttachmentRef `json:"attachment_items"`
	Counts          Reach           `json:"counts"`
	Contexts        []string        `json:"contexts"`
	Why             string          `json:"why"`
	Events          []string        `json:"events"`
	EventCount      int64           `json:"event_count"`
}

// MessageRef is a message that was reached.
type MessageRef struct {
	InternetMessageID string    `json:"internet_message_id"`
	ItemID            string    `json:"item_id,omitempty"`
	Folder            string    `json:"folder,omitempty"`
	Subject           string    `json:"subject,omitempty"`
	Attachments       string    `json:"attachments,omitempty"` // names, where a record has them
	Bytes             *int64    `json:"bytes"`                 // null unknown
	Certainty         Certainty `json:"certainty"`
	First             Time      `json:"first"` // lower bounds: repeated reads within an hour are not recorded
	Last              Time      `json:"last"`
	Reads             int64     `json:"reads"` // records that name it; not the number of reads
	Contexts          []string  `json:"contexts"`
	Events            []string  `json:"events"`
}

// AttachmentRef is an attachment that was read by itself. Logs give its id and
// size, not its name.
type AttachmentRef struct {
	ID        string    `json:"id"`
	ItemID    string    `json:"item_id,omitempty"` // of its message
	Bytes     *int64    `json:"bytes"`
	Certainty Certainty `json:"certainty"`
	First     Time      `json:"first"`
	Last      Time      `json:"last"`
	Events    []string  `json:"events"`
}

// FolderRef is a folder that was synchronized: every message in it at that
// time is held to be reached, and the log does not say which those were.
type FolderRef struct {
	Folder    string    `json:"folder"`
	Certainty Certainty `json:"certainty"`
	First     Time      `json:"first"`
	Last      Time      `json:"last"`
	Contexts  []string  `json:"contexts"`
	Events    []string  `json:"events"`
}

// Window is a time in which reads of a mailbox were not, or may not have been,
// recorded while a context of the campaign could read it.
type Window struct {
	From      Time      `json:"from"`
	To        Time      `json:"to"`
	Certainty Certainty `json:"certainty"`
	Why       string    `json:"why"`
	Events    []string  `json:"events"`
}

// Reach counts what was reached. Certainties are counted apart and a thing is
// counted once, under the highest certainty that holds for it.
type Reach struct {
	Mailboxes    PerCertainty `json:"mailboxes"`
	Messages     PerCertainty `json:"messages"`      // distinct by mailbox and message id; probable: items whose ids were lost
	WholeFolders int64        `json:"whole_folders"` // folders synchronized: the number of messages in them is not in the logs
	Attachments  int64        `json:"attachments"`   // distinct attachments read by themselves
	Windows      int64        `json:"windows"`       // times without records of reads
}

// PerCertainty is a count for each certainty.
type PerCertainty struct {
	Confirmed int64 `json:"confirmed"`
	Probable  int64 `json:"probable"`
	Possible  int64 `json:"possible"`
}

// Share is a part of a named whole.
type Share struct {
	PerCertainty
	Denominator     int64   `json:"denominator"`
	DenominatorName string  `json:"denominator_name"`
	ConfirmedShare  float64 `json:"confirmed_share"` // 0..1
	ProbableShare   float64 `json:"probable_share"`
	PossibleShare   float64 `json:"possible_share"`
}

// Uncleared is a statement about things that the logs cannot clear, as a
// count instead of rows.
type Uncleared struct {
	What      string    `json:"what"` // mailboxes, messages, files, ...
	Count     int64     `json:"count"`
	CountName string    `json:"count_name"` // what was counted
	Certainty Certainty `json:"certainty"`
	Members   []string  `json:"members"` // their names, where they are few
	Why       string    `json:"why"`
	Fetch     string    `json:"fetch,omitempty"`
	Events    []string  `json:"events"`
}

// TimelineEntry is one step of a campaign.
type TimelineEntry struct {
	Time    Time     `json:"time"`
	Until   Time     `json:"until"` // null for a moment
	Stage   string   `json:"stage"`
	Text    string   `json:"text"`
	Finding string   `json:"finding,omitempty"`
	Events  []string `json:"events"`
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
	From           Time          `json:"from"` // window: first to last event of the case
	To             Time          `json:"to"`
	Sources        []SourceCover `json:"sources"`
	NeverReceived  []Missing     `json:"never_received"`
	MissingClasses []Missing     `json:"missing_classes"` // kinds of record that never occur although their log was received
	Smells         []Smell       `json:"smells"`
	Quality        Quality       `json:"quality"`
	MailAccess     MailCoverage  `json:"mail_access"`
}

// SourceCover is how well one log of one tenant covers the window.
type SourceCover struct {
	Tenant        string  `json:"tenant"`
	Source        string  `json:"source"`
	Kind          string  `json:"kind,omitempty"` // kind of sign-in or workload, where a log has several
	First         Time    `json:"first"`
	Last          Time    `json:"last"`
	Records       int64   `json:"records"`
	Hours         int64   `json:"hours"` // hours with at least one record
	HoursInWindow int64   `json:"hours_in_window"`
	Share         float64 `json:"share"` // hours / hours_in_window
	Days          int64   `json:"days"`
	DaysInWindow  int64   `json:"days_in_window"`
	Gaps          []Gap   `json:"gaps"` // longer than 24 hours, the edges of the window included
}

// Gap is a time without records.
type Gap struct {
	From  Time    `json:"from"`
	To    Time    `json:"to"`
	Hours float64 `json:"hours"`
}

// Missing is a log, or a kind of record, that is not in the evidence.
type Missing struct {
	Tenant string `json:"tenant,omitempty"` // empty: of all tenants
	Source string `json:"source"`
	What   string `json:"what"`  // what cannot be said without it
	Fetch  string `json:"fetch"` // how to get it
}

// Smell is a sign that an export is not complete.
type Smell struct {
	Kind  string `json:"kind"` // truncation, destroyed, ...
	File  string `json:"file,omitempty"`
	Count int64  `json:"count"`
	Text  string `json:"text"`
}

// Quality counts records that are peculiar as evidence.
type Quality struct {
	IDConflict    int64 `json:"id_conflict"`
	Truncated     int64 `json:"truncated"`
	Destroyed     int64 `json:"destroyed"`
	TimeMissing   int64 `json:"time_missing"`
	IPUnreadable  int64 `json:"ip_unreadable"`
	NoNativeID    int64 `json:"no_native_id"`
	AmbiguousDate int64 `json:"ambiguous_date"`
	InvalidUTF8   int64 `json:"invalid_utf8"`
	Rejected      int64 `json:"rejected"` // records that could not be used at all
	Service       int64 `json:"service"`  // records of the vendor's own processes
}

// MailCoverage says what is known about reads of mail.
type MailCoverage struct {
	Records           int64    `json:"records"`
	Mailboxes         int64    `json:"mailboxes"`          // mailboxes with a record of reading
	MailboxesSeen     int64    `json:"mailboxes_seen"`     // mailboxes seen anywhere in the evidence
	MailboxesSilent   []string `json:"mailboxes_silent"`   // other mail records but never one of reading: licence or audit set?
	SilentCount       int64    `json:"silent_count"`       // exact, also when the list is capped
	Throttled         int64    `json:"throttled"`          // records that say so
	ThrottledInferred int64    `json:"throttled_inferred"` // mailbox-days with 1,000 or more, then silence
	ThrottleUnknown   int64    `json:"throttle_unknown"`   // records that do not say
	First             Time     `json:"first"`
	Last              Time     `json:"last"`
}
