package clock

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Period is how long a clock runs.
type Period struct {
	N    int
	Unit Unit
}

// Unit is what a period is counted in.
type Unit string

// The units. Fixed says that the rule names no time.
const (
	Hours        Unit = "hours"
	Days         Unit = "days"
	Months       Unit = "months"
	BusinessDays Unit = "business days"
	DaysOfYear   Unit = "days after year"
	NoTime       Unit = "no fixed time"
)

// maxPeriod bounds a period, so that no date overflows.
const maxPeriod = 10000

// ParsePeriod reads a period: "72 hours", "4 business days", "no fixed time".
func ParsePeriod(s string) (Period, error) {
	if s == string(NoTime) {
		return Period{0, NoTime}, nil
	}
	m := regexp.MustCompile(`^([1-9][0-9]{0,4}) (hours|days|months|business days|days after year)$`).FindStringSubmatch(s)
	if m == nil {
		return Period{}, fmt.Errorf("%q is no period, such as 72 hours, 30 days, 1 months, 4 business days, 60 days after year, no fixed time", s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n > maxPeriod {
		return Period{}, fmt.Errorf("period %q is too long", s)
	}
	return Period{n, Unit(m[2])}, nil
}

// String is the period as it is written.
func (p Period) String() string {
	if p.Unit == NoTime {
		return string(NoTime)
	}
	return fmt.Sprintf("%d %s", p.N, p.Unit)
}

// cutoff is the time of day until which something counts as handed in on it.
type cutoff struct{ hour, minute int }

// after says when the period that began at start is over, in UTC; ok is false
// where the rule names no time.
//
// Hours are hours of the world and know no zone. Days, months and years are
// those of zone; the day of the start does not count, and the last one counts to
// its end: the moment returned is its last second. A month ends on the same date
// of a later one, or on its last day where it has none (Regulation 1182/71 Art.
// 3(2)(c)). Business days are those of US federal offices: a start on a day that
// is none counts as the first business day after it does.
func (p Period) after(start time.Time, zone *time.Location, until cutoff) (due time.Time, ok bool) {
	local := start.In(zone)
	y, m, d := local.Date()
	end := func(y int, m time.Month, d int) (time.Time, bool) {
		// The last second before the next midnight: days have 23 to 25 hours.
		return time.Date(y, m, d+1, 0, 0, 0, 0, zone).Add(-time.Second).UTC(), true
	}
	switch p.Unit {
	case Hours:
		return start.Add(time.Duration(p.N) * time.Hour).UTC(), true
	case Days:
		return end(y, m, d+p.N)
	case Months:
		first := time.Date(y, m+time.Month(p.N), 1, 12, 0, 0, 0, time.UTC)
		return end(first.Year(), first.Month(), min(d, daysIn(first.Year(), first.Month())))
	case DaysOfYear:
		return end(y, time.December, 31+p.N)
	case BusinessDays:
		day := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		n := p.N
		if !BusinessDay(day) {
			// "the four business day period shall begin to run on, and include,
			// the first business day thereafter" (Form 8-K, B.1)
			day = nextBusinessDay(day)
			n--
		}
		for ; n > 0; n-- {
			day = nextBusinessDay(day)
		}
		y, m, d := day.Date()
		return time.Date(y, m, d, until.hour, until.minute, 0, 0, zone).UTC(), true
	}
	return time.Time{}, false
}

func daysIn(year int, m time.Month) int { return time.Date(year, m+1, 0, 12, 0, 0, 0, time.UTC).Day() }

// BusinessDay reports whether federal offices of the United States are open on
// the date of t: Monday to Friday, and no holiday.
func BusinessDay(t time.Time) bool {
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday && Holiday(t) == ""
}

func nextBusinessDay(t time.Time) time.Time {
	for t = t.AddDate(0, 0, 1); !BusinessDay(t); t = t.AddDate(0, 0, 1) {
	}
	return t
}

// Holiday names the federal holiday of the United States that is observed on the
// date of t; empty: none is. Source: 5 U.S.C. 6103; a holiday on a Saturday is
// observed on the Friday before, one on a Sunday on the Monday after (Executive
// Order 11582). Juneteenth is one since 2021. Inauguration Day, which is one
// around Washington only, is not among them.
func Holiday(t time.Time) string {
	y, m, d := t.Date()
	for _, year := range []int{y, y + 1} { // New Year's Day may be observed on 31 December
		for _, h := range holidays(year) {
			hy, hm, hd := h.observed().Date()
			if hy == y && hm == m && hd == d {
				return h.name
			}
		}
	}
	return ""
}

type holiday struct {
	name string
	day  time.Time
}

func (h holiday) observed() time.Time {
	switch h.day.Weekday() {
	case time.Saturday:
		return h.day.AddDate(0, 0, -1)
	case time.Sunday:
		return h.day.AddDate(0, 0, 1)
	}
	return h.day
}

func holidays(y int) []holiday {
	date := func(m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }
	nth := func(m time.Month, n int, w time.Weekday) time.Time {
		first := date(m, 1)
		return first.AddDate(0, 0, (int(w)-int(first.Weekday())+7)%7+7*(n-1))
	}
	last := func(m time.Month, w time.Weekday) time.Time {
		end := date(m, daysIn(y, m))
		return end.AddDate(0, 0, -((int(end.Weekday()) - int(w) + 7) % 7))
	}
	list := []holiday{
		{"New Year's Day", date(time.January, 1)},
		{"Birthday of Martin Luther King, Jr.", nth(time.January, 3, time.Monday)},
		{"Washington's Birthday", nth(time.February, 3, time.Monday)},
		{"Memorial Day", last(time.May, time.Monday)},
		{"Independence Day", date(time.July, 4)},
		{"Labor Day", nth(time.September, 1, time.Monday)},
		{"Columbus Day", nth(time.October, 2, time.Monday)},
		{"Veterans Day", date(time.November, 11)},
		{"Thanksgiving Day", nth(time.November, 4, time.Thursday)},
		{"Christmas Day", date(time.December, 25)},
	}
	if y >= 2021 {
		list = append(list, holiday{"Juneteenth", date(time.June, 19)})
	}
	return list
}
