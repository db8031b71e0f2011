package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const standbyKey = "source.standby_dsn_file"

// StandbyConfigs returns how to connect to each of the standbys of StandbyDSNFile, none where that is empty, in the order of
// its lines; those that are empty or begin with # do not count. The file and that of the password are read anew. A standby has
// the primary's roles, so Password is used as for the primary. Its errors hold nothing of the files' content.
func (s Source) StandbyConfigs() ([]*pgconn.Config, error) {
	if s.StandbyDSNFile == "" {
		return nil, nil
	}
	text, err := credential("", s.StandbyDSNFile, standbyKey)
	if err != nil {
		return nil, err
	}
	password, err := credential(s.Password, s.PasswordFile, "source.password_file")
	if err != nil {
		return nil, err
	}
	var configs []*pgconn.Config
	var addresses []string
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		config, err := parseDSN(line, password)
		if err != nil {
			return nil, &credentialError{standbyKey, fmt.Errorf("line %d: %w", number, err)}
		}
		address := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
		switch {
		case slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port }):
			return nil, &credentialError{standbyKey, fmt.Errorf("line %d: names several hosts: give each standby a line of its own", number)}
		case slices.Contains(addresses, address):
			return nil, &credentialError{standbyKey, fmt.Errorf("line %d: names a host and port that stand above already", number)}
		}
		configs, addresses = append(configs, config), append(addresses, address)
	}
	if len(configs) == 0 {
		return nil, &credentialError{standbyKey, errors.New("the file names no standby: want a connection string a line")}
	}
	return configs, nil
}

// parseDSN returns how to connect; a password that is not empty is used instead of the one in dsn.
func parseDSN(dsn, password string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, dsnProblem(err)
	}
	config.Password = cmp.Or(password, config.Password)
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "pgwitness"
	}
	return config, nil
}
