package checkpoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgwitness/decoder"
	"pgwitness/internal/checkpoint"
	"pgwitness/internal/replication"
)

var mark = replication.Mark{
	Origin: replication.Origin{
		SystemID: "7711303334690614836", Timeline: 1, Database: "shop", Slot: "pgwitness", Publication: "16402/16403",
	},
	Confirmed: 0x16B3748,
}

func open(t *testing.T, dir string) *checkpoint.Store {
	t.Helper()
	store, err := checkpoint.Open(dir, "pgwitness")
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestLoadReturnsWhatWasSaved(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "state")) // the last part is made
	if got, err := store.Load(); got != nil || err != nil {
		t.Fatalf("before the first Save, Load returned %v, %v", got, err)
	}
	for _, confirmed := range []decoder.LSN{1, 0x16B3748} {
		want := mark
		want.Confirmed = confirmed
		if err := store.Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := store.Load()
		if err != nil || *got != want {
			t.Errorf("Load returned %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestDamagedCheckpointIsNotTakenForNone(t *testing.T) {
	for _, content := range []string{"", "{", "null", `{"slot": 1}`, "{}"} {
		store := open(t, t.TempDir())
		if err := os.WriteFile(store.Path(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(); err == nil || !strings.Contains(err.Error(), store.Path()) {
			t.Errorf("%q: Load returned %v, %v, want an error that names the file", content, got, err)
		}
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), filepath.Join(t.TempDir(), "two", "missing")} {
		if _, err := checkpoint.Open(dir, "pgwitness"); err == nil || !strings.Contains(err.Error(), "or name another one") {
			t.Errorf("Open(%s): %v, want what to do", dir, err)
		}
	}
}

// A crash in the midst of a Save leaves its temporary file behind, and the old checkpoint in force.
func TestLeftoverOfACrashDoesNoHarm(t *testing.T) {
	store := open(t, t.TempDir())
	if err := store.Save(mark); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(store.Path()+".tmp", []byte(`{"slot`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Load(); err != nil || *got != mark {
		t.Errorf("Load returned %+v, %v", got, err)
	}
	if err := store.Save(mark); err != nil {
		t.Errorf("Save: %v", err)
	}
}

// A process that was frozen wakes up after another one has gone on with the directory.
func TestSaveLeavesALaterMark(t *testing.T) {
	change := func(f func(*replication.Mark)) replication.Mark {
		changed := mark
		f(&changed)
		return changed
	}
	tests := []struct {
		name  string
		held  replication.Mark
		saved replication.Mark
		stays bool
	}{
		{"the same", mark, mark, true},
		{"further on", mark, change(func(m *replication.Mark) { m.Confirmed++ }), false},
		{"not as far", mark, change(func(m *replication.Mark) { m.Confirmed-- }), true},
		{"not as far, on a later timeline", mark, change(func(m *replication.Mark) { m.Timeline++; m.Confirmed-- }), false},
		{"further on, on an earlier timeline", change(func(m *replication.Mark) { m.Timeline++ }),
			change(func(m *replication.Mark) { m.Confirmed++ }), true},
		{"not as far, of another cluster", mark, change(func(m *replication.Mark) { m.SystemID = "8"; m.Confirmed-- }), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := open(t, t.TempDir())
			for _, m := range []replication.Mark{test.held, test.saved} {
				if err := store.Save(m); err != nil {
					t.Fatal(err)
				}
			}
			want := test.saved
			if test.stays {
				want = test.held
			}
			if got, err := store.Load(); err != nil || *got != want {
				t.Errorf("Load returned %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// The same, but that it was frozen in the midst of a Save.
func TestSaveSharesNoFileWithAnotherSave(t *testing.T) {
	store := open(t, t.TempDir())
	frozen, err := os.Create(store.Path() + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	if err := store.Save(mark); err != nil {
		t.Fatal(err)
	}
	if _, err := frozen.WriteString(`{"slot": "half of it`); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Load(); err != nil || *got != mark {
		t.Errorf("Load returned %+v, %v", got, err)
	}
}
