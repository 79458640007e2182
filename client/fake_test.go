package client

import (
	"net"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that keeps a log in memory and judges it as the real one does, but does what a script says beside.
type fake struct {
	gestav1.UnimplementedLogServer
	gestav1.UnimplementedTopicsServer
	gestav1.UnimplementedNodeServer
	addr   string
	server *grpc.Server
	extra  func(*grpc.Server) // registers more services

	mu       sync.Mutex
	log      []*gestav1.RecordedEvent
	heads    map[string]uint64
	ids      map[string]uint64 // stream and id → offset
	seen     []string          // ids of the first events of the calls, in the order in which they arrived
	timeouts []*durationpb.Duration
	opened   int
	meta     metadata.MD
	// script is asked about each call before it is judged; nil: it proceeds.
	script func(n int, call *gestav1.AppendCall) action
	// frames is how many events a Read puts into a frame; breakAfter how many it sends before it breaks, once for each entry.
	frames     int
	breakAfter []int
	reads      []*gestav1.ReadRequest
	refuseRead []error
	more       chan struct{} // closed and replaced when the log grows
	topics     []string
	before     *gestav1.AppendReply
	after      *gestav1.AppendReply
}

// action is what happens to a call.
type action struct {
	refuse string // with this code, without judging
	unsure bool   // judged, and answered with unknown_outcome
	skip   bool   // neither judged nor answered
	silent bool   // judged, not answered
	hang   bool   // the stream breaks: after judging, unless skip
	last   bool   // answered after the others of its frame
	before bool   // answered just before the next call of the stream
	after  bool   // answered just after it
}

func newFake(t testing.TB) *fake {
	f := &fake{heads: map[string]uint64{}, ids: map[string]uint64{}, frames: 2, more: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t, l)
	return f
}

func (f *fake) serve(t testing.TB, l net.Listener, opts ...grpc.ServerOption) {
	f.addr = l.Addr().String()
	f.server = grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxRequest+frameTarget))...)
	gestav1.RegisterLogServer(f.server, f)
	gestav1.RegisterTopicsServer(f.server, f)
	gestav1.RegisterNodeServer(f.server, f)
	if f.extra != nil {
		f.extra(f.server)
	}
	served, server := make(chan struct{}), f.server // another may take its place
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() { server.Stop(); <-served })
}

// client returns one that talks to the fakes.
func newClient(t testing.TB, o Options, fakes ...*fake) *Client {
	for _, f := range fakes {
		o.Addrs = append(o.Addrs, f.addr)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func failure(code codes.Code, reason, message string, details map[string]string) error {
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "gesta", Metadata: details})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func (f *fake) AppendStream(s grpc.BidiStreamingServer[gestav1.AppendStreamRequest, gestav1.AppendStreamResponse]) error {
	f.mu.Lock()
	f.opened++
	f.meta, _ = metadata.FromIncomingContext(s.Context())
	f.mu.Unlock()
	for {
		in, err := s.Recv()
		if err != nil {
			return nil // the client has gone
		}
		out, broken := f.frame(in)
		if len(out.GetReplies()) > 0 {
			if err := s.Send(out); err != nil {
				return err
			}
		}
		if broken {
			return status.Error(codes.Unavailable, "the wire was cut")
		}
	}
}

func (f *fake) frame(in *gestav1.AppendStreamRequest) (*gestav1.AppendStreamResponse, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &gestav1.AppendStreamResponse{}
	var late []*gestav1.AppendReply
	for _, call := range in.GetCalls() {
		a := action{}
		if f.script != nil {
			a = f.script(len(f.seen), call)
		}
		f.timeouts = append(f.timeouts, call.GetTimeout())
		f.seen = append(f.seen, firstID(call))
		reply := &gestav1.AppendReply{CallId: call.GetCallId()}
		switch {
		case a.skip:
		case a.refuse != "":
			reply.Outcome = &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: a.refuse, Message: "so says the script"}}
		default:
			f.judge(call.GetRequest(), reply)
		}
		if a.unsure {
			reply.Outcome = &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: "unknown_outcome", Message: "who knows"}}
		}
		if a.hang {
			return out, true
		}
		waited := f.after
		if f.before != nil {
			out.Replies = append(out.Replies, f.before)
		}
		f.before, f.after = nil, nil
		switch {
		case a.before:
			f.before = reply
		case a.after:
			f.after = reply
		case a.last:
			late = append(late, reply)
		case !a.silent && !a.skip:
			out.Replies = append(out.Replies, reply)
		}
		if waited != nil {
			out.Replies = append(out.Replies, waited)
		}
	}
	out.Replies = append(out.Replies, late...)
	return out, false
}

func firstID(call *gestav1.AppendCall) string {
	for _, s := range call.GetRequest().GetStreams() {
		for _, e := range s.GetEvents() {
			return e.GetId()
		}
	}
	return ""
}

func nameOf(s *gestav1.StreamAppend) string { return s.GetTopic() + "/" + s.GetKey() }

// judge is the real thing in small: repeated ids first, then the expectations, then the log.
func (f *fake) judge(r *gestav1.AppendRequest, reply *gestav1.AppendReply) {
	refuse := func(code string, details map[string]string) {
		reply.Outcome = &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: code, Message: "the log says no", Details: details}}
	}
	res := &gestav1.AppendResponse{}
	for _, s := range r.GetStreams() {
		if len(s.GetEvents()) == 0 {
			refuse("invalid", map[string]string{"field": "streams[0].events"})
			return
		}
		if off, ok := f.ids[nameOf(s)+"\x00"+s.GetEvents()[0].GetId()]; ok {
			res.Repeated = true
			rev := f.log[off-1].GetRevision()
			n := uint64(len(s.GetEvents()))
			res.Streams = append(res.Streams, &gestav1.StreamOutcome{FirstRevision: rev, LastRevision: rev + n - 1, FirstOffset: off, LastOffset: off + n - 1})
		}
	}
	if res.Repeated {
		res.Position = position.Position{Shard: 1, History: 7, Offset: res.Streams[len(res.Streams)-1].GetLastOffset()}.String()
		reply.Outcome = &gestav1.AppendReply_Response{Response: res}
		return
	}
	for _, s := range r.GetStreams() {
		if !met(s.GetExpectation(), f.heads[nameOf(s)]) {
			refuse("conflict", map[string]string{"actual_revision": "9"})
			return
		}
	}
	for _, s := range r.GetStreams() {
		res.Streams = append(res.Streams, f.write(s))
	}
	res.Position = position.Position{Shard: 1, History: 7, Offset: uint64(len(f.log))}.String()
	reply.Outcome = &gestav1.AppendReply_Response{Response: res}
}

func met(x *gestav1.Expectation, head uint64) bool {
	switch rule := x.GetRule().(type) {
	case *gestav1.Expectation_Revision:
		return head == rule.Revision
	case *gestav1.Expectation_State:
		return rule.State == gestav1.StreamState_STREAM_STATE_NONE && head == 0 || rule.State == gestav1.StreamState_STREAM_STATE_EXISTS && head > 0
	}
	return true
}

func (f *fake) write(s *gestav1.StreamAppend) *gestav1.StreamOutcome {
	name := nameOf(s)
	o := &gestav1.StreamOutcome{FirstRevision: f.heads[name] + 1, FirstOffset: uint64(len(f.log)) + 1}
	for _, e := range s.GetEvents() {
		f.heads[name]++
		f.log = append(f.log, &gestav1.RecordedEvent{
			Event: e, Offset: uint64(len(f.log)) + 1, Revision: f.heads[name], Topic: s.GetTopic(), Key: s.GetKey(), RecordedUnixNanos: 1e18,
		})
		f.ids[name+"\x00"+e.GetId()] = uint64(len(f.log))
	}
	o.LastRevision, o.LastOffset = f.heads[name], uint64(len(f.log))
	close(f.more)
	f.more = make(chan struct{})
	return o
}

// stream returns the ids of a stream's events in order.
func (f *fake) stream(name string) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.log {
		if e.GetTopic()+"/"+e.GetKey() == name {
			ids = append(ids, e.GetEvent().GetId())
		}
	}
	return ids
}

// arrivals returns the first ids of the calls that arrived.
func (f *fake) arrivals() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// fill appends n events to a stream without a client.
func (f *fake) fill(topic, key string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.write(&gestav1.StreamAppend{Topic: topic, Key: key, Events: []*gestav1.Event{{Id: NewID(), Type: "T", Data: []byte("data")}}})
	}
}

// revive lets a stopped server listen again at its address.
func revive(t *testing.T, f *fake) {
	t.Helper()
	f.serve(t, relisten(t, f))
}

// relisten listens at the address of a stopped server.
func relisten(t testing.TB, f *fake) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", f.addr)
	for n := 0; err != nil && n < 1000; n++ { // the old listener may still be closing
		l, err = net.Listen("tcp", f.addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}
