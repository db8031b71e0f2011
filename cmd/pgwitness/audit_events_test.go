package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestAuditEventsMistakes(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"--undo --login", exitUsage, "--undo takes off all event triggers: give it without --ddl and --login"},
		{"--undo --ddl=false", exitUsage, "--undo takes off all event triggers: give it without --ddl and --login"},
		{"--ddl=false", exitUsage, "nothing to audit: give --ddl, --login or both"},
		{"--lock-timeout 0", exitUsage, "--lock-timeout: want at least 1ms"},
		{"--dsn postgres://u@127.0.0.1:1/db?sslmode=disable", exitFailed, "cannot reach the server: "},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := append([]string{"audit", "events"}, strings.Fields(test.args)...)
			if code := execute(t.Context(), newRootCommand(), args, &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.HasPrefix(stderr.String(), "pgwitness: "+test.want) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("standard error\n got: %swant: %s", &stderr, test.want)
			}
		})
	}
}
