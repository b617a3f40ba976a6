package simulate

import (
	"slices"
	"strconv"
)

// kind is a file that a tenant's records go to.
type kind int

const (
	fUAL kind = iota
	fUALCSV
	fInteractive
	fNonInteractive
	fServicePrincipal
	fManagedIdentity
	fDirectory
	fGraph
	fTraceCSV
	fTraceJSON
	kinds
)

// logOf is the log that a file is of.
func logOf(k kind) string {
	return [...]string{LogUAL, LogUAL, LogInteractive, LogNonInteractive, LogServicePrincipal, LogManagedIdentity, LogDirectory, LogGraph, LogTrace, LogTrace}[k]
}

// chunk is a part of a file.
type chunk struct {
	b []byte
	n int64
}

// mark is a malicious record, written or not.
type mark struct {
	camp  int
	stage string
	t     int64
	log   string
	id    string
	kept  bool
	in    bool // the actor was inside
	ten   int
}

// gen makes the records of one job. Nothing of it outlives the job but the
// chunks.
type gen struct {
	w    *world
	t    *tenant
	day  int
	r    rng
	out  [kinds]chunk
	act  *act
	acts []mark
	dups int64
	lost int64

	msgs    []message
	scratch []byte
	row     ualRow
}

// ualRow is what the portal's CSV says of a record besides its JSON.
type ualRow struct {
	id   guid
	t    int64
	rt   int
	op   string
	user string
}

// kept reports whether a record reaches the files. It depends on nothing but
// the record, so that a plan can ask, too.
func (w *world) kept(t *tenant, log string, id uint64, us int64) bool {
	if us < w.start || us >= w.end {
		return false
	}
	if t.role == "test" && w.o.NoTest || !w.hands(log) {
		return false
	}
	if w.o.Loss > 0 {
		if log == LogUAL && w.ual.has(us) {
			return false
		}
		if unit(w.hash(rsKeep, id, hashText(log))) < w.o.Loss {
			return false
		}
	}
	return w.o.Latency == 0 || w.arrival(id, us) < w.end
}

// hands reports whether a log is handed over at all.
func (w *world) hands(log string) bool { return len(w.o.Logs) == 0 || slices.Contains(w.o.Logs, log) }

// arrival is when a record reaches its log.
func (w *world) arrival(id uint64, us int64) int64 {
	g := w.rng(rsArrival, id)
	if w.o.Latency > 0 {
		return us + int64(g.exp(float64(w.o.Latency.Microseconds())))
	}
	return us + g.span(2*minute, 5*minute) // Event Hub, Microsoft
}

// admit decides on a record and notes a malicious one.
func (g *gen) admit(k kind, t int64, id uint64, text func() string) bool {
	log := logOf(k)
	ok := g.w.kept(g.t, log, id, t)
	if g.act != nil {
		g.acts = append(g.acts, mark{camp: g.act.camp, stage: g.act.stage, t: t, log: log, id: text(), kept: ok, in: g.act.inside, ten: g.t.idx})
	} else if !ok && t >= g.w.start && t < g.w.end && !(g.t.role == "test" && g.w.o.NoTest) && g.w.hands(log) {
		g.lost++
	}
	return ok
}

// end puts a record behind the others of its file.
func (g *gen) line(k kind, b []byte) {
	g.out[k].b = append(b, '\n')
	g.out[k].n++
}

// page is line for a list of objects: each has its comma before it, and the
// file's writer removes the first one.
func (g *gen) page(k kind) []byte { return append(g.out[k].b, ',', '\n') }

func (g *gen) paged(k kind, b []byte) {
	g.out[k].b = b
	g.out[k].n++
}

func num(b []byte, x int64) []byte { return strconv.AppendInt(b, x, 10) }

// appendQuoted appends s as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\r':
			b = append(b, '\\', 'r')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func quoted(s string) string { return string(appendQuoted(nil, s)) }
