package simulate

import "strings"

// request is a row of MicrosoftGraphActivityLogs.
type request struct {
	t     int64
	id    guid
	user  *user // nil: an application
	app   *app  // whose request it is; nil: appID
	appID string
	roles string // application's permissions, or a person's scopes
	from  where
	ua    string
	uri   string
	token guid
	sess  guid
	iat   int64
}

func (g *gen) request(q *request) {
	if !g.admit(fGraph, q.t, q.id.a, q.id.String) {
		return
	}
	b := append(g.out[fGraph].b, `{"time":"`...)
	b = append(appendTicks(b, q.t), `Z","resourceId":"/TENANTS/`...)
	b = append(b, strings.ToUpper(g.t.id)...)
	b = append(b, `/PROVIDERS/MICROSOFT.AADIAM","operationName":"Microsoft Graph Activity","operationVersion":"v1.0","category":"MicrosoftGraphActivityLogs","resultSignature":"200","durationMs":"`...)
	b = num(b, 90000+int64(q.id.b&0x7ffff))
	b = append(b, `","callerIpAddress":"`...)
	b = q.from.ip.append(b)
	b = append(b, `","correlationId":"`...)
	b = q.id.append(b)
	b = append(b, `","level":"Informational","location":"West US","tenantId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","properties":{"timeGenerated":"`...)
	b = append(appendTicks(b, q.t), `Z","requestId":"`...)
	b = q.id.append(b)
	b = append(b, `","operationId":"`...)
	b = q.id.append(b)
	b = append(b, `","clientRequestId":"`...)
	b = newGUID(mix(q.id.a+3), mix(q.id.b+3)).append(b)
	b = append(b, `","apiVersion":"v1.0","requestMethod":"GET","responseStatusCode":200,"tenantId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","durationMs":`...)
	b = num(b, 90000+int64(q.id.b&0x7ffff))
	b = append(b, `,"responseSizeBytes":`...)
	b = num(b, 400+int64(q.id.a>>20&0xffff))
	b = append(b, `,"signInActivityId":"`...)
	if !q.token.zero() {
		b = q.token.appendToken(b)
	}
	b = append(b, `","tokenIssuedAt":"`...)
	b = appendZ(b, q.iat)
	b = append(b, `","appId":"`...)
	if q.app != nil {
		b = append(b, q.app.id...)
	} else {
		b = append(b, q.appID...)
	}
	if q.user != nil {
		b = append(b, `","userId":"`...)
		b = append(b, q.user.id...)
		b = append(b, `","servicePrincipalId":null,"roles":null,"scopes":"`...)
		b = append(b, q.roles...)
		b = append(b, `","clientAuthMethod":"0","wids":"","C_Idtyp":"user","C_Sid":"`...)
		b = q.sess.append(b)
	} else {
		b = append(b, `","userId":null,"servicePrincipalId":"`...)
		b = append(b, q.app.sp...)
		b = append(b, `","scopes":null,"roles":"`...)
		b = append(b, q.roles...)
		b = append(b, `","clientAuthMethod":"1","wids":"","C_Idtyp":"app`...)
	}
	b = append(b, `","identityProvider":null,"C_Iat":null,"ipAddress":"`...)
	b = q.from.ip.append(b)
	b = append(b, `","userAgent":"`...)
	b = append(b, q.ua...)
	b = append(b, `","requestUri":"https://graph.microsoft.com/v1.0/`...)
	b = append(b, q.uri...)
	b = append(b, `","atContentH":"","atContentP":""}}`...)
	g.line(fGraph, b)
}
