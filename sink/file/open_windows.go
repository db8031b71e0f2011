package file

// appendFlag is nothing, because Windows does not truncate a file that was opened for appending.
const appendFlag = 0

// syncDir does nothing: Windows cannot flush a directory, and NTFS journals its names.
func syncDir(string) error { return nil }
