package detect

// The few pieces of SQL in which engines differ, or might.

// networkSQL gives the network of an address: the autonomous system where it
// is known, else the first three groups of the address (/24, or /48).
func networkSQL() string {
	return `(CASE WHEN asn > 0 THEN 'AS' || CAST(asn AS VARCHAR) ELSE ` + prefixSQL() + ` END)`
}

// prefixSQL gives the /24 or /48 of an address as text.
func prefixSQL() string {
	return `(CASE WHEN ip LIKE '%:%' THEN regexp_replace(ip, '^([0-9a-f]*:[0-9a-f]*:[0-9a-f]*):.*$', '\1') || '::/48'
		ELSE rtrim(ip, '0123456789') || '0/24' END)`
}

// originSQL gives what one line of a household or one exit of a proxy network
// is told apart by: the IPv4 address, or the /48 of IPv6.
func originSQL() string {
	return `(CASE WHEN ip LIKE '%:%' THEN ` + prefixSQL() + ` ELSE ip END)`
}

// domainSQL gives the domain of an address or user principal name.
func domainSQL(col string) string {
	return `regexp_replace(` + col + `, '^.*@', '')`
}
