package grpc

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// listener gives every connection a budget. The budget travels as the connection's remote address, which is the one thing of
// a connection that gRPC hands to the calls on it without a stats handler's cost per message.
type listener struct {
	net.Listener
	door *Door
}

type budgetAddr struct {
	net.Addr
	text   string
	budget *gateway.Budget
	// appends counts the append streams that are open.
	appends atomic.Int32
}

func (a *budgetAddr) String() string { return a.text }

type budgetConn struct {
	net.Conn
	addr   *budgetAddr
	door   *Door
	closed atomic.Bool
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.door.connections.Add(1)
	addr := &budgetAddr{Addr: c.RemoteAddr(), text: c.RemoteAddr().String(), budget: l.door.gate.NewBudget()}
	return &budgetConn{Conn: c, addr: addr, door: l.door}, nil
}

func (c *budgetConn) RemoteAddr() net.Addr { return c.addr }

func (c *budgetConn) Close() error {
	if !c.closed.Swap(true) {
		c.door.connections.Add(-1)
	}
	return c.Conn.Close()
}

// callerOf tells who calls, and on which connection's budget.
func (d *Door) callerOf(ctx context.Context) (gateway.Caller, *gateway.Budget) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return gateway.Caller{}, d.gate.NewBudget()
	}
	who := gateway.Caller{Addr: p.Addr.String(), Name: certificateName(p.AuthInfo)}
	if a, ok := p.Addr.(*budgetAddr); ok {
		return who, a.budget
	}
	return who, d.gate.NewBudget()
}

// openAppends counts an append stream in, or refuses it: each may have a window of unread bytes on its way. Call leave at its end.
func openAppends(ctx context.Context) (leave func(), err error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return func() {}, nil
	}
	a, ok := p.Addr.(*budgetAddr)
	if !ok {
		return func() {}, nil
	}
	leave = func() { a.appends.Add(-1) }
	if a.appends.Add(1) > appendsPerConnection {
		leave()
		return nil, errs.New(errs.Busy, "this connection has %d append streams open, the most it may have: share one, it takes calls of many", appendsPerConnection)
	}
	return leave, nil
}

func certificateName(info credentials.AuthInfo) string {
	t, ok := info.(credentials.TLSInfo)
	if !ok || len(t.State.VerifiedChains) == 0 {
		return ""
	}
	return t.State.PeerCertificates[0].Subject.CommonName
}
