package idset

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"midwatch/event"
)

func TestIDSet(t *testing.T) {
	s := New()
	defer s.Free()
	for round := range 2 {
		for n := range 20000 {
			id, _ := event.MakeID(nil, "t", event.UAL, fmt.Sprint(n))
			want := IsNew
			if round == 1 {
				want = IsDuplicate
			}
			if got, err := s.Add(id, uint32(n)<<4); got != want || err != nil {
				t.Fatalf("round %d, id %d: got %v, want %v", round, n, got, want)
			}
		}
	}
	slots := 0
	for i := range s.parts {
		slots += len(s.parts[i].keys)
	}
	if s.n != 20000 || slots < s.n || slots > max(parts*firstSize*3/2, s.n*2) {
		t.Errorf("%d ids in %d slots", s.n, slots)
	}
	id, _ := event.MakeID(nil, "t", event.UAL, "1")
	if got, err := s.Add(id, 99<<4); got != IsConflict || err != nil {
		t.Errorf("other content: got %v, want a conflict", got)
	}
}

// What an id costs, by how many there are: time, and memory in bytes.
func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{1_000_000, 20_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				s := New()
				r := rand.New(rand.NewPCG(1, 2))
				var id event.ID
				for range n {
					binary.LittleEndian.PutUint64(id[:8], r.Uint64())
					if _, err := s.Add(id, 0); err != nil {
						b.Fatal(err)
					}
				}
				bytes := 0
				for i := range s.parts {
					bytes += len(s.parts[i].mem)
				}
				b.ReportMetric(float64(bytes)/float64(n), "bytes/id")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/id")
				s.Free()
			}
		})
	}
}
