package main

import "testing"

// Whoever changes a line that a mutant replaces is told at once, not by the long run.
func TestMutantsApply(t *testing.T) {
	for _, m := range mutants {
		if _, err := m.apply("../.."); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
