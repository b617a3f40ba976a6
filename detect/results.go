package detect

import (
	_ "embed"
	"encoding/csv"
	"slices"
	"strings"
)

// What a result code says about the password that was tried.
const (
	passwordWrong    = "wrong"    // the password was not right
	passwordRight    = "right"    // it was right, and something else stood in the way
	passwordAccepted = "accepted" // it was right and the sign-in came about
	passwordLocked   = "locked"   // locked, blocked or disabled, whatever the password
	passwordNoUser   = "no_user"  // there is no such account
)

// What stood in the way of a right password: kinds of results.csv.
const (
	stoppedMFA      = "mfa"      // a second factor was asked for
	stoppedMFANone  = "mfa_none" // none is registered: whoever has the password may register one
	stoppedPolicy   = "policy"
	stoppedApp      = "app"
	stoppedExpired  = "expired"
	stoppedRoutine  = "interrupt"  // asked something that everybody is asked
	oracleRightROPC = "right_ropc" // verdict of codes that speak of the password in the password grant only
)

//go:embed results.csv
var resultsCSV string

// result is a line of results.csv.
type result struct{ code, verdict, kind string }

// results reads results.csv, which the tests hold to its form.
func results() (out []result) {
	r := csv.NewReader(strings.NewReader(resultsCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		panic("detect: results.csv: " + err.Error()) // part of the program
	}
	for _, row := range rows[1:] {
		out = append(out, result{row[0], row[1], row[2]})
	}
	return out
}

// resultCodes lists the codes that a condition holds for, as an SQL list.
func resultCodes(is func(result) bool) string {
	var codes []string
	for _, r := range results() {
		if is(r) {
			codes = append(codes, r.code)
		}
	}
	slices.Sort(codes)
	return quoted(codes)
}

// passwordSQL gives what the result of a sign-in says about the password. The
// unified audit log has words in the place of codes, in column reason.
func passwordSQL() string {
	match := func(is func(result) bool) string {
		l := resultCodes(is)
		return "(code IN (" + l + ") OR reason IN (" + l + "))"
	}
	verdict := func(v string) string { return match(func(r result) bool { return r.verdict == v }) }
	return `(CASE WHEN outcome = 'success' THEN 'accepted'
			WHEN ` + verdict("wrong") + ` THEN 'wrong'
			WHEN ` + verdict("right") + ` THEN 'right'
			WHEN coalesce(protocol, '') = 'ropc' AND ` + verdict(oracleRightROPC) + ` THEN 'right'
			WHEN ` + match(func(r result) bool { return r.kind == "locked" || r.kind == "disabled" }) + ` THEN 'locked'
			WHEN ` + verdict("no_user") + ` THEN 'no_user'
			ELSE 'other' END)`
}

// stoppedSQL gives what stood in the way of a right password.
func stoppedSQL() string {
	var b strings.Builder
	b.WriteString("(CASE")
	for _, kind := range []string{stoppedMFANone, stoppedMFA, stoppedPolicy, stoppedApp, stoppedExpired, stoppedRoutine} {
		l := resultCodes(func(r result) bool { return r.kind == kind })
		b.WriteString(" WHEN code IN (" + l + ") OR reason IN (" + l + ") THEN '" + kind + "'")
	}
	return b.String() + " ELSE '' END)"
}
