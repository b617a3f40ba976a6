package progress

import (
	"strings"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	clock := time.Unix(0, 0)
	now := func() time.Time { return clock }
	var plain, tty strings.Builder
	for _, c := range []struct {
		w        *strings.Builder
		terminal bool
	}{{&plain, false}, {&tty, true}} {
		clock = time.Unix(0, 0)
		m := New(c.w, c.terminal, 4e9, now)
		for range 20 {
			clock = clock.Add(time.Second)
			m.Records(1000, 1)
			m.Bytes(100e6)
		}
		m.Done()
	}
	if got := plain.String(); strings.Contains(got, "\r") || strings.Count(got, "\n") != 2 || !strings.Contains(got, "1.0 GB of 4.0 GB (25 %)  10,000 records  100 MB/s  30s left  10 rejected") {
		t.Errorf("a pipe gets %q", got)
	}
	if got := tty.String(); strings.Contains(got, "\n") || strings.Count(got, "\r") < 10 || !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("a terminal gets %q", got)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{5: "5 B", 5000: "5 kB", 5e6: "5 MB", 5e9: "5.0 GB", 5e10: "50 GB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
