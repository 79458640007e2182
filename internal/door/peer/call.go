package peer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	grpcpeer "google.golang.org/grpc/peer"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// largestBody bounds a question and an answer: what is larger is a file or a read.
const largestBody = 8 * limits.MiB

type callerName struct{}

// WithCaller gives a context in which Call and Read tell the peer for whom they ask.
func WithCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerName{}, name)
}

func nameIn(ctx context.Context) string {
	name, _ := ctx.Value(callerName{}).(string)
	return name
}

// Call asks an incarnation and waits for its answer; ctx's deadline holds there too. Errors of the peer's handler come as they
// were made. Otherwise: too_large for a body over 8 MiB; unavailable when nothing reached the peer; unknown_outcome when it may
// have.
func (t *Transport) Call(ctx context.Context, to uint64, method string, body []byte) ([]byte, error) {
	l, err := t.way(to)
	if err != nil {
		return nil, err
	}
	conn, err := l.conn(Work)
	if err != nil {
		return nil, err
	}
	return t.call(ctx, conn, to, hex(to), method, body)
}

// CallAddr is Call for whoever answers at an address, host:port: before anybody knows the members. The handler sees a Peer that
// is not Addressed. Clusters must be the same when both nodes have one.
func (t *Transport) CallAddr(ctx context.Context, addr, method string, body []byte) ([]byte, error) {
	conn, err := t.dial(addr, Work)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return t.call(ctx, conn, 0, addr, method, body)
}

func (t *Transport) call(ctx context.Context, conn *grpc.ClientConn, to uint64, name, method string, body []byte) ([]byte, error) {
	began := time.Now()
	answer, err := t.ask(ctx, conn, to, name, method, body)
	if told := t.o.Listener.Called; told != nil {
		told(method, time.Since(began), err)
	}
	return answer, err
}

func (t *Transport) ask(ctx context.Context, conn *grpc.ClientConn, to uint64, name, method string, body []byte) ([]byte, error) {
	if len(body) > largestBody {
		return nil, errs.New(errs.TooLarge, "%s: a call to a node has %d bytes; it may have %d", method, len(body), largestBody)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	var used grpcpeer.Peer
	var a peerv1.CallResponse
	q := &peerv1.CallRequest{Method: method, Body: body, Caller: nameIn(ctx)}
	err := conn.Invoke(t.addressed(ctx, to), peerv1.Peer_Call_FullMethodName, q, &a, grpc.Peer(&used))
	switch {
	case err == nil:
		return a.GetBody(), nil
	case used.Addr == nil: // it never had a connection
		return nil, broken(err, errs.Unavailable, "%s: node %s cannot be reached; nothing was done", method, name)
	}
	return nil, broken(err, errs.UnknownOutcome, "%s: node %s did not answer; it may have been done", method, name)
}

// Call answers a question.
func (s server) Call(ctx context.Context, q *peerv1.CallRequest) (*peerv1.CallResponse, error) {
	began := time.Now()
	from := caller(ctx)
	from.Caller = q.GetCaller()
	body, err := s.t.o.Handler.Call(ctx, from, q.GetMethod(), q.GetBody())
	if err == nil && len(body) > largestBody {
		err = errs.New(errs.TooLarge, "%s: the answer has %d bytes; it may have %d: ask for less", q.GetMethod(), len(body), largestBody)
	}
	if told := s.t.o.Listener.Answered; told != nil {
		told(q.GetMethod(), time.Since(began), err)
	}
	if err != nil {
		return nil, err
	}
	return &peerv1.CallResponse{Body: body}, nil
}
