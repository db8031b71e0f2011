package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/internal/pipeline"
	"pgwitness/internal/status"
)

func TestStatus(t *testing.T) {
	want := status.Status{
		Version: "v1.2.3", Role: status.Active, Problems: []status.Problem{},
		Sinks: []status.Sink{{SinkState: pipeline.SinkState{Name: "file", State: "failing", Error: "write a<b: no space left on device"}}},
	}
	server, _ := start(t, Config{Status: func() status.Status { return want }})
	res := request(t, server, http.MethodGet, "/status")
	if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("answered %d, to be kept as %q says", res.StatusCode, res.Header.Get("Cache-Control"))
	}
	if !strings.Contains(res.body, "\n      \"error\": \"write a<b: no space left on device\"") {
		t.Errorf("not for people to read:\n%s", res.body)
	}
	var got status.Status
	if err := json.Unmarshal([]byte(res.body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read again it is another one (-want +got):\n%s", diff)
	}
}
