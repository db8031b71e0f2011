package check

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// rulesFile holds the alerting rules, as they are and as the chart embeds them.
var rulesFile = filepath.Join("..", "prometheus", "rules.yaml")

func TestRules(t *testing.T) {
	_ = rulefmt.RuleGroups{}
	_ = parser.Options{}
	_ = exported(t)
}
