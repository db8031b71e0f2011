package kubernetes

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/action"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// chosen are the critical findings that a file of values asks for.
var chosen = map[string][]string{
	"own-archive": {"Pod NetworkPolicy", "Container Security Context User Group ID"}, // the policy is off, the cluster chooses the ids
}

func TestChart(t *testing.T) {
	loaded, score := loadChart(t), installScore(t)
	for name, values := range chartValues(t) {
		t.Run(name, func(t *testing.T) {
			text, err := render(loaded, values)
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			checkRestricted(t, objects)
			checkReferences(t, objects)
			score.check(t, text, chosen[name]...)
			checkConfig(t, objects)
		})
	}
}

func TestLint(t *testing.T) {
	all := chartValues(t)
	all["none"] = map[string]any{}
	for name, values := range all {
		t.Run(name, func(t *testing.T) {
			lint := action.NewLint()
			lint.Strict = true
			result := lint.Run([]string{chartDir}, values)
			for _, err := range result.Errors {
				t.Error(err)
			}
			if result.TotalChartsLinted != 1 {
				t.Errorf("%d charts were linted, want 1", result.TotalChartsLinted)
			}
		})
	}
}

// checkReferences sees that what an object names is there: volumes by their mounts, pods by selectors, ports by name.
func checkReferences(t *testing.T, objects []runtime.Object) {
	t.Helper()
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			for key, value := range o.Spec.Selector.MatchLabels {
				if o.Spec.Template.Labels[key] != value {
					t.Errorf("%s selects %s=%s, which its pods do not have", nameOf(o), key, value)
				}
			}
			if account := o.Spec.Template.Spec.ServiceAccountName; account == o.Name {
				find[*corev1.ServiceAccount](t, objects, account)
			}
		case *corev1.ConfigMap:
			if len(o.Data) == 0 {
				t.Errorf("%s is empty", nameOf(o))
			}
		}
		template := podTemplate(object)
		if template == nil {
			continue
		}
		volumes := map[string]bool{}
		for _, volume := range template.Spec.Volumes {
			volumes[volume.Name] = true
			if claim := volume.PersistentVolumeClaim; claim != nil && claim.ClaimName == "shop-pgwitness" {
				find[*corev1.PersistentVolumeClaim](t, objects, claim.ClaimName)
			}
		}
		if set, ok := object.(*appsv1.StatefulSet); ok {
			for _, claim := range set.Spec.VolumeClaimTemplates {
				volumes[claim.Name] = true
			}
		}
		for _, container := range append(template.Spec.InitContainers, template.Spec.Containers...) {
			for _, mount := range container.VolumeMounts {
				if !volumes[mount.Name] {
					t.Errorf("%s: container %s mounts %s, which is no volume of its pod", nameOf(object), container.Name, mount.Name)
				}
			}
		}
	}
}

func TestStrategy(t *testing.T) {
	const file, stdout = "config: {sinks: [{type: file, path: /var/lib/pgwitness/a.jsonl}]}\n", "config: {sinks: [{type: stdout}]}\n"
	tests := []struct {
		name     string
		values   string
		strategy appsv1.DeploymentStrategyType
		budget   bool
		claim    bool
	}{
		{"one replica on one node's volume", file, appsv1.RecreateDeploymentStrategyType, false, true},
		{"one replica on a shared volume", file + "state: {accessMode: ReadWriteMany}", appsv1.RollingUpdateDeploymentStrategyType, false, true},
		{"one replica with nothing to keep", stdout + "state: {persistent: false}", appsv1.RollingUpdateDeploymentStrategyType, false, false},
		{"two on a shared volume", file + "replicas: 2\nstate: {accessMode: ReadWriteMany}", appsv1.RollingUpdateDeploymentStrategyType, true, true},
		{"two with nothing to keep", stdout + "replicas: 2\nstate: {persistent: false}", appsv1.RollingUpdateDeploymentStrategyType, true, false},
		{"two without a budget", stdout + "replicas: 2\nstate: {persistent: false}\npodDisruptionBudget: {enabled: false}",
			appsv1.RollingUpdateDeploymentStrategyType, false, false},
	}
	loaded := loadChart(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := render(loaded, parseValues(t, tt.values))
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			deployment := find[*appsv1.Deployment](t, objects, "shop-pgwitness")
			if got := deployment.Spec.Strategy.Type; got != tt.strategy {
				t.Errorf("the strategy is %s, want %s", got, tt.strategy)
			}
			if rolling := deployment.Spec.Strategy.RollingUpdate; rolling != nil && rolling.MaxUnavailable.IntValue() != 0 {
				t.Errorf("%s replicas may be away during an update, want none", rolling.MaxUnavailable)
			}
			if got := has[*policyv1.PodDisruptionBudget](objects); got != tt.budget {
				t.Errorf("has a PodDisruptionBudget: %t, want %t", got, tt.budget)
			}
			if got := has[*corev1.PersistentVolumeClaim](objects); got != tt.claim {
				t.Errorf("has a PersistentVolumeClaim: %t, want %t", got, tt.claim)
			}
		})
	}
}

// TestConfigChangeRolls sees that a changed configuration changes the pods' template, and that what pods do not read does not.
func TestConfigChangeRolls(t *testing.T) {
	loaded := loadChart(t)
	templateOf := func(values string) corev1.PodTemplateSpec {
		t.Helper()
		text, err := render(loaded, parseValues(t, values))
		if err != nil {
			t.Fatal(err)
		}
		return find[*appsv1.Deployment](t, decode(t, text), "shop-pgwitness").Spec.Template
	}
	plain := templateOf("{}")
	if cmp.Equal(plain, templateOf("config: {log: {level: debug}}")) {
		t.Error("a changed configuration does not replace the pods")
	}
	if diff := cmp.Diff(plain, templateOf("podMonitor: {enabled: true}")); diff != "" {
		t.Errorf("a PodMonitor replaces the pods (-without +with):\n%s", diff)
	}
}

// TestEmbedded sees that the rules and the dashboard in the chart are those beside it.
func TestEmbedded(t *testing.T) {
	text, err := render(loadChart(t), chartValues(t)["everything"])
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)

	var want monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(readFile(t, filepath.Join("..", "..", "prometheus", "rules.yaml")), &want); err != nil {
		t.Fatal(err)
	}
	if len(want.Groups) == 0 {
		t.Fatal("there are no rules")
	}
	rule := find[*monitoringv1.PrometheusRule](t, objects, "witness")
	if diff := cmp.Diff(want, rule.Spec); diff != "" {
		t.Errorf("the PrometheusRule differs from rules.yaml (-file +chart):\n%s", diff)
	}

	dashboard := find[*corev1.ConfigMap](t, objects, "witness-dashboard")
	if diff := cmp.Diff(string(readFile(t, filepath.Join("..", "..", "grafana", "pgwitness.json"))), dashboard.Data["pgwitness.json"]); diff != "" {
		t.Errorf("the dashboard differs from grafana/pgwitness.json (-file +chart):\n%s", diff)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseValues(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func has[T runtime.Object](objects []runtime.Object) bool {
	return slices.ContainsFunc(objects, func(object runtime.Object) bool { _, ok := object.(T); return ok })
}

// TestRefused sees that mistakes in the values are told, by the schema or by the templates, in words that name them.
func TestRefused(t *testing.T) {
	tests := []struct {
		name, values string
		want         []string // all of them in the error
	}{
		{"a typo at the top", "replica: 2", []string{"'replica'"}},
		{"a typo in the image", "image: {repo: a}", []string{"'repo'"}},
		{"a typo in the configuration", "config: {source: {slott: a}}", []string{"'slott'"}},
		{"a typo in a sink", "config: {sinks: [{type: file, path: /var/lib/pgwitness/a, rotate: 1GiB}]}", []string{"'rotate'"}},
		{"a key of another sink", "config: {sinks: [{type: stdout, path: /a}]}", []string{"'path'"}},
		{"an unknown sink", "config: {sinks: [{type: fil, path: /a}]}", []string{"/config/sinks/0/type"}},
		{"no sink", "config: {sinks: []}", []string{"/config/sinks"}},
		{"what the chart sees to", "config: {state_dir: /var/lib/other}", []string{"'state_dir'"}},
		{"a password in the configuration", "config: {source: {password: secret}}", []string{"'password'"}},
		{"a password in a URL", "credentials: {dsnKey: ''}\nconfig: {source: {dsn: 'postgres://a:secret@db/shop'}}",
			[]string{"config.source.dsn holds a password"}},
		{"a password in keywords", "credentials: {dsnKey: ''}\nconfig: {source: {dsn: 'host=db PASSWORD = secret'}}",
			[]string{"config.source.dsn holds a password"}},
		{"a password for init", "init: {enabled: true, credentials: {dsnKey: ''}, dsn: 'postgres://a:secret@db/shop'}",
			[]string{"init.dsn holds a password"}},
		{"two connection strings", "config: {source: {dsn: 'postgres://a@db/shop'}}", []string{"credentials.dsnKey"}},
		{"no connection string", "credentials: {dsnKey: '', passwordKey: password}", []string{"config.source.dsn"}},
		{"a third replica", "replicas: 3", []string{"/replicas"}},
		{"two replicas on one node's volume", "replicas: 2", []string{"ReadWriteOnce", "state.accessMode"}},
		{"two replicas on one pod's volume", "replicas: 2\nstate: {accessMode: ReadWriteOncePod}", []string{"ReadWriteOncePod"}},
		{"a file that goes with its pod", "state: {persistent: false}", []string{"config.sinks[0].path", "emptyDir"}},
		{"the same by another way", "state: {persistent: false}\nconfig: {sinks: [{type: stdout}, {type: file, path: /var/lib/pgwitness/../pgwitness/a}]}",
			[]string{"config.sinks[1].path", "emptyDir"}},
		{"a file on no volume", "config: {sinks: [{type: file, path: /var/log/audit.jsonl}]}", []string{"on no volume"}},
		{"a file that only seems to be on the volume", "config: {sinks: [{type: file, path: /var/lib/pgwitness/../a}]}", []string{"on no volume"}},
		{"a file beside the volume", "config: {sinks: [{type: file, path: /var/lib/pgwitness-2/a}]}", []string{"on no volume"}},
		{"refused events that go with their pod", "state: {persistent: false}\nconfig: {sinks: [{type: stdout, dead_letter: /var/lib/pgwitness/a}]}",
			[]string{"config.sinks[0].dead_letter", "emptyDir"}},
		{"a relative path", "config: {sinks: [{type: file, path: audit.jsonl}]}", []string{"/config/sinks/0/path"}},
		{"a directory of the host", "extraVolumes: [{name: a, hostPath: {path: /}}]", []string{"'hostPath'"}},
		{"retention without a time", "retention: {enabled: true}", []string{"retention.keep"}},
		{"retention with a wrong time", "retention: {enabled: true, keep: 12 months}", []string{"/retention/keep"}},
		{"both monitors", "podMonitor: {enabled: true}\nserviceMonitor: {enabled: true}", []string{"counted twice"}},
		{"a monitor without its Service", "serviceMonitor: {enabled: true}\nservice: {enabled: false}", []string{"service.enabled"}},
		{"no time to stop", "terminationGracePeriodSeconds: 10", []string{"/terminationGracePeriodSeconds"}},
		{"a slot that PostgreSQL refuses", "config: {source: {slot: Audit}}", []string{"/config/source/slot"}},
	}
	loaded := loadChart(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := render(loaded, parseValues(t, tt.values))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not hold %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "= secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// TestDefaultsAreSaid sees that values.yaml holds every key that the schema knows, so that it can be read as documentation.
func TestDefaultsAreSaid(t *testing.T) {
	schema := readSchema(t)
	values := readValues(t, filepath.Join(chartDir, "values.yaml"))
	known := slices.Sorted(maps.Keys(schema["properties"].(map[string]any)))
	known = slices.DeleteFunc(known, func(key string) bool { return key == "global" })
	if diff := cmp.Diff(known, slices.Sorted(maps.Keys(values))); diff != "" {
		t.Errorf("the keys of values.yaml differ from those of its schema (-schema +values):\n%s", diff)
	}
}
