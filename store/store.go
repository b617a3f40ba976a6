// Package store defines the event store: what an engine must offer so that
// Midwatch can keep events in it and ask it questions.
//
// A question is SQL that does the counting inside the engine and a small Go
// function that decides on the few rows that come back. SQL is written in the
// part of the language that DuckDB and ClickHouse share; what differs is
// behind [Dialect]. Engines live in folders below this one, and each passes
// the suite in storetest.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/event"
)

// Querier asks questions. It is what detectors get.
type Querier interface {
	// Query runs a read-only statement. The caller closes the rows. Rows come
	// in no particular order unless the statement says ORDER BY.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each asks a question and calls fn for each row, with what reads the row's
// columns. It stops at the first error, fn's included.
func Each(ctx context.Context, q Querier, query string, args []any, fn func(scan func(dest ...any) error) error) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	err = rows.Err()
	if x, ok := q.(interface{ Explain(error) error }); ok && err != nil {
		return x.Explain(err) // stores know better than the driver what to do about it
	}
	return err
}

// Asker runs statements of people who are not trusted with the engine.
type Asker interface {
	// Ask runs one SELECT and returns its first rows, most of them at the most.
	// It can change nothing and reach nothing but the tables; the context bounds
	// its time. The error wraps [ErrNotAQuestion] for anything else.
	Ask(ctx context.Context, query string, most int) (*Answer, error)
}

// Answer is what a question of a person gave.
type Answer struct {
	Columns []string
	Rows    [][]any
	More    bool // there are further rows
}

// ErrNotAQuestion is wrapped by the error of an [Asker] when a statement is
// something else than one question.
var ErrNotAQuestion = errors.New("not one SELECT")

// ErrMemory is wrapped by the error of a question that needs more memory than
// the engine may take.
var ErrMemory = errors.New("the question needs more memory than the engine may take")

// Store keeps events. Implementations are safe for concurrent use.
type Store interface {
	Querier
	// Begin starts a load. There is one load at a time; a second Begin waits
	// for the first to end or for ctx.
	Begin(ctx context.Context) (Load, error)
	// AssignTenants gives events that name no tenant, or another than their
	// organization's, the one that they belong to, and marks them
	// [event.FlagTenantInferred]. Ids stay as they are. It may be repeated, and
	// not while a load is open.
	AssignTenants(ctx context.Context, as []Assignment) error
	// Close releases the store. It fails if a load is open.
	Close() error
}

// Load adds events to a store, all or nothing.
type Load interface {
	// FirstFile is the ordinal of the load's first file; the following ones,
	// [MaxFiles] in all, are the load's too.
	FirstFile() int32
	// Claim decides which events of b are new and sets b.Duplicate. An event
	// whose id the store has, or that was claimed before in this load, is a
	// duplicate; one with the same id but other content (operation, time,
	// actor, result) is kept under another id with [event.FlagIDConflict].
	// Claim is called in the order of the input, by one goroutine at a time,
	// so that the same input always keeps the same copy.
	Claim(b *event.Batch) (duplicates int, err error)
	// Append writes the events of b that are not duplicates, and their items.
	// It may be called by several goroutines with different batches. b can be
	// reset when it returns.
	Append(ctx context.Context, b *event.Batch) error
	// Files records the files that were read.
	Files(ctx context.Context, files []File) error
	// Commit makes the load durable: when it returns nil, the load survives
	// the death of the process at any later moment. Every goroutine must have
	// returned from Append.
	Commit(ctx context.Context) error
	// Rollback forgets the load. After Commit it does nothing.
	Rollback() error
}

// Assignment says that the events of a file whose tenant is From (empty: that
// name none) belong to the tenant To.
type Assignment struct {
	File     int32
	From, To string
}

// Way is the files whose events of one tenant belong to another.
type Way struct {
	From, To string
	Files    []int32 // in ascending order
}

// Ways puts assignments together that differ in the file only: an archive may
// have thousands of members. They come in the order of their tenants.
func Ways(as []Assignment) []Way {
	type ends struct{ from, to string }
	files := map[ends][]int32{}
	for _, a := range as {
		files[ends{a.From, a.To}] = append(files[ends{a.From, a.To}], a.File)
	}
	var out []Way
	for e, list := range files {
		slices.Sort(list)
		out = append(out, Way{e.from, e.to, list})
	}
	slices.SortFunc(out, func(a, b Way) int { return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To)) })
	return out
}

// List writes the files as the list of an SQL IN.
func (w Way) List() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(w.Files), " ", ", "), "[]")
}

// MaxFiles is how many files one load may hold. Stores that several processes
// write to at once set so many ordinals aside for each load.
const MaxFiles = 1 << 16

// File is a row of table files: where records came from, and how many.
type File struct {
	Ordinal     int32
	Path        string
	SHA256      string // of the decompressed bytes, hex
	Bytes       int64  // decompressed
	OuterSHA256 string // of the file on disk, hex
	Records     int64  // records found in it
	Events      int64  // events stored from it
	Duplicates  int64  // events that the store had
	Manifest    string // the whole account of the file as JSON: a source of the case format
}

// Keeper is a store that is kept: what is in it can be checked, measured and
// aged out.
type Keeper interface {
	Store
	// Check compares what is in the store with what its loads say they wrote
	// and looks for rows that cannot be. It changes nothing.
	Check(ctx context.Context) ([]Problem, error)
	// Stats measures the tables, the largest first, and their columns where
	// the engine knows their size.
	Stats(ctx context.Context) ([]Size, error)
	// Prune removes the events before a moment, with their items, and what
	// unfinished loads left. Events without a time stay. The accounts of the
	// files stay too, with the number of events that they have left.
	Prune(ctx context.Context, before time.Time) (Pruned, error)
}

// Windower is a store of which a part of the time can be asked.
type Windower interface {
	// Window returns what asks about the events since a moment, and those without
	// a time, as if there were no others. Other tables stay whole: items of events
	// that are not seen join to nothing. Questions to a window come one after the
	// other. It is closed when it is done with.
	Window(ctx context.Context, since time.Time) (Window, error)
}

// Window asks about a part of the time.
type Window interface {
	Querier
	Close() error
}

// Problem is something wrong in a store.
type Problem struct {
	What string // in words, with figures
	Do   string // what to do about it
}

// Size is the size of a table or, with Column, of a column.
type Size struct {
	Table, Column string
	Rows          int64
	Disk          int64 // bytes on disk, all shards
	Plain         int64 // bytes before compression; 0 unknown
}

// Pruned counts what a Prune removed.
type Pruned struct {
	Events, Items int64
	Loads         int64 // loads that had not been finished
}

// ErrSchema is wrapped by the error of opening a store whose tables are not of
// this version.
var ErrSchema = errors.New("not an event store of this version")
