package simulate

import "time"

// Times are microseconds since 1970 in UTC.
const (
	second = int64(1e6)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

func at(us int64) time.Time { return time.UnixMicro(us).UTC() }

func two(b []byte, x int) []byte { return append(b, byte('0'+x/10), byte('0'+x%10)) }

// appendSeconds appends 2006-01-02T15:04:05.
func appendSeconds(b []byte, us int64) []byte {
	days := us / day
	rest := us - days*day
	// Days to civil date (Hinnant); all of ours are after 1970.
	z := days + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d := int(doy - (153*mp+2)/5 + 1)
	m := int(mp + 3)
	if m > 12 {
		m -= 12
	}
	y := int(yoe + era*400)
	if m <= 2 {
		y++
	}
	b = two(two(b, y/100), y%100)
	b = append(b, '-')
	b = two(b, m)
	b = append(b, '-')
	b = two(b, d)
	b = append(b, 'T')
	s := int(rest / second)
	b = two(b, s/3600)
	b = append(b, ':')
	b = two(b, s/60%60)
	b = append(b, ':')
	return two(b, s%60)
}

// appendTicks appends 2006-01-02T15:04:05.0000000, as services write it.
func appendTicks(b []byte, us int64) []byte {
	b = appendSeconds(b, us)
	f := int(us % second)
	b = append(b, '.')
	b = two(b, f/10000)
	b = two(b, f/100%100)
	b = two(b, f%100)
	return append(b, byte('0'+f*7%10))
}

func appendZ(b []byte, us int64) []byte { return append(appendSeconds(b, us), 'Z') }

// weekday is 0 on Sunday.
func weekday(us int64) int { return int((us/day + 4) % 7) }

// holiday reports whether a date is one in a country: a short list, enough to
// give failures a Monday after it.
func holiday(country string, us int64) bool {
	t := at(us)
	m, d := t.Month(), t.Day()
	switch {
	case m == time.December && d == 25, m == time.January && d == 1:
		return true
	}
	switch country {
	case "US":
		return m == time.July && d == 4 || m == time.November && t.Weekday() == time.Thursday && d >= 22 && d <= 28
	case "IE":
		return m == time.December && d == 26 || m == time.March && d == 17
	case "IN":
		return m == time.January && d == 26 || m == time.August && d == 15 || m == time.October && d == 2
	case "AU":
		return m == time.December && d == 26 || m == time.January && d == 26
	}
	return false
}
