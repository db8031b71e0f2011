// Package durable replaces small files so that a crash of the process or of the machine leaves the old content or the new,
// never a part and never neither.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"pgwitness/internal/failpoint"
)

// WriteFile replaces the file at path: written beside it under the name path.tmp, flushed, renamed, and the directory
// flushed. When it returns nil the new content survives a crash.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	temp := path + ".tmp"
	// A file of its own: one that is there may be half written by a process that was frozen and will go on writing.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	failpoint.Hit("durable.before-rename")
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	failpoint.Hit("durable.after-rename")
	return SyncDir(filepath.Dir(path))
}
