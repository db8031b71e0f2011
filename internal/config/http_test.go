package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadHTTP(t *testing.T) {
	tests := []struct {
		name, file string
		environ    []string
		want       HTTP
		mistake    string // in the error; empty for none
	}{
		{name: "defaults", want: HTTP{Listen: ":9717"}},
		{name: "file", file: "http: {listen: \":1\", web_config: /web.yaml}", want: HTTP{Listen: ":1", WebConfig: "/web.yaml"}},
		{name: "environment over file", file: "http: {listen: \":1\"}", environ: []string{"PGWITNESS_HTTP_LISTEN=h:2"}, want: HTTP{Listen: "h:2"}},
		{name: "off", file: "http: {listen: \"off\"}"},
		{name: "others wrong", file: "source: {slot: A, password_file: /missing, status_interval: soon}\nhttp: {linger: never}", want: HTTP{Listen: ":9717"}},
		{name: "client's variables", environ: []string{"PGWITNESS_CLIENT_URL=http://h", "PGWITNESS_CLIENT_USER=u"}, want: HTTP{Listen: ":9717"}},
		{name: "listen wrong", file: "http: {listen: nowhere}", mistake: "http.listen"},
		{name: "unknown key", file: "htpt: {listen: nowhere}", mistake: "htpt"},
		{name: "unknown variable", environ: []string{"PGWITNESS_URL=http://h"}, mistake: "PGWITNESS_URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			options := Options{Environ: append([]string{}, tt.environ...)}
			if tt.file != "" {
				options.File = filepath.Join(t.TempDir(), "pgwitness.yaml")
				if err := os.WriteFile(options.File, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := LoadHTTP(options)
			if (err != nil) != (tt.mistake != "") || err != nil && !strings.Contains(err.Error(), tt.mistake) {
				t.Fatalf("the error is %v, want one of %q", err, tt.mistake)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("another one (-want +got):\n%s", diff)
			}
		})
	}
}
