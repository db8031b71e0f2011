package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the file's bytes and its length durable, but not its times, which would cost a journal write.
func syncData(file *os.File) error {
	for {
		err := unix.Fdatasync(int(file.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: file.Name(), Err: err}
		}
		return nil
	}
}
