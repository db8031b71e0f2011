//go:build unix

package file

import (
	"errors"
	"os"
)

// appendFlag makes a write go to the end wherever that is: written at an offset of our own, after somebody else had
// truncated the file, it would leave a hole of zeros that looks like the right length.
const appendFlag = os.O_APPEND

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
