// Package alert brings what a watch found to those who have to know: at least
// once, also when the receiver or the process was down meanwhile.
//
// An [Outbox] is a file on disk to which alerts are appended, each once, and
// synced. Each [Sink] has a cursor beside it, which moves on when the receiver
// has an alert; after a crash it goes on from there, so that the last alert may
// come twice. Alerts carry an id by which receivers know it.
package alert

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/report"
)

// Alert is a finding that somebody has to know of.
type Alert struct {
	// ID is that of the finding when it was first seen, and stays when it grows.
	ID      string           `json:"id"`
	Tenant  string           `json:"tenant"` // as the watch calls it
	Raised  casefile.Time    `json:"raised"` // when it was put into the outbox
	Finding casefile.Finding `json:"finding"`
}

// Text is an alert in a line, for people.
func (a *Alert) Text() string {
	return fmt.Sprintf("[%s] %s: %s (%s to %s UTC, %s)", strings.ToUpper(string(a.Finding.Severity)), a.Tenant, report.Clean(a.Finding.Title),
		a.Finding.First.UTC().Format("2006-01-02 15:04:05"), a.Finding.Last.UTC().Format("15:04:05"), a.Finding.ID)
}

// Sink is one receiver of alerts.
type Sink interface {
	// Name is what the cursor is called by: it stays the same over restarts.
	Name() string
	// Send returns nil when the receiver has the alert. It is called with one
	// alert after the other, and again with the same one after an error.
	Send(ctx context.Context, a *Alert) error
}

// wait sleeps, or returns the context's error.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
