package investigate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"midwatch/casefile"
	"midwatch/store"
)

// Person is a row of the organization's directory.
type Person struct {
	User       string // user principal name, lower case
	Department string
	JobTitle   string
}

// What were they after: a hypothesis that is computed, with its uncertainty.
// In January 2024 the actor first sought what Microsoft knew about the actor.

const (
	// remarkable is the q below which an interest is said: messages of one
	// conversation are no independent draws, so that p is too small.
	remarkable = 0.01
	// fewest is how many of a thing have to be reached for it to be tested.
	fewest = 2
)

// interests fills in what is over-represented among what was reached.
func (b *builder) interests(ctx context.Context, people []Person) error {
	b.camp.Interests = nil
	var tested []casefile.Interest
	tested = append(tested, b.whose(people)...)
	folders, err := b.folders(ctx)
	if err != nil {
		return err
	}
	tested = append(tested, folders...)
	subjects, err := b.subjects(ctx)
	if err != nil {
		return err
	}
	tested = append(tested, subjects...)
	adjust(tested)
	tested = phrases(tested)
	for _, x := range tested {
		if x.Q <= remarkable && x.Low > 1 {
			b.camp.Interests = append(b.camp.Interests, x)
		}
	}
	kinds := []string{"seniority", "department", "subject", "folder"}
	slices.SortStableFunc(b.camp.Interests, func(x, y casefile.Interest) int {
		if d := slices.Index(kinds, x.Kind) - slices.Index(kinds, y.Kind); d != 0 {
			return d
		}
		switch {
		case x.Q < y.Q:
			return -1
		case x.Q > y.Q:
			return 1
		}
		return strings.Compare(x.Kind+x.What, y.Kind+y.What)
	})
	n := 0
	b.camp.Interests = slices.DeleteFunc(b.camp.Interests, func(x casefile.Interest) bool {
		if x.Kind == "subject" {
			n++
		}
		return x.Kind == "subject" && n > maxSubjects
	})
	words, err := b.searchedFor(ctx)
	if err != nil {
		return err
	}
	b.camp.Interests = append(b.camp.Interests, words...)
	when, ok, err := b.clock(ctx)
	if err != nil {
		return err
	}
	if ok {
		b.camp.Interests = append(b.camp.Interests, when)
	}
	return nil
}

// whose compares the owners of the mailboxes that were reached with the
// directory: departments, and leadership by job title.
func (b *builder) whose(people []Person) (out []casefile.Interest) {
	if len(people) == 0 {
		return nil
	}
	reached := map[string]*casefile.MailboxRef{}
	for i := range b.camp.Mailboxes {
		if m := &b.camp.Mailboxes[i]; m.Certainty.Rank() >= casefile.Probable.Rank() {
			reached[strings.ToLower(m.UPN)] = m
		}
	}
	type group struct {
		in, all int64
		events  []string
	}
	groups := map[[2]string]*group{}
	var of int64
	for _, p := range people {
		m := reached[p.User]
		if m != nil {
			of++
		}
		for _, k := range traits(p) {
			g := groups[k]
			if g == nil {
				g = &group{}
				groups[k] = g
			}
			if g.all++; m != nil {
				g.in++
				g.events = append(g.events, firstIDs(m.Events, 1)...)
			}
		}
	}
	keys := make([][2]string, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y [2]string) int { return strings.Compare(x[0]+"\x00"+x[1], y[0]+"\x00"+y[1]) })
	for _, k := range keys {
		g := groups[k]
		if g.in < fewest {
			continue
		}
		x := casefile.Interest{Kind: k[0], What: k[1], In: g.in, Of: of, Base: g.all, BaseOf: int64(len(people)), Events: firstIDs(g.events, 10)}
		x.Ratio, x.Low, x.High, x.P = overRepresented(x.In, x.Of, x.Base, x.BaseOf)
		x.Text = fmt.Sprintf("%d of the %d mailboxes reached are of %s, as are %d of the %s people in the directory", x.In, x.Of, traitWords(k), x.Base, number(x.BaseOf))
		out = append(out, x)
	}
	return out
}

func traitWords(k [2]string) string {
	if k[0] == "department" {
		return "department " + k[1]
	}
	return k[1]
}

// traits of a person.
func traits(p Person) (out [][2]string) {
	if d := strings.TrimSpace(p.Department); d != "" {
		out = append(out, [2]string{"department", d})
	}
	title := strings.ToLower(p.JobTitle)
	words := strings.FieldsFunc(title, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, w := range words {
		if slices.Contains([]string{"chief", "ceo", "cfo", "cto", "cio", "ciso", "coo", "president", "vp", "director", "head", "partner", "svp", "evp", "chairman", "chair"}, w) {
			out = append(out, [2]string{"seniority", "leadership (by job title)"})
			break
		}
	}
	return out
}

// folders compares the folders that messages were read in with all that are
// read or written in this evidence.
func (b *builder) folders(ctx context.Context) (out []casefile.Interest, err error) {
	in, events := map[string]int64{}, map[string][]string{}
	var of int64
	for i := range b.camp.Mailboxes {
		for j := range b.camp.Mailboxes[i].Messages {
			m := &b.camp.Mailboxes[i].Messages[j]
			if m.Folder == "" || m.Certainty != casefile.Confirmed {
				continue
			}
			f := folderName(m.Folder)
			in[f]++
			of++
			if len(events[f]) < 10 {
				events[f] = append(events[f], firstIDs(m.Events, 1)...)
			}
		}
	}
	if of == 0 {
		return nil, nil
	}
	all := map[string]int64{}
	var total int64
	err = store.Each(ctx, b.q, `SELECT folder, count(*) FROM items WHERE kind = 'message' AND folder IS NOT NULL AND folder <> '' GROUP BY folder ORDER BY folder`, nil, func(scan scanner) error {
		var f string
		var n int64
		if err := scan(&f, &n); err != nil {
			return err
		}
		all[folderName(f)] += n
		total += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("folders: %w", err)
	}
	for _, f := range sortedKeys(in) {
		if in[f] < fewest {
			continue
		}
		x := casefile.Interest{Kind: "folder", What: f, In: in[f], Of: of, Base: max(all[f], in[f]), BaseOf: max(total, of), Events: events[f]}
		x.Ratio, x.Low, x.High, x.P = overRepresented(x.In, x.Of, x.Base, x.BaseOf)
		x.Text = fmt.Sprintf("%s of the %s messages read were in folder %s, against %s of %s messages in all records", number(x.In), number(x.Of), f, number(x.Base), number(x.BaseOf))
		out = append(out, x)
	}
	return out, nil
}

// folderName is the last part of a folder's path, folded.
func folderName(path string) string {
	path = strings.Trim(path, `\/`)
	if i := strings.LastIndexAny(path, `\/`); i >= 0 {
		path = path[i+1:]
	}
	return strings.ToLower(path)
}

// maxSubjects is how many subjects are listed.
const maxSubjects = 8

// maxSubjectWords is how many words of subjects are compared.
const maxSubjectWords = 40

// subjects compares the words in the subjects of messages that were reached
// with those of all messages whose subject the evidence has.
func (b *builder) subjects(ctx context.Context) (out []casefile.Interest, err error) {
	ids := map[string][]string{} // message id -> events
	for i := range b.camp.Mailboxes {
		for j := range b.camp.Mailboxes[i].Messages {
			if m := &b.camp.Mailboxes[i].Messages[j]; m.InternetMessageID != "" && m.Certainty == casefile.Confirmed {
				ids[m.InternetMessageID] = firstIDs(m.Events, 1)
			}
		}
	}
	in, events := map[string]int64{}, map[string][]string{}
	var of int64
	for chunk := range slices.Chunk(sortedKeys(ids), 1000) {
		err := store.Each(ctx, b.q, `SELECT message_id, max(subject) FROM events WHERE class IN ('message_trace', 'mail_send') AND subject IS NOT NULL AND subject <> '' AND message_id IN (`+quoted(chunk)+`) GROUP BY message_id ORDER BY message_id`, nil, func(scan scanner) error {
			var id, subject string
			if err := scan(&id, &subject); err != nil {
				return err
			}
			of++
			for _, w := range subjectWords(subject) {
				if in[w]++; len(events[w]) < 10 {
					events[w] = append(events[w], ids[id]...)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("subjects: %w", err)
		}
	}
	words := slices.DeleteFunc(sortedKeys(in), func(w string) bool { return in[w] < 3 })
	slices.SortStableFunc(words, func(x, y string) int { return int(in[y] - in[x]) })
	words = words[:min(len(words), maxSubjectWords)]
	if len(words) == 0 {
		return nil, nil
	}
	var cols []string
	for _, w := range words {
		cols = append(cols, `count(DISTINCT CASE WHEN lower(subject) LIKE `+like("%"+w+"%")+` THEN message_id END)`)
	}
	base := make([]int64, len(words))
	var all int64
	dest := []any{&all}
	for i := range base {
		dest = append(dest, &base[i])
	}
	err = store.Each(ctx, b.q, `SELECT count(DISTINCT message_id), `+strings.Join(cols, ", ")+` FROM events WHERE class IN ('message_trace', 'mail_send') AND subject IS NOT NULL AND subject <> ''`, nil, func(scan scanner) error { return scan(dest...) })
	if err != nil {
		return nil, fmt.Errorf("subjects: %w", err)
	}
	for i, w := range words {
		x := casefile.Interest{Kind: "subject", What: w, In: in[w], Of: of, Base: max(base[i], in[w]), BaseOf: max(all, of), Events: firstIDs(events[w], 10)}
		x.Ratio, x.Low, x.High, x.P = overRepresented(x.In, x.Of, x.Base, x.BaseOf)
		x.Text = fmt.Sprintf("%d of the %d messages read whose subject is known have the word %q in it, as have %s of %s messages in all", x.In, x.Of, w, number(x.Base), number(x.BaseOf))
		out = append(out, x)
	}
	return out, nil
}

// subjectWords are the distinct words of a subject that may mean something:
// letters only, four or more, folded.
func subjectWords(s string) (out []string) {
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if len(w) >= 4 && len(w) <= 30 && !slices.Contains([]string{"with", "from", "your", "this", "that", "have", "will", "about", "and"}, w) {
			out = addTo(out, []string{w})
		}
	}
	return out
}

// searchedFor lists what was searched for: not a test, but what an actor says
// of itself.
func (b *builder) searchedFor(ctx context.Context) (out []casefile.Interest, err error) {
	n, events := map[string]int64{}, map[string][]string{}
	var all int64
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		w, args := x.where(true)
		if w == "" || x.maybe {
			continue
		}
		err := store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR), coalesce(detail, '') FROM events WHERE class IN ('search', 'graph_request', 'mail_access') AND detail LIKE '%"search"%' AND `+w+` ORDER BY time, id LIMIT 1000`, args, func(scan scanner) error {
			var id, detail string
			if err := scan(&id, &detail); err != nil {
				return err
			}
			q := searched(detail)
			n[q]++
			all++
			if len(events[q]) < 10 {
				events[q] = append(events[q], id)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("searches: %w", err)
		}
	}
	for _, q := range sortedKeys(n) {
		out = append(out, casefile.Interest{Kind: "search", What: q, In: n[q], Of: all, P: 1, Q: 1, Text: fmt.Sprintf("searched for %s %s", q, numbers(n[q], "time", "times")), Events: events[q]})
	}
	slices.SortStableFunc(out, func(x, y casefile.Interest) int { return int(y.In - x.In) })
	return out[:min(len(out), 20)], nil
}

// clock says at which hours the actor acts. Hours in which anything happened
// count once, so that a burst does not weigh more than a night's work.
func (b *builder) clock(ctx context.Context) (x casefile.Interest, ok bool, err error) {
	seen := map[time.Time]bool{}
	for _, k := range b.g.order {
		c := b.g.contexts[k]
		w, args := c.where(false)
		if w == "" || c.maybe {
			continue
		}
		err := store.Each(ctx, b.q, `SELECT DISTINCT date_trunc('hour', time) AS h FROM events WHERE `+w+` ORDER BY h`, args, func(scan scanner) error {
			var at time.Time
			err := scan(&at)
			seen[at.UTC()] = true
			return err
		})
		if err != nil {
			return x, false, fmt.Errorf("hours: %w", err)
		}
	}
	var hours []float64
	weekend := 0
	for at := range seen {
		hours = append(hours, float64(at.Hour())+0.5)
		if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
			weekend++
		}
	}
	if len(hours) < 10 {
		return x, false, nil
	}
	slices.Sort(hours)
	mean, length, p := circle(hours)
	if p > 0.01 {
		return x, false, nil
	}
	from, to, in := arc(hours, 0.8)
	x = casefile.Interest{Kind: "time", What: fmt.Sprintf("%02d to %02d UTC", from, to), In: int64(in), Of: int64(len(hours)), P: p, Q: p, Ratio: length}
	off := int(math.Round(13 - mean)) // were the middle of its day at 13 o'clock
	if off > 14 {
		off -= 24
	}
	if off < -12 {
		off += 24
	}
	x.Text = fmt.Sprintf("%d of the %d hours in which it acted lie between %02d and %02d UTC, %d on weekends; if that were an office day, it would be one of about UTC%+d (give or take two hours). Actors also keep their victims' hours on purpose, and what was not recorded has no hour",
		in, len(hours), from, to, weekend, off)
	return x, true, nil
}

// arc is the shortest stretch of whole hours that holds a share of them.
func arc(hours []float64, share float64) (from, to, in int) {
	var n [24]int
	for _, h := range hours {
		n[int(h)%24]++
	}
	need := int(math.Ceil(share * float64(len(hours))))
	for length := 1; length <= 24; length++ {
		best, at := 0, 0
		for a := range 24 {
			sum := 0
			for d := range length {
				sum += n[(a+d)%24]
			}
			if sum > best {
				best, at = sum, a
			}
		}
		if best >= need {
			return at, (at + length) % 24, best
		}
	}
	return 0, 24, len(hours)
}

// phrases makes one interest of words that stand in the same subjects.
func phrases(xs []casefile.Interest) (out []casefile.Interest) {
	at := map[string]int{}
	for _, x := range xs {
		if x.Kind != "subject" {
			out = append(out, x)
			continue
		}
		key := fmt.Sprint(x.In, x.Base, x.Events)
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, x)
			continue
		}
		y := &out[i]
		y.Text = strings.Replace(y.Text, "word "+fmt.Sprintf("%q", y.What), "words "+fmt.Sprintf("%q", y.What), 1)
		y.Text = strings.Replace(y.Text, fmt.Sprintf("%q in", y.What), fmt.Sprintf("%q in", y.What+" "+x.What), 1)
		y.What += " " + x.What
	}
	return out
}
