package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what is looked at of Grafana's model.
type dashboard struct {
	UID        string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr       string
		Datasource struct{ Type, UID string }
	}
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "deploy", "grafana", "pgwitness.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("the dashboard has no panel")
	}
	return d
}

// variables are those that Grafana replaces before it asks.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$job", "x", "$source", "x", "$instance", "x")

func TestExpressionsOfDashboard(t *testing.T) {
	known := exported(t)
	d := readDashboard(t)
	for _, p := range d.Panels {
		t.Run(p.Title, func(t *testing.T) {
			for _, target := range p.Targets {
				checkExpression(t, known, variables.Replace(target.Expr))
				if !strings.Contains(target.Expr, `{job=~"$job", instance=~"$instance"`) {
					t.Errorf("it shows more than what was chosen: %s", target.Expr)
				}
			}
		})
	}
	for _, variable := range d.Templating.List {
		if variable.Type == "query" {
			selector, ok := strings.CutPrefix(variable.Definition, "label_values(")
			if !ok {
				t.Errorf("$%s is %q", variable.Name, variable.Definition)
				continue
			}
			checkExpression(t, known, variables.Replace(selector[:strings.LastIndex(selector, ",")]))
		}
	}
}

// TestPanels holds what makes a dashboard one that can be read: what each panel means, in which unit, on no other panel, and
// from the data source that was chosen.
func TestPanels(t *testing.T) {
	d := readDashboard(t)
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("%q lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, lacks a title, a description, a unit or a query", p.ID, p.Title)
		}
		if p.Datasource.UID != "${datasource}" {
			t.Errorf("%q asks the data source %q", p.Title, p.Datasource.UID)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%q asks the data source %q", p.Title, target.Datasource.UID)
			}
		}
		if _, runbook, ok := strings.Cut(p.Description, "Runbook "); ok {
			page := filepath.Join(root, "docs", "runbooks", strings.TrimSuffix(runbook, ".")+".md")
			if _, err := os.Stat(page); err != nil {
				t.Errorf("%q names a runbook that is not there: %v", p.Title, err)
			}
		}
	}
}
