package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/gesta-db/gesta/internal/errs"
)

// listeners are the node's ports; that for peers is nil when the node stays alone. They are taken before anything is written, so that a start that cannot work changes
// nothing.
type listeners struct {
	grpc, http, peer net.Listener
}

func listen(c *Config) (l listeners, err error) {
	if l.grpc, err = listenOn("grpc", c.GRPC); err != nil {
		return l, err
	}
	if l.http, err = listenOn("http", c.HTTP); err != nil {
		return l, errors.Join(err, l.grpc.Close())
	}
	if c.Cluster.PeerListen == "" {
		return l, nil
	}
	if l.peer, err = listenOn("peer_listen", c.Cluster.PeerListen); err != nil {
		return l, errors.Join(err, l.grpc.Close(), l.http.Close())
	}
	return l, nil
}

func listenOn(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		f, _ := FieldOf(name)
		return nil, errs.New(errs.Unavailable, "the address %s is in use: stop what listens there (perhaps another gesta), or choose another with --%s", addr, f.Flag()).With("field", name)
	}
	return nil, refuse(name, "is %s, where this node cannot listen: %w", addr, err)
}

func (l listeners) close() {
	_, _ = l.grpc.Close(), l.http.Close()
	if l.peer != nil {
		_ = l.peer.Close()
	}
}

// tlsConfig is nil without certificate.
func (c *Config) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	pair, err := c.certificate()
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
