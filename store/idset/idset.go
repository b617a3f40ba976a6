// Package idset decides which events a store has already. Stores share it, so
// that the same input keeps the same copies whatever the engine.
package idset

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"syscall"
	"unsafe"

	"midwatch/event"
)

// Set remembers which events a store has: 8 bytes of each id and a 4-byte
// fingerprint of its content, in open-addressing tables, because a case can
// hold a hundred million records and a Go map would take five times as much.
//
// There are many small tables, each of which grows by a quarter when it is
// full: a slot is 12 bytes, an event takes 16 to 20, and while a table grows,
// only that one is there twice. One large table that doubles took up to 32
// bytes an event, and 48 while it did.
//
// Two different ids with the same 8 bytes (one chance in 3,700 at 100 million
// records) differ in their fingerprints, so that the second is kept, at worst
// with a conflict flag it does not deserve. Nothing is lost.
//
// The tables lie outside the Go heap: they are large and have no pointers, and
// the collector would let the heap grow in proportion to them.
type Set struct {
	parts [parts]table
	n     int
	seed  maphash.Seed

	scratch []byte
}

const (
	parts     = 1 << partBits
	partBits  = 8
	firstSize = 256 // slots
)

// table is the ids whose hash begins with the same bits.
type table struct {
	keys []uint64 // 0: free
	fps  []uint32
	mem  []byte // what both lie in
	n    int
}

// New makes an empty set. Free gives its memory back.
func New() *Set { return &Set{seed: maphash.MakeSeed()} }

func newTable(slots int) (t table, err error) {
	t.mem, err = syscall.Mmap(-1, 0, slots*12, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|populate)
	if err != nil {
		return t, fmt.Errorf("no memory for the ids of %d records: %w", slots, err)
	}
	t.keys = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(t.mem))), slots)
	t.fps = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(t.mem[slots*8:]))), slots)
	return t, nil
}

// Free gives the tables back. The set is empty afterwards.
func (s *Set) Free() {
	if s == nil {
		return
	}
	for i := range s.parts {
		if t := &s.parts[i]; t.mem != nil {
			_ = syscall.Munmap(t.mem)
			*t = table{}
		}
	}
	s.n = 0
}

// Verdict says what the set knows of an event.
type Verdict int

const (
	IsNew       Verdict = iota
	IsDuplicate         // same id, same content
	IsConflict          // same id, other content
)

// Add adds an event and says what the set knew of it.
func (s *Set) Add(id event.ID, fp uint32) (Verdict, error) {
	k := binary.LittleEndian.Uint64(id[:8])
	if k == 0 {
		k = 1
	}
	h := mix(k)
	part := h >> (64 - partBits)
	t := &s.parts[part]
	if t.n*4 >= len(t.keys)*3 {
		// Tables that began with different sizes do not all grow at once.
		size := firstSize + int(part)*(firstSize/4)/parts
		if len(t.keys) > 0 {
			size = len(t.keys) + len(t.keys)/4
		}
		if err := t.grow(size); err != nil {
			return IsNew, err
		}
	}
	for i := t.slot(h); ; i = t.after(i) {
		switch t.keys[i] {
		case 0:
			t.keys[i], t.fps[i] = k, fp
			t.n++
			s.n++
			return IsNew, nil
		case k:
			if sameContent(t.fps[i], fp) {
				return IsDuplicate, nil
			}
			return IsConflict, nil
		}
	}
}

func mix(k uint64) uint64 { return k * 0x9e3779b97f4a7c15 }

// slot is where a key is looked for first: a share of the table, so that its
// size need not be a power of two (Lemire, Fast random integer generation in an
// interval, 2019).
func (t *table) slot(h uint64) int {
	hi, _ := bits.Mul64(h<<partBits, uint64(len(t.keys)))
	return int(hi)
}

func (t *table) after(i int) int {
	if i++; i == len(t.keys) {
		return 0
	}
	return i
}

func (t *table) grow(slots int) error {
	next, err := newTable(slots)
	if err != nil {
		return err
	}
	for j, k := range t.keys {
		if k == 0 {
			continue
		}
		i := next.slot(mix(k))
		for next.keys[i] != 0 {
			i = next.after(i)
		}
		next.keys[i], next.fps[i] = k, t.fps[j]
	}
	next.n = t.n
	if t.mem != nil {
		err = syscall.Munmap(t.mem)
	}
	*t = next
	return err
}

// Claim does the work of [store.Load]'s Claim for a batch.
func (s *Set) Claim(b *event.Batch) (duplicates int, err error) {
	b.Duplicate = b.Duplicate[:0]
	for i := range b.Events {
		e := &b.Events[i]
		fp := s.Fingerprint(e)
		v, err := s.Add(e.ID, fp)
		if err != nil {
			return duplicates, err
		}
		if v == IsConflict {
			e.Flags |= event.FlagIDConflict
			e.ID, s.scratch = OtherID(s.scratch, e)
			if v, err = s.Add(e.ID, fp); err != nil {
				return duplicates, err
			}
			if v == IsConflict { // the same other content, from another format
				v = IsDuplicate
			}
		}
		if v == IsDuplicate {
			duplicates++
		}
		b.Duplicate = append(b.Duplicate, v == IsDuplicate)
	}
	return duplicates, nil
}

// OtherID is the id under which an event is kept whose own id another event
// has: made of the id and of the content. scratch as in [event.MakeID].
func OtherID(scratch []byte, e *event.Event) (event.ID, []byte) {
	return event.MakeID(scratch, e.Tenant, e.Source, string(e.ID[:])+e.Operation+"\x00"+e.Actor+"\x00"+e.Code+"\x00"+e.IP+"\x00"+e.MailboxID+"\x00"+e.MessageID+fmt.Sprint(e.Time/1e6, e.ItemCount))
}

// Fingerprint condenses an event's content to 32 bits: 14 of what every export
// of a record has (when, what, who, result), 14 of what one format always has
// (address, mailbox, items), and 4 of the format. Exports of one log differ in
// how much of a record they keep, so that the second part is compared only
// within a format.
func (s *Set) Fingerprint(e *event.Event) uint32 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	var t [8]byte
	binary.LittleEndian.PutUint64(t[:], uint64(e.Time/1e6))
	h.Write(t[:])
	h.WriteString(e.Operation)
	h.WriteByte(0)
	h.WriteString(e.Actor)
	h.WriteByte(0)
	h.WriteString(e.Code)
	coarse := uint32(h.Sum64()) & 0x3fff
	binary.LittleEndian.PutUint64(t[:], uint64(e.ItemCount))
	h.Write(t[:])
	h.WriteString(e.IP)
	h.WriteByte(0)
	h.WriteString(e.MailboxID)
	h.WriteByte(0)
	h.WriteString(e.MessageID)
	fine := uint32(h.Sum64()) & 0x3fff
	return coarse<<18 | fine<<4 | uint32(maphash.String(s.seed, e.Format))&0xf
}

func sameContent(a, b uint32) bool {
	if a&0xf == b&0xf {
		return a == b
	}
	return a>>18 == b>>18
}
