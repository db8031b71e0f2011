// Package page is what a browser gets from the listener: one page that shows what /status and /events say, live. It is made
// of the files beside this one, embedded; it asks nobody but the listener it came from, and keeps nothing.
package page

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed index.html *.css *.js *.svg
var files embed.FS

// policy lets the page use its own files and its own listener, and nothing else. Row data comes from whoever may write to an
// audited table: should a value ever be taken for markup, it still cannot run, load or send anything, and trusted types
// refuse the assignment that would do it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// contentTypes are ours rather than the system's: on Windows the registry decides what mime.TypeByExtension says, and with
// nosniff a script that is text/plain does not run.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// Handler serves the page at / and its parts below /page/. Whoever asks for / without accepting HTML, as curl does, gets
// otherwise's answer.
func Handler(otherwise http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			otherwise.ServeHTTP(w, r)
			return
		}
		serve(w, r, "index.html")
	})
	mux.HandleFunc("/page/{name}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, r.PathValue("name")) })
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, name string) {
	content, err := files.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentTypes[path.Ext(name)])
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store") // another version may answer next time, and its files belong together
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
