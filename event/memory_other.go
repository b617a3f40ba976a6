//go:build !unix

package event

// OffHeap says that slabs lie outside the Go heap.
const OffHeap = false

func newSlab(n int) []byte { return make([]byte, n) }

func freeSlab([]byte) {}

// NewBuffer returns n bytes outside the Go heap where the platform allows.
func NewBuffer(n int) []byte { return make([]byte, n) }

// FreeBuffer gives back what NewBuffer returned.
func FreeBuffer([]byte) {}
