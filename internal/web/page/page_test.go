package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// names are those of all embedded files.
func names(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(files, "*")
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing is embedded: %v", err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestHandler(t *testing.T) {
	const plain = "what curl gets\n"
	handler := Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(plain))
	}))
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	const text = "text/plain; charset=utf-8"
	tests := []struct {
		name, path, accept string
		code               int
		contentType        string
		body               string
	}{
		{"a browser", "/", browser, 200, "text/html; charset=utf-8", "index.html"},
		{"curl", "/", "*/*", 200, text, plain},
		{"nothing accepted", "/", "", 200, text, plain},
		{"a script", "/page/page.js", "*/*", 200, "text/javascript; charset=utf-8", "page.js"},
		{"the style sheet", "/page/page.css", "text/css,*/*;q=0.1", 200, "text/css; charset=utf-8", "page.css"},
		{"the icon", "/page/icon.svg", "image/*", 200, "image/svg+xml", "icon.svg"},
		{"no such part", "/page/none.js", "*/*", 404, text, ""},
		{"no list of the parts", "/page/", browser, 404, text, ""},
		{"the source", "/page/page.go", "*/*", 404, text, ""},
		{"out of the directory", "/page/..%2Fpage.go", "*/*", 404, text, ""},
		{"another path", "/index.html", browser, 404, text, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, tt.path, http.NoBody)
			request.Header.Set("Accept", tt.accept)
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, request)
			if response.Code != tt.code || response.Header().Get("Content-Type") != tt.contentType {
				t.Fatalf("answered %d %s, want %d %s", response.Code, response.Header().Get("Content-Type"), tt.code, tt.contentType)
			}
			if tt.path == "/" && response.Header().Get("Vary") != "Accept" {
				t.Error("a cache would give one client the other's answer: Vary is not Accept")
			}
			switch {
			case tt.body == plain:
				if response.Body.String() != plain {
					t.Errorf("answered %q, want %q", response.Body, plain)
				}
			case tt.body != "":
				if response.Body.String() != read(t, tt.body) {
					t.Errorf("the answer is not %s", tt.body)
				}
				checkHeader(t, response.Header())
			}
		})
	}
}

func checkHeader(t *testing.T, header http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	directives := strings.Split(header.Get("Content-Security-Policy"), "; ")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'",
		"form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !slices.Contains(directives, want) {
			t.Errorf("the policy lacks %s: %s", want, directives)
		}
	}
	if strings.Contains(header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("the policy allows what is unsafe: %s", directives)
	}
}

// TestPartsAskNobodyElse reads the files for what the policy would forbid, or could not.
func TestPartsAskNobodyElse(t *testing.T) {
	forbidden := map[string]string{
		`(?i)\b(https?|wss?|ftp|data|blob):`:                  "an address of its own",
		`["'(]//`:                                             "an address of its own",
		`(?i)<script(?:[^>]*)>[^<]`:                           "an inline script",
		`(?i)<style|\sstyle=`:                                 "an inline style",
		`(?i)\son\w+\s*=\s*["']`:                              "an inline handler",
		`(?i)<(iframe|object|embed|base|form\s[^>]*action)\b`: "an element that leads elsewhere",
		`\b(inner|outer)HTML\b|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function`: "text that is taken for markup or code",
		`localStorage|sessionStorage|indexedDB|document\.cookie|caches\.`:                          "a place to keep data in",
	}
	for _, name := range names(t) {
		content := strings.ReplaceAll(read(t, name), `http://www.w3.org/2000/svg`, "the name of SVG, which nobody fetches")
		for pattern, what := range forbidden {
			if found := regexp.MustCompile(pattern).FindString(content); found != "" {
				t.Errorf("%s holds %s: %q", name, what, found)
			}
		}
	}
}

// TestPartsAreThere compares what the files refer to with what is embedded.
func TestPartsAreThere(t *testing.T) {
	wanted := map[string]bool{"index.html": true}
	for _, name := range names(t) {
		for _, match := range regexp.MustCompile(`(?:href|src)="page/([^"]*)"|from "\./([^"]*)"`).FindAllStringSubmatch(read(t, name), -1) {
			wanted[match[1]+match[2]] = true
		}
	}
	for _, name := range names(t) {
		if !wanted[name] {
			t.Errorf("%s is embedded and nothing refers to it", name)
		}
		delete(wanted, name)
	}
	for name := range wanted {
		t.Errorf("%s is referred to and not embedded", name)
	}
}

// TestIdentifiersAreThere finds in index.html every element that a script asks for.
func TestIdentifiersAreThere(t *testing.T) {
	html := read(t, "index.html")
	for _, name := range names(t) {
		for _, match := range regexp.MustCompile(`(?:\$|set)\("([\w-]+)"`).FindAllStringSubmatch(read(t, name), -1) {
			if !strings.Contains(html, ` id="`+match[1]+`"`) {
				t.Errorf("%s asks for #%s, which index.html does not have", name, match[1])
			}
		}
	}
}
