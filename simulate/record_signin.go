package simulate

// signIn is one row of the sign-in log of people.
type signIn struct {
	t        int64
	id       guid
	user     *user  // nil: nobody of that name
	upn      string // as typed, where it is not the user's
	client   clientOf
	from     where
	agent    *agent
	ua       string // instead of the agent's
	used     string // clientAppUsed, empty: by client
	code     int
	mfa      byte // 0 none, 1 satisfied by claim, 2 done, 3 denied
	method   string
	session  guid
	refresh  bool // non-interactive
	protocol string
	device   string
	incoming string
}

func failureReason(code int) string {
	switch code {
	case 0:
		return "Other."
	case 50126:
		return "Error validating credentials due to invalid username or password."
	case 50053:
		return "The account is locked, you've tried to sign in too many times with an incorrect user ID or password."
	case 50034:
		return "The user account does not exist in the directory."
	case 50055:
		return "Invalid password, entered expired password."
	case 50057:
		return "User account is disabled. The account has been disabled by an administrator."
	case 50140:
		return "This occurred due to 'Keep me signed in' interrupt when the user was signing-in."
	case 50058:
		return "Session information is not sufficient for single-sign-on."
	case 50089:
		return "Flow token expired."
	case 50074:
		return "Strong Authentication is required."
	case 50076:
		return "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource."
	case 50072:
		return "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication."
	case 500121:
		return "Authentication failed during strong authentication request."
	case 53003:
		return "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
	case 53000:
		return "Device is not in required device state: {state}. Conditional Access policy requires a compliant device, and the device is not compliant."
	case 65001:
		return "The user or administrator has not consented to use the application."
	case 50105:
		return "The signed in user is not assigned to a role for the application."
	case 90033:
		return "A transient error has occurred. Please try again."
	}
	return "Other."
}

// logonError is what the Unified Audit Log calls a code.
func logonError(code int) string {
	switch code {
	case 50126:
		return "InvalidUserNameOrPassword"
	case 50053:
		return "IdsLocked"
	case 50034:
		return "UserAccountNotFound"
	case 50055:
		return "InvalidPasswordExpiredPassword"
	case 50057:
		return "UserDisabled"
	case 50058:
		return "UserInformationNotProvided"
	case 50072:
		return "UserStrongAuthEnrollmentRequiredInterrupt"
	case 50074, 50076:
		return "UserStrongAuthClientAuthNRequiredInterrupt"
	case 500121:
		return "AuthenticationFailedSasError"
	case 53003:
		return "BlockedByConditionalAccess"
	case 53000:
		return "DeviceNotCompliant"
	case 65001:
		return "DelegationDoesNotExist"
	case 50105:
		return "EntitlementGrantsNotFound"
	case 50089:
		return "FlowTokenExpired"
	}
	return "TransientError"
}

// signIn writes a sign-in to its log and, an interactive one, to the Unified
// Audit Log under the same id.
func (g *gen) signIn(s *signIn) {
	upn, name, uid := s.upn, "", ""
	if s.user != nil {
		name, uid = s.user.name, s.user.id
		if upn == "" {
			upn = s.user.upn
		}
	}
	if s.ua == "" && s.agent != nil {
		s.ua = s.agent.ua
	}
	if s.protocol == "" {
		s.protocol = "none"
	}
	if s.incoming == "" {
		s.incoming = "none"
	}
	k := fInteractive
	if s.refresh {
		k = fNonInteractive
	}
	corr := newGUID(mix(s.id.a), mix(s.id.b))
	if g.admit(k, s.t, s.id.a, s.id.String) {
		if s.refresh {
			b := g.out[k].b
			b = g.envelope(b, s.t, s.id.a, "Sign-in activity", "NonInteractiveUserSignInLogs")
			b = append(b, `"resultType":"`...)
			b = num(b, int64(s.code))
			b = append(b, `","resultSignature":"None","durationMs":0,"callerIpAddress":"`...)
			b = s.from.ip.append(b)
			b = append(b, `","correlationId":"`...)
			b = corr.append(b)
			b = append(b, `","identity":"`...)
			b = append(b, name...)
			b = append(b, `","Level":4,"location":"`...)
			b = append(b, s.from.net.country...)
			b = append(b, `","properties":{`...)
			b = g.signInBody(b, s, upn, name, uid, corr)
			g.line(k, append(b, '}', '}'))
		} else {
			b := append(g.page(k), '{')
			b = g.signInBody(b, s, upn, name, uid, corr)
			g.paged(k, append(b, '}'))
		}
	}
	if !s.refresh && g.t.role == "corporate" {
		g.logon(s, upn, uid, corr)
	}
}

// envelope opens an Azure Monitor record up to its tenant.
func (g *gen) envelope(b []byte, t int64, id uint64, operation, category string) []byte {
	b = append(b, `{"time":"`...)
	b = append(appendTicks(b, g.w.arrival(id, t)), `Z","resourceId":"/tenants/`...)
	b = append(b, g.t.id...)
	b = append(b, `/providers/Microsoft.aadiam","operationName":"`...)
	b = append(b, operation...)
	b = append(b, `","operationVersion":"1.0","category":"`...)
	b = append(b, category...)
	b = append(b, `","tenantId":"`...)
	b = append(b, g.t.id...)
	return append(b, `",`...)
}

func (g *gen) signInBody(b []byte, s *signIn, upn, name, uid string, corr guid) []byte {
	b = append(b, `"id":"`...)
	b = s.id.append(b)
	b = append(b, `","createdDateTime":"`...)
	if s.refresh {
		b = append(appendTicks(b, s.t), "+00:00"...)
	} else {
		b = appendZ(b, s.t)
	}
	b = append(b, `","userDisplayName":"`...)
	b = append(b, name...)
	b = append(b, `","userPrincipalName":"`...)
	b = append(b, upn...)
	b = append(b, `","userId":"`...)
	b = append(b, uid...)
	b = append(b, `","appId":"`...)
	b = append(b, s.client.app.id...)
	b = append(b, `","appDisplayName":"`...)
	b = append(b, s.client.app.name...)
	b = append(b, `","ipAddress":"`...)
	b = s.from.ip.append(b)
	b = append(b, `","clientAppUsed":"`...)
	switch {
	case s.used != "":
		b = append(b, s.used...)
	case s.client.browser:
		b = append(b, "Browser"...)
	default:
		b = append(b, "Mobile Apps and Desktop clients"...)
	}
	b = append(b, `","userAgent":"`...)
	b = append(b, s.ua...)
	b = append(b, `","correlationId":"`...)
	b = corr.append(b)
	b = append(b, `","conditionalAccessStatus":"`...)
	switch s.code {
	case 53003, 53000:
		b = append(b, "failure"...)
	case 0:
		b = append(b, "success"...)
	default:
		b = append(b, "notApplied"...)
	}
	b = append(b, `","originalRequestId":"`...)
	if !s.refresh {
		b = s.id.append(b)
	}
	if s.refresh {
		b = append(b, `","isInteractive":false`...)
	} else {
		b = append(b, `","isInteractive":true`...)
	}
	b = append(b, `,"tokenIssuerName":"","tokenIssuerType":"AzureAD","processingTimeInMilliseconds":`...)
	b = num(b, 60+int64(s.id.b&511))
	b = append(b, `,"riskDetail":"none","riskLevelAggregated":"hidden","riskLevelDuringSignIn":"hidden","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"`...)
	b = append(b, s.client.res.name...)
	b = append(b, `","resourceId":"`...)
	b = append(b, s.client.res.id...)
	b = append(b, `","resourceTenantId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","homeTenantId":"`...)
	b = append(b, g.t.id...)
	if s.mfa > 0 {
		b = append(b, `","authenticationRequirement":"multiFactorAuthentication"`...)
	} else {
		b = append(b, `","authenticationRequirement":"singleFactorAuthentication"`...)
	}
	b = append(b, `,"signInIdentifier":"`...)
	b = append(b, upn...)
	b = append(b, `","userType":"member","flaggedForReview":false,"autonomousSystemNumber":`...)
	b = num(b, int64(s.from.net.asn))
	b = append(b, `,"crossTenantAccessType":"none","uniqueTokenIdentifier":"`...)
	b = s.id.appendToken(b)
	b = append(b, `","incomingTokenType":"`...)
	b = append(b, s.incoming...)
	b = append(b, `","authenticationProtocol":"`...)
	b = append(b, s.protocol...)
	b = append(b, `","originalTransferMethod":"none"`...)
	if s.refresh {
		b = append(b, `,"signInEventTypes":["nonInteractiveUser"]`...)
	} else {
		b = append(b, `,"signInEventTypes":["interactiveUser"]`...)
	}
	if s.session.zero() {
		b = append(b, `,"sessionId":null`...)
	} else {
		b = append(b, `,"sessionId":"`...)
		b = append(s.session.append(b), '"')
	}
	b = append(b, `,"status":{"errorCode":`...)
	b = num(b, int64(s.code))
	b = append(b, `,"failureReason":"`...)
	b = append(b, failureReason(s.code)...)
	switch s.mfa {
	case 1:
		b = append(b, `","additionalDetails":"MFA requirement satisfied by claim in the token"}`...)
	case 2:
		b = append(b, `","additionalDetails":"MFA completed in Azure AD"}`...)
	case 3:
		b = append(b, `","additionalDetails":"MFA denied; user declined the authentication"}`...)
	default:
		b = append(b, `","additionalDetails":null}`...)
	}
	b = append(b, `,"deviceDetail":{"deviceId":"`...)
	b = append(b, s.device...)
	b = append(b, `","displayName":"","operatingSystem":"`...)
	if s.agent != nil {
		b = append(b, s.agent.os...)
	}
	b = append(b, `","browser":"`...)
	if s.agent != nil {
		b = append(b, s.agent.browser...)
	}
	if s.device != "" {
		b = append(b, `","isCompliant":true,"isManaged":true,"trustType":"Azure AD joined"}`...)
	} else {
		b = append(b, `","isCompliant":false,"isManaged":false,"trustType":""}`...)
	}
	b = appendPlace(b, s.from.net)
	b = append(b, `,"appliedConditionalAccessPolicies":[],"authenticationDetails":[`...)
	if !s.refresh && s.user != nil && s.code != 50058 {
		b = append(b, `{"authenticationStepDateTime":"`...)
		b = appendZ(b, s.t)
		switch s.code {
		case 50126, 50053, 50055, 50057:
			b = append(b, `","authenticationMethod":"Password","authenticationMethodDetail":"Password in the cloud","succeeded":false,"authenticationStepResultDetail":"Incorrect password","authenticationStepRequirement":"Primary authentication"}`...)
		default:
			if s.mfa == 1 {
				b = append(b, `","authenticationMethod":"Previously satisfied","authenticationMethodDetail":null,"succeeded":true,"authenticationStepResultDetail":"First factor requirement satisfied by claim in the token","authenticationStepRequirement":"Primary authentication"}`...)
				break
			}
			b = append(b, `","authenticationMethod":"Password","authenticationMethodDetail":"Password in the cloud","succeeded":true,"authenticationStepResultDetail":"Correct password","authenticationStepRequirement":"Primary authentication"}`...)
		}
		if s.mfa >= 2 {
			b = append(b, `,{"authenticationStepDateTime":"`...)
			b = appendZ(b, s.t+9*second)
			b = append(b, `","authenticationMethod":"`...)
			b = append(b, s.method...)
			if s.mfa == 2 {
				b = append(b, `","authenticationMethodDetail":null,"succeeded":true,"authenticationStepResultDetail":"MFA completed in Azure AD","authenticationStepRequirement":"Multifactor authentication"}`...)
			} else {
				b = append(b, `","authenticationMethodDetail":null,"succeeded":false,"authenticationStepResultDetail":"MFA denied; user declined the authentication","authenticationStepRequirement":"Multifactor authentication"}`...)
			}
		}
	}
	return append(b, ']')
}

func appendPlace(b []byte, n *network) []byte {
	b = append(b, `,"location":{"city":"`...)
	b = append(b, n.city...)
	b = append(b, `","state":"`...)
	b = append(b, n.state...)
	b = append(b, `","countryOrRegion":"`...)
	b = append(b, n.country...)
	b = append(b, `","geoCoordinates":{"altitude":null,"latitude":`...)
	b = append(b, n.lat...)
	b = append(b, `,"longitude":`...)
	b = append(b, n.lon...)
	return append(b, `}}`...)
}

// appSignIn is a row of the sign-ins of service principals and managed
// identities.
type appSignIn struct {
	t       int64
	id      guid
	app     *app
	key     string
	res     application
	from    where
	code    int
	managed bool
}

func (g *gen) appSignIn(s *appSignIn) {
	k, category := fServicePrincipal, "ServicePrincipalSignInLogs"
	if s.managed {
		k, category = fManagedIdentity, "ManagedIdentitySignInLogs"
	}
	if !g.admit(k, s.t, s.id.a, s.id.String) {
		return
	}
	corr := newGUID(mix(s.id.a), mix(s.id.b))
	b := g.envelope(g.out[k].b, s.t, s.id.a, "Sign-in activity", category)
	b = append(b, `"resultType":"`...)
	b = num(b, int64(s.code))
	b = append(b, `","resultSignature":"None","durationMs":0,`...)
	if !s.managed {
		b = append(b, `"callerIpAddress":"`...)
		b = append(s.from.ip.append(b), `",`...)
	}
	b = append(b, `"correlationId":"`...)
	b = corr.append(b)
	b = append(b, `","Level":4,"location":"`...)
	if !s.managed {
		b = append(b, s.from.net.country...)
	}
	b = append(b, `","properties":{"id":"`...)
	b = s.id.append(b)
	b = append(b, `","createdDateTime":"`...)
	b = append(appendTicks(b, s.t), `+00:00","userDisplayName":null,"userPrincipalName":null,"userId":null,"appId":"`...)
	b = append(b, s.app.id...)
	b = append(b, `","appDisplayName":"`...)
	b = append(b, s.app.name...)
	b = append(b, `","ipAddress":"`...)
	if !s.managed {
		b = s.from.ip.append(b)
	}
	b = append(b, `","clientAppUsed":"","userAgent":"","correlationId":"`...)
	b = corr.append(b)
	b = append(b, `","conditionalAccessStatus":"notApplied","isInteractive":false,"tokenIssuerName":"","tokenIssuerType":"AzureAD","clientCredentialType":"`...)
	if s.managed {
		b = append(b, "managedIdentity"...)
	} else {
		b = append(b, "clientSecret"...)
	}
	b = append(b, `","processingTimeInMilliseconds":0,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","resourceDisplayName":"`...)
	b = append(b, s.res.name...)
	b = append(b, `","resourceId":"`...)
	b = append(b, s.res.id...)
	b = append(b, `","resourceTenantId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","homeTenantId":"","homeTenantName":"","appOwnerTenantId":"`...)
	if s.app.home != "" {
		b = append(b, s.app.home...)
	} else {
		b = append(b, g.t.id...)
	}
	b = append(b, `","servicePrincipalId":"`...)
	b = append(b, s.app.sp...)
	b = append(b, `","servicePrincipalName":"`...)
	b = append(b, s.app.name...)
	b = append(b, `","servicePrincipalCredentialKeyId":"`...)
	b = append(b, s.key...)
	b = append(b, `","servicePrincipalCredentialThumbprint":"","autonomousSystemNumber":`...)
	if s.managed {
		b = append(b, '0')
	} else {
		b = num(b, int64(s.from.net.asn))
	}
	b = append(b, `,"crossTenantAccessType":"none","uniqueTokenIdentifier":"`...)
	b = s.id.appendToken(b)
	b = append(b, `","incomingTokenType":"none","authenticationProtocol":"none","originalTransferMethod":"none","sessionId":null,"status":{"errorCode":`...)
	b = num(b, int64(s.code))
	b = append(b, `,"failureReason":null,"additionalDetails":null}`...)
	if s.managed {
		b = append(b, `,"location":{"city":"","state":"","countryOrRegion":"","geoCoordinates":{"latitude":0,"longitude":0}}`...)
	} else {
		b = appendPlace(b, s.from.net)
	}
	b = append(b, `,"appliedConditionalAccessPolicies":[],"authenticationDetails":[]}}`...)
	g.line(k, b)
}
