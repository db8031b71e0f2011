package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

const secret = "Xq7SECRETz9"

func TestSecretsAreNeverPrinted(t *testing.T) {
	config := Default()
	config.Source.DSN = "postgres://u:" + secret + "@h/db"
	config.Source.Password = secret

	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T %[1]v"} {
		fmt.Fprintf(&printed, verb+"\n", config)
		fmt.Fprintf(&printed, verb+"\n", &config)
		fmt.Fprintf(&printed, verb+"\n", config.Source.Password)
		fmt.Fprintf(&printed, verb+"\n", []any{config.Source.Password, map[Secret]Secret{secret: secret}})
	}
	if err := json.NewEncoder(&printed).Encode(config); err != nil {
		t.Fatal(err)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("m", "config", config, "pointer", &config, "password", config.Source.Password)
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret))} {
		if strings.Contains(printed.String(), form) {
			t.Errorf("found %s in:\n%s", form, &printed)
		}
	}
	if !strings.Contains(printed.String(), redacted) {
		t.Error("nothing shows that there is a secret")
	}
	if text := fmt.Sprint(Secret("")); text != "" {
		t.Errorf("an empty secret prints %q", text)
	}
}

func TestConnectionErrorsHoldNoSecret(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:" + secret + "@h/db?sslmode=bogus",
		"postgres://u:" + secret + "@h:port/db",
		"postgres://u:a:" + secret + "@h:x/db",
		"postgres://u:a/" + secret + "@h/db",
		"postgres://u:a#" + secret + "@h/db?sslmode=bogus",
		"postgres://u:%zz" + secret + "@h/db",
		"postgres://u@h/db?password=" + secret + "&sslmode=bogus",
		"postgres://u@h/db?pass%77ord=" + secret + "&sslmode=bogus",
		"postgres://u@h/db?sslpassword=" + secret + "&sslmode=bogus",
		"postgres://u@[" + secret,
		"postgres://u:" + secret,
		"postgres://" + secret + ":" + secret + "@:" + secret,
		"host=h password=" + secret + " sslmode=bogus",
		"host=h password = " + secret + " sslmode=bogus",
		"host=h password='a " + secret + "' sslmode=bogus",
		`host=h password='a\' ` + secret + "' sslmode=bogus",
		"host=h password='" + secret,
		"host=h password=a " + secret,
		"host=h password=a " + secret + " sslmode=bogus",
		"host=h password " + secret + " sslmode=bogus",
		"host=h password=a target_session_attrs=" + secret,
		"host=h password=a channel_binding=" + secret,
		"host=h password=a min_protocol_version=" + secret,
		"host=h password=a require_auth=" + secret,
		"host=h password=a sslcertmode=" + secret,
		"host=h password=a connect_timeout=" + secret,
		"host=h password=a port=" + secret,
		"host=h sslrootcert=/" + secret + " sslmode=verify-full",
		"host=h sslcert=/" + secret + " sslkey=/" + secret + " sslmode=require",
		"service=" + secret,
		"service=x servicefile=/" + secret,
		secret,
		"host=h\x00 password=" + secret,
	} {
		clearPG(t)
		for name, options := range map[string]Options{
			"flag":        {Flags: []Flag{{"--dsn", "source.dsn", dsn}}},
			"environment": {Environ: []string{"PGWITNESS_SOURCE_DSN=" + dsn}},
			"file":        {Environ: []string{"PGWITNESS_SOURCE_DSN_FILE=" + write(t, "dsn", dsn)}},
			"as a file":   {Environ: []string{"PGWITNESS_SOURCE_DSN_FILE=" + dsn}},
		} {
			_, err := Load(options)
			if err == nil {
				t.Errorf("%s, %s: no error", dsn, name)
			} else if text := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(text, secret) {
				t.Errorf("%s, %s: error %s", dsn, name, text)
			}
		}
	}
}

// A problem that a later pgconn reports in words we do not know is not passed on.
func TestUnknownConnectionErrorHoldsNoSecret(t *testing.T) {
	err := dsnProblem(pgconn.NewParseConfigError("host=h password=a "+secret, "colour out of space", errors.New(secret)))
	if text := err.Error(); strings.Contains(text, secret) || !strings.Contains(text, "cannot be parsed") {
		t.Errorf("error %s", text)
	}
}

// A secret in a place that is wrong for it is not repeated either.
func TestMistakesHoldNoSecret(t *testing.T) {
	for _, text := range []string{
		"source: " + secret,
		"source: {password: *" + secret + "}",
		"source: {password: [" + secret + "]}",
		"source: {password: {a: " + secret + "}}",
		"source: {password: '" + secret,
		"source: {password: a, password: " + secret + "}",
		"source: {password_file: " + secret + "}",
		"source: {password: " + secret + ", password_file: /x}",
		"source: {pasword: " + secret + "}",
		"source: {status_interval: " + secret + "}",
		"source: {table: " + secret + "}",
		"source: {slot: " + secret + "}",
		"buffer: {max_bytes: " + secret + "}",
		"http: {listen: " + secret + "}",
		"log: {level: " + secret + ", format: " + secret + "}",
		"sinks: " + secret,
		"sinks: [" + secret + "]",
		"sinks: [{type: file, path: /a, keep: " + secret + "}]",
		"sinks: [{type: file, path: /a, token: " + secret + "}]",
		secret,
		"source: {password: \"\\q" + secret + "\"}",
		"source: {password: !<" + secret + " x}",
		"source: {password: %" + secret + "}",
		"source: {password: @" + secret + "}",
		"source: {password: |" + secret + "}",
		"source:\n\tpassword: " + secret,
	} {
		_, err := load(t, text, nil)
		if err == nil {
			t.Errorf("%s: no error", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func FuzzConnectionErrorsHoldNoSecret(f *testing.F) {
	for _, seed := range []string{"postgres://u:!@h/db?sslmode=bogus", "host=h password='! sslmode=bogus", "postgres://u:!@h:x/?a=%zz"} {
		f.Add(seed)
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			f.Setenv(name, "")
		}
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		dsn = strings.ReplaceAll(dsn, "!", secret)
		_, err := Source{DSN: Secret(dsn)}.ConnConfig()
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: error %v", dsn, err)
		}
	})
}
