package peer

import (
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	// connectWait is how long one attempt to connect may take.
	connectWait = time.Second
	// pingAfter is the least that gRPC allows a client; lanes ping by themselves more often. Whatever is sent and stays without an
	// acknowledgement of the other machine for pingWait ends the connection.
	pingAfter = 10 * time.Second
	pingWait  = 2 * time.Second
	// A stream may have this much on its way before it must be read: what a peer that does not read can cost.
	streamWindow     = 1 * limits.MiB
	connectionWindow = 4 * limits.MiB
	// streamsPerConnection is more than the doors let in readers: a call never waits for one of them to leave.
	streamsPerConnection = 1 << 16
	smallBuffer          = 32 * limits.KiB
	bulkBuffer           = 256 * limits.KiB
)

// dial makes a connection for a class. It connects when it is first used.
func (t *Transport) dial(addr string, class Class) (*grpc.ClientConn, error) {
	buffer := smallBuffer
	if class == Log || class == Bulk {
		buffer = bulkBuffer
	}
	c, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(clientCredentials(t.o.TLS)),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstBackoff, Multiplier: 2, Jitter: 0.2, MaxDelay: lastBackoff},
			MinConnectTimeout: connectWait,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingWait, PermitWithoutStream: true}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(buffer),
		grpc.WithWriteBufferSize(buffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(t.largestFrame()), grpc.MaxCallSendMsgSize(int(limits.GiB))),
	)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "the address %q of a node cannot be used: %w", addr, err)
	}
	return c, nil
}

// largestFrame is what is read at most at once. Other nodes may have larger limits by a little.
func (t *Transport) largestFrame() int { return 2*t.largestMessage + frameBytes }

func clientCredentials(c *tls.Config) credentials.TransportCredentials {
	if c == nil {
		return insecure.NewCredentials()
	}
	c = c.Clone()
	if c.RootCAs == nil {
		c.RootCAs = c.ClientCAs
	}
	return credentials.NewTLS(atLeast13(c))
}

func serverCredentials(c *tls.Config) credentials.TransportCredentials {
	c = c.Clone()
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return credentials.NewTLS(atLeast13(c))
}

// atLeast13: both ends are of our making.
func atLeast13(c *tls.Config) *tls.Config {
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	return c
}
