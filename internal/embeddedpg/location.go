package embeddedpg

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// rootCacheDir is root's cache. It is not below root's home because the unprivileged user could not reach it there.
const rootCacheDir = "/var/cache/pgwitness/postgres"

// account is the user a server runs under.
type account struct {
	uid, gid int
}

// Location returns the directory in which Start keeps what it fetches, and creates it: Config.CacheDir, else
// pgwitness/postgres below the user's cache directory (below /var/cache for root), else, where that cannot be written,
// a directory of the user's own in os.TempDir.
func Location(cfg Config) (string, error) {
	owner, err := serverAccount()
	if err != nil {
		return "", err
	}
	return locate(cfg.CacheDir, owner)
}

func locate(dir string, owner account) (string, error) {
	if dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("cache directory: %w", err)
		}
		return dir, claim(dir, owner)
	}

	var candidates []string
	if os.Geteuid() == 0 {
		candidates = append(candidates, rootCacheDir)
	} else if base, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(base, "pgwitness", "postgres"))
	}
	candidates = append(candidates, filepath.Join(os.TempDir(), fmt.Sprintf("pgwitness-postgres-%d", owner.uid)))

	var failures []error
	for _, dir := range candidates {
		err := claim(dir, owner)
		if err == nil {
			return dir, nil
		}
		failures = append(failures, err)
	}
	return "", fmt.Errorf("no directory to keep PostgreSQL in; set HOME or TMPDIR to one that can be written: %w", errors.Join(failures...))
}

// claim makes dir a directory that belongs to owner and nobody else can write to, or says why it is none.
func claim(dir string, owner account) error {
	parent := filepath.Dir(dir)
	if _, err := os.Lstat(parent); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		// The umask of root may hide the directory from the user the server runs under.
		if os.Geteuid() == 0 {
			if err := os.Chmod(parent, 0o755); err != nil {
				return err
			}
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// os.TempDir can be written by everybody, so a stranger may have been there first.
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if os.Geteuid() == 0 {
		// A directory with content is somebody's: root must not give it away.
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			if err := os.Lchown(dir, owner.uid, owner.gid); err != nil {
				return err
			}
		}
		if info, err = os.Lstat(dir); err != nil {
			return err
		}
	}
	if uid, ok := fileOwner(info); ok && uid != owner.uid {
		return fmt.Errorf("%s belongs to user %d, it must belong to user %d, who runs the server", dir, uid, owner.uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by other users; take that away with chmod go-w", dir)
	}

	probe, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// serverAccount returns the user a server runs under: our own, or when we are root postgres, else nobody.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return account{}, fmt.Errorf("user %s: uid %q: %w", name, u.Uid, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return account{}, fmt.Errorf("user %s: gid %q: %w", name, u.Gid, err)
		}
		return account{uid: uid, gid: gid}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it; start this as an ordinary user")
}
