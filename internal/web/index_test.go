package web

import (
	"net/http"
	"strings"
	"testing"
)

func TestBrowsersGetThePage(t *testing.T) {
	server, _ := start(t, Config{})
	for path, want := range map[string]string{"/": "<!doctype html>", "/page/page.js": "fetch("} {
		got := request(t, server, http.MethodGet, path, "Accept", "text/html,*/*;q=0.8")
		if got.StatusCode != http.StatusOK || !strings.Contains(got.body, want) || got.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s is answered with %d, %v and %q, want the page", path, got.StatusCode, got.Header, got.body)
		}
	}
	if got := request(t, server, http.MethodPost, "/page/page.js"); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", got.StatusCode)
	}
}
