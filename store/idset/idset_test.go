package idset

import (
	"fmt"
	"testing"

	"midwatch/event"
)

func TestIDSet(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
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
	id, _ := event.MakeID(nil, "t", event.UAL, "1")
	if got, err := s.Add(id, 99<<4); got != IsConflict || err != nil {
		t.Errorf("other content: got %v, want a conflict", got)
	}
}
