package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"pgwitness/internal/config"
	"pgwitness/internal/webclient"
)

const clientHelp = `It asks a running pgwitness at its listener: at --url, or where the configuration has
http.listen on this machine. Who only looks needs none of its credentials. What flags
leave out is taken from PGWITNESS_CLIENT_URL, PGWITNESS_CLIENT_CA_FILE,
PGWITNESS_CLIENT_USER and PGWITNESS_CLIENT_PASSWORD_FILE.`

// clientFlags say how to reach a running pgwitness.
type clientFlags struct {
	file   string // the configuration
	config webclient.Config
}

func addClientFlags(cmd *cobra.Command) *clientFlags {
	c := new(clientFlags)
	flags := cmd.Flags()
	flags.StringVarP(&c.file, "config", "c", "", "find the listener in the YAML `FILE` (default: what PGWITNESS_CONFIG names)")
	flags.StringVar(&c.config.URL, "url", "", "ask at this `URL`, such as http://db1.example.com:9717 (default: http.listen on this machine)")
	addAccessFlags(cmd, &c.config)
	return c
}

// addAccessFlags are for whatever asks a listener that has TLS or wants a password.
func addAccessFlags(cmd *cobra.Command, access *webclient.Config) {
	flags := cmd.Flags()
	flags.StringVar(&access.CAFile, "ca-file", "", "trust the certificates in this PEM `FILE` instead of the system's")
	flags.StringVar(&access.User, "login", "", "log in as `NAME` (basic authentication)")
	flags.StringVar(&access.PasswordFile, "password-file", "", "the `FILE` that holds the password")
}

// listenerConfig is access to the listener at url, with what flags leave out from the environment.
func listenerConfig(url string, access webclient.Config) webclient.Config {
	return webclient.Config{
		URL:          url,
		CAFile:       cmp.Or(access.CAFile, os.Getenv("PGWITNESS_CLIENT_CA_FILE")),
		User:         cmp.Or(access.User, os.Getenv("PGWITNESS_CLIENT_USER")),
		PasswordFile: cmp.Or(access.PasswordFile, os.Getenv("PGWITNESS_CLIENT_PASSWORD_FILE")),
	}
}

// client returns a client that has not asked anything yet.
func (c *clientFlags) client() (*webclient.Client, error) {
	cfg := listenerConfig(cmp.Or(c.config.URL, os.Getenv("PGWITNESS_CLIENT_URL")), c.config)
	if cfg.URL == "" {
		http, err := config.LoadHTTP(config.Options{File: c.file})
		if err != nil {
			return nil, err
		}
		if cfg.URL, err = webclient.ListenerURL(http); err != nil {
			return nil, err
		}
	}
	return webclient.New(cfg)
}
