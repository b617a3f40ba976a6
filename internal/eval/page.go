package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/simulate"
	"midwatch/simulate/score"
)

// group is the runs of a cell that have the same size, one campaign of each.
type group struct {
	cell  string
	kind  string // of the campaign, where a cell has several
	users int
	days  int
	runs  []campaignRun
}

// campaignRun is one actor of one run, and the quiet run beside it.
type campaignRun struct {
	*result
	c     *score.Campaign
	span  spanOf
	quiet *result // nil when it was not run
}

func (g *group) name() string {
	if g.kind != "" && g.kind != g.cell {
		return g.cell + ": " + g.kind
	}
	return g.cell
}

// groups sorts results into groups, in the order of the grid. Quiet runs are
// no group.
func groups(done []*result) (gs []*group, quiet []*result) {
	byKey := map[string]*result{}
	for _, r := range done {
		byKey[r.key()] = r
		if r.Cell == "quiet" {
			quiet = append(quiet, r)
		}
	}
	index := map[string]*group{}
	for _, r := range done {
		for i := range r.Score.Campaigns {
			c := &r.Score.Campaigns[i]
			j := slices.IndexFunc(r.Spans, func(s spanOf) bool { return s.Campaign == c.ID })
			if j < 0 {
				continue // no record of it is in the logs: nothing to find
			}
			kind := ""
			if len(r.Score.Campaigns) > 1 {
				kind = c.Kind
			}
			key := fmt.Sprint(r.Users, r.Cell, kind)
			g := index[key]
			if g == nil {
				g = &group{cell: r.Cell, kind: kind, users: r.Users, days: r.Days}
				index[key] = g
				gs = append(gs, g)
			}
			g.runs = append(g.runs, campaignRun{r, c, r.Spans[j], byKey[r.quietKey()]})
		}
	}
	slices.SortStableFunc(gs, func(a, b *group) int { return a.users - b.users })
	return gs, quiet
}

// share is the proportion of runs for which ask says yes; those for which it
// has no answer are not counted.
func (g *group) share(ask func(*campaignRun) (yes, known bool)) interval {
	k, n := 0, 0
	for i := range g.runs {
		yes, known := ask(&g.runs[i])
		if known {
			n++
			if yes {
				k++
			}
		}
	}
	return wilson(k, n)
}

// values collects a number of each run; null is left out.
func (g *group) values(of func(*campaignRun) *float64) (xs []float64) {
	for i := range g.runs {
		if x := of(&g.runs[i]); x != nil {
			xs = append(xs, *x)
		}
	}
	return xs
}

// falseIn reports whether a quiet run has something false in a time.
func (r *campaignRun) falseIn(is func(*score.FalseOne) bool) (yes, known bool) {
	if r.quiet == nil {
		return false, false
	}
	return slices.ContainsFunc(r.quiet.Score.Findings.FalseOnes, func(f score.FalseOne) bool {
		return is(&f) && !f.Detected.Before(r.span.From) && !f.Detected.After(r.span.To)
	}), true
}

func medium(f *score.FalseOne) bool {
	return f.Detector != "" && f.Severity.Rank() >= casefile.Medium.Rank()
}

func ptr(x float64) *float64 { return &x }

// md writes a table.
type md struct{ strings.Builder }

func (b *md) p(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }

// text writes a paragraph that has no arguments; percent signs stand as they are.
func (b *md) text(s string) { b.WriteString(s + "\n") }

func (b *md) head(cols ...string) {
	b.row(cols...)
	b.p("|%s", strings.Repeat("---|", len(cols)))
}

func (b *md) row(cells ...string) { b.p("| %s |", strings.Join(cells, " | ")) }

func days(iv interval) string {
	return interval{iv.at / 24, iv.lo / 24, iv.hi / 24}.number(1)
}

// write makes the page.
func write(done []*result, grid string) string {
	b := &md{}
	gs, quiet := groups(done)
	preface(b, done, grid)
	against(b, gs, quiet)
	answered(b, done)
	detection(b, gs)
	times(b, gs)
	reach(b, gs)
	entities(b, gs)
	falseAlarms(b, quiet)
	joined(b, done, gs)
	field(b, gs, quiet)
	sizes(b, done)
	limits(b)
	return b.String()
}

func preface(b *md, done []*result, grid string) {
	seeds, sizes := map[uint64]bool{}, map[int]int{}
	for _, r := range done {
		seeds[r.Seed] = true
		sizes[r.Users]++
	}
	lo, hi := uint64(math.MaxUint64), uint64(0)
	for s := range seeds {
		lo, hi = min(lo, s), max(hi, s)
	}
	if len(done) == 0 {
		lo = 0
	}
	var list []string
	for _, u := range sorted(sizes) {
		list = append(list, fmt.Sprintf("%d of %d users", sizes[u], u))
	}
	b.p("# Evaluation\n")
	if grid != "large" {
		b.p("**Development seeds: these are not published results.**\n")
	}
	programs := map[string]bool{}
	for _, r := range done {
		programs[cmp.Or(r.Program, "not stated")] = true
	}
	b.p("Made by `make eval`; do not edit. %d runs (%s), seeds %d to %d, generator version %s, Midwatch at %s. The page says what was measured; what it does not show", len(done), strings.Join(list, ", "), lo, hi, simulate.Version, strings.Join(sorted(programs), ", "))
	b.p("[stands at its end](#what-these-numbers-do-not-show), and is worth reading first.\n")
	b.text(`A run: ` + "`midwatch simulate`, `midwatch investigate`, `midwatch score`" + `. Each scenario with an actor is compared with the *quiet* run of the same organization
(same seed, same size, nobody there). Beside each rate of detection stands the probability of a false alarm in the same span of time of the
quiet run: a rule that always rings detects everything.

Proportions have 95 % Wilson intervals, other numbers 95 % bootstrap intervals over runs (2,000 samples). Few runs give wide intervals; that is what they are
for. The seeds are of one generator: the intervals say how results vary from one simulated organization to the next, not from these to real ones.
`)
}

func detection(b *md, gs []*group) {
	b.p("## Is somebody in?\n")
	b.text(`*Alert*: a finding of medium severity or more about the actor. *Campaign*: the case has a campaign that holds the actor. *Established*: and says that it is
one. To the right the same of false ones in the quiet run, in the same span.
`)
	b.head("users", "scenario", "runs", "alert", "campaign", "established", "false alert in the span", "false campaign in the span", "false established one")
	for _, g := range gs {
		known := func(yes bool) (bool, bool) { return yes, true }
		b.row(fmt.Sprint(g.users), g.name(), fmt.Sprint(len(g.runs)),
			g.share(func(r *campaignRun) (bool, bool) { return known(r.c.AlertedAt != nil) }).percent(),
			g.share(func(r *campaignRun) (bool, bool) { return known(r.c.Matched != "") }).percent(),
			g.share(func(r *campaignRun) (bool, bool) { return known(r.c.Standing == "established") }).percent(),
			g.share(func(r *campaignRun) (bool, bool) { return r.falseIn(medium) }).percent(),
			g.share(func(r *campaignRun) (bool, bool) {
				return r.falseIn(func(f *score.FalseOne) bool { return f.Detector == "" })
			}).percent(),
			g.share(func(r *campaignRun) (bool, bool) {
				return r.falseIn(func(f *score.FalseOne) bool { return f.Standing == "established" })
			}).percent())
	}
	b.p("")
}

func times(b *md, gs []*group) {
	b.p("## Since when, and how soon was it seen?\n")
	b.text(`Delays count from the first malicious record in the logs to the first alert (as above); negative ones from the first success are good: seen before the actor was
in. Medians and P90 are of the runs with an alert, so read them with the share that has one by the seventh and the twenty-first day, which is of all runs. In
the incident it took 42 days or more. Errors are those of the matched campaign.
`)
	b.head("users", "scenario", "days to the alert, median", "P90", "by day 7", "by day 21", "days from the first success, median", "start error, median days", "initial access error, median days")
	for _, g := range gs {
		first := g.values(func(r *campaignRun) *float64 {
			if r.c.AlertedAt == nil {
				return nil
			}
			return r.c.AlertedAt.AfterFirst
		})
		success := g.values(func(r *campaignRun) *float64 {
			if r.c.AlertedAt == nil {
				return nil
			}
			return r.c.AlertedAt.AfterSuccess
		})
		by := func(d float64) string {
			return g.share(func(r *campaignRun) (bool, bool) {
				return r.c.AlertedAt != nil && r.c.AlertedAt.AfterFirst != nil && *r.c.AlertedAt.AfterFirst <= 24*d, true
			}).percent()
		}
		p90 := func(xs []float64) float64 { return quantile(xs, 0.9) }
		b.row(fmt.Sprint(g.users), g.name(), days(bootstrap(first, median)), days(bootstrap(first, p90)), by(7), by(21), days(bootstrap(success, median)),
			days(bootstrap(g.values(func(r *campaignRun) *float64 { return r.c.StartError }), median)),
			days(bootstrap(g.values(func(r *campaignRun) *float64 { return r.c.AccessError }), median)))
	}
	b.p("")
}

// once leaves one line for each run of a cell: what is not of one actor is
// told once, where a run has several.
func once(gs []*group) (out []*group) {
	seen := map[string]bool{}
	for _, g := range gs {
		key := fmt.Sprint(g.users, g.cell)
		if !seen[key] {
			seen[key] = true
			x := *g
			x.kind = ""
			out = append(out, &x)
		}
	}
	return out
}

func of(s *score.Score, kind string, established bool) score.Entity {
	list := s.Entities
	if established {
		list = s.Established
	}
	i := slices.IndexFunc(list, func(e score.Entity) bool { return e.Kind == kind })
	if i < 0 {
		return score.Entity{}
	}
	return list[i]
}

func reach(b *md, gs []*group) {
	b.p("## What was reached?\n")
	b.p(`Means over runs; a mailbox counts as found in whichever campaign of the case it is listed. *Unknown* is the third class: said to be possible, not to be cleared, or not assessed. A reached mailbox of which the case says nothing is
*falsely cleared*. *For nothing* are mailboxes listed as reached that were not: in all campaigns, and in established ones alone; a suspected campaign says itself that it may
be an administrator or a backup at work. *Value*: 1 is perfect, 0 no better than the cheaper of clearing everybody and listing everybody; the cost is %g for a
mailbox falsely cleared, %g for one listed for nothing, %g for one that cannot be cleared. These weights are a judgement: a mailbox cleared falsely is a person who is
not told, one listed for nothing is an hour's work.
`, score.FalselyClearedWeight, score.OverListedWeight, score.UnclearedWeight)
	b.head("users", "scenario", "mailboxes found", "unknown", "falsely cleared, of a run", "for nothing, of a run", "of that in established", "value", "messages found", "unknown", "precision")
	for _, g := range once(gs) {
		avg := func(f func(r *campaignRun) *float64, digits int) string {
			return bootstrap(g.values(f), mean).number(digits)
		}
		unknown := func(kind string) string {
			return avg(func(r *campaignRun) *float64 {
				e := of(r.Score, kind, false)
				if e.Truth == 0 {
					return nil
				}
				return ptr(float64(e.Unknown) / float64(e.Truth))
			}, 2)
		}
		b.row(fmt.Sprint(g.users), g.name(),
			avg(func(r *campaignRun) *float64 { return of(r.Score, score.Mailboxes, false).Recall }, 2), unknown(score.Mailboxes),
			avg(func(r *campaignRun) *float64 { return ptr(float64(r.Score.Mailboxes.FalselyCleared)) }, 1),
			avg(func(r *campaignRun) *float64 { return ptr(float64(r.Score.Mailboxes.OverListed)) }, 1),
			avg(func(r *campaignRun) *float64 { return ptr(float64(of(r.Score, score.Mailboxes, true).Wrong)) }, 1),
			avg(func(r *campaignRun) *float64 { return r.Score.Mailboxes.Value }, 2),
			avg(func(r *campaignRun) *float64 { return of(r.Score, score.Messages, false).Recall }, 2), unknown(score.Messages),
			avg(func(r *campaignRun) *float64 { return of(r.Score, score.Messages, false).Precision }, 2))
	}
	b.p("")
}

func entities(b *md, gs []*group) {
	b.p("## Who, with what, from where?\n")
	b.p("Mean recall / precision over the runs in which there is something to find / to be wrong about. All campaigns of the case count, suspected ones included.\n")
	kinds := []string{score.Accounts, score.Sprayed, score.Apps, score.Credentials, score.IPs}
	b.head(append([]string{"users", "scenario"}, kinds...)...)
	for _, g := range once(gs) {
		row := []string{fmt.Sprint(g.users), g.name()}
		for _, k := range kinds {
			r := bootstrap(g.values(func(r *campaignRun) *float64 { return of(r.Score, k, false).Recall }), mean)
			p := bootstrap(g.values(func(r *campaignRun) *float64 { return of(r.Score, k, false).Precision }), mean)
			row = append(row, r.number(2)+" / "+p.number(2))
		}
		b.row(row...)
	}
	b.p("")
}

func falseAlarms(b *md, quiet []*result) {
	b.p("## How often is it wrong when nobody is there?\n")
	b.p("Quiet runs. Findings about other people's sprays, which go on all the time and are true, are not among them. None in all runs is given with the bound 3 / exposure.\n")
	b.head("users", "runs", "false findings, medium or more, a day and 1,000 users", "slighter ones", "runs with a false established campaign", "suspected campaigns a run", "by detector, all runs", "about")
	for _, u := range userSizes(quiet) {
		var hard, soft, exposure, suspected []float64
		wrong := 0
		by, about := map[string]int{}, map[string]int{}
		n := 0
		for _, r := range quiet {
			if r.Users != u {
				continue
			}
			n++
			f := r.Score.Findings
			hard, soft = append(hard, float64(f.False)), append(soft, float64(f.FalseMinor))
			exposure = append(exposure, float64(r.Days)*float64(r.Users)/1000)
			suspected = append(suspected, float64(f.FalseSuspected))
			if f.FalseEstablished > 0 {
				wrong++
			}
			for k, x := range f.ByDetector {
				by[k] += x
			}
			for k, x := range f.ByLookAlike {
				about[k] += x
			}
		}
		b.row(fmt.Sprint(u), fmt.Sprint(n), perUnit(hard, exposure).number(3), perUnit(soft, exposure).number(3), wilson(wrong, n).percent(), bootstrap(suspected, mean).number(1), tallied(by), tallied(about))
	}
	b.p("")
}

func tallied(m map[string]int) string {
	var out []string
	for _, k := range sorted(m) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	if out == nil {
		return "–"
	}
	return strings.Join(out, ", ")
}

func joined(b *md, done []*result, gs []*group) {
	b.p("## What was joined that does not belong together?\n")
	b.p("Look-alikes are benign things that resemble a campaign; the key lists them. Noise is other people's attacks. *Merged* and *split* are of actors.\n")
	b.head("users", "scenario", "look-alikes in an actor's campaign, a run", "in campaigns of their own", "noise in an actor's campaign", "runs with actors merged", "runs with an actor split")
	for _, g := range once(gs) {
		var with, own, noise []float64
		merged, split := 0, 0
		for i := range g.runs {
			s := g.runs[i].Score
			a, o := 0, 0
			for _, j := range s.LookAlikes.Joined {
				if j.Actor != "" {
					a++
				} else {
					o++
				}
			}
			with, own, noise = append(with, float64(a)), append(own, float64(o)), append(noise, float64(len(s.LookAlikes.NoiseJoined)))
			if len(s.Actors.Merged) > 0 {
				merged++
			}
			if len(s.Actors.Split) > 0 {
				split++
			}
		}
		b.row(fmt.Sprint(g.users), g.name(), bootstrap(with, mean).number(1), bootstrap(own, mean).number(1), bootstrap(noise, mean).number(1), wilson(merged, len(g.runs)).percent(), wilson(split, len(g.runs)).percent())
	}
	b.p("")
	kinds := map[string]int{}
	for _, r := range done {
		for _, j := range r.Score.LookAlikes.Joined {
			kinds[j.Kind]++
		}
	}
	b.p("Kinds of look-alikes that were joined, all runs: %s.\n", tallied(kinds))
}

// raised says whether a baseline rang in a time, and about whom.
func raised(r *result, b *baseline, limit int, from, to time.Time, about string) bool {
	as := r.Alerts[b.ID]
	if b.oracle {
		if limit == 0 {
			return false
		}
		as, _ = tune(as, limit)
	}
	// A bucket that began before the end is judged after it.
	return slices.ContainsFunc(as, func(a alert) bool {
		return !a.At.Before(from) && !a.At.After(to.Add(24*time.Hour)) && a.about() == about
	})
}

// field compares with the rules of the field, on what they are for.
func field(b *md, gs []*group, quiet []*result) {
	b.p("## How do the field's rules do on the same events?\n")
	b.text(`Published rules, written anew as SQL over the same event store (internal/eval/baselines.go has each with its source). A rule detects a campaign when it rings in the
campaign's span with at least half of the failures that it counts being the actor's; after the dot stands the probability that it rings about something benign in the same span
of the quiet run. Alerts mostly about other people's sprays are in neither. For Midwatch the first row has its alerts as in the first table, of all detectors; the second, which is what to compare with, the findings of any severity of those that look at
guessing. The last row is a limit per address that is chosen with the answer key, for each run anew, so that the actor's busiest address just reaches it: no limit per address can do better.
`)
	guessing := []string{"midnight", "midnight, hidden", "narrow", "narrow, 20 accounts, geo-matched", "loudspray", "bruteforce"}
	for _, u := range groupSizes(gs) {
		var cols []*group
		for _, name := range guessing {
			for _, g := range gs {
				if g.users == u && g.cell == name && g.kind == "" {
					cols = append(cols, g)
				}
			}
		}
		if len(cols) == 0 {
			continue
		}
		b.p("%d users:\n", u)
		head := []string{"rule"}
		for _, g := range cols {
			head = append(head, g.name())
		}
		b.head(append(head, "benign alerts a day and 1,000 users, quiet")...)
		row := []string{"**Midwatch**"}
		for _, g := range cols {
			row = append(row, g.share(func(r *campaignRun) (bool, bool) { return r.c.AlertedAt != nil, true }).percent()+" · "+g.share(func(r *campaignRun) (bool, bool) { return r.falseIn(medium) }).percent())
		}
		b.row(append(row, quietRate(quiet, u, func(r *result) int { return r.Score.Findings.False }))...)
		if slices.ContainsFunc(cols, func(g *group) bool {
			return slices.ContainsFunc(g.runs, func(r campaignRun) bool { return r.c.By != nil })
		}) {
			row := []string{"**Midwatch**, guessing alone"}
			for _, g := range cols {
				row = append(row, g.share(func(r *campaignRun) (bool, bool) {
					return slices.ContainsFunc(guessers(), func(d string) bool { _, ok := r.c.By[d]; return ok }), r.c.By != nil
				}).percent()+" · "+g.share(func(r *campaignRun) (bool, bool) { return r.falseIn(guess) }).percent())
			}
			b.row(append(row, quietRate(quiet, u, func(r *result) (n int) {
				for _, f := range r.Score.Findings.FalseOnes {
					if guess(&f) {
						n++
					}
				}
				return n
			}))...)
		}
		for _, rule := range baselines() {
			row := []string{rule.ID}
			for _, g := range cols {
				row = append(row, g.share(func(r *campaignRun) (bool, bool) {
					return raised(r.result, &rule, r.Oracle, r.span.From, r.span.To, "actor"), true
				}).percent()+" · "+g.share(func(r *campaignRun) (bool, bool) {
					if r.quiet == nil {
						return false, false
					}
					return raised(r.quiet, &rule, r.Oracle, r.span.From, r.span.To, "benign"), true
				}).percent())
			}
			rate := "depends on the run"
			if !rule.oracle {
				rate = quietRate(quiet, u, func(r *result) (n int) {
					for _, a := range r.Alerts[rule.ID] {
						if a.about() == "benign" {
							n++
						}
					}
					return n
				})
			}
			b.row(append(row, rate)...)
		}
		b.p("")
	}
	b.p("The rules:\n")
	for _, rule := range baselines() {
		note := ""
		if rule.Note != "" {
			note = " (" + rule.Note + ")"
		}
		b.p("- `%s`: %s. %s%s", rule.ID, rule.Source, rule.Logic, note)
	}
	b.p("")
}

// guessers are the detectors that look at guessing.
func guessers() []string { return []string{"slow_spray", "failures_one_ip", "failures_one_account"} }

func guess(f *score.FalseOne) bool { return slices.Contains(guessers(), f.Detector) }

func quietRate(quiet []*result, users int, n func(*result) int) string {
	var events, exposure []float64
	for _, r := range quiet {
		if r.Users == users {
			events, exposure = append(events, float64(n(r))), append(exposure, float64(r.Days)*float64(r.Users)/1000)
		}
	}
	return perUnit(events, exposure).number(3)
}

func sizes(b *md, done []*result) {
	b.p("## What was run\n")
	b.head("users", "days", "runs", "records a run, mean", "seconds of `investigate`, median")
	for _, u := range userSizes(done) {
		var records, seconds []float64
		span := 0
		for _, r := range done {
			if r.Users == u {
				records, seconds, span = append(records, float64(r.Records)), append(seconds, r.Seconds), r.Days
			}
		}
		b.row(fmt.Sprint(u), fmt.Sprint(span), fmt.Sprint(len(records)), fmt.Sprintf("%.0f", mean(records)), fmt.Sprintf("%.1f", median(seconds)))
	}
	b.p("")
	b.p("Benign volume that carries no signal is scaled to a fifth, so that more organizations can be run; rates of failures, consents and other rare things are not scaled. Seconds are of a shared machine and no benchmark; docs/PERFORMANCE.md has those.\n")
}

func limits(b *md) {
	b.text(`## What these numbers do not show

- **Generator and detectors share assumptions.** Both were written by people who had read the same reports of the same incident. Where the generator's
  actor does what the detector expects, a rate near 100 % says that the program does what it was written for, and not that it finds real intruders. The rates of
  benign life are from publications where there are any, and are marked *estimate* in ` + "`simulate/rates.go`" + ` where there are none; most of what decides false alarms is
  an estimate. No public labelled corpus of Entra sign-ins with a benign population exists to check them against.
- **The detectors are first, simple ones with fixed limits.** Their limits are set by hand, what was changed since the generator exists was to be changed on
  development seeds only, and they do not estimate how often they are wrong. The page is of the revision named at its top and of no later one. A rate here is a place to start from, and a scenario at 0 % is a gap, told as one.
- **Small organizations.** Only the sizes above were run. Benign failures grow with the number of users while a quiet actor's do not: rates at 100,000 users
  cannot be read off these tables, and are worse for everything that counts over the whole site.
- **Few seeds.** With five runs even 5 of 5 leaves a Wilson interval down to 57 %. Runs of a cell share the generator's rates, so that intervals are
  narrower than those for organizations that differ from each other.
- **The null is the generator's, too.** "Nobody there" holds only the look-alikes that somebody thought of.
- **The field's rules are written anew** from their description, in their favour where logs lack what they read, with the limits that they are published with and without
  tuning. They are single rules; products that carry them have others, which may find the same actor at another step. Per-address and per-account
  limits are in the table because they are in use, not because anybody claims that they find this kind of actor.
- **Delays are of the logs.** They count to the moment at which the logs could have raised the finding, had they been read at once, and leave out how long a log takes
  to arrive and a person to look.
- **Reached is what the key says was read.** Whether somebody read on after opening a folder is not known to any log.
- **The key does not say of each address, credential and account in which log it can be seen**: recall in "without the test tenant" and "under way" is asked against
  more than these logs hold, and is lower than what they allow.
`)
}
