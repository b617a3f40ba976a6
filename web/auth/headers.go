package auth

import "net/http"

// policy lets a page load nothing but our own files and send forms to us alone.
// The way to an OpenID Connect issuer begins with a link, not a form, and needs
// no exception.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Headers gives every answer the headers of a page that holds other people's
// mail. What may be kept (our own style sheet) sets Cache-Control anew. strict
// says that the host is to be reached over TLS alone, for a year: not so on
// loopback, where it would be said of whatever else runs there.
func Headers(strict bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer") // forms of ours come with Origin: null then, and with Sec-Fetch-Site
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if strict {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
