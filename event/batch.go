package event

import "unsafe"

// Batch is what one parse step hands to the store: events, their items and
// what was rejected, together with the memory that their strings live in.
// A Batch is used by one goroutine at a time.
type Batch struct {
	Events  []Event
	Items   []Item
	Rejects []Reject
	Windows []Window

	// Duplicate marks events that a store has already; the store sets it.
	// It has the length of Events or is nil.
	Duplicate []bool

	Arena Arena
}

// Reset empties the batch and keeps its memory for the next one.
func (b *Batch) Reset() {
	clear(b.Events)
	clear(b.Items)
	clear(b.Rejects)
	b.Events, b.Items, b.Rejects = b.Events[:0], b.Items[:0], b.Rejects[:0]
	b.Duplicate = b.Duplicate[:0]
	b.Windows = nil
	b.Arena.Reset()
}

// Window is what a collector noted of a stretch of a log: whether its records
// are all that there were. It is no event.
type Window struct {
	Tenant, Log string
	Source      Source
	Kind        string // of sign-ins, as in column workload
	From, To    int64  // microseconds; the end is not included
	Fetched     int64  // microseconds; a later note of the same stretch is the one that holds
	Differs     bool   // two fetches of it had other records

	OnlyFirst, OnlySecond int64 // records that only one of them had
}

// slabSize is what an Arena takes from the system at a time.
const slabSize = 1 << 20

// Arena is append-only memory for the strings of a batch: a few large slabs
// instead of millions of small strings, which the collector need not scan.
type Arena struct {
	slabs [][]byte // slabs[:cur] are full, slabs[cur] is being filled
	cur   int
	used  int
}

// Bytes copies b and returns the copy as a string that is valid until Reset.
func (a *Arena) Bytes(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	dst := a.alloc(len(b))
	copy(dst, b)
	return unsafe.String(&dst[0], len(b))
}

// String is Bytes for a string.
func (a *Arena) String(s string) string {
	if s == "" {
		return ""
	}
	dst := a.alloc(len(s))
	copy(dst, s)
	return unsafe.String(&dst[0], len(s))
}

// Lower copies b with ASCII letters folded to lower case. User names, ids and
// addresses differ by case between exports of the same log.
func (a *Arena) Lower(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	dst := a.alloc(len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
	return unsafe.String(&dst[0], len(b))
}

func (a *Arena) alloc(n int) []byte {
	for {
		if a.cur < len(a.slabs) {
			s := a.slabs[a.cur]
			if a.used+n <= len(s) {
				p := s[a.used : a.used+n : a.used+n]
				a.used += n
				return p
			}
			a.cur++
			a.used = 0
			continue
		}
		a.slabs = append(a.slabs, make([]byte, max(n, slabSize)))
	}
}

// Reset forgets all strings and keeps up to 32 MiB of slabs.
func (a *Arena) Reset() {
	const keep = 32
	if len(a.slabs) > keep {
		a.slabs = a.slabs[:keep:keep]
	}
	for i, s := range a.slabs {
		if len(s) > slabSize { // an outsized string: do not keep its slab
			a.slabs[i] = make([]byte, slabSize)
		}
	}
	a.cur, a.used = 0, 0
}
