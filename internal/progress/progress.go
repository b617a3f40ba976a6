// Package progress tells a waiting person how far a long reading is: one line
// that is rewritten on a terminal, a plain line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Meter counts bytes and records and prints to w. It is safe for concurrent
// use.
type Meter struct {
	w        io.Writer
	terminal bool
	total    int64 // bytes expected; 0 unknown
	now      func() time.Time

	mu      sync.Mutex
	start   time.Time
	last    time.Time
	bytes   int64
	records int64
	rejects int64
	printed bool
}

// New starts a meter. total is the number of bytes expected, 0 if unknown.
func New(w io.Writer, terminal bool, total int64, now func() time.Time) *Meter {
	t := now()
	return &Meter{w: w, terminal: terminal, total: total, now: now, start: t, last: t}
}

// Bytes adds to the bytes read.
func (m *Meter) Bytes(delta int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += delta
	m.tick()
}

// Records adds to the records read.
func (m *Meter) Records(records, rejected int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records += records
	m.rejects += rejected
}

// tick prints at most ten times a second on a terminal, and every ten seconds
// elsewhere.
func (m *Meter) tick() {
	t := m.now()
	every := 10 * time.Second
	if m.terminal {
		every = 100 * time.Millisecond
	}
	if t.Sub(m.last) < every {
		return
	}
	m.last = t
	if m.terminal {
		fmt.Fprintf(m.w, "\r\x1b[K%s", m.line(t))
	} else {
		fmt.Fprintln(m.w, m.line(t))
	}
	m.printed = true
}

func (m *Meter) line(t time.Time) string {
	d := t.Sub(m.start)
	rate := float64(m.bytes) / max(d.Seconds(), 1e-3)
	s := fmt.Sprintf("reading  %s", Size(m.bytes))
	if m.total > 0 {
		s += fmt.Sprintf(" of %s (%d %%)", Size(m.total), min(100, m.bytes*100/m.total))
	}
	s += fmt.Sprintf("  %s records  %s/s", Count(m.records), Size(int64(rate)))
	if m.total > m.bytes && rate > 0 && d > time.Second {
		left := time.Duration(float64(m.total-m.bytes) / rate * float64(time.Second)).Round(time.Second)
		s += fmt.Sprintf("  %s left", left)
	}
	if m.rejects > 0 {
		s += fmt.Sprintf("  %s rejected", Count(m.rejects))
	}
	return s
}

// Done clears the terminal's line.
func (m *Meter) Done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.terminal && m.printed {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// Elapsed is the time since the meter started.
func (m *Meter) Elapsed() time.Duration { return m.now().Sub(m.start) }

// Size prints bytes in decimal units.
func Size(n int64) string {
	switch {
	case n >= 10e9:
		return fmt.Sprintf("%.0f GB", float64(n)/1e9)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Count prints a number with thousands separated.
func Count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
