// Package dns finds peers by a name: the A and AAAA records of a host, each with one port (Host), or the SRV records
// _gesta-peer._tcp of a name, which bring host and port (Service).
//
// It asks as the system is configured (hosts file, search domains, servers), anew each time: nothing is kept. It promises
// addresses that are sorted and different. It does not know whether the records are complete: a name server that answers late, or
// from memory, tells of yesterday's peers.
//
// In Kubernetes the name is that of a headless service with publishNotReadyAddresses, else a node that is not ready yet finds
// nobody, and never becomes ready.
//
// Limits: a call ends after 5 s, which is one timeout of the usual resolver; a name with over 100 records is refused.
package dns

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

const (
	patience = 5 * time.Second
	most     = 100 // more than a cluster has nodes: the name is another one's
)

// Host is a name with address records, and the port that all peers share.
type Host struct {
	name, port string
	resolver   *net.Resolver // nil: the system's
}

// ParseHost reads NAME:PORT. The error is invalid.
func ParseHost(text string) (*Host, error) {
	name, port, err := net.SplitHostPort(text)
	if err != nil {
		return nil, errs.New(errs.Invalid, "%q is no name to find peers by; write dns:NAME:PORT, for instance dns:gesta-peers:7090", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errs.New(errs.Invalid, "the port of dns:%s must be a number from 1 to 65535", text)
	}
	return &Host{name: name, port: port}, checkName(name)
}

// Seeds looks the name up.
func (h *Host) Seeds(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ips, err := h.resolver.LookupNetIP(ctx, "ip", h.name)
	if err != nil {
		return nil, explain(err, h.name, "address")
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = net.JoinHostPort(ip.Unmap().String(), h.port)
	}
	return bounded(addrs, h.name)
}

// Service is a name whose SRV records tell of the peers.
type Service struct {
	name     string
	resolver *net.Resolver
}

// ParseService reads NAME; what is looked up is _gesta-peer._tcp.NAME. The error is invalid.
func ParseService(name string) (*Service, error) {
	if strings.Contains(name, ":") {
		return nil, errs.New(errs.Invalid, "srv:%s needs no port: write srv:NAME, the SRV records bring theirs", name)
	}
	return &Service{name: name}, checkName(name)
}

// Seeds looks the records up. Priority and weight are not heeded, since every peer is asked.
func (s *Service) Seeds(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, records, err := s.resolver.LookupSRV(ctx, "gesta-peer", "tcp", s.name)
	if err != nil && len(records) == 0 { // with some, the error is about malformed ones that were left out
		return nil, explain(err, "_gesta-peer._tcp."+s.name, "SRV")
	}
	var addrs []string
	for _, r := range records {
		if host := strings.TrimSuffix(r.Target, "."); host != "" && r.Port != 0 { // a target "." says: not offered here
			addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(int(r.Port))))
		}
	}
	if len(addrs) == 0 {
		return nil, errs.New(errs.NotFound, "the SRV records of _gesta-peer._tcp.%s say that there is no peer: they need a target and a port", s.name)
	}
	return bounded(addrs, s.name)
}

// labels is what a name is made of; underscores are no host's, but some services' names have them.
var labels = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$`)

func checkName(name string) error {
	if len(name) > 253 || !labels.MatchString(name) {
		return errs.New(errs.Invalid, "%q is no name to find peers by: a DNS name is made of letters, digits, hyphens and dots", name)
	}
	return nil
}

func bounded(addrs []string, name string) ([]string, error) {
	slices.Sort(addrs)
	if addrs = slices.Compact(addrs); len(addrs) > most {
		return nil, errs.New(errs.Invalid, "%s has %d addresses, more than %d: this is not the name of a cluster's nodes", name, len(addrs), most)
	}
	return addrs, nil
}

// explain tells a name that is not there from a name server that does not answer.
func explain(err error, name, records string) error {
	var failed *net.DNSError
	if errors.As(err, &failed) && failed.IsNotFound {
		return errs.New(errs.NotFound, "%s has no %s records: check the name; in Kubernetes the service must be headless, with publishNotReadyAddresses, "+
			"and its pods started: %w", name, records, err)
	}
	return errs.New(errs.Unavailable, "cannot look up the %s records of %s: check that the name servers can be reached: %w", records, name, err)
}
