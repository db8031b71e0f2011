package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is what a metric is to Prometheus.
type Type string

// The types there are.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition is a metric as it is shown and documented.
type Definition struct {
	// Name is the whole name, "pgwitness_active".
	Name string
	// Type says how to read it.
	Type Type
	// Labels are the names of its labels, in the order in which values are given.
	Labels []string
	// Area is what it tells about; those of one area stand together.
	Area string
	// Meaning says what is counted or measured, and when the metric is absent.
	Meaning string
	// Action says what to do about a bad value; empty where no value is bad.
	Action string
}

// Definitions returns all metrics of pgwitness's own, in the order of docs/METRICS.md. Those that the Go runtime and the
// process are described by come beside them.
func Definitions() []Definition { return slices.Clone(definitions) }

// help is the metric's help text.
func (d Definition) help() string {
	if d.Action == "" {
		return d.Meaning
	}
	return d.Meaning + " " + d.Action
}

// definition returns the one that is called name, without the namespace. A name that there is not gives an empty one, which
// no registry takes.
func definition(name string) Definition {
	i := slices.IndexFunc(definitions, func(d Definition) bool { return d.Name == namespace+"_"+name })
	if i < 0 {
		return Definition{}
	}
	return definitions[i]
}

// read says whether stateCollector shows it: what is read off a state rather than counted here.
func (d Definition) read() bool { return d.Type == Gauge || d.Area == "Slot" }

// descs are the descriptions of what is read, by their names without the namespace.
var descs = func() map[string]*prometheus.Desc {
	descs := map[string]*prometheus.Desc{}
	for _, d := range definitions {
		if d.read() {
			descs[d.Name[len(namespace)+1:]] = prometheus.NewDesc(d.Name, d.help(), d.Labels, nil)
		}
	}
	return descs
}()
