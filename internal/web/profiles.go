package web

import (
	"net/http"
	"net/http/pprof"
)

// handleProfiles routes Go's profiles, which give themselves as long as they are asked to take. The command line is not among
// them: a person may have put there what does not belong there.
func handleProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
