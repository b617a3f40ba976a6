package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"midwatch/report"
)

// Writer writes alerts to a stream, a JSON object a line: standard output.
type Writer struct {
	W  io.Writer
	ID string
	mu sync.Mutex
}

// Name implements [Sink].
func (w *Writer) Name() string { return w.ID }

// Send implements [Sink].
func (w *Writer) Send(_ context.Context, a *Alert) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.W.Write(append(b, '\n'))
	return err
}

// LogFile appends alerts to a file, a JSON object a line, synced.
type LogFile struct{ Path string }

// Name implements [Sink].
func (f *LogFile) Name() string { return "file:" + f.Path }

// Send implements [Sink].
func (f *LogFile) Send(_ context.Context, a *Alert) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	to, err := os.OpenFile(f.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = to.Write(append(b, '\n')); err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// Form is the body of a webhook.
type Form string

// The forms.
const (
	Plain Form = "json"  // the alert
	Slack Form = "slack" // a message of Slack's incoming webhooks, and of what speaks like them
	Teams Form = "teams" // a message with an adaptive card, as Teams' workflows take it
)

// Webhook posts alerts.
type Webhook struct {
	URL    string
	Form   Form
	Secret []byte // signs the body; empty: not signed
	Client *http.Client
	Now    func() time.Time
}

// Name implements [Sink]. A webhook's address is often its password.
func (w *Webhook) Name() string {
	h := sha256.Sum256([]byte(w.URL))
	return string(w.Form) + "-" + fmt.Sprintf("%x", h[:6])
}

// Send implements [Sink]. Requests are signed as Standard Webhooks 1.0.0 has it
// (standardwebhooks.com): webhook-id, webhook-timestamp, and webhook-signature,
// which is v1, and the HMAC-SHA256 of id, timestamp and body joined by dots.
func (w *Webhook) Send(ctx context.Context, a *Alert) error {
	body, err := w.body(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the webhook's address cannot be read")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "midwatch")
	r.Header.Set("Webhook-Id", a.ID)
	at := strconv.FormatInt(w.Now().Unix(), 10)
	r.Header.Set("Webhook-Timestamp", at)
	if len(w.Secret) > 0 {
		r.Header.Set("Webhook-Signature", Signature(w.Secret, a.ID, at, body))
	}
	answer, err := w.Client.Do(r)
	if err != nil {
		// Errors of net/http name the address.
		return errors.New(strings.ReplaceAll(err.Error(), w.URL, "the webhook"))
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answered %s: %s", answer.Status, report.Clean(string(text)))
	}
	return nil
}

// Signature is what signs a webhook's body.
func Signature(secret []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "%s.%s.", id, timestamp)
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func (w *Webhook) body(a *Alert) ([]byte, error) {
	f := &a.Finding
	when := f.First.UTC().Format("2006-01-02 15:04:05") + " to " + f.Last.UTC().Format("2006-01-02 15:04:05") + " UTC"
	switch w.Form {
	case Slack:
		type text struct {
			Type  string `json:"type"`
			Text  string `json:"text"`
			Emoji *bool  `json:"emoji,omitempty"`
		}
		type block struct {
			Type string `json:"type"`
			Text *text  `json:"text,omitempty"`
		}
		no := false
		return json.Marshal(map[string]any{
			"text": slackText(a.Text()),
			"blocks": []block{
				{"header", &text{"plain_text", cut(strings.ToUpper(string(f.Severity))+": "+report.Clean(f.Title), 150), &no}},
				{"section", &text{"plain_text", cut(report.Clean(f.Why), 2900), &no}},
				{"section", &text{"plain_text", cut(a.Tenant+", "+when+", "+f.Detector+", "+f.ID, 2900), &no}},
			},
		})
	case Teams:
		type part struct {
			Type   string `json:"type"`
			Text   string `json:"text"`
			Weight string `json:"weight,omitempty"`
			Size   string `json:"size,omitempty"`
			Wrap   bool   `json:"wrap"`
		}
		return json.Marshal(map[string]any{
			"type": "message",
			"attachments": []any{map[string]any{
				"contentType": "application/vnd.microsoft.card.adaptive",
				"content": map[string]any{
					"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
					"body": []part{
						{"TextBlock", teamsText(strings.ToUpper(string(f.Severity)) + ": " + f.Title), "Bolder", "Medium", true},
						{"TextBlock", teamsText(cut(f.Why, 4000)), "", "", true},
						{"TextBlock", teamsText(a.Tenant + ", " + when + ", " + f.Detector + ", " + f.ID), "", "Small", true},
					},
				},
			}},
		})
	}
	return json.Marshal(a)
}

// slackText escapes what Slack takes for links and mentions.
func slackText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(report.Clean(s))
}

// teamsText escapes the Markdown that adaptive cards know.
func teamsText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "(", `\(`, ")", `\)`, "`", "\\`", "#", `\#`).Replace(report.Clean(s))
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
