// Package static finds peers in a list that was written down. The list is checked when it is read: afterwards it cannot fail.
// It does not look the hosts up, and does not know whether anybody listens there. A list has at most 100 addresses.
package static

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
)

// most is more than a cluster has nodes: a longer list is a mistake.
const most = 100

// Addresses is a list of peers.
type Addresses struct {
	list []string
}

// Parse reads addresses, HOST:PORT, with commas between them. An IPv6 address stands in brackets. The error is invalid.
func Parse(list string) (*Addresses, error) {
	addrs := strings.Split(list, ",")
	if len(addrs) > most {
		return nil, errs.New(errs.Invalid, "%d addresses of peers are more than %d", len(addrs), most)
	}
	for i, addr := range addrs {
		addrs[i] = strings.TrimSpace(addr)
		if err := check(addrs[i]); err != nil {
			return nil, err
		}
		if slices.Contains(addrs[:i], addrs[i]) {
			return nil, errs.New(errs.Invalid, "the address %s of a peer stands there twice", addrs[i])
		}
	}
	slices.Sort(addrs)
	return &Addresses{addrs}, nil
}

func check(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errs.New(errs.Invalid, "%q is no address of a peer; write HOST:PORT, for instance gesta-1:7090", addr)
	}
	if host == "" || strings.ContainsAny(host, " \t/") {
		return errs.New(errs.Invalid, "%q names no host; write HOST:PORT, for instance gesta-1:7090", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errs.New(errs.Invalid, "the port of %q must be a number from 1 to 65535", addr)
	}
	return nil
}

// Seeds gives the list, sorted.
func (a *Addresses) Seeds(context.Context) ([]string, error) { return slices.Clone(a.list), nil }
