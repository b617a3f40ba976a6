// Package dossier lays out a case for people who look at it: what case.json
// says, with its long lists in tables of an engine, so that a million messages
// can be paged, sorted and searched, and with the events that it stands on.
//
// A [Dossier] is one state of a case and does not change; a [Shelf] holds the
// newest one and replaces it when the case is made anew, while who reads the
// old one reads on. Nothing is concluded here.
package dossier

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/internal/casefolder"
	"midwatch/store"
)

// Tables are what the long lists lie in. They are filled once and sealed, and
// only asked from then on.
type Tables interface {
	store.Querier
	// Fill makes a table of rows. Several tables may be filled at once.
	Fill(ctx context.Context, table string, columns []event.Column, rows iter.Seq[[]driver.Value]) error
	// Derive makes a table of what a query finds, in the query's order.
	Derive(ctx context.Context, table string, columns []event.Column, query string) error
	Drop(ctx context.Context, table string) error
	Seal(ctx context.Context) error
	Close() error
}

// Evidence is the events of a case.
type Evidence struct {
	Tables Tables        // empty ones, to be filled
	Events store.Querier // who answers questions about events
	Joined bool          // questions to Tables see the events, too
	Close  func() error  // of Events; nil: nothing to close
}

// Opener opens the events of the case at dir, and tables beside them.
type Opener func(ctx context.Context, dir string) (Evidence, error)

// Dossier is a case laid out.
type Dossier struct {
	Name string // in addresses
	Dir  string
	// Case is the case without its long lists: the messages and attachments of
	// mailboxes and the log lines behind events are in tables.
	Case     *casefile.Case
	Tables   store.Querier
	Events   store.Querier
	Joined   bool
	Messages int64 // rows of table messages
	Made     time.Time

	findings map[string]*casefile.Finding
	inside   map[string]*casefile.Campaign // by finding
	close    []func() error
	users    sync.WaitGroup
	extra    any // what the owner keeps with it
}

// Open lays out the case at dir. The caller closes it.
func Open(ctx context.Context, name, dir string, open Opener) (d *Dossier, err error) {
	info, err := os.Stat(filepath.Join(dir, casefolder.Case))
	if err != nil {
		return nil, fmt.Errorf("%w; is %s a case folder?", err, dir)
	}
	c, f, err := read(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	e, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	d = &Dossier{Name: name, Dir: dir, Case: c, Tables: e.Tables, Events: e.Events, Joined: e.Joined, Made: info.ModTime(), close: []func() error{e.Tables.Close}}
	if e.Close != nil {
		d.close = append(d.close, e.Close)
	}
	made := d
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Close())
		}
	}()
	if d.Messages, err = lay(ctx, c, f, e.Tables); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if err := e.Tables.Seal(ctx); err != nil {
		return nil, err
	}
	d.findings, d.inside = map[string]*casefile.Finding{}, map[string]*casefile.Campaign{}
	for i := range c.Findings {
		d.findings[c.Findings[i].ID] = &c.Findings[i]
	}
	for i := range c.Campaigns {
		for _, f := range c.Campaigns[i].Findings {
			d.inside[f] = &c.Campaigns[i]
		}
	}
	return d, nil
}

// Finding finds a finding by its id, and the campaign that it is in; either
// may be nil.
func (d *Dossier) Finding(id string) (*casefile.Finding, *casefile.Campaign) {
	return d.findings[id], d.inside[id]
}

// Campaign finds a campaign by its id, or is nil.
func (d *Dossier) Campaign(id string) *casefile.Campaign {
	for i := range d.Case.Campaigns {
		if d.Case.Campaigns[i].ID == id {
			return &d.Case.Campaigns[i]
		}
	}
	return nil
}

// Close gives back what the dossier holds.
func (d *Dossier) Close() error {
	var all []error
	for _, f := range d.close {
		all = append(all, f())
	}
	return errors.Join(all...)
}

// Name makes the name that a case has in addresses out of its folder's.
func Name(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	base := strings.TrimSuffix(filepath.Base(dir), casefolder.Suffix)
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, base)
	if name = strings.Trim(name, "-"); name == "" {
		return "case"
	}
	return name
}
