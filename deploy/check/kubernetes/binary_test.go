package kubernetes

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"pgwitness/internal/config"
)

// mountDir is where the chart and the examples mount configuration and secrets.
const mountDir = "/etc/pgwitness"

// checkConfig loads the configuration that the pods get, with files in place of the secrets that they mount.
func checkConfig(t *testing.T, objects []runtime.Object) {
	t.Helper()
	for _, object := range objects {
		if deployment, ok := object.(*appsv1.Deployment); ok {
			started := prepare(t, objects, deployment.Spec.Template.Spec)
			container := witness(t, deployment.Spec.Template.Spec)
			if want := fmt.Sprintf(":%d", container.Ports[0].ContainerPort); started.config.HTTP.Listen != want {
				t.Errorf("pgwitness listens on %s, and the container's port is %s", started.config.HTTP.Listen, want)
			}
			grace := time.Duration(*deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
			if started.config.ShutdownGrace > grace-5*time.Second {
				t.Errorf("pgwitness takes %s to stop, and is killed after %s", started.config.ShutdownGrace, grace)
			}
			return
		}
	}
	t.Error("there is no Deployment")
}

// prepared is what a container starts with.
type prepared struct {
	args    []string
	environ []string
	config  *config.Config
}

// prepare makes what the pod's container pgwitness reads, with a directory in place of /etc/pgwitness, and loads it.
func prepare(t *testing.T, objects []runtime.Object, pod corev1.PodSpec) prepared {
	t.Helper()
	container := witness(t, pod)
	dir := t.TempDir()
	for _, mount := range container.VolumeMounts {
		below, ok := strings.CutPrefix(mount.MountPath, mountDir)
		if !ok {
			continue
		}
		target := filepath.Join(dir, below)
		if err := os.MkdirAll(target, 0o750); err != nil {
			t.Fatal(err)
		}
		for _, volume := range pod.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			for name, text := range content(t, objects, volume) {
				if err := os.WriteFile(filepath.Join(target, name), []byte(strings.ReplaceAll(text, mountDir, dir)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var environ []string
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			environ = append(environ, variable.Name+"="+strings.ReplaceAll(variable.Value, mountDir, dir))
		}
	}
	loaded, err := config.Load(config.Options{Environ: environ})
	if err != nil {
		t.Fatalf("the configuration is refused: %v", err)
	}
	for _, warning := range loaded.Warnings {
		t.Errorf("the configuration is warned of: %s", warning)
	}
	return prepared{container.Args, environ, loaded}
}

// witness returns the pod's container that runs pgwitness, among the sidecars too.
func witness(t *testing.T, pod corev1.PodSpec) corev1.Container {
	t.Helper()
	for _, container := range append(pod.InitContainers, pod.Containers...) {
		if container.Name == "pgwitness" {
			return container
		}
	}
	t.Fatal("no container is called pgwitness")
	return corev1.Container{}
}

// content is what the files of a volume hold: a ConfigMap's own, and for a Secret, which is somebody else's, an example.
func content(t *testing.T, objects []runtime.Object, volume corev1.Volume) map[string]string {
	t.Helper()
	switch {
	case volume.ConfigMap != nil && strings.HasSuffix(volume.ConfigMap.Name, "-ca"):
		return map[string]string{"ca.crt": certificate()}
	case volume.ConfigMap != nil:
		return find[*corev1.ConfigMap](t, objects, volume.ConfigMap.Name).Data
	case volume.Secret != nil:
		return map[string]string{
			"dsn":      "postgres://pgwitness:example@127.0.0.1:1/shop?sslmode=disable",
			"password": "example",
			"dsns":     "postgres://pgwitness:example@127.0.0.1:1/shop?sslmode=disable\n",
			"web.yaml": "{}\n",
			"ca.crt":   certificate(),
		}
	}
	return nil
}

// certificate is one in PEM, whosoever's.
func certificate() string {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// TestContainer starts the real binary as the chart's container does, without a database. What keeps the pod alive must answer,
// and the pod must not be ready.
func TestContainer(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "pgwitness")
	build := exec.Command("go", "build", "-o", binary, "./cmd/pgwitness")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := render(loadChart(t), map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)
	pod := find[*appsv1.Deployment](t, objects, "shop-pgwitness").Spec.Template.Spec
	container := witness(t, pod)
	start := prepare(t, objects, pod)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state := t.TempDir()
	cmd := exec.CommandContext(ctx, binary, start.args...)
	cmd.Env = append(start.environ,
		"PGWITNESS_HTTP_LISTEN=127.0.0.1:0", "PGWITNESS_STATE_DIR="+state, "PGWITNESS_SINKS_0_PATH="+filepath.Join(state, "audit.jsonl"))
	logged, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(logged)
	address := ""
	for address == "" && lines.Scan() {
		var line struct{ Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("a line of the log that is not JSON: %s", lines.Text())
		}
		address = line.Address
	}
	if address == "" {
		t.Fatal("the log names no address")
	}
	go func() { // so that it is never held up; ends with the process
		for lines.Scan() {
		}
	}()
	for _, probe := range []struct {
		name string
		of   *corev1.Probe
		want int
	}{
		{"startup", container.StartupProbe, http.StatusOK},
		{"liveness", container.LivenessProbe, http.StatusOK},
		{"readiness", container.ReadinessProbe, http.StatusServiceUnavailable},
	} {
		if port := probe.of.HTTPGet.Port.StrVal; port != container.Ports[0].Name {
			t.Errorf("the %s probe asks port %q, and the container has %q", probe.name, port, container.Ports[0].Name)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+probe.of.HTTPGet.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != probe.want {
			t.Errorf("the %s probe is answered with %d, want %d", probe.name, answer.StatusCode, probe.want)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
}
