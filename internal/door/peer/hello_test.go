package peer

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// knock opens an exchange with a hello of its own making, and gives how it is refused.
func (n *node) knock(t *testing.T, to *node, change func(*peerv1.Hello)) error {
	t.Helper()
	conn, err := n.dial(to.addr, Control)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	h := n.hello(to.o.Self.Incarnation)
	change(h)
	b, err := proto.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(within(t), metadata.Pairs(helloHeader, string(b))))
	defer cancel()
	s, err := conn.NewStream(ctx, &bothWays, peerv1.Peer_Exchange_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if md, err := s.Header(); err == nil && md != nil {
		return nil
	}
	err = s.RecvMsg(&peerv1.Pong{})
	e, ok := fromStatus(err)
	if !ok {
		t.Fatalf("refused without a code: %v", err)
	}
	return e
}

func TestThoseThatDoNotBelongAreRefused(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	refused := map[string]int{}
	known := newBook()
	a := start(t, known, 1, "")
	b := start(t, known, 2, "", func(o *Options) {
		o.Listener = &Listener{Refused: func(why string) {
			mu.Lock()
			defer mu.Unlock()
			refused[why]++
		}}
		o.Level = func() uint32 { return 2 }
		o.Admit = func(p Peer) error {
			if p.Node == "removed" {
				return errs.New(errs.Gone, "node %s was removed", p.Node)
			}
			return nil
		}
	})
	for _, c := range []struct {
		name   string
		change func(*peerv1.Hello)
		code   errs.Code
		why    string
	}{
		{"as it is", func(*peerv1.Hello) {}, "", ""},
		{"another cluster", func(h *peerv1.Hello) { h.Cluster = "d" }, errs.Forbidden, "cluster"},
		{"no cluster", func(h *peerv1.Hello) { h.Cluster = "" }, errs.Forbidden, "cluster"},
		{"another incarnation is meant", func(h *peerv1.Hello) { h.Addressee = 99 }, errs.Gone, "addressee"},
		{"nobody is meant", func(h *peerv1.Hello) { h.Addressee = 0 }, errs.Gone, "addressee"},
		{"an old protocol", func(h *peerv1.Hello) { h.Protocol, h.OldestProtocol = 0, 0 }, errs.Unsupported, "protocol"},
		{"a new protocol", func(h *peerv1.Hello) { h.Protocol, h.OldestProtocol = 9, 8 }, errs.Unsupported, "protocol"},
		{"a newer one that still speaks ours", func(h *peerv1.Hello) { h.Protocol, h.OldestProtocol = 9, 1 }, "", ""},
		{"too few features", func(h *peerv1.Hello) { h.Feature = 1 }, errs.Unsupported, "feature"},
		{"too many features", func(h *peerv1.Hello) { h.Feature, h.Level = 5, 4 }, errs.Unsupported, "feature"},
		{"a removed node", func(h *peerv1.Hello) { h.Node = "removed" }, errs.Gone, "admission"},
		{"no incarnation", func(h *peerv1.Hello) { h.Incarnation = 0 }, errs.Invalid, "protocol"},
	} {
		err := a.knock(t, b, c.change)
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
			continue
		}
		mu.Lock()
		if err != nil && (errs.As(err).Details[reason] != c.why || refused[c.why] == 0) {
			t.Errorf("%s: %+v, counted %v, want the reason %q", c.name, errs.As(err).Details, refused, c.why)
		}
		clear(refused)
		mu.Unlock()
	}
}

func TestANodesNameIsForOneIncarnation(t *testing.T) {
	t.Parallel()
	known := newBook()
	a, b := start(t, known, 1, ""), start(t, known, 2, "")
	a.connectTo(t, 2)
	a.Send(1, []*raftpb.Message{beat(1, 2, 1)})
	eventually(t, "the first is in", func() bool { return b.count(1) == 1 })
	twin := start(t, known, 11, "", func(o *Options) { o.Self.Node = "n1" })
	wantCode(t, twin.knock(t, b, func(*peerv1.Hello) {}), errs.Conflict)
	a.kill(t)
	eventually(t, "the name is free again", func() bool { return twin.knock(t, b, func(*peerv1.Hello) {}) == nil })
}

func TestStrangersAreNotAnswered(t *testing.T) {
	t.Parallel()
	a := start(t, newBook(), 1, "")
	conn, err := a.dial(a.addr, Work)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = peerv1.NewPeerClient(conn).Call(within(t), &peerv1.CallRequest{Method: "x"})
	if e, ok := fromStatus(err); !ok || e.Code != errs.Invalid {
		t.Error(err)
	}
	s, err := conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, peerv1.Peer_Forward_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := fromStatus(s.RecvMsg(&peerv1.Pong{})); !ok || e.Code != errs.Invalid {
		t.Error(e)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(Options{})
	wantCode(t, err, errs.Invalid)
}

func FuzzHello(f *testing.F) {
	b, _ := proto.Marshal(&peerv1.Hello{Cluster: "c", Node: "n", Incarnation: 1})
	f.Add(string(b))
	f.Fuzz(func(t *testing.T, b string) {
		h, err := helloOf(metadata.Pairs(helloHeader, b))
		if err == nil && h.GetIncarnation() == 0 {
			t.Error("nobody was let in")
		}
		var e *errs.Error
		if err != nil && !errors.As(err, &e) {
			t.Error("no code", err)
		}
	})
}
