// Command apiserver is a Kubernetes API server and its etcd in one process, for the test that applies the chart. Its arguments are
// a directory, and the two ports that etcd and the API listen on, on 127.0.0.1. It has no controllers and no kubelet: what
// is applied is admitted and kept, and nothing runs.
//
// It is a module of its own because Kubernetes's can only be required with all its parts replaced.
package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// token is the administrator's. It is known to everybody who can read this, as is the address to everybody on the machine: there is
// nothing behind it.
const token = "administrator"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: apiserver DIRECTORY ETCD-PORT PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func run(dir, etcdPort, port string) error {
	store := embed.NewConfig()
	store.Dir = filepath.Join(dir, "etcd")
	store.LogLevel = "error"
	client := url.URL{Scheme: "http", Host: "127.0.0.1:" + etcdPort}
	store.ListenClientUrls, store.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	peer := url.URL{Scheme: "unix", Host: "localhost:" + etcdPort}
	store.ListenPeerUrls, store.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	store.InitialCluster = store.Name + "=" + peer.String()
	etcd, err := embed.StartEtcd(store)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	<-etcd.Server.ReadyNotify()

	tokens := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(token+`,admin,admin,"system:masters"`+"\n"), 0o600); err != nil {
		return err
	}
	command := app.NewAPIServerCommand()
	key := filepath.Join(dir, "certs", "apiserver.key") // made at the start; it signs tokens that nobody asks for
	command.SetArgs([]string{
		"--etcd-servers=" + client.String(), "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + filepath.Join(dir, "certs"),
		"--token-auth-file=" + tokens, "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--disable-admission-plugins=ServiceAccount", // no controller makes the accounts that it would look for
	})
	if code := cli.Run(command); code != 0 {
		return fmt.Errorf("the API server ended with %d", code)
	}
	return nil
}
