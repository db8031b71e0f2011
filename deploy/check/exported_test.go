package check

import (
	"strings"
	"testing"

	"pgwitness/internal/metrics"
	"pgwitness/internal/replication"
)

// exported returns the metrics that the binary can show, by the names of their series.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	m := metrics.New(metrics.Config{Sinks: []string{"file"}})
	m.ObserveSlot(replication.SlotState{SafeWAL: new(int64)})
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]bool{}
	for _, family := range families {
		name := family.GetName()
		series[name] = true
		if strings.HasSuffix(family.GetType().String(), "HISTOGRAM") {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				series[name+suffix] = true
			}
		}
	}
	return series
}
