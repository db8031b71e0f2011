package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxCredentialBytes bounds a credential file.
const maxCredentialBytes = 64 << 10

// credentialError is a problem with one of the keys that ConnConfig uses.
type credentialError struct {
	key     string
	problem error
}

func (e *credentialError) Error() string { return e.key + ": " + e.problem.Error() }
func (e *credentialError) Unwrap() error { return e.problem }

// ConnConfig returns how to connect, made anew: DSNFile and PasswordFile are read again, so that a rotated credential is
// used at the next dial. An application_name is set where nothing else sets one. Its errors hold nothing of the DSN, the
// password or the files' content.
func (s Source) ConnConfig() (*pgconn.Config, error) {
	dsn, err := credential(s.DSN, s.DSNFile, "source.dsn_file")
	if err != nil {
		return nil, err
	}
	password, err := credential(s.Password, s.PasswordFile, "source.password_file")
	if err != nil {
		return nil, err
	}
	config, err := parseDSN(dsn, password)
	if err != nil {
		key := "source.dsn"
		if s.DSNFile != "" {
			key = "source.dsn_file"
		}
		return nil, &credentialError{key, err}
	}
	return config, nil
}

// credential returns the secret, or the content of the file that holds it, without the line's end. The error leaves the
// file's name out: somebody may have put the secret itself there.
func credential(secret Secret, path, key string) (string, error) {
	if path == "" {
		return string(secret), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", &credentialError{key, fmt.Errorf("cannot read the file: %w", withoutPath(err))}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCredentialBytes+1))
	if err != nil {
		return "", &credentialError{key, fmt.Errorf("cannot read the file: %w", withoutPath(err))}
	}
	content := strings.TrimRight(string(text), "\r\n")
	if content == "" || len(text) > maxCredentialBytes {
		return "", &credentialError{key, errors.New("the file is empty or larger than 64KiB: want the bare value in it")}
	}
	return content, nil
}

func withoutPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// dsnProblems are the fragments of pgconn's texts that say what is wrong, and how we say it.
var dsnProblems = []struct{ fragment, problem string }{
	{"sslmode is invalid", "sslmode: want disable, allow, prefer, require, verify-ca or verify-full"},
	{"unable to read CA file", "sslrootcert: cannot read the file"},
	{"unable to add CA to cert pool", "sslrootcert: the file holds no PEM certificate"},
	{`both "sslcert" and "sslkey" are required`, "sslcert and sslkey: give both or neither"},
	{"unable to read cert", "sslcert: cannot read the file"},
	{"unable to load cert", "sslcert: not a PEM certificate that belongs to sslkey"},
	{"unable to read sslkey", "sslkey: cannot read the file"},
	{"failed to decode sslkey", "sslkey: the file holds no PEM key"},
	{"unable to find sslpassword", "sslkey: the key is encrypted: set sslpassword"},
	{"unable to decrypt key", "sslpassword: does not decrypt sslkey"},
	{"sslcertmode", "sslcertmode: want disable, allow or require"},
	{"failed to configure TLS", "the ssl… settings do not fit together"},
	{"invalid connect_timeout", "connect_timeout: want whole seconds"},
	{"could not match", "host and port: want one port, or as many ports as hosts"},
	{"invalid port", "port: want a number from 1 to 65535 (in a URL, percent-encode @ : / and ? in a password)"},
	{"target_session_attrs", "target_session_attrs: want read-write, read-only, primary, standby, prefer-standby or any"},
	{"channel_binding", "channel_binding: want disable, prefer or require"},
	{"require_auth", "require_auth: names an unknown method"},
	{"min_protocol_version", "min_protocol_version: want 3.0, 3.2 or latest, at most max_protocol_version"},
	{"max_protocol_version", "max_protocol_version: want 3.0, 3.2 or latest"},
	{"service", "service: not found in the service file"},
	{"unterminated quoted string", "a quote is not closed"},
	{"failed to parse as URL", "not a URL as libpq takes it (percent-encode @ : / and ? in a password)"},
	{"failed to parse as keyword/value", "want postgres://… or keyword=value pairs (quote a value with spaces: '…')"},
}

// dsnProblem says what pgconn found wrong in words of our own. pgconn quotes the connection string with the passwords it
// recognises blotted out, and it cannot recognise all of them in one that does not parse, so nothing of it is passed on.
func dsnProblem(err error) error {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return errors.New("cannot be used to connect")
	}
	quoted := *parse
	quoted.ConnString = ""
	text := quoted.Error()
	for _, known := range dsnProblems {
		if strings.Contains(text, known.fragment) {
			return errors.New("in the connection string or the PG* variables: " + known.problem)
		}
	}
	return errors.New("the connection string or a PG* variable cannot be parsed")
}

var passwordWord = regexp.MustCompile(`(?i)password\s*=\s*'?[^'\s&]`)

// HasPassword says whether dsn, well-formed or not, seems to hold a password. When in doubt it says yes.
func HasPassword(dsn string) bool {
	if _, rest, isURL := strings.Cut(dsn, "://"); isURL {
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			if _, password, ok := strings.Cut(rest[:at], ":"); ok && password != "" {
				return true
			}
		}
	}
	decoded, err := url.QueryUnescape(dsn)
	return passwordWord.MatchString(dsn) || err == nil && passwordWord.MatchString(decoded)
}
