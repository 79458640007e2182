package grpc

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

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

func certificateName(info credentials.AuthInfo) string {
	t, ok := info.(credentials.TLSInfo)
	if !ok || len(t.State.VerifiedChains) == 0 {
		return ""
	}
	return t.State.PeerCertificates[0].Subject.CommonName
}
