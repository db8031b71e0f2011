package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// workDir is the directory of one server, below the cache's directory run. A lock on a file in it says that its child
// lives. Directories come and go only under the lock file run/lock.
type workDir struct {
	path  string
	claim *flock.Flock // kept: the lock is gone with the file's last reference
}

// claimWorkDir creates a directory for one server below run, and removes those of children that were killed.
func claimWorkDir(ctx context.Context, run, release string) (_ *workDir, err error) {
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil, err
	}
	all, err := lockRun(ctx, run)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := sweep(run); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(run, release+"-")
	if err != nil {
		return nil, err
	}
	claim := flock.New(filepath.Join(path, "lock"))
	if _, err := claim.TryLock(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &workDir{path: path, claim: claim}, nil
}

// remove deletes the directory and gives up the claim to it.
func (w *workDir) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	all, err := lockRun(ctx, filepath.Dir(w.path))
	if err != nil {
		return err
	}
	defer all.Close()
	return errors.Join(os.RemoveAll(w.path), w.claim.Close())
}

func lockRun(ctx context.Context, run string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(run, "lock"))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", run, err), lock.Close())
	}
	return lock, nil
}

// sweep removes the directories of killed children. Where such a child's server is still there, which Linux prevents,
// its directory stays.
func sweep(run string) error {
	entries, err := os.ReadDir(run)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		path := filepath.Join(run, entry.Name())
		claim := flock.New(filepath.Join(path, "lock"))
		dead, err := claim.TryLock()
		if err == nil && dead && !alive(postmasterPID(filepath.Join(path, "data"))) {
			err = os.RemoveAll(path)
		}
		if err := errors.Join(err, claim.Close()); err != nil {
			return err
		}
	}
	return nil
}

// postmasterPID returns the process that a data directory says it belongs to, 0 when it says none.
func postmasterPID(dataDir string) int {
	content, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}
