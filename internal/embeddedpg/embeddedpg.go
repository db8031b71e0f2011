// Package embeddedpg runs a real PostgreSQL server on this machine, for the demo and for the integration tests.
//
// The binaries are fetched once by github.com/fergusstrange/embedded-postgres and kept in a cache directory that all
// processes of a user share; Location names it. Each server has a data directory of its own and listens on a port of
// its own on 127.0.0.1.
//
// The server belongs to a child process: this program's own executable, started again, in a session of its own, and
// under an unprivileged user when the program runs as root, because initdb and postgres refuse root. The child lives
// until its standard input closes, which happens however the parent ends, SIGKILL included; it then stops the server
// and removes its directory. A program that calls Start must therefore call RunChild first in its main function:
//
//	func main() {
//		if embeddedpg.RunChild() {
//			return
//		}
//		…
//	}
//
// Tests call pgtest.Main from TestMain, which does that for them.
package embeddedpg

import (
	"fmt"
	"maps"
	"slices"
)

// DefaultVersion is the major version that runs when Config.Version is zero.
const DefaultVersion = 17

// releases maps each major version on offer to the release that is fetched. They are pinned so that a test run does
// not change by itself.
var releases = map[int]string{
	14: "14.19.0",
	15: "15.14.0",
	16: "16.10.0",
	17: "17.6.0",
	18: "18.1.0",
}

// Versions returns the major versions that Start can run, oldest first.
func Versions() []int {
	return slices.Sorted(maps.Keys(releases))
}

// Config says which server Start runs.
type Config struct {
	// Version is the major version, one of Versions. Defaults to DefaultVersion.
	Version int

	// Settings are server parameters by name. They override those that Start sets by itself: wal_level=logical,
	// listen_addresses=127.0.0.1, no Unix socket, 20 WAL senders, 20 replication slots and what Fsync says. They are
	// written to postgresql.conf, so ALTER SYSTEM overrides them. Defaults to none.
	Settings map[string]string

	// StandbyOf is the data directory of a server of the same version, which must have been stopped cleanly: the new one
	// is a standby of it, made from a copy. Where it finds its primary is for Settings to say (primary_conninfo). Defaults
	// to none: the server has a cluster of its own.
	StandbyOf string

	// Fsync makes the server flush to disk, as a production server does. Without it a killed server still loses
	// nothing, a machine that loses power does. Defaults to false, which is what tests want.
	Fsync bool

	// CacheDir is the directory that keeps archives, extracted binaries and the data directories of running servers.
	// When the program runs as root, it must be empty or belong to the user the server runs under, and that user must
	// be able to reach it. Defaults to what Location returns.
	CacheDir string

	// Progress is called while an archive is being fetched, from one goroutine, with the bytes received so far and
	// their total number, which is -1 when the repository does not tell. It is not called when the archive is in the
	// cache. Defaults to none.
	Progress func(received, total int64)
}

func (c Config) release() (string, error) {
	major := c.Version
	if major == 0 {
		major = DefaultVersion
	}
	release, ok := releases[major]
	if !ok {
		return "", fmt.Errorf("embedded PostgreSQL %d: no such version on offer; choose one of %v", major, Versions())
	}
	return release, nil
}

// Mode is a way to shut the server down, as pg_ctl's -m has it.
type Mode string

const (
	// Smart waits until every client has gone.
	Smart Mode = "smart"
	// Fast disconnects the clients, rolls back their transactions and waits until walsenders have sent all WAL.
	Fast Mode = "fast"
	// Immediate stops without a checkpoint, so that the next start recovers as after a crash.
	Immediate Mode = "immediate"
)
