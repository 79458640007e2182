package cli

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

// remote says which server a command talks to.
type remote struct {
	Addr    []string      `env:"GESTA_ADDR" default:"127.0.0.1:7070" placeholder:"HOST:PORT" help:"Servers to talk to, by their gRPC address (default 127.0.0.1:7070)."`
	TLS     bool          `name:"tls" help:"Encrypt, and verify the server's certificate."`
	TLSCA   string        `name:"tls-ca" env:"GESTA_TLS_CA" placeholder:"FILE" help:"Trust the certificates of this PEM file; implies --tls."`
	Timeout time.Duration `default:"10s" placeholder:"TIME" help:"How long to try before giving up (default 10s)."`
}

// connect prepares a client; it connects when it is first used.
func (a *app) connect(r remote) (*client.Client, error) {
	options, err := a.clientOptions(r)
	if err != nil {
		return nil, err
	}
	return client.New(options)
}

func (a *app) clientOptions(r remote) (client.Options, error) {
	if r.Timeout <= 0 {
		return client.Options{}, errs.New(errs.Invalid, "--timeout %s is not above zero", r.Timeout).With("field", "timeout")
	}
	config, err := r.tls()
	return client.Options{Addrs: r.Addr, TLS: config, Timeout: r.Timeout, UserAgent: "gesta-cli/" + a.Version}, err
}

func (r remote) tls() (*tls.Config, error) {
	switch {
	case r.TLSCA != "":
		return trusting(r.TLSCA)
	case r.TLS:
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil
}

func trusting(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fileError(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errs.New(errs.Invalid, "%s holds no certificate in PEM form", file).With("field", "tls-ca")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}
