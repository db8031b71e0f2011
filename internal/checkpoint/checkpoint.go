// Package checkpoint remembers between runs which slot was followed and up to where it was confirmed. It is written before
// the server is told, so a slot that stands past the checkpoint was re-created, or consumed by somebody else.
package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pgwitness/internal/durable"
	"pgwitness/internal/replication"
)

// Store is the checkpoint file of one slot in the state directory.
type Store struct{ path string }

// Open returns the Store for slot in dir and makes sure that it can be written. The directory is made if only its last
// part is missing.
func Open(dir, slot string) (*Store, error) {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("state_dir %s cannot be made: %w; make it, writable for this user, or name another one", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("state_dir %s cannot be written: %w; make it writable for this user, or name another one", dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("state_dir %s: %w", dir, err)
	}
	return &Store{path: filepath.Join(dir, slot+".checkpoint.json")}, nil
}

// Path is the file's path, to be named to a person.
func (s *Store) Path() string { return s.path }

// Load returns the mark, or nil if there is none yet.
func (s *Store) Load() (*replication.Mark, error) {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w; make it a file that this user may read and write", err)
	}
	mark := new(replication.Mark)
	if err := json.Unmarshal(text, mark); err != nil || mark.Slot == "" {
		return nil, fmt.Errorf("checkpoint %s is damaged (%w): without it nothing tells whether the slot was touched; "+
			"move it away to go on from the slot's own position", s.path, cmp.Or(err, errors.New("no slot in it")))
	}
	return mark, nil
}

// Save makes mark durable: when it returns nil, a crash of the machine finds it or a later one. A later one that is there
// already stays: a process that was frozen may wake up after another one has gone on with slot and directory.
func (s *Store) Save(mark replication.Mark) error {
	if held, err := s.Load(); err == nil && held != nil && mark.Before(*held) {
		return nil
	}
	text, err := json.MarshalIndent(mark, "", "  ")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return durable.WriteFile(s.path, append(text, '\n'), 0o640)
}
