package monitoring

import (
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// root is the repository's.
var root = filepath.Join("..", "..", "..")

func readRules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	file := filepath.Join(root, "deploy", "prometheus", "rules.yaml")
	groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, parser.NewParser(parser.Options{}),
		slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatalf("%s holds no rule", file)
	}
	return rules
}

func TestExpressionsOfRules(t *testing.T) {
	known := exported(t)
	for _, rule := range readRules(t) {
		t.Run(rule.Alert+rule.Labels["kind"], func(t *testing.T) { checkExpression(t, known, rule.Expr) })
	}
}

// TestAlerts holds what a person gets to read: whom to wake, what it is about, what to do, and where there is more.
func TestAlerts(t *testing.T) {
	template := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, rule := range readRules(t) {
		t.Run(rule.Alert+rule.Labels["kind"], func(t *testing.T) {
			if !strings.HasPrefix(rule.Alert, "Pgwitness") {
				t.Error("the name does not begin with Pgwitness")
			}
			if s := rule.Labels["severity"]; s != "page" && s != "warn" {
				t.Errorf("severity is %q, want page or warn", s)
			}
			for _, annotation := range []string{"summary", "description"} {
				text := rule.Annotations[annotation]
				if !strings.Contains(text, "$labels.source") {
					t.Errorf("the %s does not say of which source: %q", annotation, text)
				}
				for _, match := range template.FindAllStringSubmatch(text, -1) {
					if !strings.Contains(rule.Expr, match[1]) {
						t.Errorf("the %s uses the label %q, which the expression does not keep", annotation, match[1])
					}
				}
			}
			if want := "docs/runbooks/" + rule.Alert + ".md"; rule.Annotations["runbook"] != want {
				t.Errorf("the runbook is %q, want %q", rule.Annotations["runbook"], want)
			}
		})
	}
}

// TestRunbooks finds a runbook for each alert, each with the sections that a person looks for, and none without its alert.
func TestRunbooks(t *testing.T) {
	var want []string
	for _, rule := range readRules(t) {
		want = append(want, path.Base(rule.Annotations["runbook"]))
	}
	slices.Sort(want)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "Pgwitness*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, page := range pages {
		found = append(found, filepath.Base(page))
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if !strings.HasPrefix(string(text), "# "+name+"\n") {
			t.Errorf("%s has another title", page)
		}
		for _, section := range []string{"Meaning", "Impact", "Diagnosis", "Mitigation", "Seen"} {
			if !strings.Contains(string(text), "\n## "+section+"\n") {
				t.Errorf("%s has no section %s", page, section)
			}
		}
	}
	if diff := cmp.Diff(slices.Compact(want), found); diff != "" {
		t.Errorf("the runbooks are not those of the alerts (-alerts +runbooks):\n%s", diff)
	}
}

// TestEachAlertIsTested finds each alert in the unit tests of promtool, firing and not firing.
func TestEachAlertIsTested(t *testing.T) {
	type alert struct{ Name, Kind string }
	files, err := filepath.Glob(filepath.Join(root, "deploy", "prometheus", "rules*_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fires, silent := map[alert]bool{}, map[string]bool{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []struct {
						ExpLabels map[string]string `yaml:"exp_labels"`
					} `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal(content, &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, expected := range test.AlertRuleTest {
				if len(expected.ExpAlerts) == 0 {
					silent[expected.Alertname] = true
				}
				for _, one := range expected.ExpAlerts {
					fires[alert{expected.Alertname, one.ExpLabels["kind"]}] = true
				}
			}
		}
	}
	for _, rule := range readRules(t) {
		if a := (alert{rule.Alert, rule.Labels["kind"]}); !fires[a] || !silent[rule.Alert] {
			t.Errorf("%v is seen firing: %t, and not firing: %t", a, fires[a], silent[rule.Alert])
		}
	}
}
