package kubernetes

import (
	"testing"
)

func TestChart(t *testing.T) {
	loaded := loadChart(t)
	for name, values := range chartValues(t) {
		t.Run(name, func(t *testing.T) {
			text, err := render(loaded, values)
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			checkRestricted(t, objects)
		})
	}
}
