// Package event defines Event, the one record that travels through Midwatch.
//
// A parser turns one vendor record into one Event (rarely several), the store
// keeps it as one row, and every question is asked about its columns. An Event
// says only what the record says: no verdicts, no scores. What the record does
// not say is the empty string, [Unknown] or a nil pointer, never a default:
// in audit logs "absent" and "false" are different facts.
//
// Columns (columns.go) is the one place that names and documents the columns.
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ID identifies one record of one tenant's log: the first 16 bytes of
// SHA-256(tenant, source, native id). It is printed like a UUID. The same
// record read from another export of the same log has the same ID.
type ID [16]byte

// String returns the id in the 8-4-4-4-12 form, lower case.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}

// ParseID is the inverse of [ID.String]. It reports whether s had that form.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	if _, err := hex.Decode(id[:], []byte(strings.ReplaceAll(s, "-", ""))); err != nil {
		return ID{}, false
	}
	return id, true
}

// MakeID derives an ID from its parts. scratch is reused to avoid allocation
// and may be nil; the grown scratch is returned.
func MakeID(scratch []byte, tenant string, source Source, native string) (ID, []byte) {
	scratch = append(scratch[:0], tenant...)
	scratch = append(scratch, 0)
	scratch = append(scratch, source...)
	scratch = append(scratch, 0)
	scratch = append(scratch, native...)
	sum := sha256.Sum256(scratch)
	return ID(sum[:16]), scratch
}

// Source is the log that a record belongs to, whatever container it came in:
// a portal CSV and an API page of the same log have the same Source.
type Source string

// The logs that Midwatch reads.
const (
	UAL           Source = "ual"            // Microsoft 365 Unified Audit Log
	SignIn        Source = "signin"         // Entra sign-ins, all kinds
	DirectoryLog  Source = "directory"      // Entra directory audit log
	GraphActivity Source = "graph_activity" // Microsoft Graph activity log
	MessageTrace  Source = "message_trace"  // Exchange message trace
	Defender      Source = "defender"       // Defender XDR tables other than wrapped UAL records
	RiskEvents    Source = "risk"           // Entra ID Protection: risky users, risk detections
	AzureActivity Source = "azure_activity" // Azure resource activity and other Azure Monitor categories
	Okta          Source = "okta"           // Okta System Log
	Google        Source = "google"         // Google Workspace reports
)

// Class says what kind of thing happened, across vendors. Detectors ask for
// classes first and for vendors' operation names second.
type Class string

// The classes. A record that fits none is Other.
const (
	ClassSignIn            Class = "sign_in"            // somebody or something authenticated, or tried to
	ClassConsent           Class = "consent"            // consent to an application
	ClassAppRoleGrant      Class = "app_role_grant"     // app role assigned to a service principal (app-only permission)
	ClassDelegatedGrant    Class = "delegated_grant"    // delegated (OAuth2) permission granted
	ClassPermissionRequest Class = "permission_request" // application's required resource access changed: a request, not a grant
	ClassCredentialAdd     Class = "credential_add"     // secret or certificate added to an application or service principal
	ClassAppCreate         Class = "app_create"         // application registered
	ClassSPCreate          Class = "sp_create"          // service principal created
	ClassAppUpdate         Class = "app_update"         // application or service principal changed otherwise
	ClassOwnerAdd          Class = "owner_add"          // owner added to an application or service principal
	ClassUserCreate        Class = "user_create"        // user created or invited
	ClassUserUpdate        Class = "user_update"        // user changed otherwise
	ClassUserDelete        Class = "user_delete"        // user deleted
	ClassRoleAdd           Class = "role_add"           // member added to a directory role
	ClassGroupAdd          Class = "group_add"          // member added to a group
	ClassAuthMethod        Class = "auth_method"        // MFA method or security info changed
	ClassPasswordReset     Class = "password_reset"     // password changed or reset
	ClassSessionRevoke     Class = "session_revoke"     // refresh tokens invalidated
	ClassDevice            Class = "device"             // device registered or joined
	ClassPolicy            Class = "policy"             // conditional access or another policy changed
	ClassFederation        Class = "federation"         // domain or federation settings changed
	ClassMailAccess        Class = "mail_access"        // mail items read or synchronized
	ClassAttachmentAccess  Class = "attachment_access"  // attachment of a mail read
	ClassMailSend          Class = "mail_send"          // mail sent
	ClassMailChange        Class = "mail_change"        // mail created, updated or moved
	ClassMailDelete        Class = "mail_delete"        // mail deleted
	ClassInboxRule         Class = "inbox_rule"         // inbox rule created or changed
	ClassForwarding        Class = "forwarding"         // mailbox-wide forwarding set
	ClassMailboxPermission Class = "mailbox_permission" // delegate, folder or send-as permission changed
	ClassTransportRule     Class = "transport_rule"     // tenant-wide mail flow rule changed
	ClassImpersonation     Class = "impersonation"      // management role such as ApplicationImpersonation assigned
	ClassAuditChange       Class = "audit_change"       // auditing switched, bypassed or narrowed
	ClassSearch            Class = "search"             // search of mail or files, eDiscovery
	ClassFileAccess        Class = "file_access"        // file read, downloaded or synchronized
	ClassFileChange        Class = "file_change"        // file written, renamed, deleted
	ClassSharing           Class = "sharing"            // link or share created or used
	ClassGraphRequest      Class = "graph_request"      // request to Microsoft Graph
	ClassMessageTrace      Class = "message_trace"      // message delivered, as mail flow saw it
	ClassAlert             Class = "alert"              // a vendor's own alert or risk verdict
	ClassAdmin             Class = "admin"              // other administrative change
	ClassOther             Class = "other"
)

// Outcome says whether what was tried came about.
type Outcome string

// The outcomes.
const (
	Success     Outcome = "success"
	Failure     Outcome = "failure"
	Interrupted Outcome = "interrupted" // a sign-in that asked for more (MFA, consent, keep me signed in)
	Unknown     Outcome = "unknown"
)

// ActorKind says what acted. Microsoft's datacenter processes are told apart
// from people because they make up most of many audit logs.
type ActorKind string

// The kinds of actor.
const (
	ActorUser    ActorKind = "user"
	ActorAdmin   ActorKind = "admin"
	ActorGuest   ActorKind = "guest"
	ActorApp     ActorKind = "app"     // application or service principal acting as itself
	ActorManaged ActorKind = "managed" // managed identity
	ActorService ActorKind = "service" // the vendor's datacenter and system processes
	ActorUnknown ActorKind = "unknown"
)

// Flag marks what is peculiar about a record as evidence.
type Flag uint32

// The flags.
const (
	FlagIDConflict     Flag = 1 << iota // same native id as another record, other content: both are kept
	FlagTruncated                       // the record was cut by its exporter; the leading fields were saved
	FlagDestroyed                       // nested data were destroyed by the exporter ("System.Object[]")
	FlagTimeMissing                     // no usable time in the record
	FlagIPUnparsed                      // the address field holds no address
	FlagNoNativeID                      // the record has no id of its own; its ID is a hash of its bytes
	FlagAmbiguousDate                   // day and month could be either way round
	FlagInvalidUTF8                     // the record's bytes are not UTF-8
	FlagTenantInferred                  // the record names no tenant; it is that of its accounts' domain
)

// Access is how mail items were reached.
type Access string

// The ways of reaching mail. See Microsoft's "Use MailItemsAccessed to
// investigate compromised accounts".
const (
	Bind Access = "bind" // single messages opened
	Sync Access = "sync" // a whole folder synchronized to a client
)

// Event is one record. Strings may alias memory of the [Batch] the event is
// part of and are valid only until that batch is reset.
type Event struct {
	ID       ID
	NativeID string // the record's own id as the vendor gives it; not stored
	Source   Source
	Format   string // format that read it, such as "ual"
	Tenant   string // tenant id (GUID, lower case) or domain or Google customer id
	Time     int64  // microseconds since 1970 UTC; 0 with FlagTimeMissing when unknown

	Class     Class
	Operation string // normalized name, see [NormalizeOperation]
	Workload  string // Exchange, AzureActiveDirectory, ...; kind of sign-in for sign-ins
	Outcome   Outcome
	Code      string // vendor's result code, such as "50126"
	Reason    string // vendor's words for the result

	ActorKind ActorKind
	Actor     string // who acted: user principal name, folded to lower case; else the id
	ActorID   string // object id of the actor

	AppID        string // client application
	AppName      string
	ResourceID   string // application that was asked (the API)
	ResourceName string
	SPID         string // service principal's object id
	KeyID        string // credential key id: used in a sign-in, or added by an operation

	IP        string // normalized address without port and brackets; empty if none
	IPService bool   // address of the vendor's own back end, not of the client
	ASN       uint32 // autonomous system; 0 unknown
	ASOrg     string
	IPKind    string // hosting, residential, mobile, vpn, office, ...: as the enrichment source says
	Country   string // ISO 3166-1 alpha-2

	UserAgent string
	Client    string // ClientInfoString, clientAppUsed or the like
	Protocol  string // authentication protocol, such as "ropc"
	DeviceID  string
	SessionID string
	TokenID   string // token's unique id, normalized to the id of the sign-in that minted it where that is possible
	RequestID string // id of the sign-in or of the request
	CorrID    string // correlation id

	Mailbox   string // owner's address, folded
	MailboxID string // mailbox GUID
	LogonType string // owner, admin, delegate, ...
	Access    Access
	Throttled *bool // IsThrottled as recorded; nil when absent
	ItemCount int32 // items this record says it stands for

	Target      string // what was acted on: name
	TargetID    string // object id
	TargetKind  string // user, application, service_principal, group, role, file, mailbox, ...
	Permissions string // app roles or scopes granted or asked for, space separated; values where known, else ids
	Detail      string // small JSON object with the operation's own facts; see each parser

	Subject    string
	MessageID  string // internet message id without angle brackets
	Recipients string // space separated, folded

	Flags  Flag
	File   int32 // ordinal of the source file, see store table files
	Line   int64 // first line of the record, from 1
	Offset int64 // byte offset in the (decompressed) file
	Length int64 // bytes

	Raw    []byte // the record's bytes as they stand in the file
	Record string // the record as JSON where Raw is not JSON (a CSV row); empty otherwise
}

// ItemKind says what an Item stands for.
type ItemKind string

// The kinds of item.
const (
	ItemMessage    ItemKind = "message"
	ItemFolder     ItemKind = "folder" // every message in the folder at that time
	ItemAttachment ItemKind = "attachment"
)

// Item is one message, folder or attachment that an event refers to.
type Item struct {
	Event     int32 // index of the event in its batch
	Kind      ItemKind
	MessageID string // internet message id without angle brackets
	ItemID    string // store id
	Folder    string // path, or name where the path is not available
	Subject   string
	Names     string // attachment names, as recorded
	Size      int64  // bytes; -1 unknown
}

// Reject is a record that could not be read. Nothing is dropped in silence.
type Reject struct {
	File   int32
	Line   int64
	Offset int64
	Length int64
	Reason string
	Head   string // the first bytes, at most 200
}
