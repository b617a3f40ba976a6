//go:build unix

package event

import "syscall"

// OffHeap says that slabs lie outside the Go heap.
const OffHeap = true

func newSlab(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic("event: out of memory: " + err.Error()) // as make would
	}
	return b
}

func freeSlab(b []byte) { _ = syscall.Munmap(b) }

// NewBuffer returns n bytes outside the Go heap where the platform allows.
func NewBuffer(n int) []byte { return newSlab(n) }

// FreeBuffer gives back what NewBuffer returned.
func FreeBuffer(b []byte) { freeSlab(b[:cap(b)]) }
