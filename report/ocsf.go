package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"midwatch/actor"
	"midwatch/casefile"
)

// OCSF writes the findings and campaigns of the case as events of the Open
// Cybersecurity Schema Framework, a line of JSON each, for SIEMs and data lakes
// that take that schema.
//
// All are of class Detection Finding (2004). A campaign is one, too, and names
// its findings as related events. Incident Finding (2005) would have to say who
// works on the incident (assignee or assignee_group), which no case knows, and
// it has neither evidence nor resources. What of an incident a case does know
// stands in profile incident of a campaign's event.
//
// The version is [OCSFVersion], and only what 1.7 and 1.8 still have is used,
// so that the events hold in those, too. Source: schema.ocsf.io.
type OCSF struct{}

// OCSFVersion is the version of the schema that events name. Nothing that the
// stable ones after it add would say more of a case, and an older version asks
// less of who receives them.
const OCSFVersion = "1.6.0"

// Name implements [Format].
func (OCSF) Name() string { return "ocsf" }

// Doc implements [Format].
func (OCSF) Doc() string {
	return "ocsf.ndjson: findings and campaigns as Detection Findings of OCSF " + OCSFVersion + ", a line each"
}

// Files implements [Format].
func (OCSF) Files() []string { return []string{"ocsf.ndjson"} }

// Write implements [Format].
func (f OCSF) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	table, err := actor.Load()
	if err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	c = shown(c)
	m := &ocsfMaker{c: c, cited: newSketcher(c), table: table, most: o.rows(), made: caseMade(c), assessed: map[string]*casefile.Assessed{}}
	for i := range c.Assessed {
		m.assessed[c.Assessed[i].Detector] = &c.Assessed[i]
	}
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	for i := range c.Campaigns {
		if err := enc.Encode(m.campaign(&c.Campaigns[i])); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	for i := range c.Findings {
		if err := enc.Encode(m.finding(&c.Findings[i])); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// ocsfEvent is a Detection Finding. Times are milliseconds since 1970 UTC.
// Members with an id and a name say the same twice, as the schema has it.
type ocsfEvent struct {
	ActivityID   int    `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	CategoryUID  int    `json:"category_uid"`
	CategoryName string `json:"category_name"`
	ClassUID     int    `json:"class_uid"`
	ClassName    string `json:"class_name"`
	TypeUID      int    `json:"type_uid"`
	TypeName     string `json:"type_name"`

	Time           int64  `json:"time"`                 // last record
	StartTime      *int64 `json:"start_time,omitempty"` // first record
	EndTime        *int64 `json:"end_time,omitempty"`   // last record
	TimezoneOffset int    `json:"timezone_offset"`

	SeverityID        int    `json:"severity_id"`
	Severity          string `json:"severity"`
	StatusID          int    `json:"status_id"`
	Status            string `json:"status"`
	ConfidenceID      int    `json:"confidence_id"`
	Confidence        string `json:"confidence"`
	IsAlert           bool   `json:"is_alert"`
	IsSuspectedBreach bool   `json:"is_suspected_breach,omitempty"` // profile incident
	Count             int64  `json:"count,omitempty"`               // records
	Message           string `json:"message"`
	Comment           string `json:"comment,omitempty"` // what people decided

	Metadata    ocsfMetadata     `json:"metadata"`
	FindingInfo ocsfInfo         `json:"finding_info"`
	Evidences   []ocsfEvidence   `json:"evidences,omitempty"`
	Resources   []ocsfResource   `json:"resources,omitempty"`
	Observables []ocsfObservable `json:"observables,omitempty"`
	Unmapped    any              `json:"unmapped"`
}

type ocsfMetadata struct {
	UID            string      `json:"uid"`
	Version        string      `json:"version"` // of the schema
	Product        ocsfProduct `json:"product"`
	Profiles       []string    `json:"profiles"`
	CorrelationUID string      `json:"correlation_uid,omitempty"` // the campaign
	TenantUID      string      `json:"tenant_uid,omitempty"`
	EventCode      string      `json:"event_code,omitempty"` // the detector
	Labels         []string    `json:"labels"`
	IsTruncated    bool        `json:"is_truncated,omitempty"`
}

// ocsfProduct has no version: a case does not say which Midwatch concluded it.
type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfInfo struct {
	UID                string        `json:"uid"`
	Title              string        `json:"title"`
	Desc               string        `json:"desc,omitempty"`
	Types              []string      `json:"types,omitempty"` // the stage
	Analytic           *ocsfAnalytic `json:"analytic,omitempty"`
	Attacks            []ocsfAttack  `json:"attacks,omitempty"`
	DataSources        []string      `json:"data_sources,omitempty"`
	CreatedTime        int64         `json:"created_time"`
	FirstSeenTime      *int64        `json:"first_seen_time,omitempty"`
	LastSeenTime       *int64        `json:"last_seen_time,omitempty"`
	RelatedEvents      []ocsfRelated `json:"related_events,omitempty"`
	RelatedEventsCount int           `json:"related_events_count"`
}

type ocsfAnalytic struct {
	UID    string `json:"uid"`
	Name   string `json:"name,omitempty"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

// ocsfAttack is a technique under one of its tactics.
type ocsfAttack struct {
	Tactic       *ocsfNamed `json:"tactic,omitempty"`
	Technique    ocsfNamed  `json:"technique"`
	SubTechnique *ocsfNamed `json:"sub_technique,omitempty"`
}

type ocsfNamed struct {
	UID    string `json:"uid,omitempty"`
	Name   string `json:"name,omitempty"`
	SrcURL string `json:"src_url,omitempty"`
}

// ocsfRelated is another event of the file, by its metadata.uid.
type ocsfRelated struct {
	UID           string `json:"uid"`
	TypeUID       int    `json:"type_uid"`
	TypeName      string `json:"type_name"`
	Title         string `json:"title"`
	SeverityID    int    `json:"severity_id"`
	Severity      string `json:"severity"`
	Count         int64  `json:"count,omitempty"`
	FirstSeenTime *int64 `json:"first_seen_time,omitempty"`
	LastSeenTime  *int64 `json:"last_seen_time,omitempty"`
}

// ocsfEvidence is a record. Its uid is for `midwatch evidence`.
type ocsfEvidence struct {
	UID         string        `json:"uid"`
	Name        string        `json:"name,omitempty"`
	Actor       *ocsfActor    `json:"actor,omitempty"`
	SrcEndpoint *ocsfEndpoint `json:"src_endpoint,omitempty"`
	Data        ocsfRecord    `json:"data"`
}

type ocsfActor struct {
	User    *ocsfUser `json:"user,omitempty"`
	AppName string    `json:"app_name,omitempty"`
	AppUID  string    `json:"app_uid,omitempty"`
}

type ocsfUser struct {
	Name string `json:"name"`
}

type ocsfEndpoint struct {
	IP string  `json:"ip"`
	AS *ocsfAS `json:"autonomous_system,omitempty"`
}

type ocsfAS struct {
	Number int64  `json:"number"`
	Name   string `json:"name,omitempty"`
}

// ocsfRecord is where a record stands, and what of it has no place in the schema.
type ocsfRecord struct {
	File      string             `json:"file,omitempty"` // with line, offset and hash as in case.json
	Line      int64              `json:"line,omitempty"`
	Offset    *int64             `json:"offset,omitempty"`
	Length    int64              `json:"length,omitempty"`
	SHA256    string             `json:"sha256,omitempty"`
	Time      string             `json:"time,omitempty"` // RFC 3339
	Tenant    string             `json:"tenant,omitempty"`
	Log       string             `json:"log,omitempty"`
	Operation string             `json:"operation,omitempty"`
	Target    string             `json:"target,omitempty"`
	Address   string             `json:"address,omitempty"`   // a client address that is none
	Certainty casefile.Certainty `json:"certainty,omitempty"` // of access to mail, the highest that the record shows
}

// ocsfResource is a mailbox, account, application, credential or rule.
type ocsfResource struct {
	UID    string `json:"uid,omitempty"`
	Name   string `json:"name,omitempty"`
	Type   string `json:"type"`
	RoleID int    `json:"role_id"`
	Role   string `json:"role"`
	Data   any    `json:"data"`
}

type ocsfObservable struct {
	Name   string `json:"name,omitempty"` // the attribute that has it, where one does
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

// ocsfOfFinding is what of a finding has no place in the schema.
type ocsfOfFinding struct {
	Kind        string           `json:"kind"` // finding
	Case        string           `json:"case_id"`
	Detected    *int64           `json:"detected_time,omitempty"` // earliest moment at which the logs could have raised it
	Counts      []casefile.Count `json:"counts,omitempty"`
	EventsQuery string           `json:"events_query,omitempty"`
	Missing     []string         `json:"missing,omitempty"`
	FalseAlarms *float64         `json:"false_alarms,omitempty"` // of the detector, expected a tenant and day when nobody is there
	Techniques  []string         `json:"techniques,omitempty"`   // that are no ids of ATT&CK
	LeftOut     map[string]int64 `json:"left_out,omitempty"`
}

// ocsfOfCampaign is what of a campaign has no place in the schema.
type ocsfOfCampaign struct {
	Kind          string               `json:"kind"` // campaign
	Case          string               `json:"case_id"`
	Standing      string               `json:"standing"`
	Tenants       []string             `json:"tenants,omitempty"`
	StartBasis    string               `json:"start_basis,omitempty"`
	OriginOutside bool                 `json:"origin_outside_evidence"`
	InitialAccess *int64               `json:"initial_access_time,omitempty"`
	Detected      *int64               `json:"detected_time,omitempty"`
	Reach         casefile.Reach       `json:"reach"` // certainties apart
	CannotClear   []casefile.Uncleared `json:"cannot_clear,omitempty"`
	Addresses     []casefile.IPRef     `json:"addresses,omitempty"`
	Techniques    []string             `json:"techniques,omitempty"`
	LeftOut       map[string]int64     `json:"left_out,omitempty"`
}
