package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// checkWebConfig says what is wrong with the file that turns on TLS and basic authentication, and with those that it names.
func checkWebConfig(path string) error {
	if err := toolkit.Validate(path); err != nil {
		return fmt.Errorf("http.web_config: %w: %w", ErrListen, withoutValues(err))
	}
	return nil
}

// quotedValue is how the YAML parser quotes what it could not use: part of a password's hash, or of a key.
var quotedValue = regexp.MustCompile("`[^`]*`")

func withoutValues(err error) error {
	return errors.New(quotedValue.ReplaceAllString(err.Error(), "`…`"))
}

// serve serves until the server is shut down. The file is read again for each connection and request.
func (s *Server) serve() error {
	if s.webConfig == "" {
		return s.http.Serve(s.listener)
	}
	// The toolkit wraps the handler and then begins to serve, which asks for this before it accepts anything. Asking for a
	// password everywhere would leave a kubelet without probes, unless the password stands in the pod's specification.
	s.http.BaseContext = func(net.Listener) context.Context {
		guarded := s.http.Handler
		s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
				s.open.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
		return context.Background()
	}
	return toolkit.Serve(s.listener, &s.http, &toolkit.FlagConfig{WebConfigFile: &s.webConfig}, s.log)
}
