package web

import (
	"net/http"

	"midwatch/web/auth"
)

// Login draws the pages of package auth: the login and its refusals. It is
// given to the guard before the server is there, hence a function of it.
func (s *Server) Login(w http.ResponseWriter, r *http.Request, status int, p auth.LoginPage) {
	title := "Log in"
	switch {
	case status == http.StatusTooManyRequests:
		title = "Too many tries"
	case !p.Form:
		title = "Not allowed"
	}
	s.render(w, r, status, "login", &page{Title: title, User: p.User, Data: p})
}
