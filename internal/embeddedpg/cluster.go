package embeddedpg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// createCluster copies the data directory template to dataDir and gives it settings and a system identifier.
func createCluster(template, dataDir string, settings map[string]string) error {
	if err := copyTree(template, dataDir, nil); err != nil {
		return fmt.Errorf("copy the template of a cluster: %w", err)
	}
	if err := renewSystemIdentifier(dataDir); err != nil {
		return fmt.Errorf("give the cluster in %s a system identifier: %w", dataDir, err)
	}
	if err := appendSettings(filepath.Join(dataDir, "postgresql.conf"), settings); err != nil {
		return fmt.Errorf("configure the cluster: %w", err)
	}
	return nil
}

// createStandby copies the data directory of a primary, which is down, to dataDir and makes it a standby's. The primary's
// slots stay behind, as they do in a base backup.
func createStandby(primary, dataDir string, settings map[string]string) error {
	err := copyTree(primary, dataDir, func(name string) bool {
		return name == "postmaster.pid" || name == "postmaster.opts" || filepath.Dir(name) == "pg_replslot"
	})
	if err != nil {
		return fmt.Errorf("copy the primary's data directory: %w", err)
	}
	if err := appendSettings(filepath.Join(dataDir, "postgresql.conf"), settings); err != nil {
		return fmt.Errorf("configure the standby: %w", err)
	}
	return os.WriteFile(filepath.Join(dataDir, "standby.signal"), nil, 0o600)
}

// copyTree copies the directory from with all that is in it, but for what skip, if there is one, says of its name there.
func copyTree(from, to string, skip func(name string) bool) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case skip == nil || !skip(name):
		case entry.IsDir():
			return fs.SkipDir
		default:
			return nil
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.Mkdir(target, 0o700)
		}
		return copyFile(path, target, 0o600)
	})
}

func copyFile(from, to string, perm fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// Where the system identifier is: first in pg_control, whose last field is a CRC of all before it, and in the long
// header of the first page of each WAL segment, behind a short header of 24 bytes.
const (
	controlMinimum   = 200 // bytes; the struct has been longer than this in every version on offer
	segmentSysidFrom = 24
	segmentNameLen   = 24
)

// renewSystemIdentifier gives a cluster that was shut down cleanly an identifier of its own. Copies of one template
// would share it, and pgwitness tells clusters apart by it. PostgreSQL has a tool for this since 17 only
// (pg_createsubscriber), and the archive brings none.
func renewSystemIdentifier(dataDir string) error {
	path := filepath.Join(dataDir, "global", "pg_control")
	control, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end, err := controlEnd(control)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	old := order.Uint64(control)
	// As initdb makes it: seconds in the upper half, chance in the lower.
	renewed := uint64(time.Now().Unix())<<32 | uint64(rand.Uint32())
	order.PutUint64(control, renewed)
	order.PutUint32(control[end:], crc32.Checksum(control[:end], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, control, 0o600); err != nil {
		return err
	}

	entries, err := os.ReadDir(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() || len(entry.Name()) != segmentNameLen {
			continue
		}
		if err := replaceSysid(filepath.Join(dataDir, "pg_wal", entry.Name()), old, renewed); err != nil {
			return err
		}
	}
	return nil
}

// controlEnd returns the offset of the CRC in the content of pg_control. The length of the struct differs from version
// to version, so it is looked for: where the CRC of everything before equals what stands there.
func controlEnd(control []byte) (int, error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for end := controlMinimum; end+4 <= len(control); end += 4 {
		if crc32.Checksum(control[:end], table) == binary.NativeEndian.Uint32(control[end:]) {
			return end, nil
		}
	}
	return 0, errors.New("pg_control has no valid checksum")
}

func replaceSysid(segment string, old, renewed uint64) error {
	file, err := os.OpenFile(segment, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	var sysid [8]byte
	if _, err := file.ReadAt(sysid[:], segmentSysidFrom); err != nil {
		return err
	}
	if found := binary.NativeEndian.Uint64(sysid[:]); found != old {
		return fmt.Errorf("%s belongs to cluster %d, not to %d", segment, found, old)
	}
	binary.NativeEndian.PutUint64(sysid[:], renewed)
	if _, err := file.WriteAt(sysid[:], segmentSysidFrom); err != nil {
		return err
	}
	return file.Close()
}

// appendSettings adds settings to a configuration file, where the last line of a name counts.
func appendSettings(path string, settings map[string]string) error {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		quoted := strings.ReplaceAll(settings[name], "'", "''")
		quoted = strings.ReplaceAll(quoted, `\`, `\\`)
		fmt.Fprintf(&lines, "%s = '%s'\n", name, quoted)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(lines.String())
	return errors.Join(err, file.Close())
}
