package client

import (
	"strings"

	"google.golang.org/grpc/status"
)

// hints turn what a transport reports when it meets the wrong thing into what to do about it. The first match counts.
var hints = []struct{ sign, says string }{
	{"looked like an HTTP/1.1 header", " looks like an HTTP port; gRPC is another one, 7070 by default"},
	{"unexpected HTTP status code", " looks like an HTTP port; gRPC is another one, 7070 by default"},
	{"unexpected content-type", " looks like an HTTP port; gRPC is another one, 7070 by default"},
	{"connection refused", " refuses connections: does a server run there? start one with: gesta serve"},
	{"certificate signed by unknown authority", " has a certificate of an authority that is not trusted here: name the authority's file with --tls-ca (in Go: Options.TLS)"},
	{"certificate is not trusted", " has a certificate of an authority that is not trusted here: name the authority's file with --tls-ca (in Go: Options.TLS)"},
	{"x509: certificate is valid for", " has a certificate for other names: use one of them as the address, or give the server a certificate for this one"},
	{"x509: certificate has expired", " has a certificate whose time is over, or not yet begun: renew it, and compare the clocks"},
	{"first record does not look like a TLS handshake", " does not speak TLS: connect without it, or give the server a certificate"},
	{"error reading server preface", " does not answer as a gRPC server: is it another service, or does it want TLS?"},
	{"no such host", " is unknown: check the host's name"},
	{"unknown service gesta.", " is a gRPC server, but not of this version of Gesta: compare `gesta version` on both sides"},
	{"unknown method", " runs another version of Gesta that lacks this call: compare `gesta version` on both sides"},
}

// hint is the message for a status without a reason of its own.
func hint(addr string, st *status.Status) string {
	for _, h := range hints {
		if strings.Contains(st.Message(), h.sign) {
			return addr + h.says
		}
	}
	return addr + ": " + st.Message()
}
