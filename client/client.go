package client

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/gesta-db/gesta/api/eventwire"
)

// Event is a fact as its producer states it. Type is required; an empty ID is replaced by a random one when it is sent.
type Event = eventwire.Event

// Recorded is an event as the log keeps it, with its offset, revision, topic, key and recorded time.
type Recorded = eventwire.Recorded

// DefaultAddr is where a server listens for gRPC when nothing else was said.
const DefaultAddr = "127.0.0.1:7070"

// DefaultTimeout is Options.Timeout when it is zero.
const DefaultTimeout = 10 * time.Second

// passthrough leaves host names to the dialer: several addresses of one name are tried by it, several nodes by this package.
const passthrough = "passthrough:///"

const (
	maxMessage   = 64 << 20  // bytes of one answer; the server's own limits are lower
	streamWindow = 8 << 20   // bytes a server may send ahead of one slow reader
	connWindow   = 16 << 20  // the same for all readers of a connection together
	ioBuffer     = 256 << 10 // bytes per system call, about a full frame
)

// Options says how to reach the servers. The zero value reaches a local one.
type Options struct {
	// Addrs are nodes of one cluster, each HOST:PORT; default DefaultAddr. One of them that answers is enough: the others are
	// learned from it. Another node is tried when one is unavailable or has no leader.
	Addrs []string
	// TLS, when set, encrypts and verifies; nil: plain text.
	TLS *tls.Config
	// Token is sent as a bearer token. In plain text only to loopback addresses.
	Token string
	// Timeout bounds every call whose context has no deadline, its retries included, and the time a Reader goes without
	// contact before it gives up; default DefaultTimeout.
	Timeout time.Duration
	// UserAgent names the program in the server's logs.
	UserAgent string
}

// Client is a connection to a Gesta cluster.
type Client struct {
	opts     Options
	nodes    nodes
	contact  atomic.Bool // some server has answered once
	learning sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc
	appends  *lane
	executes *lane
	once     sync.Once
}

// New prepares a client; it connects on first use. Errors are [CodeInvalid].
func New(o Options) (*Client, error) {
	if len(o.Addrs) == 0 {
		o.Addrs = []string{DefaultAddr}
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if err := checkOptions(o); err != nil {
		return nil, err
	}
	c := &Client{opts: o}
	// Lives until Close: what it carries outlives every caller's context.
	c.ctx, c.stop = context.WithCancel(context.Background())
	for _, addr := range o.Addrs {
		conn, err := grpc.NewClient(passthrough+addr, dialOptions(o)...)
		if err != nil {
			c.nodes.close()
			c.stop()
			return nil, &Error{Code: CodeInvalid, Message: "the address " + addr + " cannot be used: " + err.Error(), cause: err}
		}
		c.nodes.given(addr, conn)
	}
	c.appends, c.executes = newLane(c, &appendRoad), newLane(c, &executeRoad)
	c.nodes.moved = func() { c.appends.nudge(); c.executes.nudge() }
	c.learning.Go(c.learn)
	return c, nil
}

// Close ends the client. Appends and commands under way end with [CodeUnknownOutcome] if they had been sent, with [CodeUnavailable] if not;
// reads end. It returns when everything has stopped.
func (c *Client) Close() error {
	c.once.Do(func() {
		c.stop()
		c.appends.close()
		c.executes.close()
		c.learning.Wait()
		c.nodes.close()
	})
	return nil
}

func checkOptions(o Options) error {
	for _, addr := range o.Addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return &Error{Code: CodeInvalid, Message: "the address " + addr + " is not HOST:PORT: " + err.Error(), cause: err}
		}
		if o.Token != "" && o.TLS == nil && !loopback(host) {
			return &Error{Code: CodeInvalid, Message: "a token is not sent in plain text to " + addr + ": use TLS"}
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func dialOptions(o Options) []grpc.DialOption {
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "gesta-go"
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(agent),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithReadBufferSize(ioBuffer),
		grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // retries are this package's: it knows what may be repeated
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// A server that restarts is back within a second or so: look for it often.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if o.Token != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(bearer{o.Token, o.TLS != nil}))
	}
	return opts
}

// bearer sends a token with every call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }
