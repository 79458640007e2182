package node

import (
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	leastDiskFloor   = 64 * limits.MiB // one segment file of the default size must still fit
	leastMemoryLimit = 64 * limits.MiB
	mostDrainTimeout = time.Hour
)

// Validate checks every setting, each alone and as they stand together. The error is invalid and names the setting; it
// touches nothing but the TLS files, which it reads.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkPaths, c.checkAddresses, c.checkSizes, c.checkLog, c.checkHTTP, c.checkTLS, c.checkCluster, c.checkExposure, c.checkAdmin, c.Limits.Validate} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// refuse is the one form of a bad setting: names in file and flag, so that it is found wherever it was written.
func refuse(name, format string, args ...any) error {
	f, _ := FieldOf(name)
	return errs.New(errs.Invalid, name+" (--"+f.Flag()+") "+format, args...).With("field", name)
}

func (c *Config) checkPaths() error {
	if strings.TrimSpace(c.Data) == "" {
		return refuse("data", "is empty; name a folder, for instance ./gesta-data")
	}
	return nil
}

func (c *Config) checkAddresses() error {
	for _, a := range []struct{ name, addr string }{{"grpc", c.GRPC}, {"http", c.HTTP}} {
		if err := checkAddress(a.name, a.addr); err != nil {
			return err
		}
	}
	if c.GRPC == c.HTTP && !strings.HasSuffix(c.GRPC, ":0") {
		return refuse("http", "is %s, the same as grpc; each needs its own port", c.HTTP)
	}
	return nil
}

func checkAddress(name, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return refuse(name, "is %q; write HOST:PORT, for instance 127.0.0.1:7070, or :7070 for every interface", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return refuse(name, "is %q; the port must be a number from 0 to 65535", addr)
	}
	return nil
}

func (c *Config) checkSizes() error {
	switch {
	case c.DiskFloor < leastDiskFloor:
		return refuse("disk_floor", "is %s; it must be %s or more, so that a clean stop still has room", sizeText(c.DiskFloor), sizeText(leastDiskFloor))
	case c.MemoryLimit != 0 && c.MemoryLimit < leastMemoryLimit:
		return refuse("memory_limit", "is %s; it must be 0 or %s or more", sizeText(c.MemoryLimit), sizeText(leastMemoryLimit))
	case c.DrainTimeout < 0 || c.DrainTimeout > mostDrainTimeout:
		return refuse("drain_timeout", "is %s; it must be from 0s to %s", c.DrainTimeout, mostDrainTimeout)
	}
	return nil
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"auto", "text", "json"}
)

func (c *Config) checkLog() error {
	if !slices.Contains(logLevels, c.LogLevel) {
		return refuse("log.level", "is %q; it must be one of %s", c.LogLevel, strings.Join(logLevels, ", "))
	}
	if !slices.Contains(logFormats, c.LogFormat) {
		return refuse("log.format", "is %q; it must be one of %s", c.LogFormat, strings.Join(logFormats, ", "))
	}
	return nil
}

func (c *Config) checkTLS() error {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return nil
	case c.TLSCert == "":
		return refuse("tls.cert", "is empty, but tls.key is set; both are needed")
	case c.TLSKey == "":
		return refuse("tls.key", "is empty, but tls.cert is set; both are needed")
	}
	_, err := c.certificate()
	return err
}

func (c *Config) certificate() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return pair, refuse("tls.cert", "and tls.key cannot be used: %w", err)
	}
	return pair, nil
}

// checkExposure keeps a server without TLS on loopback unless the operator has said otherwise in so many words.
func (c *Config) checkExposure() error {
	if k := c.Cluster; k.PeerListen != "" && k.PeerCA == "" && !c.Insecure && !loopback(k.PeerListen) {
		return refuse("peer_listen", "is %s, which others can reach, and peers do not prove who they are: set --tls-cert, --tls-key and --tls-peer-ca, listen on 127.0.0.1, or pass --insecure to accept that anyone may pose as a node", k.PeerListen)
	}
	if c.TLSCert != "" || c.Insecure {
		return nil
	}
	for _, a := range []struct{ name, addr string }{{"grpc", c.GRPC}, {"http", c.HTTP}} {
		if !loopback(a.addr) {
			return refuse(a.name, "is %s, which others can reach, and there is no TLS: set --tls-cert and --tls-key, listen on 127.0.0.1, or pass --insecure to accept that anyone may read and write everything", a.addr)
		}
	}
	return nil
}

// exposed tells whether others can reach the server, in plain text.
func (c *Config) exposed() bool {
	open := c.TLSCert == "" && !(loopback(c.GRPC) && loopback(c.HTTP))
	return open || c.Cluster.PeerListen != "" && c.Cluster.PeerCA == "" && !loopback(c.Cluster.PeerListen)
}

// loopback: a host name other than localhost is not looked up, since what it means may change after the check.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
