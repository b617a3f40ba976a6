package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/web/auth"
	"midwatch/web/dossier"
)

func TestMoment(t *testing.T) {
	for s, want := range map[string]string{
		"2024-01-12": "2024-01-12T00:00:00Z", " 2024-01-12 09:30 ": "2024-01-12T09:30:00Z", "2024-01-12 09:30 UTC": "2024-01-12T09:30:00Z", "2024-01-12 09:30:11": "2024-01-12T09:30:11Z",
		"2024-01-12T09:30": "2024-01-12T09:30:00Z", "2024-01-12T10:30:00+01:00": "2024-01-12T09:30:00Z", "2024-02-29": "2024-02-29T00:00:00Z",
		"": "", "yesterday": "", "2023-02-29": "", "2024-01-12 24:30": "", "1800-01-01": "", "2400-01-01": "", "12.01.2024": "", "2024-01-12 09:30 CET": "",
	} {
		got, ok := moment(s)
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %q", s, got, ok, want)
		}
	}
}

func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2024-01-12", "2024-01-12 09:30", "2024-01-12T10:30:00+01:00", "2024-01-12 09:30:11 UTC", "0000-00-00", "2299-12-31T23:59:59.999999999-23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := moment(s)
		if !ok {
			return
		}
		// What a page writes into addresses it reads again, to the second. Offsets can
		// lead one day out of the years that are taken.
		if again, ok := moment(stamp(m)); ok && !again.Equal(m.Truncate(time.Second)) || !ok && m.Year() > 1900 && m.Year() < 2300 {
			t.Errorf("%q is %v, and again %v, %v", s, m, again, ok)
		}
	})
}

func someVisit() *visit {
	c := &casefile.Case{Campaigns: []casefile.Campaign{{ID: "c-1"}}, Findings: []casefile.Finding{{ID: "f-1", Stage: "access"}}}
	d := &dossier.Dossier{Name: "x", Case: c}
	return &visit{d: d, sh: &shown{link: links{"/c/x"}}, user: auth.User{Role: auth.Responder}}
}

func lists() []*list {
	v := someVisit()
	return []*list{v.mailboxList(), v.messageList(), v.recordList(), v.findingList(), v.momentList(span{campaign: "c-1", entity: "x"})}
}

// placeholders are the parameters of a condition outside of its literals.
func placeholders(sql string) int {
	return strings.Count(regexp.MustCompile(`'[^']*'`).ReplaceAllString(sql, "''"), "?")
}

// Whatever is asked for comes to the engine as a parameter: the text of a
// condition depends on which fields are filled in, and on nothing in them.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{"x", "' OR 1=1 --", "\x00", "\xff", "?", "%", "2024-01-12", "17", "confirmed", "c-1", `\'; DROP TABLE messages`, "rank", "-rank", "rank, (SELECT 1)"} {
		f.Add(s, s)
	}
	texts := map[string]bool{}
	for _, l := range lists() {
		for _, x := range l.Filters {
			for _, v := range append([]string{"x", "2024-01-12", "17"}, x.Choices...) {
				if part, _, bad := x.sql(v); bad == "" {
					texts[part] = true
				}
			}
		}
		if l.Where != "" {
			texts[l.Where] = true
		}
	}
	f.Fuzz(func(t *testing.T, value, sort string) {
		for _, l := range lists() {
			q := url.Values{"sort": {sort}}
			for _, x := range l.Filters {
				part, args, bad := x.sql(value)
				if bad != "" {
					continue
				}
				if !texts[part] {
					t.Errorf("filter %s makes %q of %q", x.Key, part, value)
				}
				if n := placeholders(part); n != len(args) {
					t.Errorf("filter %s: %d parameters in %q, %d values", x.Key, n, part, len(args))
				}
				q.Set(x.Key, value)
			}
			where, args, fields, active, err := l.condition(q)
			if err == nil && placeholders(where) != len(args) {
				t.Errorf("%d values for %q", len(args), where)
			}
			if len(fields) != len(l.Filters) || active > len(fields) {
				t.Errorf("%d fields, %d of them in use", len(fields), active)
			}
			key, _ := l.order(q)
			known := key == strings.TrimPrefix(l.Sort, "-")
			for _, c := range l.Columns {
				known = known || c.Key == key
			}
			if !known {
				t.Errorf("sorted by %q", key)
			}
			// Addresses that a page makes stay in the page.
			p := &listPage{list: l, Query: q}
			for _, to := range []string{p.SortHref(l.Columns[0].Key), p.PageHref(2)} {
				u, err := url.Parse(to)
				if err != nil || u.Path != l.Path || u.Host != "" {
					t.Errorf("%q leads elsewhere", to)
				}
			}
		}
		w := span{campaign: value, stage: sort, certainty: value, entity: value}
		where, args := w.where()
		if placeholders(where) != len(args) || len(value) > 8 && strings.Contains(where, value) {
			t.Errorf("%q is made of %q", where, value)
		}
	})
}

// Links lead to a page of the case, whatever the ids are, and bring back what
// they were made of.
func FuzzLinks(f *testing.F) {
	for _, s := range []string{"x", "/../..", "//evil.example", "javascript:alert(1)", "?a#b", "\\evil", "\x00\xff", "a b&c=d", "ü"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		l := links{"/c/x"}
		for _, to := range []string{l.Record(a), l.Finding(a), l.Campaign(a), l.Mailbox(a, b), l.With("records", "q", a, "actor", b), l.section("verdict", a), l.report().Source(a), l.report().Step(a, 3), l.report().CampaignPart(a, b)} {
			u, err := url.Parse(to)
			if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, "/c/x/") {
				t.Fatalf("%q %q: %q leads elsewhere: %v", a, b, to, err)
			}
		}
		u, _ := url.Parse(l.With("records", "q", a, "actor", b))
		if got := u.Query(); got.Get("q") != a || got.Get("actor") != b {
			t.Errorf("%q %q come back as %v", a, b, got)
		}
		u, _ = url.Parse(l.Mailbox(a, b))
		if u.Path != "/c/x/mailboxes/"+a+"/"+b {
			t.Errorf("%q %q come back as %q", a, b, u.Path)
		}
		for _, k := range []casefile.EntityKind{casefile.Account, casefile.App, casefile.IP, casefile.Mailbox, casefile.UserAgent, casefile.EntityKind(a)} {
			if to := l.entity(k, b); to != "" && !strings.HasPrefix(to, "/c/x/") {
				t.Errorf("entity %q %q leads to %q", k, b, to)
			}
		}
	})
}

func TestSentence(t *testing.T) {
	for s, want := range map[string]string{"": "", "a b": "A b.", "it ends.": "It ends.", "ärger": "Ärger.", "\xff": "\xff."} {
		if got := sentence(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
