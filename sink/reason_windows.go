package sink

import "golang.org/x/sys/windows"

// The errno names of package syscall are invented numbers on Windows, which no system call returns.
var (
	gone    = []error{windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA, windows.WSAECONNRESET}
	noSpace = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}
	broken  = []error{windows.ERROR_IO_DEVICE, windows.ERROR_CRC, windows.ERROR_NOT_READY, windows.ERROR_GEN_FAILURE}
)
