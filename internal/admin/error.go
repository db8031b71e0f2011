package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/replication"
)

// refusal gives an error its class without adding the class's own word to the text.
type refusal struct {
	class error
	error
}

func (r *refusal) Unwrap() []error { return []error{r.class, r.error} }

// Refuse returns an error of class, such as replication.ErrSetup, whose text is what the format makes.
func Refuse(class error, format string, args ...any) error {
	return &refusal{class, fmt.Errorf(format, args...)}
}

func classify(err error) error {
	var (
		pgErr     *pgconn.PgError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, ErrStandby):
		return Refuse(replication.ErrSetup, "%w; connect to the primary, or name all hosts in source.dsn", err)
	case errors.As(err, &verify), errors.As(err, &authority), strings.Contains(err.Error(), "server refused TLS connection"):
		return Refuse(replication.ErrConfig, "%w; check sslmode and sslrootcert of source.dsn", err)
	case !errors.As(err, &pgErr):
		return fmt.Errorf("cannot reach the server: %w", err)
	}
	switch pgErr.Code {
	case "28P01", "28000", "3D000": // the password, the user or pg_hba.conf, the database
		return Refuse(replication.ErrConfig, "%w; check the user, the password, the database of source.dsn, and pg_hba.conf", err)
	case "42704", "22023": // a setting that the server does not know, or not with this value
		return Refuse(replication.ErrConfig, "%w; check the keywords of source.dsn and PGOPTIONS: one that libpq does not know is taken "+
			"for a setting of the server", err)
	case "42501": // insufficient rights
		return Refuse(replication.ErrSetup, "%w; connect as an administrator of the database", err)
	}
	return err
}
