package embeddedpg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClaim(t *testing.T) {
	owner, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		prepare func(dir string) error
		want    string // of the error; none when empty
	}{
		{"new", func(string) error { return nil }, ""},
		{"empty", func(dir string) error { return os.Mkdir(dir, 0o755) }, ""},
		{"below missing directories", func(dir string) error { return os.Remove(filepath.Dir(dir)) }, ""},
		{"open to others", func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.Chmod(dir, 0o777)
		}, "can be written by other users"},
		{"symbolic link", func(dir string) error {
			if err := os.Mkdir(dir+"-elsewhere", 0o700); err != nil {
				return err
			}
			return os.Symlink(dir+"-elsewhere", dir)
		}, "not a directory"},
		{"file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "base", "cache")
			if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := test.prepare(dir); err != nil {
				t.Fatal(err)
			}
			err := claim(dir, owner)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one that says %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if uid, ok := fileOwner(info); ok && uid != owner.uid {
				t.Errorf("the directory belongs to %d, want %d", uid, owner.uid)
			}
			if err := claim(dir, owner); err != nil {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

func TestClaimLeavesOthersDirectories(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := account{uid: os.Geteuid() + 1, gid: os.Getegid()}
	err := claim(dir, stranger)
	if err == nil || !strings.Contains(err.Error(), "must belong to user") {
		t.Errorf("error %v, want one that names the owner", err)
	}
}

func TestLocationWithoutHome(t *testing.T) {
	owner, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("HOME", "/nonexistent")
	t.Setenv("XDG_CACHE_HOME", "")
	dir, err := Location(Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := rootCacheDir
	if os.Geteuid() != 0 {
		want = filepath.Join(tmp, "pgwitness-postgres-")
	}
	if !strings.HasPrefix(dir, want) {
		t.Errorf("%s for user %d, want %s…", dir, owner.uid, want)
	}
}
