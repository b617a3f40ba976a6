package event

// Type is the type of a column, in terms every engine has.
type Type string

// The column types.
const (
	TypeText      Type = "text"
	TypeInt       Type = "int"       // 32 bit
	TypeBigInt    Type = "bigint"    // 64 bit
	TypeBool      Type = "bool"      // nullable
	TypeTimestamp Type = "timestamp" // microseconds, UTC
	TypeUUID      Type = "uuid"
	TypeRaw       Type = "raw" // large text, compressed hardest
	TypeBytes     Type = "bytes"
)

// Column is one column of the store's table events. An absent value is NULL.
type Column struct {
	Name string
	Type Type
	Doc  string
}

// Columns lists the columns of table events in their order. This is the one
// place where they are named and documented; the stores' schemas and
// docs/SCHEMA.md are made from it.
func Columns() []Column {
	return []Column{
		{"id", TypeUUID, "first 16 bytes of SHA-256(tenant, source, native id); the same record has the same id in every export"},
		{"source", TypeText, "log: ual, signin, directory, graph_activity, message_trace, defender, risk, azure_activity, okta, google"},
		{"format", TypeText, "format that read the record; see `midwatch formats`"},
		{"tenant", TypeText, "tenant id, lower case; for Google the customer id, for Okta the host; where the record names none, inferred from its accounts' domain (flag 256)"},
		{"time", TypeTimestamp, "when it happened, UTC"},
		{"class", TypeText, "what kind of thing happened, across vendors: sign_in, consent, app_role_grant, mail_access, ..."},
		{"operation", TypeText, "vendor's operation name: trimmed, without trailing dot, dashes folded to '-', lower case"},
		{"workload", TypeText, "workload (Exchange, AzureActiveDirectory, ...); for sign-ins the kind: interactive, noninteractive, service_principal, managed_identity, adfs"},
		{"outcome", TypeText, "success, failure, interrupted or unknown"},
		{"code", TypeText, "vendor's result code, such as 50126"},
		{"reason", TypeText, "vendor's words for the result"},
		{"actor_kind", TypeText, "user, admin, guest, app, managed, service (the vendor's own processes), unknown"},
		{"actor", TypeText, "who acted: user principal name in lower case, else the name or id the record gives"},
		{"actor_id", TypeText, "object id of the actor, lower case"},
		{"app_id", TypeText, "client application id"},
		{"app_name", TypeText, "client application name as recorded, or from the table of known applications"},
		{"resource_id", TypeText, "application id of the API that was asked"},
		{"resource_name", TypeText, "its name"},
		{"sp_id", TypeText, "object id of the service principal that acted"},
		{"key_id", TypeText, "credential key id: the one used to sign in, or the one an operation added"},
		{"ip", TypeText, "client address without port and brackets; IPv4-mapped IPv6 as IPv4"},
		{"ip_service", TypeBool, "true when the address is the vendor's own back end, not the client"},
		{"asn", TypeBigInt, "autonomous system number, from the record or --asn"},
		{"as_org", TypeText, "its name"},
		{"ip_kind", TypeText, "kind of network as --asn says: hosting, residential, mobile, vpn, ..."},
		{"country", TypeText, "ISO 3166-1 alpha-2, from the record or --asn"},
		{"user_agent", TypeText, "user agent"},
		{"client", TypeText, "ClientInfoString, client app used or the like"},
		{"protocol", TypeText, "authentication protocol: oauth2, ropc, devicecode, saml20, ..."},
		{"device_id", TypeText, "device id"},
		{"session_id", TypeText, "session id: links sign-ins, mail access, file access and Graph requests"},
		{"token_id", TypeText, "id of the token, normalized to the id of the sign-in that minted it where possible"},
		{"request_id", TypeText, "id of the sign-in or request; a UAL UserLoggedIn and its Entra sign-in share it"},
		{"corr_id", TypeText, "correlation id"},
		{"mailbox", TypeText, "mailbox owner's address, lower case"},
		{"mailbox_id", TypeText, "mailbox GUID"},
		{"logon_type", TypeText, "owner, admin, delegate, ..."},
		{"access", TypeText, "bind (single messages) or sync (whole folder)"},
		{"throttled", TypeBool, "IsThrottled as recorded; NULL when the record does not say"},
		{"item_count", TypeInt, "items the record says it stands for"},
		{"target", TypeText, "what was acted on: name"},
		{"target_id", TypeText, "its object id"},
		{"target_kind", TypeText, "user, application, service_principal, group, role, file, mailbox, ..."},
		{"permissions", TypeText, "app roles or scopes granted or requested, separated by spaces"},
		{"detail", TypeText, "small JSON object with the operation's own facts"},
		{"subject", TypeText, "mail subject"},
		{"message_id", TypeText, "internet message id without angle brackets"},
		{"recipients", TypeText, "recipient addresses, separated by spaces"},
		{"flags", TypeInt, "bits: 1 id conflict, 2 truncated, 4 nested data destroyed, 8 no time, 16 address unreadable, 32 no native id, 64 ambiguous date, 128 not UTF-8, 256 tenant inferred"},
		{"file", TypeInt, "ordinal of the file in table files"},
		{"line", TypeBigInt, "first line of the record in the file, from 1; of a topic the offset of its message"},
		{"pos", TypeBigInt, "byte offset of the record in the (decompressed) file, or in its segment of a topic"},
		{"length", TypeBigInt, "bytes of the record"},
		{"record", TypeRaw, "the record as JSON where the file holds something else (a CSV row); NULL when raw is JSON"},
		{"raw", TypeRaw, "the record byte for byte; NULL with --raw none or when it is not UTF-8"},
		{"raw_bytes", TypeBytes, "the record byte for byte where it is not UTF-8"},
	}
}

// ItemColumns lists the columns of table items: one row per message, folder or
// attachment that a record of mailbox access names.
func ItemColumns() []Column {
	return []Column{
		{"event", TypeUUID, "events.id of the record"},
		{"kind", TypeText, "message, folder (every message in it at that time) or attachment"},
		{"message_id", TypeText, "internet message id without angle brackets"},
		{"item_id", TypeText, "store id of the item"},
		{"folder", TypeText, "folder path, or its name where the path is not available"},
		{"subject", TypeText, "subject, where the record has it"},
		{"names", TypeText, "attachment names, where the record has them"},
		{"size", TypeBigInt, "bytes; NULL unknown"},
	}
}

// RejectColumns lists the columns of table rejects.
func RejectColumns() []Column {
	return []Column{
		{"file", TypeInt, "ordinal of the file in table files"},
		{"line", TypeBigInt, "first line of what could not be read, from 1; of a topic the offset of its message"},
		{"pos", TypeBigInt, "byte offset"},
		{"length", TypeBigInt, "bytes"},
		{"reason", TypeText, "why"},
		{"head", TypeText, "the first bytes, at most 200"},
	}
}

// FileColumns lists the columns of table files.
func FileColumns() []Column {
	return []Column{
		{"file", TypeInt, "ordinal, the events' column file"},
		{"path", TypeText, "path as given; members of archives after '!'"},
		{"sha256", TypeText, "of the decompressed bytes that were read"},
		{"bytes", TypeBigInt, "decompressed bytes read"},
		{"outer_sha256", TypeText, "of the file on disk; differs from sha256 for archives"},
		{"records", TypeBigInt, "records found in it"},
		{"events", TypeBigInt, "events stored from it"},
		{"duplicates", TypeBigInt, "events that the store had already"},
		{"manifest", TypeText, "the whole account of the file as JSON: a source of the case format"},
	}
}
