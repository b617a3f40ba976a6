package event

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"
)

// NormalizeOperation folds an operation name to the form detectors compare:
// trimmed, without trailing dots, en and em dashes as "-", runs of spaces as
// one, lower case. Entra emits "Update application – Certificates and secrets
// management " with an en dash and a trailing space, and the audit log adds a
// dot where the directory log has none.
func NormalizeOperation(s string) string {
	s = strings.TrimSpace(s)
	plain := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 || 'A' <= c && c <= 'Z' || c == ' ' && i+1 < len(s) && s[i+1] == ' ' {
			plain = false
			break
		}
	}
	if !plain {
		s = strings.NewReplacer("–", "-", "—", "-", "‐", "-", "‑", "-", "\u00a0", " ").Replace(s)
		s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	}
	return strings.TrimRight(s, ". ")
}

// ParseIP reads an address in any spelling that audit logs use: with a port,
// in brackets, IPv4 in IPv6. It reports false for anything else, host names
// and documentation placeholders included. ("NOTANIPV4 (10.9000.0.1)" occurs.)
func ParseIP(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return netip.Addr{}, false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		s = s[1:end]
	} else if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s, '.') > 0 && strings.LastIndexByte(s, ':') == i {
		s = s[:i] // 192.0.2.1:443, never ::ffff:192.0.2.1, which has several colons
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// IsServiceIP reports whether a is one of Microsoft's own Exchange Online back
// ends, from which it acts on mailboxes itself, or an address that cannot be a
// client (loopback, unspecified). The list is deliberately short: an address
// that a customer of the cloud could rent must stay visible.
// Source: Microsoft 365 URLs and IP address ranges, Exchange Online: all of
// its IPv6 networks are 2603:10x6::/32 or in 2a01:111::/32; the same prefixes
// carry the RESTSystem records of real audit logs.
func IsServiceIP(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	if !a.Is6() {
		return false
	}
	b := a.As16()
	switch {
	case b[0] == 0x26 && b[1] == 0x03 && b[2] == 0x10 && b[3]&0x0f == 6:
		return true
	case b[0] == 0x2a && b[1] == 0x01 && b[2] == 0x01 && b[3] == 0x11:
		return true
	}
	return false
}

// TokenID normalizes a unique token identifier to the id of the sign-in that
// minted the token. Three encodings are in use: the GUID itself, base64 of the
// GUID's text (until about 2022), and 22 characters of base64url of its 16
// bytes in little-endian (.NET) order. Anything else is returned as it is.
// Identifiers are case-sensitive before decoding.
// Source: ConvertFrom-MsIdUniqueTokenIdentifier of Microsoft's MSIdentityTools.
func TokenID(s string) string {
	s = strings.TrimPrefix(strings.TrimSpace(s), "'") // spreadsheets' text prefix
	switch {
	case len(s) == 36 && s[8] == '-':
		return strings.ToLower(s)
	case len(s) == 22 || len(s) == 24:
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "="))
		if err == nil && len(b) == 16 {
			return guidLE(b)
		}
	case len(s) == 48:
		b, err := base64.StdEncoding.DecodeString(s)
		if err == nil && len(b) == 36 && b[8] == '-' {
			return strings.ToLower(string(b))
		}
	}
	return s
}

func guidLE(b []byte) string {
	g := [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
	h := hex.EncodeToString(g[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MessageID strips white space and angle brackets from an internet message id.
func MessageID(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
}
