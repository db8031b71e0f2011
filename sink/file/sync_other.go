//go:build !linux

package file

import "os"

// syncData is a full fsync: darwin's fdatasync leaves the data in the drive's cache, and Windows has none.
func syncData(file *os.File) error { return file.Sync() }
