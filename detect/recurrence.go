package detect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"midwatch/casefile"
)

const (
	recurWindow   = 21  // days in which failures of an account recur
	recurMost     = 7   // days of them that are told apart; more is the same
	recursPerYear = 1.0 // false alarms a year and tenant

	// A single account has to recur so often, from so many networks (/24, /48)
	// with the same application: no model of chance is trusted with one.
	patientDays     = 5
	patientNetworks = 5
)

// recurring is what recurs in a tenant more than it may by chance.
type recurring struct {
	attempts []attempt            // of the accounts that recur, in order of time
	at       map[string]time.Time // account -> when it could be told
	days     map[string]int       // account -> days within a window, at most
	worst    recurTest            // that decided first; its k is 0 when single accounts did alone
}

// recurTest is the test of one day: so many accounts had unexplained failures
// on k days of the 21 before, and so many would by chance.
type recurTest struct {
	k        int
	accounts int
	expected float64
	p        float64
}

// recurrence tests on each day how many accounts had unexplained failures on k
// or more of the last 21 days. What chance gives is fitted to the accounts that
// had them on one day and on two, which guesses at a few accounts hardly change:
// with the logarithmic series, the heaviest tail among the negative binomial
// distributions with that ratio, so that a tenant of few clumsy people and many
// careful ones is allowed for. As in detection.md §2.3 the expected number is
// raised by 15 % and 0.05.
func recurrence(rs []attempt) *recurring {
	r := &recurring{at: map[string]time.Time{}, days: map[string]int{}}
	type hit struct {
		day time.Time
		as  []attempt // of the day
	}
	byAccount := map[string][]hit{}
	var all []time.Time
	for _, a := range rs {
		hs := byAccount[a.actor]
		if n := len(hs); n > 0 && hs[n-1].day.Equal(a.day) {
			hs[n-1].as = append(hs[n-1].as, a)
		} else {
			hs = append(hs, hit{a.day, []attempt{a}})
		}
		byAccount[a.actor] = hs
		if n := len(all); n == 0 || !all[n-1].Equal(a.day) {
			all = append(all, a.day)
		}
	}
	threshold := recursPerYear / 365.25 / (recurMost - 1)
	in := map[string]map[time.Time]bool{} // account -> days that recur
	// Only accounts with failures on a day can have more of them than the day
	// before; counts of the others are carried along.
	for _, day := range all {
		from := day.AddDate(0, 0, 1-recurWindow)
		count := map[string]int{}
		var m [recurMost + 1]int
		for actor, hs := range byAccount {
			k := 0
			for i := len(hs) - 1; i >= 0; i-- {
				if hs[i].day.After(day) {
					continue
				}
				if hs[i].day.Before(from) {
					break
				}
				k++
			}
			if k > 0 {
				count[actor] = k
				m[min(k, recurMost)]++
			}
		}
		test := tooMany(m, threshold)
		for _, actor := range sortedKeysOf(count) {
			k := count[actor]
			hs := byAccount[actor]
			var window []attempt
			if test.k > 0 && k >= test.k || k >= patientDays {
				for _, h := range hs {
					if !h.day.After(day) && !h.day.Before(from) {
						window = append(window, h.as...)
					}
				}
			}
			if !(test.k > 0 && k >= test.k && networks(window) >= test.k) && !patient(window) {
				continue
			}
			if r.worst.k == 0 && test.k > 0 {
				r.worst = test
			}
			r.days[actor] = max(r.days[actor], k)
			last := window[len(window)-1]
			if old, ok := r.at[actor]; !ok || last.at.Before(old) {
				r.at[actor] = last.at
			}
			if in[actor] == nil {
				in[actor] = map[time.Time]bool{}
			}
			for _, a := range window {
				in[actor][a.day] = true
			}
		}
	}
	for _, a := range rs {
		if in[a.actor][a.day] {
			r.attempts = append(r.attempts, a)
		}
	}
	return r
}

// networks counts the /24s and /48s: whoever guesses from one, on whatever
// number of days, is a device.
func networks(as []attempt) int {
	m := map[string]bool{}
	for _, a := range as {
		m[a.prefix] = true
	}
	return len(m)
}

// patient reports whether a single account's failures recur with one
// application on enough days from enough networks.
func patient(as []attempt) bool {
	byApp := map[string][]attempt{}
	for _, a := range as {
		byApp[a.app] = append(byApp[a.app], a)
	}
	for _, as := range byApp {
		days := map[time.Time]bool{}
		for _, a := range as {
			days[a.day] = true
		}
		if len(days) >= patientDays && networks(as) >= patientNetworks {
			return true
		}
	}
	return false
}

// tooMany tests the numbers of accounts with failures on 1, 2, … days and gives
// the test that is passed with the fewest days; its k is 0 when none is.
func tooMany(m [recurMost + 1]int, threshold float64) recurTest {
	if m[1] == 0 {
		return recurTest{}
	}
	// Of a logarithmic series P(k+1)/P(k) = q k/(k+1); q is estimated from the
	// first two, with half an account against none.
	q := min(0.95, 2*(float64(m[2])+0.5)/(float64(m[1])+1))
	expected := make([]float64, recurMost+2)
	p := float64(m[1])
	for k := 1; k < 60; k++ {
		for j := 1; j <= min(k, recurMost); j++ {
			expected[j] += p // of k or more
		}
		p *= q * float64(k) / float64(k+1)
	}
	for k := 3; k <= recurMost; k++ {
		n := 0
		for j := k; j <= recurMost; j++ {
			n += m[j]
		}
		if n < 2 {
			return recurTest{}
		}
		if tail := poissonTail(1.15*expected[k]+0.05, n); tail < threshold {
			return recurTest{k: k, accounts: n, expected: expected[k], p: tail}
		}
	}
	return recurTest{}
}

// poissonTail is the probability of n or more.
func poissonTail(mean float64, n int) float64 {
	below, term := 0.0, math.Exp(-mean)
	for i := range n {
		below += term
		term *= mean / float64(i+1)
	}
	if below < 0.999999 {
		return 1 - below
	}
	// Summed from above, where 1 - below would be rounding.
	sum := 0.0
	for i := n; i < n+200; i++ {
		sum += term
		term *= mean / float64(i+1)
	}
	return sum
}

// told is when the first of the accounts could be told.
func (r *recurring) told(accounts []string) (t time.Time) {
	for _, a := range accounts {
		if at := r.at[a]; t.IsZero() || at.Before(t) {
			t = at
		}
	}
	return t
}

// words says what decided.
func (r *recurring) words(accounts []string) string {
	most := 0
	for _, a := range accounts {
		most = max(most, r.days[a])
	}
	s := fmt.Sprintf("They recur on up to %d of %d days for one account.", most, recurWindow)
	if r.worst.k == 0 {
		return s + fmt.Sprintf(" On %d days and from %d networks, with one application, they do not by chance.", patientDays, patientNetworks)
	}
	return s + fmt.Sprintf(" When it could first be told, %d accounts of the tenant had such failures on %d days or more of %d, where chance gives %.2g (probability %.1g).",
		r.worst.accounts, r.worst.k, recurWindow, r.worst.expected, r.worst.p)
}

func (r *recurring) counts(accounts []string) []casefile.Count {
	var days []int
	for _, a := range accounts {
		days = append(days, r.days[a])
	}
	out := []casefile.Count{{Name: "days with failures of one account, of 21, at most", Value: float64(slices.Max(days)), Limit: limit(patientDays)}}
	if r.worst.k > 0 {
		out[0].Limit = limit(float64(r.worst.k))
		out = append(out, casefile.Count{Name: fmt.Sprintf("accounts with failures on %d of 21 days or more", r.worst.k), Value: float64(r.worst.accounts), Limit: limit(round3(r.worst.expected))})
	}
	return out
}
