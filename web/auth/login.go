package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Routes adds /login, /logout and what belongs to them.
func (g *Guard) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", g.getLogin)
	mux.HandleFunc("POST /login", g.postLogin)
	mux.Handle("POST /logout", g.Require(0, http.HandlerFunc(g.postLogout)))
	if g.o.OIDC != nil {
		mux.HandleFunc("GET /login/oidc", g.getOIDC)
		mux.HandleFunc("GET "+callbackPath, g.getCallback)
	}
}

// Form lives as long as a page may stay open before somebody logs in with it.
const formLife = time.Hour

// formToken is the token of a form that is shown before login. Who logs a
// victim in as themselves (to see what the victim does there) would need the
// cookie that it belongs to.
func (g *Guard) formToken(cookie string) string {
	m := hmac.New(sha256.New, g.forms[:])
	m.Write([]byte(cookie))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// form shows the login. The cookie of an earlier one stays, so that forms in two
// tabs both work.
func (g *Guard) form(w http.ResponseWriter, r *http.Request, status int, p LoginPage) {
	c := cookie(r, g.cookies.form)
	if !isSecret(c) {
		c = secret()
	}
	g.cookies.set(w, g.cookies.form, c, formLife)
	p.Form, p.CSRF = true, g.formToken(c)
	p.Password, p.OIDC, p.OneTime = g.o.Users != nil, g.o.OIDC != nil, g.o.OneTime != nil
	g.page(w, r, status, p)
}

func (g *Guard) getLogin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := LoginPage{}
	p.Next, _ = LocalPath(q.Get("next"))
	if t := q.Get("token"); t != "" && g.o.OneTime != nil {
		if !isSecret(t) {
			g.form(w, r, http.StatusBadRequest, LoginPage{Error: errTokenWrong.Error(), Next: p.Next})
			return
		}
		p.Token = t
	} else if _, ok, err := g.session(r, true); ok && err == nil {
		g.redirect(w, p.Next)
		return
	}
	g.form(w, r, http.StatusOK, p)
}

func (g *Guard) postLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		g.refuse(w, r, http.StatusBadRequest, "the form cannot be read")
		return
	}
	p := LoginPage{}
	p.Next, _ = LocalPath(r.PostForm.Get("next"))
	if c := cookie(r, g.cookies.form); !isSecret(c) || !same(r.PostForm.Get("csrf"), g.formToken(c)) {
		g.form(w, r, http.StatusForbidden, LoginPage{Error: "the form was out of date, or cookies are off; try again", Next: p.Next})
		return
	}
	if !g.allow(w, r, g.byAddr, neighborhood(remote(r)), User{}) {
		return
	}
	var u User
	var stamp digest
	var err error
	if t := r.PostForm.Get("token"); t != "" && g.o.OneTime != nil {
		u, err = g.o.OneTime.use(t)
		if err != nil {
			g.record(r, Event{Action: Failed, User: User{Via: ViaToken}, Reason: err.Error()})
			g.form(w, r, http.StatusUnauthorized, LoginPage{Error: err.Error(), Next: p.Next})
			return
		}
	} else {
		if u, stamp, err = g.password(w, r); err != nil {
			return
		}
	}
	g.begin(w, r, u, stamp, p.Next)
}

// password checks name and password. After an error the answer is written.
func (g *Guard) password(w http.ResponseWriter, r *http.Request) (User, digest, error) {
	name := r.PostForm.Get("name")
	p := LoginPage{Name: name}
	p.Next, _ = LocalPath(r.PostForm.Get("next"))
	if g.o.Users == nil {
		err := errors.New("there are no users with passwords")
		p.Error = err.Error()
		g.form(w, r, http.StatusBadRequest, p)
		return User{}, digest{}, err
	}
	if len(name) > maxUserName {
		name, p.Name = "", "" // no user has it
	}
	a, known, err := g.o.Users.lookup(name)
	if err == nil {
		who := User{Via: ViaPassword} // what was typed for a name may be a password
		if known {
			who.Name, who.Role = name, a.role
		}
		if !g.allow(w, r, g.byName, strings.ToLower(name), who) {
			return User{}, digest{}, errLimited
		}
		ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
		defer cancel()
		err = g.o.Users.check(ctx, a, known, r.PostForm.Get("password"))
		switch {
		case err == nil:
			return who, a.stamp, nil
		case errors.Is(err, errWrong):
			why := "wrong password"
			if !known {
				why = "no such user"
			}
			g.record(r, Event{Action: Failed, User: who, Reason: why})
			p.Error = err.Error()
			g.form(w, r, http.StatusUnauthorized, p)
			return User{}, digest{}, err
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
			g.record(r, Event{Action: Failed, User: who, Reason: "too many logins at once"})
			w.Header().Set("Retry-After", "5")
			p.Error = "too many people log in at once; try again in a few seconds"
			g.form(w, r, http.StatusServiceUnavailable, p)
			return User{}, digest{}, err
		}
	}
	g.o.Log.ErrorContext(r.Context(), "users cannot be read", "error", err)
	g.refuse(w, r, http.StatusServiceUnavailable, "the users file cannot be read; the server's log says why")
	return User{}, digest{}, err
}

var errLimited = errors.New("too many tries")

// allow takes one try. If there is none left the answer is written.
func (g *Guard) allow(w http.ResponseWriter, r *http.Request, l *limiter, key string, who User) bool {
	wait, first := l.try(key, g.o.Now())
	if wait == 0 {
		return true
	}
	if first {
		g.record(r, Event{Action: Locked, User: who, Reason: errLimited.Error()})
	}
	wait = max(wait.Round(time.Second), time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
	g.page(w, r, http.StatusTooManyRequests, LoginPage{Error: fmt.Sprintf("too many tries; wait %s", wait), RetryAfter: wait})
	return false
}

// begin lets somebody in. The session is a new one, whatever the browser had.
func (g *Guard) begin(w http.ResponseWriter, r *http.Request, u User, stamp digest, next string) {
	g.sessions.end(cookie(r, g.cookies.session))
	id, s := g.sessions.begin(u, stamp)
	g.cookies.set(w, g.cookies.session, id, 0)
	g.cookies.set(w, g.cookies.form, "", -1)
	g.record(r, Event{Action: LoggedIn, User: u, Session: s.short})
	g.redirect(w, next)
}

// postLogout ends the session, or with the field everywhere all of its user.
func (g *Guard) postLogout(w http.ResponseWriter, r *http.Request) {
	u, _ := UserFrom(r.Context())
	e := Event{Action: LoggedOut, User: u, Session: SessionFrom(r.Context())}
	if r.PostFormValue("everywhere") != "" {
		n := g.sessions.endAll(func(o User) bool { return o.key() == u.key() })
		e.Reason = fmt.Sprintf("everywhere: %d sessions", n)
	} else {
		g.sessions.end(cookie(r, g.cookies.session))
	}
	g.cookies.set(w, g.cookies.session, "", -1)
	g.record(r, e)
	g.redirect(w, "/login")
}

// EndAll ends every session, as when the server is to forget whom it knew, and
// returns how many there were.
func (g *Guard) EndAll() int { return g.sessions.endAll(func(User) bool { return true }) }

// LoginURL is the address that a one-time token makes, to be printed. base is
// scheme, host and port.
func LoginURL(base, token string) string {
	return strings.TrimSuffix(base, "/") + "/login?token=" + url.QueryEscape(token)
}
