//go:build !windows

package durable

import (
	"errors"
	"os"
)

// SyncDir makes the names in a directory durable: a file that was made, renamed or removed there stays so after a crash.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
