package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/report"
	"midwatch/web/auth"
)

//go:embed assets
var files embed.FS

// page is what the frame of a page shows, around Data.
type page struct {
	Title   string
	At      string // entry of the menu that it belongs to
	User    auth.User
	Token   string // against forged requests
	Case    *casefile.Case
	Name    string // of the case, in addresses
	Link    links
	Cases   []string
	Head    int64 // number of the last entry of the journal that this page has seen
	Stale   string
	Version string
	Sprite  template.HTML
	Took    string
	Style   string
	Script  string
	Data    any
}

// May reports whether the user may do what a role is for.
func (p *page) May(role string) bool {
	r, err := auth.ParseRole(role)
	return err == nil && p.User.Role >= r
}

// menuItem is an entry of a case's menu.
type menuItem struct {
	Key, Title, Href string
	Gap              bool // apart from what is before it
}

// Menu is what a case has for the user.
func (p *page) Menu() []menuItem {
	l := p.Link
	m := []menuItem{
		{"overview", "Overview", l.base + "/", false},
		{"timeline", "Timeline", l.To("timeline"), false},
		{"graph", "Attack graph", l.To("graph"), false},
		{"findings", "Findings", l.To("findings"), true},
		{"mailboxes", "Mailboxes", l.To("mailboxes"), false},
	}
	if p.May("analyst") {
		m = append(m, menuItem{"messages", "Messages", l.To("messages"), false}, menuItem{"records", "Records", l.To("records"), false}, menuItem{"questions", "SQL", l.To("questions"), false})
	}
	return append(m, menuItem{"coverage", "Coverage", l.To("coverage"), false}, menuItem{"work", "Work", l.To("work"), true}, menuItem{"report", "Report", l.To("report"), false})
}

// Domains names the organizations of the case.
func (p *page) Domains() string {
	var out []string
	for _, t := range p.Case.Case.Tenants {
		if len(t.Domains) > 0 {
			out = append(out, report.Clean(t.Domains[0]))
		}
	}
	return strings.Join(out, ", ")
}

// readPages reads the templates: one set a page, each with the frame and the
// parts that pages share.
func readPages() (map[string]*template.Template, error) {
	funcs := template.FuncMap{}
	maps.Copy(funcs, report.Funcs())
	maps.Copy(funcs, template.FuncMap{
		"ms":      func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) },
		"grouped": report.Number,
		"count":   func(n int) string { return report.Number(int64(n)) },
		"dict": func(kv ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i+1 < len(kv); i += 2 {
				m[fmt.Sprint(kv[i])] = kv[i+1]
			}
			return m
		},
		"plain": report.Clean,
		"add":   func(a, b int) int { return a + b },
	})
	names, err := fs.Glob(files, "assets/page_*.html")
	if err != nil {
		return nil, err
	}
	out := map[string]*template.Template{}
	for _, name := range names {
		t, err := template.New("frame.html").Funcs(funcs).ParseFS(files, "assets/frame.html", "assets/parts.html", name)
		if err != nil {
			return nil, fmt.Errorf("read templates: %w", err)
		}
		key := strings.TrimSuffix(strings.TrimPrefix(path.Base(name), "page_"), ".html")
		out[key] = t
	}
	return out, nil
}

// render writes a page whole, or none of it.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, p *page) {
	p.Version, p.Sprite = s.Version, s.sprite
	p.Style, p.Script = s.assets["app.css"].path, s.assets["app.js"].path
	if p.User.Role != 0 {
		p.Token = auth.Token(r)
	}
	for _, x := range s.Cases {
		p.Cases = append(p.Cases, x.Name)
	}
	var b bytes.Buffer
	if err := s.pages[name].Execute(&b, p); err != nil {
		s.Log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "The page could not be made; the server's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who went away is not told
}

// show renders a page of a case.
func (s *Server) show(v *visit, name, at, title string, data any) error {
	return s.showAs(v, http.StatusOK, name, at, title, data)
}

func (s *Server) showAs(v *visit, status int, name, at, title string, data any) error {
	p := &page{Title: title, At: at, User: v.user, Case: v.d.Case, Name: v.d.Name, Link: v.link(), Data: data, Took: fmt.Sprintf("%d ms", s.Now().Sub(v.began).Milliseconds())}
	var err error
	if p.Head, p.Stale, err = s.Work.State(v.d.Dir, v.d.Case); err != nil {
		p.Stale = err.Error()
	}
	s.render(v.w, v.r, status, name, p)
	return nil
}

// part is a piece of a page that package report writes.
func part(write func(*bytes.Buffer) error) (template.HTML, error) {
	var b bytes.Buffer
	err := write(&b)
	return template.HTML(b.String()), err //nolint:gosec // html/template made it
}

// parts are several of them, in order.
func (v *visit) parts(names ...string) (template.HTML, error) {
	return part(func(b *bytes.Buffer) error {
		for _, n := range names {
			if err := v.sh.view.Part(b, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// asset is a file that pages ask for. Its address has its hash, so that a
// browser may keep it.
type asset struct {
	path, kind string
	body       []byte
}

func readAssets() (map[string]asset, error) {
	base, err := report.Style()
	if err != nil {
		return nil, err
	}
	out := map[string]asset{}
	for name, kind := range map[string]string{"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		b, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		if name == "app.css" {
			b = append(base[:len(base):len(base)], b...)
		}
		sum := sha256.Sum256(b)
		out[name] = asset{"/assets/" + name + "?" + hex.EncodeToString(sum[:6]), kind, b}
	}
	return out, nil
}

func (s *Server) serveAsset(v *visit) error {
	a, ok := s.assets[v.arg("name")]
	if !ok {
		http.NotFound(v.w, v.r)
		return nil
	}
	v.w.Header().Set("Content-Type", a.kind)
	v.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = v.w.Write(a.body)
	return nil
}
