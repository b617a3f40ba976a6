package casefile

// What a case answers beyond its campaigns: how long, what did not happen as
// far as the logs can say, what was sought, who it resembles, what came before.

// Milestone is one turn in a campaign, with the bounds of when it was.
type Milestone struct {
	// Name is origin, first_attempt, first_success, privilege, persistence,
	// first_collection, last_collection, could_be_seen, vendor_alert,
	// contained_first or contained_last.
	Name  string `json:"name"`
	Title string `json:"title"` // the same in words
	Time  Time   `json:"time"`  // when; null: not in the evidence
	// NotBefore and NotAfter bound the true moment. Null: nothing bounds it, so
	// that it may lie before the evidence.
	NotBefore Time     `json:"not_before"`
	NotAfter  Time     `json:"not_after"` // see not_before
	Seen      Time     `json:"seen"`      // earliest moment at which the logs could have shown it; null: no finding is about it
	Basis     string   `json:"basis"`     // which record it is, and where the bounds come from
	Events    []string `json:"events"`    // records that show it
}

// The milestones.
const (
	MilestoneOrigin          = "origin"
	MilestoneFirstAttempt    = "first_attempt"
	MilestoneFirstSuccess    = "first_success"
	MilestonePrivilege       = "privilege"
	MilestonePersistence     = "persistence"
	MilestoneFirstCollection = "first_collection"
	MilestoneLastCollection  = "last_collection"
	MilestoneCouldBeSeen     = "could_be_seen"
	MilestoneVendorAlert     = "vendor_alert"
	MilestoneContainedFirst  = "contained_first"
	MilestoneContainedLast   = "contained_last"
)

// Dwell is the time between two milestones.
type Dwell struct {
	Name string   `json:"name"` // in words: from what to what
	From string   `json:"from"` // milestone
	To   string   `json:"to"`   // milestone
	Days float64  `json:"days"` // of 24 h, one decimal
	Low  float64  `json:"low"`  // with the bounds of both
	High *float64 `json:"high"` // null: nothing bounds it, because the beginning may lie before the evidence
}

// Matrix is coverage by the hour: what each kind of record of each log has,
// and what it should have by the tenant's own rhythm.
type Matrix struct {
	From  Time        `json:"from"`  // begin of the first hour
	Hours int         `json:"hours"` // columns
	Rows  []MatrixRow `json:"rows"`  // by tenant, log and class
	// Legend says what the letters of the cells mean.
	Legend map[string]string `json:"legend"`
}

// MatrixRow is one kind of record of one log of one tenant.
type MatrixRow struct {
	Tenant  string `json:"tenant"`         // tenant id; empty for records that do not name theirs
	Source  string `json:"source"`         // log
	Kind    string `json:"kind,omitempty"` // kind of sign-in
	Class   string `json:"class"`          // kind of operation: all (of the log), sign_in, mail_access, ...
	Records int64  `json:"records"`        // records
	// Cells has a letter for each hour, see the matrix's legend. Null for a
	// kind that was never seen.
	Cells  string `json:"cells"`
	Seen   int64  `json:"seen"`   // hours with a record
	Absent int64  `json:"absent"` // hours without one that should have some
	// Share is seen / (seen + absent): of the hours that should have a record,
	// those that do. Null when nothing is known of the rhythm.
	Share *float64 `json:"share"`
	Gaps  []Hole   `json:"gaps"` // stretches that should have records and have none
	Why   string   `json:"why"`  // what the expectation rests on
}

// The letters of the cells.
const (
	CellSeen      = "s" // at least one record
	CellQuiet     = "q" // none, and none has to be
	CellAbsent    = "a" // none, where the rhythm expects some
	CellRetention = "r" // before the log's retention as it looks: not kept any more
	CellPartial   = "p" // records, from an export that was probably cut
	CellNever     = "n" // this kind was never seen, in any hour
)

// Hole is a stretch of hours that should have records and has none.
type Hole struct {
	From     Time    `json:"from"`     // begin of the first hour
	To       Time    `json:"to"`       // end of the last
	Hours    int64   `json:"hours"`    // hours
	Expected float64 `json:"expected"` // records that the rhythm expects
	// Confidence is the probability that records are missing: 1 - the number of
	// such silences that the rhythm alone would bring into the whole window.
	Confidence float64 `json:"confidence"`
	State      string  `json:"state"` // absent or retention
}

// MailboxCover says for one mailbox whether reads of it are recorded.
type MailboxCover struct {
	UPN   string `json:"upn"`   // owner's address
	State string `json:"state"` // recorded, never, stops, starts, throttled
	Reads int64  `json:"reads"` // records of reading, by anybody
	Other int64  `json:"other"` // other records of its mail
	First Time   `json:"first"` // first record of reading
	Last  Time   `json:"last"`  // last record of reading
	Why   string `json:"why"`   // why
}

// The states of [MailboxCover].
const (
	CoverRecorded  = "recorded"  // reads are recorded as expected
	CoverNever     = "never"     // other records of its mail, but never one of reading
	CoverStops     = "stops"     // reads were recorded, then none for long while other records go on
	CoverStarts    = "starts"    // other records go back much further than those of reading
	CoverThrottled = "throttled" // a record says, or its silence suggests, that reads were not recorded for a day
)

// Assertion answers whether something that an organization cares about was
// accessed. No evidence is not the same as no, and is said with its coverage.
type Assertion struct {
	ID       string   `json:"id"`       // hash of asset and answer's content
	Asset    string   `json:"asset"`    // key of the group of assets
	Name     string   `json:"name"`     // its name in words
	Answer   string   `json:"answer"`   // accessed, no_evidence or cannot_tell
	Text     string   `json:"text"`     // the sentence, as it can be quoted
	From     Time     `json:"from"`     // begin of the time that is answered for
	To       Time     `json:"to"`       // end of it
	Campaign []string `json:"campaign"` // campaigns that are answered for; empty: nobody is known to be in
	Known    Known    `json:"known"`    // what of the evidence is held to be this asset
	// Access is what the campaigns' contexts did to it.
	Access     int64          `json:"access"`      // records
	Contexts   []string       `json:"contexts"`    // contexts of the campaigns that did it
	Events     []string       `json:"events"`      // of these records
	Coverage   []AnswerCover  `json:"coverage"`    // logs that would show it
	BlindSpots []string       `json:"blind_spots"` // what these logs cannot show
	Fetch      []string       `json:"fetch"`       // what would settle it
	Why        string         `json:"why"`         // why this answer
	Places     []AccessedItem `json:"places"`      // what of the asset was accessed, most records first, at most 50
}

// The answers of an [Assertion].
const (
	Accessed   = "accessed"
	NoEvidence = "no_evidence"
	CannotTell = "cannot_tell"
)

// Known is what of the evidence is held to be an asset.
type Known struct {
	Records  int64    `json:"records"`  // records of anybody that touch it, in the time that is answered for
	Accounts int64    `json:"accounts"` // distinct accounts and applications in them
	Matched  []string `json:"matched"`  // what matched, as a rule of the configuration and what it met
	Own      bool     `json:"own"`      // the organization named it itself; false: by Midwatch's list alone
}

// AnswerCover is a log that would show access to an asset.
type AnswerCover struct {
	Tenant string  `json:"tenant"` // tenant id
	Source string  `json:"source"` // log, and kind after "/"
	Class  string  `json:"class"`  // kind of operation
	Hours  int64   `json:"hours"`  // hours that are answered for
	Seen   int64   `json:"seen"`   // of these, hours in which the log has any record, or needs none by its rhythm
	Share  float64 `json:"share"`  // 0..1
	State  string  `json:"state"`  // complete, gaps, never
}

// AccessedItem is a part of an asset that was accessed.
type AccessedItem struct {
	What    string   `json:"what"`    // resource, site, subscription, file
	Records int64    `json:"records"` // records
	First   Time     `json:"first"`   // first access
	Last    Time     `json:"last"`    // last access
	Events  []string `json:"events"`  // some of the records
}

// Interest is something over-represented among what was reached: a hypothesis
// about what the actor was after, with its uncertainty.
type Interest struct {
	Kind   string   `json:"kind"`    // department, seniority, role, folder, search, subject, time
	What   string   `json:"what"`    // which
	In     int64    `json:"in"`      // of what was reached, so many have it
	Of     int64    `json:"of"`      // of so many
	Base   int64    `json:"base"`    // of what it is compared with, so many have it
	BaseOf int64    `json:"base_of"` // of so many
	Ratio  float64  `json:"ratio"`   // odds ratio, with 1/2 added to each count
	Low    float64  `json:"low"`     // of its 95 % interval
	High   float64  `json:"high"`    // of its 95 % interval
	P      float64  `json:"p"`       // probability of as many by chance (hypergeometric, one-sided); for times by the Rayleigh test
	Q      float64  `json:"q"`       // the same over all that was looked at (Benjamini and Hochberg 1995)
	Text   string   `json:"text"`    // in words
	Events []string `json:"events"`  // records that show it
}

// EarlierCase compares the case with an earlier one.
type EarlierCase struct {
	Case      string         `json:"case"`      // its id
	Path      string         `json:"path"`      // where it was read
	First     Time           `json:"first"`     // first event of its evidence
	Last      Time           `json:"last"`      // last event of its evidence
	Tenants   []string       `json:"tenants"`   // tenants that both are about
	Campaigns []EarlierMatch `json:"campaigns"` // pairs of campaigns that share something, what weighs most first
	Text      string         `json:"text"`      // in words
}

// EarlierMatch is a pair of campaigns, of this case and of an earlier one.
type EarlierMatch struct {
	Campaign   string   `json:"campaign"`    // of this case
	Other      string   `json:"other"`       // of the earlier one
	OtherTitle string   `json:"other_title"` // its title
	DaysApart  float64  `json:"days_apart"`  // from the end of the earlier to the start of the later; 0: they overlap
	Strong     []Entity `json:"strong"`      // credentials, sessions, tokens, accounts and applications of the actor, addresses outside: the same in both
	Weak       []Entity `json:"weak"`        // addresses and networks that both used, and that are not shared with others
	Techniques []string `json:"techniques"`  // ATT&CK ids in both
	Rank       string   `json:"rank"`        // same_actor_likely, related, technique_only
	Text       string   `json:"text"`        // in words
}

// Consistency says which groups the techniques of a campaign are consistent
// with. It never says who did it: see docs/ACTORS.md for what the statistic
// can and cannot tell.
type Consistency struct {
	Observed   []Observed   `json:"observed"`   // techniques that were counted
	Groups     int          `json:"groups"`     // groups whose techniques are known
	Matches    []GroupMatch `json:"matches"`    // groups that share at least one, the least likely by chance first, at most 10
	StandOut   int          `json:"stand_out"`  // so many of them score what few would by chance, and are not told apart
	Distinct   bool         `json:"distinct"`   // one group stands out clearly, and no other
	Words      string       `json:"words"`      // all of it in two or three sentences
	Commonness string       `json:"commonness"` // how much the observed techniques tell
}

// Observed is a technique that was observed.
type Observed struct {
	ID     string  `json:"id"`     // ATT&CK id
	Name   string  `json:"name"`   // ATT&CK's name
	Groups int     `json:"groups"` // groups that are known for it
	Bits   float64 `json:"bits"`   // what a match weighs
}

// GroupMatch is a group that techniques are consistent with, more or less.
type GroupMatch struct {
	Group      string   `json:"group"`      // ATT&CK's id
	Name       string   `json:"name"`       // ATT&CK's name
	Names      []string `json:"names"`      // what vendors call it
	Matched    []string `json:"matched"`    // observed techniques that it is known for
	Missed     []string `json:"missed"`     // observed techniques that it is not known for
	Score      float64  `json:"score"`      // bits
	Expected   float64  `json:"expected"`   // bits that a random group of its breadth would have
	Percentile float64  `json:"percentile"` // share of random groups of its breadth that score less, 0..1
	Rank       int      `json:"rank"`       // from 1; groups that are as improbable share one
	Words      string   `json:"words"`      // in one sentence
}
