package investigate

import (
	"math"
	"slices"
	"time"

	"midwatch/casefile"
)

// rhythm is how many records an hour of the week has by a tenant's own past,
// so that a silence can be told from a quiet night.
//
// The mean of each hour of the week is taken over the window, smoothed with its
// neighbours and drawn towards the same hour of its kind of day (working day,
// Saturday, Sunday, as UTC has them), without the silences that are judged: a
// first pass finds them, the next is fitted without them. Counts are
// overdispersed: their spread beyond Poisson is one negative binomial size
// parameter for the row, fitted by moments. An hour is silent with probability
// (k / (k + mean))^k. Neighbouring hours share a cause (a holiday, a strike), so
// that two count as one. The confidence is a claim about this model, and is
// capped.
type rhythm struct {
	mean [168]float64 // by hour of the week, from Sunday
	k    float64      // size; +Inf: Poisson
}

// together is how many silent hours count as one that is independent.
const together = 2

// slot is the hour of the week, from Sunday.
func slot(t time.Time) int { return int(t.Weekday())*24 + t.Hour() }

// ofKind is the hour of the kind of day of a slot: 0..23 of working days, then
// of Saturdays, then of Sundays.
func ofKind(slot int) int {
	switch slot / 24 {
	case int(time.Sunday):
		return 48 + slot%24
	case int(time.Saturday):
		return 24 + slot%24
	}
	return slot % 24
}

const (
	// silenceChance is how many silences of a length the rhythm alone may bring
	// into the whole window for one to be called absence.
	silenceChance = 0.01
	// most is the highest confidence that is stated: the model is not surer.
	mostConfident = 0.999
	// leastDays is how many days of records a rhythm is learned from.
	leastDays = 5
	// leastSilence is the shortest silence, in hours, that is listed.
	leastSilence = 2
)

// learn fits the rhythm of counts by hour, without the hours marked out.
// ok is false when there are too few days to know one.
func learn(from time.Time, counts []int64, out []bool) (r rhythm, ok bool) {
	var sum, n [168]float64
	var kindSum, kindN [72]float64
	days := map[int]bool{}
	for h, c := range counts {
		if out[h] {
			continue
		}
		t := from.Add(time.Duration(h) * hour)
		s := slot(t)
		sum[s] += float64(c)
		n[s]++
		kindSum[ofKind(s)] += float64(c)
		kindN[ofKind(s)]++
		if c > 0 {
			days[h/24] = true
		}
	}
	if len(days) < leastDays {
		return r, false
	}
	for s := range r.mean {
		var a, b float64
		for d, w := range [3]float64{1, 2, 1} {
			x := (s + d - 1 + 168) % 168
			a, b = a+w*sum[x], b+w*n[x]
		}
		if k := ofKind(s); kindN[k] > 0 { // as if two weeks more had been as that kind of day is
			a, b = a+4*kindSum[k]/kindN[k], b+4
		}
		if b > 0 {
			r.mean[s] = a / b
		}
	}
	var square, excess float64 // sum of mean^2, of (x - mean)^2 - mean
	for h, c := range counts {
		if out[h] {
			continue
		}
		m := r.mean[slot(from.Add(time.Duration(h)*hour))]
		square += m * m
		excess += (float64(c)-m)*(float64(c)-m) - m
	}
	r.k = math.Inf(1)
	if excess > 0 && square > 0 {
		r.k = max(square/excess, 0.05)
	}
	return r, true
}

// logSilent is the log of the probability that an hour has no record.
func (r *rhythm) logSilent(mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	if math.IsInf(r.k, 1) {
		return -mean
	}
	return r.k * math.Log(r.k/(r.k+mean))
}

// silences finds the stretches without records that the rhythm does not
// explain.
func silences(from time.Time, counts []int64) (holes []casefile.Hole, ok bool) {
	out := make([]bool, len(counts))
	for pass := range 3 {
		r, fits := learn(from, counts, out)
		if !fits {
			return holes, pass > 0
		}
		holes = holes[:0]
		var found bool
		for h := 0; h < len(counts); {
			if counts[h] > 0 {
				h++
				continue
			}
			end := h
			var log, expected float64
			for ; end < len(counts) && counts[end] == 0; end++ {
				m := r.mean[slot(from.Add(time.Duration(end)*hour))]
				log += r.logSilent(m)
				expected += m
			}
			// The hours in which nothing is expected anyway do not belong to it.
			a, b := h, end
			for a < b && r.mean[slot(from.Add(time.Duration(a)*hour))] < 0.5 {
				a++
			}
			for b > a && r.mean[slot(from.Add(time.Duration(b-1)*hour))] < 0.5 {
				b--
			}
			chance := math.Exp(log/together) * float64(len(counts))
			if chance < silenceChance && b-a >= leastSilence {
				holes = append(holes, casefile.Hole{
					From: casefile.TimeOf(from.Add(time.Duration(a) * hour)), To: casefile.TimeOf(from.Add(time.Duration(b) * hour)), Hours: int64(b - a),
					Expected: round(expected, 1), Confidence: min(1-chance, mostConfident), State: "absent",
				})
				for x := h; x < end; x++ {
					if !out[x] {
						out[x], found = true, true
					}
				}
			}
			h = end
		}
		if !found {
			break
		}
	}
	return slices.Clip(holes), true
}
