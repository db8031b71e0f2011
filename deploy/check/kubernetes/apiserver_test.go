//go:build apiserver

package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// version is that of apiserver/go.mod, which a build outside of Kubernetes's own does not know of itself.
const version = "v1.36.3"

// crd is an operator's kind whose definition cannot be had as a module. TestChart decodes the objects into its types.
const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: %[1]s, plural: %[2]s}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// warnings are what the API server warns of, such as a pod that the namespace's level of security would not admit.
type warnings struct {
	mu   sync.Mutex
	seen []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// TestApply gives what the chart renders, the manifests and the examples to a real API server, and lives through an installation.
func TestApply(t *testing.T) {
	t.Setenv("KUBECONFIG", startServer(t))
	warned := new(warnings)
	rest.SetDefaultWarningHandler(warned)
	const namespace = "audit"
	settings := cli.New()
	settings.SetNamespace(namespace)
	configuration := new(action.Configuration)
	if err := configuration.Init(settings.RESTClientGetter(), namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	apply := func(t *testing.T, text []byte, options ...kube.ClientCreateOption) {
		t.Helper()
		resources, err := configuration.KubeClient.Build(bytes.NewReader(text), true)
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, kube.ClientCreateOptionServerSideApply(true, false),
			kube.ClientCreateOptionFieldValidationDirective(kube.FieldValidationDirectiveStrict))
		if _, err := configuration.KubeClient.Create(resources, options...); err != nil {
			t.Error(err)
		}
		for _, warning := range warned.take() {
			t.Errorf("the server warns: %s", warning)
		}
	}
	dryRun := kube.ClientCreateOptionDryRun(true)

	operator := output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudnative-pg/cloudnative-pg")
	for _, name := range []string{"clusters", "publications"} {
		apply(t, readFile(t, filepath.Join(operator, "config", "crd", "bases", "postgresql.cnpg.io_"+name+".yaml")))
	}
	for _, kind := range []string{"PodMonitor", "ServiceMonitor", "PrometheusRule"} {
		apply(t, fmt.Appendf(nil, crd, kind, strings.ToLower(kind)+"s"))
	}
	apply(t, []byte("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "+namespace+"\n  labels:\n"+
		"    pod-security.kubernetes.io/enforce: restricted\n    pod-security.kubernetes.io/warn: restricted\n"))

	loaded := loadChart(t)
	all := map[string][]byte{
		"manifests":     build(t, filepath.Join("..", "..", "kubernetes")),
		"application":   readFile(t, filepath.Join("..", "..", "examples", "sidecar-application.yaml")),
		"database":      readFile(t, filepath.Join("..", "..", "examples", "sidecar-database.yaml")),
		"cloudnativepg": readFile(t, filepath.Join("..", "..", "examples", "cloudnativepg", "cluster.yaml")),
	}
	for name, values := range chartValues(t) {
		text, err := render(loaded, values)
		if err != nil {
			t.Fatal(err)
		}
		all["chart with "+name] = text
	}
	for name, text := range all {
		t.Run(name, func(t *testing.T) { apply(t, text, dryRun) })
	}

	t.Run("installed, upgraded and uninstalled", func(t *testing.T) {
		install := action.NewInstall(configuration)
		install.ReleaseName, install.Namespace, install.WaitStrategy = "shop", namespace, kube.HookOnlyStrategy
		if _, err := install.Run(loaded, map[string]any{}); err != nil {
			t.Fatal(err)
		}
		clients, err := configuration.KubernetesClientSet()
		if err != nil {
			t.Fatal(err)
		}
		strategy := func(want appsv1.DeploymentStrategyType) {
			t.Helper()
			got, err := clients.AppsV1().Deployments(namespace).Get(t.Context(), "shop-pgwitness", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Spec.Strategy.Type != want {
				t.Errorf("the strategy is %s, want %s", got.Spec.Strategy.Type, want)
			}
		}
		strategy(appsv1.RecreateDeploymentStrategyType)
		for _, step := range []struct {
			values string
			want   appsv1.DeploymentStrategyType
		}{
			{"standby", appsv1.RollingUpdateDeploymentStrategyType}, {"default", appsv1.RecreateDeploymentStrategyType},
		} {
			upgrade := action.NewUpgrade(configuration)
			upgrade.Namespace, upgrade.WaitStrategy, upgrade.ResetValues = namespace, kube.HookOnlyStrategy, true
			if _, err := upgrade.Run("shop", loaded, chartValues(t)[step.values]); err != nil {
				t.Fatal(err)
			}
			strategy(step.want)
		}
		uninstall := action.NewUninstall(configuration)
		uninstall.WaitStrategy = kube.HookOnlyStrategy
		if _, err := uninstall.Run("shop"); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "shop-pgwitness", metav1.GetOptions{}); err != nil {
			t.Errorf("the volume did not outlive the release: %v", err)
		}
		if left, err := clients.AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(left.Items) > 0 {
			t.Errorf("%d Deployments were left (%v)", len(left.Items), err)
		}
		for _, warning := range warned.take() {
			t.Errorf("the server warns: %s", warning)
		}
	})
}

// startServer builds and starts an API server, and returns the path of a kubeconfig for it.
func startServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "apiserver")
	output(t, "go", "build", "-C", filepath.Join("..", "apiserver"), "-o", binary,
		"-ldflags", "-X k8s.io/component-base/version.gitVersion="+version+" -X k8s.io/client-go/pkg/version.gitVersion="+version, ".")

	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	_, etcdPort, _ := net.SplitHostPort(freeAddress(t))
	server := exec.Command(binary, dir, etcdPort, port)
	server.Dir = dir // etcd's socket
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGKILL) // what it holds is not needed again, and asking takes a minute
		<-ended
		if t.Failed() {
			t.Logf("the server's last words:\n%s", tail(readFile(t, log.Name())))
		}
	})

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // it signs its certificate itself
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer administrator")
		if answer, err := client.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the server does not become ready")
		case <-tick.C:
		}
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	text := "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], " +
		"users: [{name: u, user: {token: administrator}}], " +
		"clusters: [{name: c, cluster: {server: " + strconv.Quote("https://"+address) + ", insecure-skip-tls-verify: true}}]}"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }
