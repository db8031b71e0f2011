package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// release is one commit and the directory that what is made of it goes to.
type release struct {
	version string // as in a tag: v1.2.3
	commit  string
	time    time.Time // of the commit; every file in an archive bears it
	source  string    // directory with the commit's files and nothing else
	stage   string    // directory for what goes into archives and packages
	out     string
	files   []string          // in out, by name, in the order they were made
	modules map[string]string // the checksums of those that a binary was built of, by path@version
}

// newRelease takes the commit's files out of git, so that nothing of the work tree, which may have changes, gets into a
// release. The directory out is made, or empty.
func newRelease(ctx context.Context, revision, out string) (*release, error) {
	commit, err := git(ctx, "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return nil, err
	}
	seconds, err := git(ctx, "show", "--no-patch", "--format=%ct", commit)
	if err != nil {
		return nil, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the time of commit %s: %w", commit, err)
	}
	r := &release{commit: commit, time: time.Unix(unix, 0).UTC(), modules: map[string]string{}}
	if r.version, err = git(ctx, "describe", "--tags", "--exact-match", "--match", "v[0-9]*", commit); err != nil {
		r.version = snapshotVersion(r.time, commit) // not tagged
	}
	if r.out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := claim(r.out); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "pgwitness-release-*")
	if err != nil {
		return nil, err
	}
	r.source, r.stage = filepath.Join(work, "source"), filepath.Join(work, "stage")
	if err := r.export(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// claim makes the directory, or sees that it is empty.
func claim(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // what gets into it is public
		return err
	}
	found, err := os.ReadDir(directory)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s is not empty: remove it first", directory)
	}
	return err
}

func (r *release) close() { _ = os.RemoveAll(filepath.Dir(r.source)) }

// snapshotVersion is the version of a commit without a tag, as Go spells those.
func snapshotVersion(at time.Time, commit string) string {
	return fmt.Sprintf("v0.0.0-%s-%.12s", at.UTC().Format("20060102150405"), commit)
}

// export writes the commit's files to r.source.
func (r *release) export(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "git", "archive", "--format=tar", r.commit)
	cmd.Stderr = os.Stderr
	archive, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git archive %s: %w", r.commit, err)
	}
	files := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(r.source, filepath.FromSlash(header.Name))
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755) //nolint:gosec // the same files are public in the repository
		case tar.TypeReg:
			err = writeFile(path, files, header.FileInfo().Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
}

// add notes that a file of this name is in r.out.
func (r *release) add(name string) { r.files = append(r.files, name) }

func git(ctx context.Context, args ...string) (string, error) {
	return output(ctx, "", nil, "git", args...)
}

// output runs a program in dir with env added to the environment and returns its standard output, trimmed.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(bytes.TrimSpace(out)), nil
}

// writeFile writes content to path, and makes the directories above it.
func writeFile(path string, content io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // what is in it is public
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask: it gets into archives
}
