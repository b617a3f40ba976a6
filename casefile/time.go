package casefile

import (
	"encoding/json"
	"fmt"
	"time"
)

// Time is a moment in UTC, to the microsecond. The zero Time is "not known"
// and is written as null.
type Time struct{ time.Time }

// TimeOf makes a Time of t.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Microsecond)}
}

// TimeMicros makes a Time of microseconds since 1970 UTC; 0 is not known.
func TimeMicros(us int64) Time {
	if us == 0 {
		return Time{}
	}
	return Time{time.UnixMicro(us).UTC()}
}

const timeForm = "2006-01-02T15:04:05.999999Z07:00"

// String returns the time as RFC 3339, or nothing when it is not known.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeForm)
}

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.String())
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Time) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if s == nil {
		*t = Time{}
		return nil
	}
	x, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	*t = TimeOf(x)
	return nil
}

// Earlier returns the earlier of two times; one that is not known loses.
func Earlier(a, b Time) Time {
	if a.IsZero() || !b.IsZero() && b.Before(a.Time) {
		return b
	}
	return a
}

// Later returns the later of two times; one that is not known loses.
func Later(a, b Time) Time {
	if a.IsZero() || !b.IsZero() && b.After(a.Time) {
		return b
	}
	return a
}
