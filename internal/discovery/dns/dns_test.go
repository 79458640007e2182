package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func ip(text string) []byte { return netip.MustParseAddr(text).AsSlice() }

func host(t *testing.T, text string, z zone) *Host {
	t.Helper()
	h, err := ParseHost(text)
	if err != nil {
		t.Fatal(err)
	}
	h.resolver = serve(t, z)
	return h
}

func service(t *testing.T, name string, z zone) *Service {
	t.Helper()
	s, err := ParseService(name)
	if err != nil {
		t.Fatal(err)
	}
	s.resolver = serve(t, z)
	return s
}

func TestHost(t *testing.T) {
	h := host(t, "peers.test.:7090", zone{
		{"peers.test.", typeA}:    {ip("10.0.0.2"), ip("10.0.0.1"), ip("10.0.0.2")},
		{"peers.test.", typeAAAA}: {ip("fd00::1")},
	})
	got, err := h.Seeds(t.Context())
	if want := []string{"10.0.0.1:7090", "10.0.0.2:7090", "[fd00::1]:7090"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
}

// A peer that comes is found by the next call.
func TestHostIsAskedAgain(t *testing.T) {
	z := zone{{"peers.test.", typeA}: {ip("10.0.0.1")}}
	h := host(t, "peers.test.:7090", z)
	for n := 1; n <= 2; n++ {
		if got, err := h.Seeds(t.Context()); err != nil || len(got) != n {
			t.Fatalf("%v, %v; want %d", got, err, n)
		}
		if n == 1 {
			h.resolver = serve(t, zone{{"peers.test.", typeA}: {ip("10.0.0.1"), ip("10.0.0.2")}})
		}
	}
}

func TestService(t *testing.T) {
	s := service(t, "peers.test.", zone{{"_gesta-peer._tcp.peers.test.", typeSRV}: {srv(7091, "n2.peers.test."), srv(7090, "n1.peers.test."), srv(7090, "n1.peers.test.")}})
	got, err := s.Seeds(t.Context())
	if want := []string{"n1.peers.test:7090", "n2.peers.test:7091"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
}

// What cannot be found says what was looked for, and what may be wrong.
func TestErrors(t *testing.T) {
	many := func(context.Context) ([]string, error) { // by hand: one packet could not hold them
		addrs := make([]string, most+1)
		for i := range addrs {
			addrs[i] = net.JoinHostPort("10.0.0."+strconv.Itoa(i), "7090")
		}
		return bounded(addrs, "peers.test.")
	}
	silent := &Host{name: "peers.test.", port: "7090", resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	}}}
	for _, c := range []struct {
		name  string
		seeds func(context.Context) ([]string, error)
		code  errs.Code
		says  string
	}{
		{"no such name", host(t, "peers.test.:7090", zone{}).Seeds, errs.NotFound, "publishNotReadyAddresses"},
		{"no address", host(t, "peers.test.:7090", zone{{"peers.test.", typeSRV}: {srv(1, "a.")}}).Seeds, errs.NotFound, "no address records"},
		{"no service", service(t, "peers.test.", zone{{"peers.test.", typeA}: {ip("10.0.0.1")}}).Seeds, errs.NotFound, "_gesta-peer._tcp.peers.test. has no SRV records"},
		{"not offered", service(t, "peers.test.", zone{{"_gesta-peer._tcp.peers.test.", typeSRV}: {srv(0, ".")}}).Seeds, errs.NotFound, "no peer"},
		{"server in trouble", host(t, "peers.test.:7090", zone{{"peers.test.", typeA}: nil, {"peers.test.", typeAAAA}: nil}).Seeds, errs.Unavailable, "name servers"},
		{"server away", silent.Seeds, errs.Unavailable, "name servers"},
		{"too many", many, errs.Invalid, "101 addresses, more than 100"},
	} {
		got, err := c.seeds(t.Context())
		if got != nil || errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %s %v; want %s that says %q", c.name, got, errs.CodeOf(err), err, c.code, c.says)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := host(t, "peers.test.:7090", zone{}).Seeds(ctx); err == nil {
		t.Errorf("found %v", got)
	}
}
