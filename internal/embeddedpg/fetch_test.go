package embeddedpg_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
)

// TestFirstStarts starts three servers at once from a cache with a damaged archive, and then one more after the
// installation was damaged too. One test, because each installation takes seconds.
func TestFirstStarts(t *testing.T) {
	jar := newJar(t)
	var fetched atomic.Int64
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "somebody" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fetched.Add(1)
		jar.ServeHTTP(w, r)
	})
	cacheDir := emptyCache(t)
	archive := filepath.Join(cacheDir, filepath.Base(cachedArchive(t)))
	content, err := os.ReadFile(cachedArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, content[:len(content)/2], 0o644); err != nil {
		t.Fatal(err)
	}

	var servers [3]*embeddedpg.Server
	var failures [3]error
	var progress [3][]int64
	var starts sync.WaitGroup
	for i := range servers {
		starts.Go(func() {
			servers[i], failures[i] = embeddedpg.Start(t.Context(), embeddedpg.Config{
				CacheDir: cacheDir,
				Progress: func(received, total int64) {
					if total != int64(len(jar)) {
						t.Errorf("total %d, want %d", total, len(jar))
					}
					progress[i] = append(progress[i], received)
				},
			})
		})
	}
	starts.Wait()
	if err := errors.Join(failures[:]...); err != nil {
		t.Error(err)
	}
	for _, server := range servers {
		if server == nil {
			continue
		}
		if got := queryText(t, connect(t, server), "SHOW wal_level"); got != "logical" {
			t.Errorf("wal_level = %q", got)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := fetched.Load(); got != 2 {
		t.Errorf("%d requests, want one for the archive and one for its checksum", got)
	}
	seen := slices.Concat(progress[:]...)
	if len(seen) < 10 || !slices.IsSorted(seen) || seen[len(seen)-1] != int64(len(jar)) {
		t.Errorf("progress %v, want it to grow to %d", seen, len(jar))
	}

	if err := os.Truncate(filepath.Join(cacheDir, "17.6.0", "postgres", "bin", "postgres"), 4096); err != nil {
		t.Fatal(err)
	}
	server := pgtest.Start(t, embeddedpg.Config{CacheDir: cacheDir})
	queryText(t, connect(t, server), "SHOW wal_level")
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if got := fetched.Load(); got != 2 {
		t.Error("the repair fetched the archive, which was whole")
	}
	for dir, want := range map[string][]string{
		cacheDir:                       {"17.6.0", "17.6.0.lock", filepath.Base(archive), "run"},
		filepath.Join(cacheDir, "run"): {"lock"},
	} {
		if have := fileNames(t, dir); !slices.Equal(have, want) {
			t.Errorf("%s holds %v, want %v", dir, have, want)
		}
	}
}

func TestFetchFailure(t *testing.T) {
	jar := newJar(t)
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"no such release", http.NotFound, "-17.6.0.jar: 404 Not Found"},
		{"wrong checksum", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "not a jar")
		}, "downloaded checksums do not match"},
		{"no checksum", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".sha256") {
				http.NotFound(w, r)
				return
			}
			jar.ServeHTTP(w, r)
		}, "-17.6.0.jar.sha256: 404 Not Found"},
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "half")
		}, "after 4 bytes: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			serve(t, test.handler)
			cacheDir := emptyCache(t)
			server, err := embeddedpg.Start(t.Context(), embeddedpg.Config{CacheDir: cacheDir})
			if err == nil {
				server.Close()
				t.Fatal("no error")
			}
			for _, want := range []string{test.want, "fetch PostgreSQL 17.6.0 from http://", embeddedpg.RepositoryEnv, "--dsn"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %q tells the password", err)
			}
			checkNothingCached(t, cacheDir)
		})
	}
}

func TestFetchFromNoURL(t *testing.T) {
	t.Setenv(embeddedpg.RepositoryEnv, "://somebody:s3cret@")
	server, err := embeddedpg.Start(t.Context(), embeddedpg.Config{CacheDir: emptyCache(t)})
	if err == nil {
		server.Close()
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), embeddedpg.RepositoryEnv) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %q, want the variable's name and no password", err)
	}
}

func TestFetchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	cacheDir := emptyCache(t)
	server, err := embeddedpg.Start(ctx, embeddedpg.Config{CacheDir: cacheDir})
	if err == nil {
		server.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	checkNothingCached(t, cacheDir)
}

// reachableDir returns a new directory's path that the user who runs the server can reach; t.TempDir lets only its
// owner in.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "embeddedpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// emptyCache returns a cache directory of the test's own.
func emptyCache(t *testing.T) string {
	t.Helper()
	dir, err := embeddedpg.Location(embeddedpg.Config{CacheDir: filepath.Join(reachableDir(t), "cache")})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cachedArchive returns the path of the default version's archive, which it has fetched at most once on a machine.
func cachedArchive(t *testing.T) string {
	t.Helper()
	cacheDir, err := embeddedpg.Location(embeddedpg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	find := func() string {
		paths, err := filepath.Glob(filepath.Join(cacheDir, "*-17.6.0.txz"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(paths, "")
	}
	if find() == "" {
		pgtest.Start(t, embeddedpg.Config{})
	}
	return find()
}

// serve makes handler the Maven repository of the test. Only who knows the password in its URL would be let in.
func serve(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv(embeddedpg.RepositoryEnv, strings.Replace(server.URL, "http://", "http://somebody:s3cret@", 1))
}

// jar is an archive as Maven has it.
type jar []byte

func newJar(t *testing.T) jar {
	t.Helper()
	archive, err := os.ReadFile(cachedArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	writer := zip.NewWriter(&content)
	entry, err := writer.CreateHeader(&zip.FileHeader{Name: "postgres.txz", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return content.Bytes()
}

func (j jar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ".sha256") {
		fmt.Fprintf(w, "%x", sha256.Sum256(j))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(j)))
	w.Write(j)
}

func checkNothingCached(t *testing.T, cacheDir string) {
	t.Helper()
	if have := fileNames(t, cacheDir); !slices.Equal(have, []string{"17.6.0.lock"}) {
		t.Errorf("the cache holds %v, want a lock file alone", have)
	}
}

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
