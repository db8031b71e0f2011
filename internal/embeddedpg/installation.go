package embeddedpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/gofrs/flock"
)

// superuser owns every cluster.
const superuser = "postgres"

// installation is one release in the cache: a directory named after it with
//
//	postgres/   the extracted binaries
//	template/   the data directory of a fresh cluster, which each server copies: quicker than an initdb each
//	password    the superuser's, made with the template
//	manifest    the name and size of every file of the above
//
// Its archive stays beside it. Whoever uses it holds the lock file <release>.lock shared, whoever makes it, exclusively.
type installation struct {
	cacheDir string
	release  string
	progress func(received, total int64)
}

func (in *installation) dir() string      { return filepath.Join(in.cacheDir, in.release) }
func (in *installation) binDir() string   { return filepath.Join(in.dir(), "postgres", "bin") }
func (in *installation) template() string { return filepath.Join(in.dir(), "template") }

// use calls f while the installation is whole and stays so, and makes it, or makes it again, before if need be.
func (in *installation) use(ctx context.Context, f func(password string) error) error {
	lock := flock.New(filepath.Join(in.cacheDir, in.release+".lock"))
	defer lock.Close()
	for {
		if _, err := lock.TryRLockContext(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("wait for another process to install PostgreSQL %s: %w", in.release, err)
		}
		if in.whole() {
			password, err := os.ReadFile(filepath.Join(in.dir(), "password"))
			if err != nil {
				return err
			}
			return f(string(password))
		}
		// flock(2) gives a lock up before it takes it again in another mode, so another process may have come first.
		if err := lock.Unlock(); err != nil {
			return err
		}
		if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("wait for another process to install PostgreSQL %s: %w", in.release, err)
		}
		if !in.whole() {
			if err := in.install(ctx); err != nil {
				return err
			}
		}
		if err := lock.Unlock(); err != nil {
			return err
		}
	}
}

// whole reports whether the installation is there as it was made. Sizes are compared, not content: that notices a
// removed file and what a lost power supply leaves behind, and costs milliseconds.
func (in *installation) whole() bool {
	want, err := os.ReadFile(filepath.Join(in.dir(), "manifest"))
	if err != nil {
		return false
	}
	have, err := manifest(in.dir())
	return err == nil && have == string(want)
}

func manifest(dir string) (string, error) {
	var lines strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "manifest" {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&lines, info.Size(), name)
		return nil
	})
	return lines.String(), err
}

// archives returns the archive of this release, at most one. Its name tells the platform in the library's own terms.
func (in *installation) archives() []string {
	// The pattern is well formed: the only error there is.
	paths, _ := filepath.Glob(filepath.Join(in.cacheDir, "embedded-postgres-binaries-*-"+in.release+".txz"))
	return paths
}

// install makes the installation in a directory beside its own and renames that into place.
func (in *installation) install(ctx context.Context) error {
	tmp := in.dir() + ".tmp"
	archives := in.archives()
	extracted, err := in.build(ctx, tmp)
	if err != nil && !extracted && len(archives) > 0 && ctx.Err() == nil {
		// The archive in the cache is damaged. xz checksums its blocks, so this is how it shows.
		for _, path := range archives {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		_, err = in.build(ctx, tmp)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}

	old := in.dir() + ".old"
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(in.dir(), old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, in.dir()); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// build has the library fetch the archive (unless it is there), extract it, make a cluster and run it once, which
// shows that it works. It reports whether the extraction succeeded.
func (in *installation) build(ctx context.Context, tmp string) (extracted bool, err error) {
	if err := os.RemoveAll(tmp); err != nil {
		return false, err
	}
	scratch := filepath.Join(tmp, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return false, err
	}
	// The library leaves its log files in os.TempDir.
	if err := os.Setenv("TMPDIR", scratch); err != nil {
		return false, err
	}
	repository, err := openRepository(ctx, fetchStall, in.progress)
	if err != nil {
		return false, err
	}
	defer repository.Close()
	port, err := freePort()
	if err != nil {
		return false, err
	}

	// The library creates this directory between extraction and initdb.
	runtimePath := filepath.Join(tmp, "runtime")
	password := rand.Text()
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.PostgresVersion(in.release)).
		BinaryRepositoryURL(repository.URL()).
		CachePath(in.cacheDir).
		BinariesPath(filepath.Join(tmp, "postgres")).
		RuntimePath(runtimePath).
		DataPath(filepath.Join(tmp, "template")).
		Locale("C").Encoding("UTF8").
		Username(superuser).Password(password).Database("postgres").
		Port(uint32(port)).
		StartParameters(map[string]string{"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}).
		StartTimeout(startTimeout).
		Logger(io.Discard))

	done := make(chan error, 1)
	go func() {
		if err := server.Start(); err != nil {
			done <- err
			return
		}
		done <- server.Stop()
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		// The library cannot be interrupted. While it fetches or extracts, the process may end and leave it; later
		// there are other processes, and they end within seconds.
		if _, statErr := os.Stat(runtimePath); statErr != nil {
			return false, context.Cause(ctx)
		}
		err = <-done
	}
	_, statErr := os.Stat(runtimePath)
	extracted = statErr == nil
	if err != nil && len(in.archives()) == 0 {
		if cause := repository.Err(); cause != nil {
			err = cause
		}
		return false, fmt.Errorf("fetch PostgreSQL %s from %s: %w; check the network and the proxy settings, name another Maven repository in %s, or offer an installed PostgreSQL with --dsn",
			in.release, repository.upstream.Redacted(), err, RepositoryEnv)
	}
	if err != nil {
		return extracted, fmt.Errorf("install PostgreSQL %s in %s: %w", in.release, in.cacheDir, err)
	}

	if err := errors.Join(os.RemoveAll(scratch), os.RemoveAll(runtimePath)); err != nil {
		return true, err
	}
	if err := os.WriteFile(filepath.Join(tmp, "password"), []byte(password), 0o600); err != nil {
		return true, err
	}
	list, err := manifest(tmp)
	if err != nil {
		return true, err
	}
	return true, os.WriteFile(filepath.Join(tmp, "manifest"), []byte(list), 0o600)
}
