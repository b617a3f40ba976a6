// Package web shows cases in a browser: the pages that analysts live in,
// executives read and counsel quotes, rendered here and served from the one
// binary, with what people decide written through the journal.
//
// Four rules are kept here and nowhere else:
//
//   - Routes are a list (routes.go) that says of each who may use it and
//     whether it shows what mail holds. There is no other way to add one.
//   - What mail holds (subjects, addresses, records, answers of SQL) is written
//     to the audit before it is sent; where that fails it is not sent.
//   - A page is whole without its script, asks for nothing from outside, and
//     holds no style or script of its own.
//   - Everything that a log, a mail or a person wrote is text. html/template
//     escapes it; hidden characters become visible ones ([report.Clean]).
//
// Who may come in is for package auth to say, what a case is for package
// dossier, and the words and pictures are those of package report.
package web

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"time"

	"midwatch/casework"
	"midwatch/report"
	"midwatch/web/audit"
	"midwatch/web/auth"
	"midwatch/web/dossier"
)

// Config is what a server needs.
type Config struct {
	Cases []*dossier.Shelf
	Guard *auth.Guard
	Audit map[string]*audit.Log // by the case's name
	Work  *casework.Office
	Log   *slog.Logger
	Now   func() time.Time
	// Account is that of the operating system that writes the journal.
	Account string
	// Report writes a form of a case, as midwatch report does.
	Report func(ctx context.Context, w io.Writer, dir string, f report.Format, file string) error
	// Redo concludes a case again from its own events.
	Redo func(ctx context.Context, dir string) error
	// Life ends when the server is to stop: what goes on in the background ends
	// with it.
	Life context.Context
	// Version is shown at the foot of pages.
	Version string
}

// Server serves cases. It is an http.Handler.
type Server struct {
	Config
	handler http.Handler
	pages   map[string]*template.Template
	sprite  template.HTML
	assets  map[string]asset
	redo    redos
	turns   turns
}

// New makes a server.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, turns: make(turns, atOnce)}
	var err error
	if s.sprite, err = report.Sprite(); err != nil {
		return nil, err
	}
	if s.assets, err = readAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = readPages(); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, x := range c.Cases {
		if names[x.Name] {
			return nil, fmt.Errorf("two cases are called %s; serve folders of different names", x.Name)
		}
		names[x.Name] = true
	}
	s.handler = s.mux()
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Prepare is what a shelf of this server keeps with each state of a case. cards
// says what detectors say about themselves, of the case in a folder.
func Prepare(cards func(dir string) (map[string]report.Card, error)) func(*dossier.Dossier) (any, error) {
	return func(d *dossier.Dossier) (any, error) {
		c, err := cards(d.Dir)
		if err != nil {
			return nil, err
		}
		return newShown(d, c)
	}
}

// shown is a case prepared for its pages.
type shown struct {
	view  *report.View
	link  links
	mail  map[string]known // by message id
	marks marks
	memo  memo
}

func newShown(d *dossier.Dossier, cards map[string]report.Card) (*shown, error) {
	l := links{"/c/" + d.Name}
	v, err := report.NewView(d.Case, report.Options{NoMessages: true, NoEvidence: true, Cards: cards, Rows: 200, Links: l.report()})
	if err != nil {
		return nil, err
	}
	mail, err := mailOf(d.Dir, d.Case.Case.ID)
	if err != nil {
		return nil, err
	}
	return &shown{view: v, link: l, mail: mail}, nil
}
