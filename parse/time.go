package parse

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Micros reads a point in time in any spelling that audit logs use and returns
// microseconds since 1970 UTC. A time without zone is UTC, as in every
// Microsoft source that Midwatch reads. ambiguous is true for dates such as
// 3/4/2024 that could be either way round; they are read month first, as
// Microsoft's exports in the default locale are.
func Micros(b []byte) (us int64, ambiguous, ok bool) {
	b = bytes.TrimSpace(b)
	if us, ok = fastISO(b); ok {
		return us, false, true
	}
	s := strings.Trim(string(b), "'\" ")
	if s == "" {
		return 0, false, false
	}
	if rest, found := strings.CutPrefix(s, "/Date("); found { // PowerShell 5.1 and OData v2
		rest, _, _ = strings.Cut(rest, ")")
		if i := strings.LastIndexAny(rest, "+-"); i > 0 {
			rest = rest[:i]
		}
		ms, err := strconv.ParseInt(rest, 10, 64)
		if err != nil || ms > 1<<52 || ms < -(1<<52) {
			return 0, false, false
		}
		return ms * 1000, false, true
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil { // epoch seconds, milli-, micro- or nanoseconds
		switch {
		case n >= 1e8 && n < 1e11:
			return int64(n * 1e6), false, true
		case n >= 1e11 && n < 1e14:
			return int64(n * 1e3), false, true
		case n >= 1e14 && n < 1e17:
			return int64(n), false, true
		case n >= 1e17 && n < 1e19:
			return int64(n / 1e3), false, true
		}
		return 0, false, false
	}
	for _, layout := range []string{
		"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 -0700",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
		"2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999 MST",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMicro(), false, true
		}
	}
	return slashDate(s)
}

// slashDate reads 5/18/2021 9:13:33 PM, 21/04/2026 14:05:00,
// "4/28/2021, 2:50:14.000 PM" and 1/9/2007 10:41:00 AM +01:00.
func slashDate(s string) (us int64, ambiguous, ok bool) {
	s = strings.ReplaceAll(s, ",", "")
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0, false, false
	}
	sep := "/"
	if strings.Count(f[0], ".") == 2 {
		sep = "."
	} else if strings.Count(f[0], "-") == 2 {
		sep = "-"
	}
	d := strings.Split(f[0], sep)
	if len(d) != 3 || len(d[2]) != 4 {
		return 0, false, false
	}
	a, err1 := strconv.Atoi(d[0])
	b, err2 := strconv.Atoi(d[1])
	y, err3 := strconv.Atoi(d[2])
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, false, false
	}
	month, day := a, b
	switch {
	case sep == "." || a > 12: // German order, or it cannot be a month
		month, day = b, a
	case a <= 12 && b <= 12 && a != b:
		ambiguous = true
	}
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false, false
	}
	t := time.Date(y, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return 0, false, false
	}
	if len(f) > 1 {
		clock := f[1]
		rest := f[2:]
		layout := "15:04:05.999999999"
		if strings.Count(clock, ":") == 1 {
			layout = "15:04"
		}
		if len(rest) > 0 && (strings.EqualFold(rest[0], "AM") || strings.EqualFold(rest[0], "PM")) {
			layout = strings.Replace(layout, "15", "3", 1) + " PM"
			clock += " " + strings.ToUpper(rest[0])
			rest = rest[1:]
		}
		if len(rest) > 0 && (rest[0][0] == '+' || rest[0][0] == '-') {
			layout += " -07:00"
			clock += " " + rest[0]
		}
		c, err := time.Parse(layout, clock)
		if err != nil {
			return 0, false, false
		}
		_, off := c.Zone()
		t = t.Add(time.Duration(c.Hour())*time.Hour + time.Duration(c.Minute())*time.Minute +
			time.Duration(c.Second())*time.Second + time.Duration(c.Nanosecond()) - time.Duration(off)*time.Second)
	}
	return t.UnixMicro(), ambiguous, true
}

// fastISO reads 2006-01-02T15:04:05 with an optional fraction and an optional
// Z or numeric offset, without allocating.
func fastISO(b []byte) (int64, bool) {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || (b[10] != 'T' && b[10] != ' ') || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	y, ok1 := digits(b[0:4])
	mo, ok2 := digits(b[5:7])
	d, ok3 := digits(b[8:10])
	h, ok4 := digits(b[11:13])
	mi, ok5 := digits(b[14:16])
	se, ok6 := digits(b[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || se > 60 {
		return 0, false
	}
	us := (daysFromCivil(y, mo, d)*86400 + int64(h)*3600 + int64(mi)*60 + int64(se)) * 1e6
	b = b[19:]
	if len(b) > 0 && b[0] == '.' {
		scale := int64(100000)
		i := 1
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			us += int64(b[i]-'0') * scale
			scale /= 10
		}
		if i == 1 {
			return 0, false
		}
		b = b[i:]
	}
	switch {
	case len(b) == 0, len(b) == 1 && (b[0] == 'Z' || b[0] == 'z'):
		return us, true
	case len(b) == 6 && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		oh, ok1 := digits(b[1:3])
		om, ok2 := digits(b[4:6])
		if !ok1 || !ok2 {
			return 0, false
		}
		off := int64(oh*3600+om*60) * 1e6
		if b[0] == '+' {
			return us - off, true
		}
		return us + off, true
	}
	return 0, false
}

func digits(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func daysIn(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysFromCivil counts days from 1970-01-01 in the proleptic Gregorian
// calendar. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
func daysFromCivil(y, m, d int) int64 {
	if m <= 2 {
		y--
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	mp := (m + 9) % 12
	doy := (153*mp+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}
