package embeddedpg

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInstallationWhole(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		want   bool
	}{
		{"untouched", func(string) error { return nil }, true},
		{"file gone", func(dir string) error { return os.Remove(filepath.Join(dir, "postgres", "bin", "postgres")) }, false},
		{"file shorter", func(dir string) error { return os.Truncate(filepath.Join(dir, "postgres", "bin", "postgres"), 2) }, false},
		{"file added", func(dir string) error { return os.WriteFile(filepath.Join(dir, "core"), nil, 0o600) }, false},
		{"directory gone", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "postgres")) }, false},
		{"manifest gone", func(dir string) error { return os.Remove(filepath.Join(dir, "manifest")) }, false},
		{"all gone", os.RemoveAll, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := installation{cacheDir: t.TempDir(), release: "17.6.0"}
			if err := os.MkdirAll(in.binDir(), 0o700); err != nil {
				t.Fatal(err)
			}
			for path, content := range map[string]string{
				filepath.Join(in.binDir(), "postgres"): "ELF",
				filepath.Join(in.dir(), "password"):    "",
			} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list, err := manifest(in.dir())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(in.dir(), "manifest"), []byte(list), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := test.damage(in.dir()); err != nil {
				t.Fatal(err)
			}
			if got := in.whole(); got != test.want {
				t.Errorf("whole() = %v, want %v", got, test.want)
			}
		})
	}
}
