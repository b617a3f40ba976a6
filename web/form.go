package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"midwatch/casework"
	"midwatch/journal"
	"midwatch/report"
)

// form reads the fields of a form; those that are named must say something.
func (v *visit) form(needed ...string) (url.Values, error) {
	if err := v.r.ParseForm(); err != nil {
		return nil, &failure{Status: http.StatusBadRequest, Title: "The form cannot be read", Text: "Load the page again and repeat what you did.", err: err}
	}
	for _, k := range needed {
		if strings.TrimSpace(v.r.PostForm.Get(k)) == "" {
			return nil, v.refuse("Fill in “" + k + "”: those who read the case have to know it.")
		}
	}
	return v.r.PostForm, nil
}

func (v *visit) refuse(text string) error {
	return &failure{Status: http.StatusUnprocessableEntity, Title: "Not done", Text: text}
}

// author is who writes into the journal: who came in, and the account of the
// server that wrote it. seen is what the page had before it.
func (s *Server) author(v *visit) casework.By {
	seen, err := strconv.ParseInt(v.r.PostForm.Get("seen"), 10, 64)
	if err != nil {
		seen = -1
	}
	return casework.By{Author: journal.Author{Name: v.user.Name, User: s.Account}, Seen: seen}
}

// conflictData is what others wrote, and what somebody was about to.
type conflictData struct {
	Entries []entryView
	Path    string      // of the form
	Fields  [][2]string // that it was sent with
	Typed   []string
}

// typed is what somebody wrote into a form in their own words: where it is not
// taken it is given back.
func typed(r *http.Request) (out []string) {
	for _, k := range []string{"text", "reason", "why", "sql"} {
		if x := strings.TrimSpace(r.PostForm.Get(k)); x != "" {
			out = append(out, report.CleanLines(x))
		}
	}
	return out
}

// unreadable tells what is wrong with the files that people's work is in.
func unreadable(err error) error {
	return &failure{Status: http.StatusServiceUnavailable, Title: "The journal of this case cannot be read", Text: sentence(report.Clean(err.Error())), err: err}
}

// undone tells why a decision was not written down: others decided about the
// same meanwhile, or it does not fit the case.
func (s *Server) undone(v *visit, err error) error {
	var c *casework.Conflict
	if errors.As(err, &c) {
		var list []entryView
		for i := range c.Entries {
			list = append(list, entryOf(&c.Entries[i]))
		}
		d := conflictData{Entries: list, Path: v.r.URL.Path, Typed: typed(v.r)}
		for k, values := range v.r.PostForm {
			for _, x := range values {
				if k != "csrf" && k != "seen" {
					d.Fields = append(d.Fields, [2]string{k, x})
				}
			}
		}
		slices.SortFunc(d.Fields, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
		return s.showAs(v, http.StatusConflict, "conflict", "work", "Others decided meanwhile", d)
	}
	return &failure{Status: http.StatusUnprocessableEntity, Title: "Not done", Text: sentence(report.Clean(err.Error())), err: err}
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError {
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
