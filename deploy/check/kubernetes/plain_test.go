package kubernetes

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// build returns what `kubectl kustomize` prints for a directory.
func build(t *testing.T, dir string) []byte {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPlain holds the manifests without Helm against the same as the chart, and against the chart's defaults.
func TestPlain(t *testing.T) {
	text := build(t, filepath.Join("..", "..", "kubernetes"))
	plain := decode(t, text)
	checkRestricted(t, plain)
	checkReferences(t, plain)
	installScore(t).check(t, text)
	checkConfig(t, plain)

	rendered, err := renderAs(loadChart(t), "pgwitness", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	chart := decode(t, rendered)
	if len(plain) != len(chart) {
		t.Errorf("there are %d objects, and the chart's defaults give %d", len(plain), len(chart))
	}
	specs := func(objects []runtime.Object) map[string]any {
		deployment := find[*appsv1.Deployment](t, objects, "pgwitness").DeepCopy()
		pods := &deployment.Spec.Template
		var config any
		for i, volume := range pods.Spec.Volumes {
			if volume.Name == "config" { // kustomize puts a hash into the name
				text := find[*corev1.ConfigMap](t, objects, volume.ConfigMap.Name).Data["pgwitness.yaml"]
				if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
					t.Fatal(err)
				}
				pods.Spec.Volumes[i].ConfigMap.Name = "config"
			}
		}
		delete(pods.Annotations, "checksum/config") // kustomize's hash stands for it
		return map[string]any{
			"Deployment":            deployment.Spec,
			"pgwitness.yaml":        config,
			"NetworkPolicy":         find[*networkingv1.NetworkPolicy](t, objects, "pgwitness").Spec,
			"PersistentVolumeClaim": find[*corev1.PersistentVolumeClaim](t, objects, "pgwitness").Spec,
			"Service":               find[*corev1.Service](t, objects, "pgwitness").Spec,
			"ServiceAccount":        find[*corev1.ServiceAccount](t, objects, "pgwitness").AutomountServiceAccountToken,
		}
	}
	if diff := cmp.Diff(specs(chart), specs(plain)); diff != "" {
		t.Errorf("the manifests differ from the chart's defaults (-chart +manifests):\n%s", diff)
	}
}

// TestSidecars holds the examples of pods with more than pgwitness in them against what their comments say.
func TestSidecars(t *testing.T) {
	score := installScore(t)
	for _, name := range []string{"application", "database"} {
		t.Run(name, func(t *testing.T) {
			text := readFile(t, filepath.Join("..", "..", "examples", "sidecar-"+name+".yaml"))
			objects := decode(t, text)
			checkRestricted(t, objects)
			checkReferences(t, objects)
			score.check(t, text, "Pod NetworkPolicy", "Deployment has PodDisruptionBudget", "StatefulSet has PodDisruptionBudget") // the pods' owner's
			for _, object := range objects {
				template := podTemplate(object)
				if template == nil {
					continue
				}
				prepare(t, objects, template.Spec)
				sidecar := witness(t, template.Spec)
				if policy := sidecar.RestartPolicy; policy == nil || *policy != corev1.ContainerRestartPolicyAlways {
					t.Error("pgwitness is no sidecar: it would be stopped together with what it follows")
				}
				if sidecar.ReadinessProbe != nil {
					t.Error("pgwitness has a readiness probe: it would take its pod out of service")
				}
				for _, probe := range []*corev1.Probe{sidecar.StartupProbe, sidecar.LivenessProbe} {
					if probe.HTTPGet.Path != "/healthz" {
						t.Errorf("a probe asks %s, which may depend on the database", probe.HTTPGet.Path)
					}
				}
			}
		})
	}
}

// TestClusters holds what the examples give to CloudNativePG and to Patroni against the operator's types, and the values beside
// it against the chart.
func TestClusters(t *testing.T) {
	loaded, score := loadChart(t), installScore(t)
	for _, name := range []string{"cloudnativepg", "patroni"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("..", "..", "examples", name)
			text, err := render(loaded, readValues(t, filepath.Join(dir, "values.yaml")))
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			checkRestricted(t, objects)
			checkReferences(t, objects)
			checkConfig(t, objects)
			score.check(t, text)
		})
	}
	for _, object := range decode(t, readFile(t, filepath.Join("..", "..", "examples", "cloudnativepg", "cluster.yaml"))) {
		if named, ok := object.(metav1.Object); !ok || named.GetName() == "" {
			t.Errorf("%T has no name", object)
		}
	}
	readValues(t, filepath.Join("..", "..", "examples", "patroni", "patroni.yaml")) // Patroni's own checker needs its servers
}
