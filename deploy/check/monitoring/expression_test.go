package monitoring

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"pgwitness/internal/metrics"
)

// targetLabels are those that Prometheus gives to every series of a target.
var targetLabels = []string{"job", "instance", "namespace", "pod"}

// exported returns the labels of every series that the binary can show, by the series' names.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	series := map[string][]string{}
	for _, d := range metrics.Definitions() {
		with := slices.Concat(d.Labels, targetLabels)
		series[d.Name] = with
		if d.Type == metrics.Histogram {
			series[d.Name+"_bucket"] = append(slices.Clone(with), "le")
			series[d.Name+"_sum"], series[d.Name+"_count"] = with, with
		}
	}
	families, err := metrics.New(metrics.Config{}).Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			series[name] = targetLabels
		}
	}
	return series
}

// checkExpression parses expression as Prometheus does, and looks for every series and label of it among those exported.
func checkExpression(t *testing.T, exported map[string][]string, expression string) {
	t.Helper()
	root, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Errorf("%v in\n%s", err, expression)
		return
	}
	var known []string // the labels of all series in the expression
	parser.Inspect(root, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		found, ok := exported[selector.Name]
		if !ok {
			t.Errorf("nothing exports %q, of\n%s", selector.Name, expression)
			return nil
		}
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name != model.MetricNameLabel && !slices.Contains(found, matcher.Name) {
				t.Errorf("%s has no label %q, as in\n%s", selector.Name, matcher.Name, expression)
			}
		}
		known = append(known, found...)
		return nil
	})
	if len(known) == 0 {
		t.Errorf("no series is in\n%s", expression)
	}
	parser.Inspect(root, func(node parser.Node, _ []parser.Node) error {
		var used []string
		switch node := node.(type) {
		case *parser.AggregateExpr:
			used = node.Grouping
		case *parser.BinaryExpr:
			if node.VectorMatching != nil {
				used = slices.Concat(node.VectorMatching.MatchingLabels, node.VectorMatching.Include)
			}
		}
		for _, label := range used {
			if !slices.Contains(known, label) {
				t.Errorf("no series of it has the label %q:\n%s", label, expression)
			}
		}
		return nil
	})
}
