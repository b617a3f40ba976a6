package dossier

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fastjson"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
)

// read reads a case without its long lists, and says how to lay them out.
func read(dir string) (*casefile.Case, *os.File, error) {
	f, err := os.Open(filepath.Join(dir, casefolder.Case))
	if err != nil {
		return nil, nil, err
	}
	var small bytes.Buffer
	if err := scan(f, &small, long{}); err != nil {
		_ = f.Close() // read only
		return nil, nil, fmt.Errorf("%s: read case: %w", f.Name(), err)
	}
	c, err := casefile.Read(&small)
	if err != nil {
		_ = f.Close() // read only
		return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	c.Evidence = nil
	return c, f, nil
}

// layer fills tables from a case that is read a second time.
type layer struct {
	c     *casefile.Case
	ctx   context.Context
	feeds map[string]*feed
	n     int64 // messages so far
}

// feed is rows on their way to a table.
type feed struct {
	to    chan [][]driver.Value
	batch [][]driver.Value
}

const batchRows = 1024

// put adds a row.
func (l *layer) put(table string, row []driver.Value) error {
	f := l.feeds[table]
	if f.batch = append(f.batch, row); len(f.batch) < batchRows {
		return nil
	}
	return l.flush(f)
}

func (l *layer) flush(f *feed) error {
	select {
	case f.to <- f.batch:
		f.batch = make([][]driver.Value, 0, batchRows)
		return nil
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

func (f *feed) rows(yield func([]driver.Value) bool) {
	for batch := range f.to {
		for _, row := range batch {
			if !yield(row) {
				return
			}
		}
	}
}

// element is a member of a long list on its way from who reads to who parses.
type element struct {
	kind              byte // m, a, e
	campaign, mailbox int
	id                string
	from, to          int // in the text of its batch
}

type elements struct {
	text []byte
	list []element
}

// lay fills the tables of a case and returns how many messages it has.
func lay(ctx context.Context, c *casefile.Case, r io.ReadSeeker, t Tables) (int64, error) {
	for _, x := range tables() {
		if x.rows != nil {
			if err := t.Fill(ctx, x.name, x.columns, x.rows(c)); err != nil {
				return 0, err
			}
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := &layer{c: c, ctx: ctx, feeds: map[string]*feed{}}
	// Reading, parsing and writing each table go on at once.
	var wg sync.WaitGroup
	start := func(fn func() error) {
		wg.Go(func() {
			if err := fn(); err != nil {
				stop(err)
			}
		})
	}
	for _, x := range tables() {
		if x.read == "" {
			continue
		}
		f := &feed{to: make(chan [][]driver.Value, 2), batch: make([][]driver.Value, 0, batchRows)}
		l.feeds[x.name] = f
		start(func() error { return t.Fill(ctx, x.read, x.columns, f.rows) })
	}
	parse := make(chan elements, 2)
	start(func() error {
		defer close(parse)
		return l.split(r, parse)
	})
	start(func() error {
		defer func() {
			for _, f := range l.feeds {
				close(f.to)
			}
		}()
		if err := l.parse(parse); err != nil {
			return err
		}
		for _, f := range l.feeds {
			if err := l.flush(f); err != nil {
				return err
			}
		}
		return nil
	})
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	for _, x := range tables() {
		if x.query != "" {
			if err := t.Derive(ctx, x.name, x.columns, x.query); err != nil {
				return 0, err
			}
		}
	}
	for _, x := range tables() {
		if x.read != "" && x.read != x.name {
			if err := t.Drop(ctx, x.read); err != nil {
				return 0, err
			}
		}
	}
	return l.n, nil
}

// split cuts the long lists into pieces.
func (l *layer) split(r io.Reader, to chan<- elements) error {
	const size = 256 << 10
	b := elements{text: make([]byte, 0, size+4096)}
	send := func() error {
		select {
		case to <- b:
			b = elements{text: make([]byte, 0, size+4096)}
			return nil
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
	add := func(e element, raw []byte) error {
		e.from, e.to = len(b.text), len(b.text)+len(raw)
		b.text, b.list = append(b.text, raw...), append(b.list, e)
		if len(b.text) < size {
			return nil
		}
		return send()
	}
	err := scan(r, nil, long{
		message:    func(i, j int, raw []byte) error { return add(element{kind: 'm', campaign: i, mailbox: j}, raw) },
		attachment: func(i, j int, raw []byte) error { return add(element{kind: 'a', campaign: i, mailbox: j}, raw) },
		evidence:   func(id string, raw []byte) error { return add(element{kind: 'e', id: id}, raw) },
	})
	if err != nil {
		return err
	}
	return send()
}

// parse makes rows of pieces.
func (l *layer) parse(from <-chan elements) error {
	for x := range cites(l.c) {
		if err := l.put("cites", x.row()); err != nil {
			return err
		}
	}
	var p fastjson.Parser
	for b := range from {
		for _, e := range b.list {
			v, err := p.ParseBytes(b.text[e.from:e.to])
			if err != nil {
				return fmt.Errorf("read case: %w", err)
			}
			if err := l.element(e, v); err != nil {
				return fmt.Errorf("read case: %w", err)
			}
		}
	}
	return context.Cause(l.ctx)
}

func (l *layer) element(e element, v *fastjson.Value) error {
	m := &members{v: v}
	if v.Type() != fastjson.TypeObject {
		return fmt.Errorf("a member of a list is %s, not an object", v.Type())
	}
	if e.kind == 'e' {
		row := []driver.Value{e.id, m.time("time"), m.text("file"), m.text("sha256"), m.whole("line"), m.whole("offset"), m.whole("length"), m.text("tenant"), m.text("source"), m.text("operation"), m.text("actor"), m.text("ip"), m.text("target")}
		if m.err != nil {
			return m.err
		}
		return l.put("evidence", row)
	}
	x := &l.c.Campaigns[e.campaign]
	box := &x.Mailboxes[e.mailbox]
	ids := m.texts("events")
	certainty := m.string("certainty")
	rank := rank(casefile.Certainty(certainty))
	var table, kind string
	var row []driver.Value
	if e.kind == 'm' {
		l.n++
		table, kind = "messages", "message"
		row = []driver.Value{l.n, x.ID, word(box.UPN), m.text("internet_message_id"), m.text("item_id"), m.text("folder"), m.text("subject"), m.text("attachments"), m.number("bytes"), certainty, rank,
			m.time("first"), m.time("last"), m.whole("reads"), word(strings.Join(m.texts("contexts"), " ")), first(ids), word(strings.Join(ids[:min(len(ids), 20)], " ")), m.time("purged"), m.text("purged_by")}
	} else {
		table, kind = "attachments", "attachment"
		row = []driver.Value{x.ID, word(box.UPN), m.text("id"), m.text("item_id"), m.number("bytes"), certainty, rank, m.time("first"), m.time("last"), first(ids)}
	}
	if m.err != nil {
		return m.err
	}
	if err := l.put(table, row); err != nil {
		return err
	}
	for _, id := range ids {
		if err := l.put("cites", cite{id, kind, box.UPN, x.ID, casefile.StageCollection, int(rank)}.row()); err != nil {
			return err
		}
	}
	return nil
}

// members reads the members of an object as values of columns. What is of
// another type than the contract says is an error, as it is for its decoder.
type members struct {
	v   *fastjson.Value
	err error
}

// get is a member, or nil where it is missing or null.
func (m *members) get(key string, want fastjson.Type) *fastjson.Value {
	v := m.v.Get(key)
	if v == nil || v.Type() == fastjson.TypeNull {
		return nil
	}
	if v.Type() != want {
		m.err = fmt.Errorf("%s is %s, not %s", key, v.Type(), want)
		return nil
	}
	return v
}

func (m *members) string(key string) string {
	v := m.get(key, fastjson.TypeString)
	if v == nil {
		return ""
	}
	b, _ := v.StringBytes()
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func (m *members) text(key string) driver.Value { return word(m.string(key)) }

func (m *members) texts(key string) (out []string) {
	v := m.get(key, fastjson.TypeArray)
	if v == nil {
		return nil
	}
	list, _ := v.Array()
	for _, x := range list {
		b, err := x.StringBytes()
		if err != nil {
			m.err = fmt.Errorf("%s: %w", key, err)
			return nil
		}
		out = append(out, strings.ToValidUTF8(string(b), "\uFFFD"))
	}
	return out
}

// number is NULL where it is not known.
func (m *members) number(key string) driver.Value {
	v := m.get(key, fastjson.TypeNumber)
	if v == nil {
		return nil
	}
	n, err := v.Int64()
	if err != nil {
		m.err = fmt.Errorf("%s: %w", key, err)
	}
	return n
}

func (m *members) whole(key string) driver.Value {
	if n := m.number(key); n != nil {
		return n
	}
	return int64(0)
}

func (m *members) time(key string) driver.Value {
	s := m.string(key)
	if s == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		m.err = fmt.Errorf("%s: %w", key, err)
		return nil
	}
	return at(casefile.TimeOf(t))
}
