package detect

// What a result code says about the password that was tried. The codes are
// data: Microsoft changes them.
// Sources: Entra authentication error codes; for "right" the successCodes of
// Sentinel's password spray rule; Okta and Google event documentation.
const (
	passwordWrong    = "wrong"    // the password was not right
	passwordRight    = "right"    // it was right, and something else stood in the way
	passwordAccepted = "accepted" // it was right and the sign-in came about
	passwordLocked   = "locked"   // locked or blocked whatever the password
	passwordNoUser   = "no_user"  // there is no such account
)

// resultWords lists result codes, and the words that older records have in
// their place.
func resultWords(verdict string) (codes []string) {
	switch verdict {
	case passwordWrong:
		return []string{"50126", "50056", "50064", "InvalidUserNameOrPassword", "INVALID_CREDENTIALS", "VERIFICATION_ERROR", "login_failure_invalid_password", "login_failure"}
	case passwordRight:
		return []string{
			"50076", "50074", "50079", "50072", "500121", "50158", "50078", // more factors asked for, or none enrolled
			"53003", "53000", "53001", "50005", "50131", "53002", "53004", "53011", "50155", "50129", "50097", "530035", // refused by policy
			"50105", "65001", "65004", // no access to this application
			"50140", "50125", "50199", "50055", "50144", // interrupted afterwards, or expired
			"UserStrongAuthEnrollmentRequiredInterrupt", "UserStrongAuthClientAuthNRequiredInterrupt", "DelegationDoesNotExist",
		}
	case passwordLocked:
		return []string{"50053", "50057", "IdsLocked", "UserDisabled", "LOCKED_OUT"}
	case passwordNoUser:
		return []string{"50034", "51004", "UserAccountNotFound", "UserNotFound"}
	}
	return nil
}

// signInsSQL is a common table expression: the sign-ins and attempts of
// people, each once. The unified audit log's UserLoggedIn and UserLoginFailed
// repeat Entra's sign-ins under the same request id; Entra's record is kept.
// Column pw holds what the result says about the password, prefix the /24 or
// /48, origin the IPv4 address or the /48.
func signInsSQL() string {
	match := func(verdict string) string {
		l := quoted(resultWords(verdict))
		return "(code IN (" + l + ") OR reason IN (" + l + "))"
	}
	return `WITH signins AS (
	SELECT id, source, coalesce(tenant, '') AS tenant, time, CAST(time AS DATE) AS day, actor, ip, coalesce(asn, 0) AS asn,
		coalesce(app_id, '') AS app_id, coalesce(app_name, '') AS app_name, coalesce(user_agent, '') AS user_agent, coalesce(client, '') AS client,
		coalesce(country, '') AS country, coalesce(session_id, '') AS session_id, coalesce(token_id, '') AS token_id, coalesce(request_id, '') AS request_id,
		` + prefixSQL() + ` AS prefix, ` + originSQL() + ` AS origin,
		CASE WHEN outcome = 'success' THEN 'accepted'
			WHEN ` + match(passwordWrong) + ` THEN 'wrong'
			WHEN ` + match(passwordRight) + ` THEN 'right'
			WHEN ` + match(passwordLocked) + ` THEN 'locked'
			WHEN ` + match(passwordNoUser) + ` THEN 'no_user'
			ELSE 'other' END AS pw
	FROM events
	WHERE class = 'sign_in' AND actor IS NOT NULL AND actor <> '' AND actor <> 'not available' AND time IS NOT NULL
		AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest', 'unknown', '')
		AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false
		AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (
			SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND request_id IS NOT NULL))
)`
}
