//go:build !linux

package replication

import "net"

// newLowWaterReader returns nil: elsewhere the poller does not heed SO_RCVLOWAT, and every message wakes the reader.
func newLowWaterReader(net.Conn) lowWaterReader { return nil }
