package embeddedpg

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRepositoryGivesUpWhenNothingComes(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer upstream.Close()
	t.Setenv(RepositoryEnv, upstream.URL)
	repository, err := openRepository(t.Context(), 50*time.Millisecond, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	defer repository.Close()

	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Get(repository.URL() + "/postgres.jar"); err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Error("the archive could be read")
		}
	}
	if err := repository.Err(); err == nil || !strings.Contains(err.Error(), "nothing was received for 50ms") {
		t.Errorf("error %v, want it to say that nothing was received", err)
	}
}
