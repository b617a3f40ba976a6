package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"midwatch/casework"
	"midwatch/journal"
	"midwatch/report"
)

// form reads the fields of a form; those that are named must say something.
func (v *visit) form(needed ...string) (url.Values, error) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, err
		}
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

// undone tells why a decision was not written down: others decided about the
// same meanwhile, or it does not fit the case.
func (s *Server) undone(v *visit, err error) error {
	var c *casework.Conflict
	if errors.As(err, &c) {
		var list []entryView
		for i := range c.Entries {
			list = append(list, entryOf(&c.Entries[i]))
		}
		return s.showAs(v, http.StatusConflict, "conflict", "work", "Others decided meanwhile", list)
	}
	return &failure{Status: http.StatusUnprocessableEntity, Title: "Not done", Text: sentence(report.Clean(err.Error())), err: err}
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
