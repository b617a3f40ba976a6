// Package idset decides which events a store has already. Stores share it, so
// that the same input keeps the same copies whatever the engine.
package idset

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"syscall"
	"unsafe"

	"midwatch/event"
)

// Set remembers which events a store has: 8 bytes of each id and a 4-byte
// fingerprint of its content, in an open-addressing table, because a case can
// hold a hundred million records and a Go map would take five times as much.
//
// Two different ids with the same 8 bytes (one chance in 3,700 at 100 million
// records) differ in their fingerprints, so that the second is kept, at worst
// with a conflict flag it does not deserve. Nothing is lost.
//
// The table lies outside the Go heap: it is large and has no pointers, and the
// collector would let the heap grow in proportion to it.
type Set struct {
	keys []uint64 // 0: free
	fps  []uint32
	mem  []byte // what both lie in
	n    int
	seed maphash.Seed

	scratch []byte
}

// New makes an empty set. Free gives its memory back.
func New() (*Set, error) {
	s := &Set{seed: maphash.MakeSeed()}
	return s, s.allocate(1 << 12)
}

func (s *Set) allocate(slots int) error {
	mem, err := syscall.Mmap(-1, 0, slots*12, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("no memory for the ids of %d records: %w", slots, err)
	}
	s.mem = mem
	s.keys = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mem))), slots)
	s.fps = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(mem[slots*8:]))), slots)
	return nil
}

// Free gives the table back. The set is of no use afterwards.
func (s *Set) Free() {
	if s != nil && s.mem != nil {
		_ = syscall.Munmap(s.mem)
		s.mem, s.keys, s.fps = nil, nil, nil
	}
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
	if s.n*4 >= len(s.keys)*3 {
		if err := s.grow(); err != nil {
			return IsNew, err
		}
	}
	k := binary.LittleEndian.Uint64(id[:8])
	if k == 0 {
		k = 1
	}
	mask := uint64(len(s.keys) - 1)
	for i := (k * 0x9e3779b97f4a7c15) >> 20 & mask; ; i = (i + 1) & mask {
		switch s.keys[i] {
		case 0:
			s.keys[i], s.fps[i] = k, fp
			s.n++
			return IsNew, nil
		case k:
			if sameContent(s.fps[i], fp) {
				return IsDuplicate, nil
			}
			return IsConflict, nil
		}
	}
}

func (s *Set) grow() error {
	keys, fps, mem := s.keys, s.fps, s.mem
	if err := s.allocate(2 * len(keys)); err != nil {
		return err
	}
	mask := uint64(len(s.keys) - 1)
	for j, k := range keys {
		if k == 0 {
			continue
		}
		i := (k * 0x9e3779b97f4a7c15) >> 20 & mask
		for s.keys[i] != 0 {
			i = (i + 1) & mask
		}
		s.keys[i], s.fps[i] = k, fps[j]
	}
	return syscall.Munmap(mem)
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
