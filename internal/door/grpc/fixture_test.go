package grpc

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// fixture is a door on loopback over a gateway with a shard in memory, and a connection to it.
type fixture struct {
	door   *Door
	gate   *gateway.Gateway
	shard  *gatewaytest.Shard
	topics *gatewaytest.Topics
	limits *limits.Limits
	conn   *grpc.ClientConn
	log    gestav1.LogClient
	served chan error
}

func open(t *testing.T, topics ...string) *fixture {
	t.Helper()
	l := limits.Default()
	return openWith(t, &l, topics...)
}

func openWith(t *testing.T, l *limits.Limits, topics ...string) *fixture {
	t.Helper()
	f := &fixture{shard: gatewaytest.NewShard(), topics: gatewaytest.NewTopics(topics...), limits: l, served: make(chan error, 1)}
	f.gate = gateway.New(gateway.Options{Shards: gatewaytest.Only(f.shard), Topics: f.topics, Cursors: gatewaytest.NewCursors(), Cluster: gatewaytest.NewCluster("n1", "n2", "n3"), Limits: l, Identity: gateway.Identity{NodeID: "n1", ClusterID: "c1", Version: "v1"}})
	f.serve(t, Options{Gateway: f.gate})
	return f
}

func (f *fixture) serve(t *testing.T, o Options) {
	t.Helper()
	f.door = New(o)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { f.served <- f.door.Serve(listener) }()
	f.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	f.log = gestav1.NewLogClient(f.conn)
	t.Cleanup(func() { f.close(t) })
}

func (f *fixture) close(t *testing.T) {
	t.Helper()
	f.shard.Release()
	_ = f.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.door.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-f.served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// request appends one event to each "topic", "key" pair.
func request(pairs ...string) *gestav1.AppendRequest {
	q := &gestav1.AppendRequest{}
	for i := 0; i < len(pairs); i += 2 {
		q.Streams = append(q.Streams, &gestav1.StreamAppend{Topic: pairs[i], Key: pairs[i+1], Events: []*gestav1.Event{{Type: "Happened", Data: []byte(`{"n":1}`)}}})
	}
	return q
}

func (f *fixture) append(t *testing.T, pairs ...string) *gestav1.AppendResponse {
	t.Helper()
	r, err := f.log.Append(within(t), request(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// codeOf gives the reason an error carries, and its details.
func codeOf(t *testing.T, err error) (errs.Code, map[string]string) {
	t.Helper()
	s, ok := status.FromError(err)
	if !ok || err == nil {
		t.Fatalf("no status: %v", err)
	}
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != "gesta" {
			continue
		}
		code := errs.Code(info.GetReason())
		if want := codes.Code(errs.RowOf(code).GRPC); s.Code() != want {
			t.Errorf("%s travels as %s, want %s", code, s.Code(), want)
		}
		return code, info.GetMetadata()
	}
	t.Fatalf("no ErrorInfo: %v", err)
	return "", nil
}

func wantCode(t *testing.T, err error, want errs.Code, details ...string) {
	t.Helper()
	code, got := codeOf(t, err)
	if code != want {
		t.Errorf("code %s, want %s: %v", code, want, err)
	}
	for i := 0; i < len(details); i += 2 {
		if got[details[i]] != details[i+1] {
			t.Errorf("detail %s = %q, want %q: %v", details[i], got[details[i]], details[i+1], err)
		}
	}
}
