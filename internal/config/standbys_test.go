package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStandbyConfigs(t *testing.T) {
	clearPG(t)
	password := write(t, "password", "secret\n")
	const ours = "source.standby_dsn_file: "
	tests := []struct{ name, text, want string }{
		{"two", "# in Oslo\npostgres://w@b:5433/shop\n\n  host=c user=w  \n", "w:secret@b:5433/shop w:secret@c:5432/"},
		{"a socket", "host=/run/postgresql user=w", "w:secret@/run/postgresql:5432/"},
		{"nothing", "# none yet\n", ours + "the file names no standby: want a connection string a line"},
		{"empty", "", ours + "the file is empty or larger than 64KiB: want the bare value in it"},
		{"not a connection string", "host=b\nhunter2 is my password", ours + "line 2: in the connection string or the PG* variables: want postgres://… or " +
			"keyword=value pairs (quote a value with spaces: '…')"},
		{"several hosts", "host=b,c", ours + "line 1: names several hosts: give each standby a line of its own"},
		{"the same port of several hosts", "host=b,b port=5432,5433", ours + "line 1: names several hosts: give each standby a line of its own"},
		{"twice", "host=b\nhost=b port=5432", ours + "line 2: names a host and port that stand above already"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			configs, err := Source{StandbyDSNFile: write(t, "standbys", test.text), PasswordFile: password}.StandbyConfigs()
			var got []string
			for _, c := range configs {
				got = append(got, fmt.Sprintf("%s:%s@%s:%d/%s", c.User, c.Password, c.Host, c.Port, c.Database))
			}
			said := strings.Join(got, " ")
			if err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(test.want, said); diff != "" {
				t.Errorf("not what is wanted (-want +got):\n%s", diff)
			}
		})
	}
	if configs, err := (Source{}).StandbyConfigs(); configs != nil || err != nil {
		t.Errorf("without a file: %v, %v", configs, err)
	}
}

// What is wrong with the file is told at the start.
func TestStandbyFileIsChecked(t *testing.T) {
	clearPG(t)
	config := write(t, "config.yml", "source: {dsn: postgres://w@a/shop, standby_dsn_file: "+write(t, "standbys", "host=b,c")+"}")
	_, err := Load(Options{File: config, Environ: []string{}})
	if err == nil || !strings.Contains(err.Error(), ":1: source.standby_dsn_file: line 1: names several hosts") {
		t.Errorf("the error is %v", err)
	}
}
