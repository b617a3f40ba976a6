package clickhouse

import "testing"

// Every sign of life counts, however like the one before it is: servers that
// know repeated inserts by their content would take it for a repetition.
func TestSignsOfLifeAreKept(t *testing.T) {
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", nil)
		for range 3 {
			if err := s.writeLoad(t.Context(), loadRow{number: 1, holder: "x"}, open); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.lies(t, "loads"); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
}
