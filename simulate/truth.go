package simulate

import "time"

// TruthSchema is the version of truth.json.
const TruthSchema = "midwatch.truth/1"

// Truth is the answer key: truth.json beside the logs. Lists are never null,
// times are UTC.
//
// Identifiers stand as they do in the logs: accounts and mailboxes are user
// principal names in lower case, applications are application ids, message ids
// have no angle brackets, record ids are the native id of a log's record.
type Truth struct {
	Schema    string     `json:"schema"`    // [TruthSchema]
	Generator string     `json:"generator"` // version of the generator, [Version]
	Scenario  string     `json:"scenario"`  // name of the scenario
	Seed      uint64     `json:"seed"`
	Users     int        `json:"users"` // people of the corporate tenant
	Days      int        `json:"days"`
	Start     time.Time  `json:"start"` // the logs' first moment
	End       time.Time  `json:"end"`   // the first moment after the logs
	Knobs     Knobs      `json:"knobs"` // what was turned away from the scenario's defaults
	Tenants   []TenantOf `json:"tenants"`
	// Campaigns are what is to be found, one for each actor. Empty: nothing is.
	Campaigns []CampaignOf `json:"campaigns"`
	// LookAlikes are benign and must not be in a campaign.
	LookAlikes []LookAlike `json:"look_alikes"`
	// Noise are real attacks by somebody else that went nowhere: findings are
	// right, membership in a quiet campaign is not.
	Noise   []LookAlike `json:"noise"`
	Logs    []LogOf     `json:"logs"`     // files that were written
	LeftOut []LeftOut   `json:"left_out"` // logs that exist and were not handed over
	Gaps    []Gap       `json:"gaps"`     // times in which a log that was handed over has no records
	Records int64       `json:"records"`  // in all files, duplicates included
	// Duplicates are records that were written twice.
	Duplicates int64 `json:"duplicates"`
	// Lost are records that are in no file, by --loss or because they would
	// have arrived after the end.
	Lost int64 `json:"lost"`
	// Mail is what was written into mailboxes, with [Options.Mail].
	Mail []MailOf `json:"mail,omitempty"`
}

// MailOf is a message in a mailbox that was written.
type MailOf struct {
	Message        string      `json:"message"`        // internet message id
	Mailbox        string      `json:"mailbox"`        // owner
	Folder         string      `json:"folder"`         // Inbox, Sent Items
	Path           string      `json:"path"`           // below the output folder, with slashes
	Sent           time.Time   `json:"sent"`           //
	Reached        bool        `json:"reached"`        // in this mailbox, by anybody
	How            string      `json:"how,omitempty"`  // bind, graph, throttled, sync
	Counterparties []string    `json:"counterparties"` // domains outside that it is from or to
	Secrets        []PlantedOf `json:"secrets"`        // secrets in it
	Personal       []PlantedOf `json:"personal"`       // personal data in it
	Decoys         []string    `json:"decoys"`         // what resembles a secret and is none
}

// PlantedOf is something planted in a message. Its value is made up.
type PlantedOf struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
	Where string `json:"where"` // text, html, or the attachment's name
}

// Knobs are the options that shape a campaign and its logs.
type Knobs struct {
	Attempts    float64  `json:"attempts"`       // a sprayed account and day
	Accounts    int      `json:"accounts"`       // sprayed
	GeoMatch    bool     `json:"geo_match"`      // proxies are in the victims' countries
	OfficeHours bool     `json:"office_hours"`   // the actor keeps the victims' working hours
	RotateUA    bool     `json:"rotate_ua"`      // another user agent for each guess
	Blend       bool     `json:"blend"`          // guesses look like ordinary failures, but for their network
	ROPC        bool     `json:"ropc"`           // guesses by the resource owner password grant instead of a browser
	API         string   `json:"api"`            // ews or graph: what mail is read with
	Loss        float64  `json:"loss"`           // share of records that are lost
	Latency     string   `json:"latency"`        // mean time from event to arrival
	UnderWay    bool     `json:"under_way"`      // the actor was inside before the logs begin
	Logs        []string `json:"logs,omitempty"` // that are handed over, when not all
	TestTenant  bool     `json:"test_tenant"`    // logs of the test tenant are handed over
	Volume      float64  `json:"volume"`         // factor on benign volume
}

// TenantOf is one organization.
type TenantOf struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Role       string   `json:"role"` // corporate, test
	Domains    []string `json:"domains"`
	Users      int      `json:"users"`
	Mailboxes  int      `json:"mailboxes"`
	LogsHanded bool     `json:"logs_handed_over"`
}

// CampaignOf is what one actor did. Times are those of the deed, whether or
// not a record of it is in the logs.
type CampaignOf struct {
	ID    string `json:"id"`
	Actor string `json:"actor"` // a made-up name
	Kind  string `json:"kind"`  // name of the scenario it is of
	Title string `json:"title"`
	// Start is the first malicious deed, End the last.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// FirstRecord is the first malicious record in the logs; zero when there
	// is none.
	FirstRecord time.Time `json:"first_record,omitzero"`
	// FirstSuccess is the first moment the actor was inside: the first
	// sign-in, consent or token use that worked. Zero: never.
	FirstSuccess time.Time `json:"first_success,omitzero"`
	// FirstSuccessRecord is the first record of the actor inside in the logs.
	FirstSuccessRecord time.Time `json:"first_success_record,omitzero"`
	// OriginOutside says that the way in is not in the logs.
	OriginOutside bool      `json:"origin_outside_evidence"`
	Tenants       []string  `json:"tenants"`
	Stages        []StageOf `json:"stages"` // by time
	IPs           []IPOf    `json:"ips"`    // by address
	// Sprayed accounts were guessed at without success; those whose password
	// was right are in Compromised and here too.
	Sprayed     []string       `json:"sprayed"`
	Compromised []AccountOf    `json:"compromised"` // accounts of others that the actor used
	Created     []AccountOf    `json:"created"`     // accounts that the actor made
	Apps        []AppOf        `json:"apps"`
	Credentials []CredentialOf `json:"credentials"`
	Sessions    []string       `json:"sessions"` // Entra session ids
	Tokens      []string       `json:"tokens"`   // ids of the sign-ins that minted them
	Rules       []RuleOf       `json:"rules"`    // inbox rules and forwardings
	Mailboxes   []MailboxOf    `json:"mailboxes"`
	Secrets     []SecretOf     `json:"secrets"` // planted in mail that was reached
	// Records are the native ids of all malicious records that are in the
	// logs: log (as in [LogOf]) -> ids.
	Records map[string][]string `json:"records"`
	// Lost counts malicious records that are in no file, by log.
	Lost map[string]int `json:"lost"`
	// Techniques are ATT&CK ids.
	Techniques []string `json:"techniques"`
}

// StageOf is one kind of deed of a campaign.
type StageOf struct {
	Name    string    `json:"name"` // spray, access, discovery, credential, persistence, consent, grant, collection, ...
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Tenant  string    `json:"tenant"`
	Deeds   int       `json:"deeds"`   // records made, lost ones included
	Records int       `json:"records"` // of these in the logs
}

// IPOf is an address that the actor used.
type IPOf struct {
	IP      string `json:"ip"`
	ASN     int    `json:"asn"`
	Country string `json:"country"`
	// Shared says that somebody else uses it in the same logs.
	Shared bool `json:"shared"`
}

// AccountOf is an account in the actor's hands.
type AccountOf struct {
	UPN    string    `json:"upn"`
	ID     string    `json:"id"` // object id
	Tenant string    `json:"tenant"`
	Since  time.Time `json:"since"`
	How    string    `json:"how"` // password, token, consent, insider, created
}

// AppOf is an application in the actor's hands.
type AppOf struct {
	AppID            string    `json:"app_id"`
	Name             string    `json:"name"`
	ServicePrincipal string    `json:"service_principal"` // object id in the corporate tenant
	Object           string    `json:"object,omitempty"`  // object id of the registration
	Role             string    `json:"role"`              // created, introduced, taken_over
	Since            time.Time `json:"since"`
	KeyIDs           []string  `json:"key_ids"`
	Permissions      []string  `json:"permissions"`
}

// CredentialOf is a secret that the actor added to an application.
type CredentialOf struct {
	KeyID string    `json:"key_id"`
	AppID string    `json:"app_id"`
	Added time.Time `json:"added"`
	By    string    `json:"by"` // account
}

// RuleOf is an inbox rule or a forwarding that the actor set.
type RuleOf struct {
	Mailbox string    `json:"mailbox"`
	Name    string    `json:"name"`
	Effect  string    `json:"effect"` // hide, forward
	To      string    `json:"to,omitempty"`
	Set     time.Time `json:"set"`
}

// MailboxOf is a mailbox that the actor reached.
type MailboxOf struct {
	UPN  string `json:"upn"`
	GUID string `json:"guid"`
	// How it was reached, the surest first: bind (records name messages), sync
	// (whole folders), throttled (read while reads were not recorded), graph
	// (only the Graph log tells), lost (no record of any read is in the logs).
	How         []string    `json:"how"`
	First       time.Time   `json:"first"`
	Last        time.Time   `json:"last"`
	Messages    []MessageOf `json:"messages"`               // by time of the reading
	Folders     []string    `json:"folders,omitempty"`      // synchronized whole
	Throttled   []Span      `json:"throttled,omitempty"`    // reads were not recorded
	Attachments int         `json:"attachments,omitempty"`  // downloaded by themselves
	Searches    []string    `json:"searches,omitempty"`     // words searched for
	VisibleFrom time.Time   `json:"visible_from,omitzero"`  // first record of it in the logs
	Department  string      `json:"department,omitempty"`   // of its owner
	NotLicensed bool        `json:"not_licensed,omitempty"` // its reads are never recorded
}

// MessageOf is a message that the actor read.
type MessageOf struct {
	ID     string    `json:"id"`     // internet message id
	Read   time.Time `json:"read"`   // when
	How    string    `json:"how"`    // bind, sync, throttled, graph
	Logged bool      `json:"logged"` // a record in the logs names it
}

// Span is a time from, inclusive, to, exclusive.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// SecretOf is a secret planted in a message. Its value is made up.
type SecretOf struct {
	Kind    string `json:"kind"` // password, api key, connection string, ...
	Value   string `json:"value"`
	Mailbox string `json:"mailbox"`
	Message string `json:"message"` // internet message id
	Reached bool   `json:"reached"` // the actor read it
}

// LookAlike is something benign, or somebody else's, that resembles the
// campaign.
type LookAlike struct {
	Kind string `json:"kind"` // backup_app, ediscovery_app, crm_app, migration_app, secret_rotation, developer_secret, traveller, stale_loop, office_nat, vpn_egress, noisy_spray, consent, admin_consent, inbox_rule, delegate, shared_network, onboarding
	Why  string `json:"why"`
	// Ids that must be in no campaign. Empty ones are not meant.
	Account string    `json:"account,omitempty"`
	AppID   string    `json:"app_id,omitempty"`
	KeyID   string    `json:"key_id,omitempty"`
	IP      string    `json:"ip,omitempty"`
	Mailbox string    `json:"mailbox,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	Records int       `json:"records,omitempty"` // where it is counted
}

// LogOf is a file that was written.
type LogOf struct {
	Path    string `json:"path"` // below the output folder, with slashes
	Log     string `json:"log"`  // see the Log constants
	Tenant  string `json:"tenant"`
	Form    string `json:"form"` // container: ndjson, portal csv, graph page, azure monitor, ...
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// The logs. They are the keys of [CampaignOf.Records], too.
const (
	LogUAL              = "ual"                      // Unified Audit Log, all containers
	LogInteractive      = "signin_interactive"       // Entra sign-ins
	LogNonInteractive   = "signin_noninteractive"    //
	LogServicePrincipal = "signin_service_principal" //
	LogManagedIdentity  = "signin_managed_identity"  //
	LogDirectory        = "directory_audit"          // Entra audit
	LogGraph            = "graph_activity"           // MicrosoftGraphActivityLogs; the id is requestId
	LogTrace            = "message_trace"            // the id is the message trace id
)

// LogNames lists the logs.
func LogNames() []string {
	return []string{LogUAL, LogInteractive, LogNonInteractive, LogServicePrincipal, LogManagedIdentity, LogDirectory, LogGraph, LogTrace}
}

// LeftOut is a log that exists and was not handed over.
type LeftOut struct {
	Tenant string `json:"tenant"`
	Log    string `json:"log"`
	Reason string `json:"reason"`
}

// Gap is a time in which a log has no records though things happened.
type Gap struct {
	Tenant string    `json:"tenant"`
	Log    string    `json:"log"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Why    string    `json:"why"`
}
