package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pgwitness/decoder"
	"pgwitness/sink"
)

// state is what PATH.origin holds. It is written before the first event, when the file is rotated, and when somebody else
// moved the file away; not with every batch, since the file's last line says the rest.
type state struct {
	sink.Origin
	// Position is of the last event before the file's first: where the stream goes on while the file is empty. (Where a
	// rotation broke off before its rename, or a copy took the file's place, it is of the file's last event.)
	Position decoder.Position `json:"position"`
	// Begun is when the file was begun, for RotateEvery.
	Begun time.Time `json:"begun"`
}

func statePath(path string) string { return path + ".origin" }

// readState returns fs.ErrNotExist if there is no state.
func readState(path string) (state, error) {
	var st state
	text, err := os.ReadFile(statePath(path))
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return st, fmt.Errorf("%w: %s cannot be read: %w: restore it, or move it and %s away",
			sink.ErrForeign, statePath(path), err, filepath.Base(path))
	}
	return st, nil
}

// writeState replaces the state durably, or leaves the old one.
func writeState(path string, st state) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	temp := statePath(path) + ".tmp"
	if err := writeFile(temp, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(temp, statePath(path)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeFile is os.WriteFile with an fsync.
func writeFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

func maxPosition(p, q decoder.Position) decoder.Position {
	if p.Compare(q) < 0 {
		return q
	}
	return p
}
