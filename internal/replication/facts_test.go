package replication

import "testing"

func TestSlotState(t *testing.T) {
	cat := parseCatalog(t, healthy)
	f := facts{WALPosition: cat.WALPosition, Slot: cat.Slot}
	if got := f.state(); got.RetainedWAL != 0x1000000 || got.ConfirmedLag != 0x800000 || got.WALStatus != "reserved" || got.SafeWAL != nil {
		t.Errorf("state: %+v", got)
	}
	f.Slot.RestartLSN = 0
	if got := f.state(); got.RetainedWAL != 0 {
		t.Errorf("a lost slot retains %d bytes", got.RetainedWAL)
	}
}

func TestUnready(t *testing.T) {
	tests := []struct {
		slot *catalogSlot
		want string
	}{
		{nil, "it has no copy of the slot"},
		{&catalogSlot{}, "its slot of that name is not synchronised"}, // as before PostgreSQL 17
		{&catalogSlot{Synced: true, Temporary: true}, "its copy of the slot is not complete yet"},
		{&catalogSlot{Synced: true, Invalidation: "rows_removed"}, "its copy of the slot was invalidated (rows_removed)"},
		{&catalogSlot{Synced: true}, ""},
	}
	for _, test := range tests {
		if got := test.slot.unready(); got != test.want {
			t.Errorf("%+v is unready since %q, want %q", test.slot, got, test.want)
		}
	}
}
