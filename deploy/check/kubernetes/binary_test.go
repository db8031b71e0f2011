package kubernetes

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
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
	return prepareContainer(t, objects, pod, witness(t, pod))
}

func prepareContainer(t *testing.T, objects []runtime.Object, pod corev1.PodSpec, container corev1.Container) prepared {
	t.Helper()
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

// passwordHash is bcrypt's of "example".
const passwordHash = "$2b$04$y1j4kPhjT3FG2.vRm7Q5xuvOLUtZrYGLvhpWmt5iYiywX28N21VlW"

// content is what the files of a volume hold: a ConfigMap's own, and for a Secret, which is somebody else's, an example.
func content(t *testing.T, objects []runtime.Object, volume corev1.Volume) map[string]string {
	t.Helper()
	certificate, key := keyPair(t)
	switch {
	case volume.ConfigMap != nil && strings.HasSuffix(volume.ConfigMap.Name, "-ca"):
		return map[string]string{"ca.crt": certificate}
	case volume.ConfigMap != nil:
		return find[*corev1.ConfigMap](t, objects, volume.ConfigMap.Name).Data
	case volume.Secret != nil:
		return map[string]string{
			"dsn":      "postgres://pgwitness:example@127.0.0.1:1/shop?sslmode=disable",
			"password": "example",
			"dsns":     "postgres://pgwitness:example@127.0.0.1:1/shop?sslmode=disable\n",
			"web.yaml": "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\nbasic_auth_users: {prometheus: " + passwordHash + "}\n",
			"tls.crt":  certificate,
			"tls.key":  key,
			"ca.crt":   certificate,
		}
	}
	return nil
}

// keyPair makes a certificate that signs itself, and its key, in PEM.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// TestContainer starts the real binary as the chart's container does, without a database. What keeps the pod alive must answer,
// and the pod must not be ready; with TLS and a password as well, which no probe has.
func TestContainer(t *testing.T) {
	binary := buildBinary(t)
	tests := []struct {
		name, values string
		scheme       corev1.URIScheme
	}{
		{"plain", "{}", corev1.URISchemeHTTP},
		{"with TLS and a password", "webConfig: {secretName: web}", corev1.URISchemeHTTPS},
	}
	loaded := loadChart(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := render(loaded, parseValues(t, tt.values))
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			pod := find[*appsv1.Deployment](t, objects, "shop-pgwitness").Spec.Template.Spec
			started := start(t, binary, prepare(t, objects, pod))
			container := witness(t, pod)
			for _, probe := range []struct {
				name string
				of   *corev1.Probe
				want int
			}{
				{"startup", container.StartupProbe, http.StatusOK},
				{"liveness", container.LivenessProbe, http.StatusOK},
				{"readiness", container.ReadinessProbe, http.StatusServiceUnavailable},
			} {
				if got := probe.of.HTTPGet.Scheme; got != tt.scheme {
					t.Errorf("the %s probe asks by %s, want %s", probe.name, got, tt.scheme)
				}
				if port := probe.of.HTTPGet.Port.StrVal; port != container.Ports[0].Name {
					t.Errorf("the %s probe asks port %q, and the container has %q", probe.name, port, container.Ports[0].Name)
				}
				if got := started.ask(t, probe.of.HTTPGet); got != probe.want {
					t.Errorf("the %s probe is answered with %d, want %d", probe.name, got, probe.want)
				}
			}
			if err := started.stop(); err != nil {
				t.Errorf("asked to stop, it ended with %v", err)
			}
		})
	}
}

// TestJobs starts the real binary as the chart's Jobs do. Without a database they fail, but not for how they were called.
func TestJobs(t *testing.T) {
	text, err := render(loadChart(t), chartValues(t)["everything"])
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)
	for _, pod := range []corev1.PodSpec{
		find[*batchv1.Job](t, objects, "witness-init").Spec.Template.Spec,
		find[*batchv1.CronJob](t, objects, "witness-retention").Spec.JobTemplate.Spec.Template.Spec,
	} {
		container := pod.Containers[0]
		t.Run(container.Name, func(t *testing.T) {
			with := prepareContainer(t, objects, pod, container)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, buildBinary(t), with.args...)
			cmd.Env = with.environ
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "connection refused") {
				t.Errorf("pgwitness %s: %v, want exit code 1 for a connection that is refused\n%s", strings.Join(with.args, " "), err, out)
			}
		})
	}
}

func buildBinary(t *testing.T) string {
	t.Helper()
	return installed(t, "pgwitness", func(dir string) *exec.Cmd {
		return exec.Command("go", "build", "-C", filepath.Join("..", "..", ".."), "-o", filepath.Join(dir, "pgwitness"), "./cmd/pgwitness")
	})
}

// process is a pgwitness that listens.
type process struct {
	address string
	stop    func() error // asks it to stop, and waits until it has
}

// start starts binary as a container, but for the port and the directory that it would have to itself there.
func start(t *testing.T, binary string, with prepared) process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	state := t.TempDir()
	cmd := exec.CommandContext(ctx, binary, with.args...)
	cmd.Env = append(with.environ,
		"PGWITNESS_HTTP_LISTEN=127.0.0.1:0", "PGWITNESS_STATE_DIR="+state, "PGWITNESS_SINKS_0_PATH="+filepath.Join(state, "audit.jsonl"))
	logged, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error {
		signalled := cmd.Process.Signal(syscall.SIGTERM)
		_, read := io.Copy(io.Discard, logged) // up to its end, which Wait must not come before
		return errors.Join(signalled, read, cmd.Wait())
	})
	t.Cleanup(func() { _ = stop() })

	lines := bufio.NewScanner(logged)
	for lines.Scan() {
		var line struct{ Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not JSON: %s", lines.Text())
		}
		if line.Address != "" {
			return process{line.Address, stop}
		}
	}
	t.Fatal("its log names no address")
	return process{}
}

// ask answers with the status code, as the kubelet gets it: it takes any certificate, and has no password.
func (p process) ask(t *testing.T, probe *corev1.HTTPGetAction) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	address := strings.ToLower(string(probe.Scheme)) + "://" + p.address + probe.Path
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
