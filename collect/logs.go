package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"midwatch/event"
	"midwatch/report"
)

// Endpoints are where the services are: those of Microsoft's worldwide cloud, or
// of another.
type Endpoints struct {
	Graph        string // https://graph.microsoft.com
	Office       string // https://manage.office.com
	LogAnalytics string // https://api.loganalytics.azure.com
}

// Worldwide are the endpoints of the worldwide cloud.
func Worldwide() Endpoints {
	return Endpoints{"https://graph.microsoft.com", "https://manage.office.com", "https://api.loganalytics.azure.com"}
}

// Logs lists the logs of a tenant. workspace is that of a Log Analytics
// workspace to which Graph activity is sent; empty: it is left out.
func Logs(e Endpoints, tenant, workspace string) []Log {
	const day = 24 * time.Hour
	// Entra ID P1 and P2 keep sign-ins and audits for 30 days, without a licence
	// for 7: what is older than the service has it answers with nothing.
	graph := func(name, path, field, filter, kind string) Log {
		l := &odata{name: name, base: e.Graph, path: path, field: field, filter: filter, reach: 30 * day, source: event.SignIn, kind: kind}
		if kind == "" {
			l.source = event.DirectoryLog
		}
		return l
	}
	logs := []Log{
		graph("signins_interactive", "/beta/auditLogs/signIns", "createdDateTime", "signInEventTypes/any(t: t eq 'interactiveUser')", "interactive"),
		graph("signins_noninteractive", "/beta/auditLogs/signIns", "createdDateTime", "signInEventTypes/any(t: t eq 'nonInteractiveUser')", "noninteractive"),
		graph("signins_serviceprincipal", "/beta/auditLogs/signIns", "createdDateTime", "signInEventTypes/any(t: t eq 'servicePrincipal')", "service_principal"),
		graph("signins_managedidentity", "/beta/auditLogs/signIns", "createdDateTime", "signInEventTypes/any(t: t eq 'managedIdentity')", "managed_identity"),
		graph("directory_audits", "/v1.0/auditLogs/directoryAudits", "activityDateTime", "", ""),
		&odata{name: "message_trace", base: e.Graph, path: "/beta/admin/exchange/tracing/messageTraces", field: "receivedDateTime", reach: 90 * day, most: 10 * day, source: event.MessageTrace},
	}
	for _, c := range []string{"Audit.Exchange", "Audit.AzureActiveDirectory", "Audit.SharePoint", "Audit.General"} {
		logs = append(logs, &activity{base: e.Office, tenant: tenant, content: c})
	}
	if workspace != "" {
		logs = append(logs, &analytics{base: e.LogAnalytics, workspace: workspace})
	}
	return logs
}

// odata is a collection of Microsoft Graph that is filtered by time.
//
// Source: Microsoft Graph, "List signIns" (beta), "List directoryAudits",
// "List messageTraces" (beta).
type odata struct {
	name, base, path, field, filter string
	reach, most                     time.Duration
	source                          event.Source
	kind                            string
}

func (l *odata) Name() string         { return l.name }
func (l *odata) Reach() time.Duration { return l.reach }
func (l *odata) Most() time.Duration  { return l.most }

// Of implements [Log].
func (l *odata) Of() (event.Source, string) { return l.source, l.kind }

func (l *odata) Fetch(ctx context.Context, c *Client, w Window, got func(Answer) error) error {
	const form = "2006-01-02T15:04:05Z"
	filter := fmt.Sprintf("%s ge %s and %s lt %s", l.field, w.From.UTC().Format(form), l.field, w.To.UTC().Format(form))
	if l.filter != "" {
		filter += " and " + l.filter
	}
	q := url.Values{"$filter": {filter}, "$top": {"999"}}
	r := request{method: http.MethodGet, url: l.base + l.path + "?" + strings.ReplaceAll(q.Encode(), "+", "%20"), scope: l.base + "/.default"}
	return c.pages(ctx, r, got, func(body []byte, _ http.Header) (string, error) {
		var p struct {
			Value *json.RawMessage `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(body, &p); err != nil || p.Value == nil {
			return "", errors.New("the answer is no list of Graph's")
		}
		return p.Next, nil
	})
}

// IDs implements [Log]. A message trace has a row for each recipient, under one
// id.
func (l *odata) IDs(body []byte) (ids []string, err error) {
	var p struct {
		Value []struct {
			ID        string `json:"id"`
			Recipient string `json:"recipientAddress"`
		} `json:"value"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	for i, v := range p.Value {
		if v.ID == "" {
			return nil, fmt.Errorf("record %d has no id", i+1)
		}
		ids = append(ids, v.ID+" "+v.Recipient)
	}
	return ids, nil
}

// activity is a content type of the Office 365 Management Activity API, through
// which the unified audit log comes. Its windows are of the time at which
// content became available, which is later than that of the records in it.
//
// Source: "Office 365 Management Activity API reference": content of 7 days, a
// list of at most 24 hours.
type activity struct{ base, tenant, content string }

// Of implements [Log].
func (l *activity) Of() (event.Source, string) { return event.UAL, "" }

func (l *activity) Name() string {
	return "ual_" + strings.ToLower(strings.TrimPrefix(l.content, "Audit."))
}
func (l *activity) Reach() time.Duration { return 7 * 24 * time.Hour }
func (l *activity) Most() time.Duration  { return 24 * time.Hour }

func (l *activity) request(path string, q url.Values) request {
	q.Set("PublisherIdentifier", l.tenant) // a quota of the tenant's own
	return request{method: http.MethodGet, url: l.base + "/api/v1.0/" + url.PathEscape(l.tenant) + "/activity/feed/subscriptions/" + path + "?" + q.Encode(), scope: l.base + "/.default"}
}

func (l *activity) Fetch(ctx context.Context, c *Client, w Window, got func(Answer) error) error {
	const form = "2006-01-02T15:04:05"
	r := l.request("content", url.Values{"contentType": {l.content}, "startTime": {w.From.UTC().Format(form)}, "endTime": {w.To.UTC().Format(form)}})
	err := l.list(ctx, c, r, got)
	var e *Error
	if errors.As(err, &e) && strings.Contains(e.Text, "AF20022") { // no subscription found
		start := l.request("start", url.Values{"contentType": {l.content}})
		start.method = http.MethodPost
		if _, _, err := c.do(ctx, start); err != nil {
			return fmt.Errorf("start the subscription to %s: %w", l.content, err)
		}
		return l.list(ctx, c, r, got)
	}
	return err
}

// list fetches lists of content, and each content of them. What is listed twice
// is fetched once.
func (l *activity) list(ctx context.Context, c *Client, r request, got func(Answer) error) error {
	seen := map[string]bool{}
	return c.pages(ctx, r, func(a Answer) error {
		var list []struct {
			URI string `json:"contentUri"`
		}
		if err := json.Unmarshal(a.Body, &list); err != nil {
			return fmt.Errorf("%s: the answer is no list of content: %w", a.Request, err)
		}
		for _, x := range list {
			if seen[x.URI] {
				continue
			}
			seen[x.URI] = true
			if !strings.HasPrefix(x.URI, l.base+"/") {
				return fmt.Errorf("%s: content at %s; the token does not go there", a.Request, report.Clean(x.URI))
			}
			b := request{method: http.MethodGet, url: x.URI, scope: l.base + "/.default"}
			body, _, err := c.do(ctx, b)
			if err != nil {
				return err
			}
			if err := got(Answer{Request: shown(b), Body: body}); err != nil {
				return err
			}
		}
		return nil
	}, func(_ []byte, h http.Header) (string, error) { return h.Get("NextPageUri"), nil })
}

// IDs implements [Log].
func (l *activity) IDs(body []byte) (ids []string, err error) {
	var list []struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for i, v := range list {
		if v.ID == "" {
			return nil, fmt.Errorf("record %d has no Id", i+1)
		}
		ids = append(ids, v.ID)
	}
	return ids, nil
}

// analytics is table MicrosoftGraphActivityLogs of a Log Analytics workspace:
// Graph activity has no API of its own.
//
// Source: "Azure Monitor Log Analytics API", query; an answer has at most
// 500,000 rows and 100 MB, and says by an error when it was cut.
type analytics struct{ base, workspace string }

// Of implements [Log].
func (l *analytics) Of() (event.Source, string) { return event.GraphActivity, "" }

func (l *analytics) Name() string         { return "graph_activity" }
func (l *analytics) Reach() time.Duration { return 0 } // as the workspace is set
func (l *analytics) Most() time.Duration  { return time.Hour }

func (l *analytics) Fetch(ctx context.Context, c *Client, w Window, got func(Answer) error) error {
	const form = "2006-01-02T15:04:05Z"
	query := fmt.Sprintf("MicrosoftGraphActivityLogs | where TimeGenerated >= datetime(%s) and TimeGenerated < datetime(%s)", w.From.UTC().Format(form), w.To.UTC().Format(form))
	body, err := json.Marshal(map[string]string{"query": query, "timespan": w.From.UTC().Format(form) + "/" + w.To.UTC().Format(form)})
	if err != nil {
		return err
	}
	r := request{method: http.MethodPost, url: l.base + "/v1/workspaces/" + url.PathEscape(l.workspace) + "/query", scope: "https://api.loganalytics.io/.default", body: body}
	answer, _, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	rows, cut, err := tables(answer)
	if err != nil {
		return fmt.Errorf("%s: %w", shown(r), err)
	}
	if cut && w.To.Sub(w.From) > time.Minute {
		mid := w.From.Add(w.To.Sub(w.From) / 2).Truncate(time.Second)
		return errors.Join(l.Fetch(ctx, c, Window{w.From, mid}, got), l.Fetch(ctx, c, Window{mid, w.To}, got))
	}
	if cut {
		return fmt.Errorf("%s: a minute has more rows than an answer may have", shown(r))
	}
	var lines bytes.Buffer
	for _, row := range rows {
		b, err := json.Marshal(row)
		if err != nil {
			return err
		}
		lines.Write(append(b, '\n'))
	}
	return got(Answer{Request: shown(r) + " " + query, Body: answer, Records: lines.Bytes()})
}

// tables makes objects of an answer's rows. cut says that it has not all of them.
func tables(body []byte) (rows []map[string]any, cut bool, err error) {
	var a struct {
		Tables []struct {
			Columns []struct {
				Name string `json:"name"`
			} `json:"columns"`
			Rows [][]any `json:"rows"`
		} `json:"tables"`
		Error *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		return nil, false, err
	}
	if a.Error != nil && a.Error.Code != "PartialError" {
		return nil, false, errors.New(report.Clean(a.Error.Message))
	}
	for _, t := range a.Tables {
		for _, r := range t.Rows {
			row := map[string]any{}
			for i, c := range t.Columns {
				if i < len(r) && r[i] != nil {
					row[c.Name] = r[i]
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, a.Error != nil, nil
}

// IDs implements [Log].
func (l *analytics) IDs(body []byte) (ids []string, err error) {
	rows, _, err := tables(body)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		ids = append(ids, fmt.Sprint(r["RequestId"], " ", r["OperationId"], " ", r["TimeGenerated"]))
	}
	return ids, nil
}
