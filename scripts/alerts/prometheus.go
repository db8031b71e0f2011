package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// hurry is what the durations of the rules are divided by.
const hurry = 15

// durations are those of a rules file: for, keep_firing_for, ranges, the two of a subquery, and offsets.
var durations = regexp.MustCompile(`((?:for: |offset |\[|\[\w+:))(\d+)([smhd])\b`)

// hurried returns the rules with every duration divided by hurry.
func hurried(rules []byte) []byte {
	replace := func(match []byte) []byte {
		parts := durations.FindSubmatch(match)
		n, _ := strconv.Atoi(string(parts[2])) // digits, by the expression
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[string(parts[3])]
		shorter := time.Duration(n) * unit / hurry
		return fmt.Appendf(nil, "%s%dms", parts[1], max(1, shorter.Milliseconds()))
	}
	// Twice, as the end of a subquery's range begins its step.
	return durations.ReplaceAllFunc(durations.ReplaceAllFunc(rules, replace), replace)
}

// prometheusConfig scrapes target each second and evaluates as often.
const prometheusConfig = `
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: pgwitness
    static_configs: [{targets: [%q]}]
`

// configurePrometheus writes what Prometheus reads into dir.
func configurePrometheus(dir, target string) error {
	rules, err := os.ReadFile(filepath.Join("deploy", "prometheus", "rules.yaml"))
	if err != nil {
		return fmt.Errorf("%w; run it from the root of the repository", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), hurried(rules), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, prometheusConfig, target), 0o600)
}

// alert is one that fires.
type alert struct {
	State               string
	Labels, Annotations map[string]string
}

// firing returns the alerts that fire, by name; of several of a name any.
func (w *world) firing(ctx context.Context) (map[string]alert, error) {
	var answer struct {
		Data struct{ Alerts []alert }
	}
	if err := w.ask(ctx, "/api/v1/alerts", &answer); err != nil {
		return nil, err
	}
	firing := map[string]alert{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = a
		}
	}
	return firing, nil
}

// streams says whether Prometheus has seen pgwitness stream.
func (w *world) streams(ctx context.Context) bool {
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	err := w.ask(ctx, "/api/v1/query?query="+url.QueryEscape("pgwitness_active == 1"), &answer)
	return err == nil && len(answer.Data.Result) > 0
}

// ask asks Prometheus.
func (w *world) ask(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.prometheusAt+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus answers %s to %s", response.Status, path)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
