package config

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestConnConfigReadsCredentialFilesEachTime(t *testing.T) {
	clearPG(t)
	dsn := write(t, "dsn", "")
	password := write(t, "password", "")
	source := Source{DSNFile: dsn, PasswordFile: password}

	for _, want := range []struct{ dsn, password, user, host string }{
		{"postgres://one@h1/db\n", "first\r\n", "one", "h1"},
		{"postgres://two:other@h2/db", " second ", "two", "h2"},
	} {
		overwrite(t, dsn, want.dsn)
		overwrite(t, password, want.password)
		connection, err := source.ConnConfig()
		if err != nil {
			t.Fatal(err)
		}
		if got := connection.User + "@" + connection.Host; got != want.user+"@"+want.host {
			t.Errorf("connects to %s, want %s@%s", got, want.user, want.host)
		}
		if connection.Password != strings.TrimRight(want.password, "\r\n") {
			t.Errorf("password %q, want %q", connection.Password, want.password)
		}
		if name := connection.RuntimeParams["application_name"]; name != "pgwitness" {
			t.Errorf("application_name %q", name)
		}
	}

	for _, text := range []string{"", "\n", strings.Repeat("x", maxCredentialBytes+1)} {
		overwrite(t, password, text)
		if _, err := source.ConnConfig(); err == nil || !strings.HasPrefix(err.Error(), "source.password_file: ") {
			t.Errorf("a password file of %d bytes: error %v", len(text), err)
		}
	}
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	if _, err := source.ConnConfig(); err == nil {
		t.Error("no error for a password file that has gone")
	}
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPGVariablesFillWhatTheDSNLeavesOut(t *testing.T) {
	clearPG(t)
	t.Setenv("PGHOST", "pghost")
	t.Setenv("PGUSER", "pguser")
	t.Setenv("PGPASSWORD", "pgpassword")
	t.Setenv("PGAPPNAME", "mine")
	connection, err := Source{DSN: "user=u dbname=d"}.ConnConfig()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{connection.Host, connection.User, connection.Database, connection.Password, connection.RuntimeParams["application_name"]}
	if want := "pghost u d pgpassword mine"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Of a secret and its file, the one of the higher layer counts.
func TestAlternativesAcrossLayers(t *testing.T) {
	file := write(t, "password", "from the file")
	tests := []struct {
		name, text, variable, want string
	}{
		{"file over value", "source: {password: a}", "PGWITNESS_SOURCE_PASSWORD_FILE=" + file, "from the file"},
		{"value over file", "source: {password_file: '" + file + "'}", "PGWITNESS_SOURCE_PASSWORD=b", "b"},
		{"over the DSN's", "source: {dsn: 'postgres://u:c@h/d'}", "PGWITNESS_SOURCE_PASSWORD=b", "b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := load(t, test.text, []string{test.variable})
			if err != nil {
				t.Fatal(err)
			}
			if config.Source.Password != "" && config.Source.PasswordFile != "" {
				t.Error("both are set")
			}
			connection, err := config.Source.ConnConfig()
			if err != nil {
				t.Fatal(err)
			}
			if connection.Password != test.want {
				t.Errorf("password %q, want %q", connection.Password, test.want)
			}
		})
	}
}

func TestHasPassword(t *testing.T) {
	for dsn, want := range map[string]bool{
		"":                                     false,
		"postgres://u@h:5432/db":               false,
		"postgres://h:5432/db?sslmode=require": false,
		"postgres://u:@h/db":                   false,
		"postgres://u:p@h/db":                  true,
		"postgres://u:p/q@h/db":                true,
		"postgres://u@x:p@h/db":                true,
		"postgres://u@h/db?password=p":         true,
		"postgres://u@h/db?pass%77ord=p":       true,
		"postgres://u@h/db?sslpassword=p":      true,
		"postgres://u@h/db?passfile=/p":        false,
		"host=h user=u":                        false,
		"host=h passfile=/p":                   false,
		"host=h password=''":                   false,
		"host=h password=p":                    true,
		"host=h password = 'p q'":              true,
	} {
		if got := HasPassword(dsn); got != want {
			t.Errorf("%s: %v, want %v", dsn, got, want)
		}
	}
}

func TestExposedPasswordIsAWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // where permission bits mean nothing, and nothing is warned of
	}
	tests := []struct {
		text string
		mode os.FileMode
		want bool
	}{
		{"source: {password: a}", 0o644, true},
		{"source: {dsn: 'postgres://u:p@h/d'}", 0o604, true},
		{"source: {password: a}", 0o640, false},
		{"source: {password: a}", 0o600, false},
		{"source: {dsn: 'postgres://u@h/d'}", 0o644, false},
	}
	for _, test := range tests {
		clearPG(t)
		path := write(t, "pgwitness.yaml", test.text)
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		config, err := Load(Options{File: path, Environ: []string{"A="}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(config.Warnings) > 0; got != test.want {
			t.Errorf("%s with mode %o: warnings %q", test.text, test.mode, config.Warnings)
		}
	}
}
