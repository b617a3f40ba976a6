package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"midwatch/report"
	"midwatch/web/audit"
	"midwatch/web/auth"
	"midwatch/web/dossier"
)

// route is an address of the server: who may use it, and what it shows.
type route struct {
	Method  string
	Pattern string
	Role    auth.Role // 0: everybody, with or without a session
	Mail    bool      // shows what mail holds: written to the audit before it is sent
	Quiet   bool      // asked by pages themselves: it keeps no session alive
	handle  func(s *Server, v *visit) error
}

// routes lists all addresses. The tests go through it with every role.
func routes() []route {
	const c = "/c/{case}"
	const view, work, act = auth.Viewer, auth.Analyst, auth.Responder
	return []route{
		{"GET", "/assets/{name}", 0, false, false, (*Server).serveAsset},
		{"GET", "/{$}", view, false, false, (*Server).home},
		{"GET", c + "/{$}", view, false, false, (*Server).overview},
		{"GET", c + "/timeline", view, false, false, (*Server).timeline},
		{"GET", c + "/graph", view, false, false, (*Server).graph},
		{"GET", c + "/campaigns/{id}", view, false, false, (*Server).campaign},
		{"GET", c + "/findings", view, false, false, (*Server).findings},
		{"GET", c + "/findings/{id}", view, false, false, (*Server).finding},
		{"GET", c + "/mailboxes", view, false, false, (*Server).mailboxes},
		{"GET", c + "/mailboxes.csv", view, false, false, (*Server).mailboxesCSV},
		{"GET", c + "/mailboxes/{campaign}/{upn}", work, true, false, (*Server).mailbox},
		{"GET", c + "/messages", work, true, false, (*Server).messages},
		{"GET", c + "/messages.csv", work, true, false, (*Server).messagesCSV},
		{"GET", c + "/records", work, true, false, (*Server).records},
		{"GET", c + "/records/{id}", work, true, false, (*Server).record},
		{"GET", c + "/records/{id}/raw", work, true, false, (*Server).recordRaw},
		{"GET", c + "/questions", work, false, false, (*Server).questions},
		{"POST", c + "/questions", work, true, false, (*Server).ask},
		{"POST", c + "/questions/saved", work, false, false, (*Server).saveQuestion},
		{"GET", c + "/coverage", view, false, false, (*Server).coverage},
		{"GET", c + "/work", view, false, false, (*Server).work},
		{"GET", c + "/work/{tab}", view, false, false, (*Server).work},
		// What attachments are called, and who wrote whom, is what mail holds, too.
		{"GET", c + "/work/secrets", work, true, false, (*Server).workSecrets},
		{"GET", c + "/work/notices", work, true, false, (*Server).workNotices},
		{"POST", c + "/work/note", work, false, false, (*Server).addNote},
		{"POST", c + "/work/campaigns", work, false, false, (*Server).decide},
		{"POST", c + "/work/secrets", act, false, false, (*Server).setSecret},
		{"POST", c + "/work/notices", act, false, false, (*Server).setNotice},
		{"POST", c + "/work/clocks", act, false, false, (*Server).setClock},
		{"POST", c + "/work/containment", act, false, false, (*Server).approve},
		{"GET", c + "/changes", view, false, true, (*Server).changes},
		{"GET", c + "/report", view, false, false, (*Server).reports},
		{"GET", c + "/report/{format}/{file}", work, true, false, (*Server).reportFile},
	}
}

// mux makes the handler of all routes, each behind what its list says.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		h := s.serve(r)
		switch {
		case r.Role != 0 && r.Quiet:
			h = s.Guard.RequireQuietly(r.Role, h)
		case r.Role != 0:
			h = s.Guard.Require(r.Role, h)
		}
		if r.Method == http.MethodPost { // around the guard, who reads the form for its token
			h = http.MaxBytesHandler(h, maxForm)
		}
		mux.Handle(r.Method+" "+r.Pattern, h)
	}
	s.Guard.Routes(mux)
	mux.Handle("/", s.Guard.Require(auth.Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allow := methods(mux, r); len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			s.fail(w, r, &failure{Status: http.StatusMethodNotAllowed, Title: "That cannot be done here", Text: "The page is there, and takes other requests than this one."})
			return
		}
		s.fail(w, r, &failure{Status: http.StatusNotFound, Title: "There is no such page", Text: "The address may be misspelt, or of a case that is not served."})
	})))
	return s.Guard.Protect(mux)
}

// methods are those by which an address can be asked for. The pattern of all that
// is not there takes every method, so that the mux does not tell.
func methods(mux *http.ServeMux, r *http.Request) (out []string) {
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		x := *r
		x.Method = m
		if _, pattern := mux.Handler(&x); pattern != "/" {
			out = append(out, m)
		}
	}
	return out
}

// visit is a request for a page.
type visit struct {
	w     http.ResponseWriter
	r     *http.Request
	route route
	user  auth.User
	shelf *dossier.Shelf
	d     *dossier.Dossier // nil outside of a case
	sh    *shown
	began time.Time
}

// arg is a part of the path.
func (v *visit) arg(name string) string { return v.r.PathValue(name) }

// link makes addresses in the case.
func (v *visit) link() links { return v.sh.link }

// failure is an error that a person is told.
type failure struct {
	Status int
	Title  string
	Text   string
	Typed  []string // what somebody wrote that was not taken
	err    error
}

func (f *failure) Error() string { return fmt.Sprintf("%d %s: %v", f.Status, f.Title, f.err) }
func (f *failure) Unwrap() error { return f.err }

func notFound(what string) error {
	return &failure{Status: http.StatusNotFound, Title: "There is no such " + what, Text: "It may have changed its id when the case was made anew, which findings do when they grow."}
}

// questionTime bounds what a page may ask of the engine.
const questionTime = 30 * time.Second

func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{w: w, r: r, route: rt, began: s.Now()}
		v.user, _ = auth.UserFrom(r.Context())
		if name := r.PathValue("case"); name != "" {
			for _, x := range s.Cases {
				if x.Name == name {
					v.shelf = x
				}
			}
			if v.shelf == nil {
				s.fail(w, r, &failure{Status: http.StatusNotFound, Title: "There is no such case", Text: "It is not among those that this server was started with."})
				return
			}
			d, back := v.shelf.Take()
			defer back()
			v.d, v.sh = d, dossier.Extra[*shown](d)
		}
		if rt.Role != 0 && rt.Method == "GET" {
			var cancel context.CancelFunc
			ctx, cancel := context.WithTimeout(r.Context(), questionTime)
			defer cancel()
			v.r = r.WithContext(ctx)
		}
		for _, list := range v.r.URL.Query() { // engines take no other text
			if !utf8.ValidString(strings.Join(list, "")) {
				s.fail(w, r, &failure{Status: http.StatusBadRequest, Title: "The address cannot be read", Text: "It holds bytes that are no text. Copy it again, or begin with the case's first page."})
				return
			}
		}
		if rt.Mail {
			var f *failure
			if err := s.audit(v); errors.As(err, &f) {
				s.fail(w, r, f)
				return
			} else if err != nil {
				s.Log.Error("the audit cannot be written; mail content is not shown", "error", err)
				s.fail(w, r, &failure{Status: http.StatusServiceUnavailable, Title: "Not shown", Text: "Who reads what mail holds is written down first, and that failed. Nothing of it is shown until it works again; the server's log says why.", err: err})
				return
			}
		}
		if rt.asks() {
			end, err := s.turns.take(r.Context())
			if err != nil {
				return // nobody is there to be told
			}
			defer end()
			ctx, cancel := context.WithTimeout(r.Context(), questionTime) // it runs from here
			defer cancel()
			v.r = v.r.WithContext(ctx)
		}
		if err := rt.handle(s, v); err != nil {
			s.fail(w, r, err)
		}
	})
}

// maxForm bounds what a form may send.
const maxForm = 256 << 10

func (s *Server) audit(v *visit) error {
	what := v.r.URL.RequestURI()
	if v.r.Method == "POST" {
		if _, err := v.form(); err != nil {
			return err
		}
		if q := v.r.PostForm.Get("sql"); q != "" {
			what += " " + q
		}
	}
	action := "show"
	switch {
	case strings.HasSuffix(v.route.Pattern, "/raw"), strings.HasSuffix(v.route.Pattern, ".csv"), strings.HasSuffix(v.route.Pattern, "/{file}"):
		action = "download"
	case v.r.URL.RawQuery != "" || v.r.Method == "POST":
		action = "search"
	}
	return s.Audit[v.d.Name].Write(v.r.Context(), audit.Read{
		By: v.user.Name, Via: v.user.Via, Role: v.user.Role.String(), Session: auth.SessionFrom(v.r.Context()), Remote: v.r.RemoteAddr,
		Action: action, Route: v.route.Method + " " + v.route.Pattern, Case: v.d.Name, What: report.Clean(what), Rows: -1,
	})
}

// fail tells an error. What is not meant for people goes to the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
	case errors.As(err, &tooLarge):
		f = &failure{Status: http.StatusRequestEntityTooLarge, Title: "Too large", Text: "A form may send 256 KiB."}
	case errors.Is(err, context.DeadlineExceeded):
		f = &failure{Status: http.StatusGatewayTimeout, Title: "It took too long", Text: "The question was given up after " + questionTime.String() + ". Narrow it: a shorter time, a field instead of free text.", err: err}
	case r.Context().Err() != nil:
		return // nobody is there to be told
	default:
		f = &failure{Status: http.StatusInternalServerError, Title: "Something went wrong", Text: "The server's log says what. Nothing of the case was changed.", err: err}
	}
	if f.Status >= 500 {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	user, _ := auth.UserFrom(r.Context())
	f.Typed = typed(r)
	s.render(w, r, f.Status, "error", &page{Title: f.Title, User: user, Data: f})
}
