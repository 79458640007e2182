package grpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

type appendClient = grpc.BidiStreamingClient[gestav1.AppendStreamRequest, gestav1.AppendStreamResponse]

func (f *fixture) stream(t *testing.T) appendClient {
	t.Helper()
	s, err := f.log.AppendStream(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exact(q *gestav1.AppendRequest, revision uint64) *gestav1.AppendRequest {
	for _, s := range q.Streams {
		s.Expectation = &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: revision}}
	}
	return q
}

func send(t *testing.T, s appendClient, calls ...*gestav1.AppendCall) {
	t.Helper()
	if err := s.Send(&gestav1.AppendStreamRequest{Calls: calls}); err != nil {
		t.Fatal(err)
	}
}

// replies gathers n replies by call id.
func replies(t *testing.T, s appendClient, n int) map[uint64]*gestav1.AppendReply {
	t.Helper()
	got := map[uint64]*gestav1.AppendReply{}
	for len(got) < n {
		frame, err := s.Recv()
		if err != nil {
			t.Fatalf("after %d replies: %v", len(got), err)
		}
		for _, r := range frame.GetReplies() {
			if got[r.GetCallId()] != nil {
				t.Fatalf("call %d was answered twice", r.GetCallId())
			}
			got[r.GetCallId()] = r
		}
	}
	return got
}

func TestAppendStreamJudgesInOrder(t *testing.T) {
	f := open(t)
	s := f.stream(t)
	const frames, each = 20, 25
	for i := range frames {
		var calls []*gestav1.AppendCall
		for j := range each {
			n := uint64(i*each + j)
			calls = append(calls, &gestav1.AppendCall{CallId: n + 1, Request: exact(request("orders", "1"), n)})
		}
		send(t, s, calls...)
	}
	got := replies(t, s, frames*each)
	for id := uint64(1); id <= frames*each; id++ {
		r := got[id].GetResponse()
		if r.GetStreams()[0].GetFirstRevision() != id || (len(r.GetCreatedTopics()) == 1) != (id == 1) {
			t.Fatalf("call %d: %v", id, got[id])
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func TestAppendStreamAnswersWhatIsWrongWithOneCall(t *testing.T) {
	f := open(t, "orders")
	s := f.stream(t)
	bad := request("orders", "2")
	bad.Streams[0].Events[0].Type = ""
	send(t, s,
		&gestav1.AppendCall{CallId: 1, Request: request("orders", "1")},
		&gestav1.AppendCall{CallId: 2, Request: bad},
		&gestav1.AppendCall{CallId: 3, Request: exact(request("orders", "1"), 7)},
		&gestav1.AppendCall{CallId: 4, Request: request("orders", "1"), Timeout: durationpb.New(-time.Second)},
		&gestav1.AppendCall{CallId: 5},
		&gestav1.AppendCall{CallId: 6, Request: request("orders", "1"), Timeout: durationpb.New(time.Minute)},
	)
	got := replies(t, s, 6)
	for id, want := range map[uint64]errs.Code{1: "", 2: errs.Invalid, 3: errs.Conflict, 4: errs.Invalid, 5: errs.Invalid, 6: ""} {
		if e := got[id].GetError(); errs.Code(e.GetCode()) != want || want != "" && e.GetMessage() == "" {
			t.Errorf("call %d: %v, want %q", id, got[id], want)
		}
	}
	if field := got[2].GetError().GetDetails()["field"]; field != "streams[0].events[0].type" {
		t.Errorf("field %q", field)
	}
	if actual := got[3].GetError().GetDetails()["actual"]; actual != "1" {
		t.Errorf("actual %q", actual)
	}
}

func TestAppendStreamEndsAfterItsReplies(t *testing.T) {
	f := open(t, "orders")
	f.shard.Hold()
	s := f.stream(t)
	send(t, s, &gestav1.AppendCall{CallId: 1, Request: request("orders", "1")})
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	f.waitHeld(t, 1)
	f.shard.Release()
	replies(t, s, 1)
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func (f *fixture) waitHeld(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); f.shard.Held() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls are held, want %d", f.shard.Held(), n)
		}
	}
}

// Beyond the budget the stream is not read, and goes on when replies are out.
func TestAppendStreamStopsReadingAtItsBudget(t *testing.T) {
	l := limits.Default()
	l.InFlightBytes = 64 * limits.KiB
	f := openWith(t, &l, "orders")
	f.shard.Hold()
	s := f.stream(t)
	const calls = 300
	go func() {
		for i := range calls {
			if s.Send(&gestav1.AppendStreamRequest{Calls: []*gestav1.AppendCall{{CallId: uint64(i + 1), Request: request("orders", "1")}}}) != nil {
				return
			}
		}
	}()
	most := int(l.InFlightBytes / callOverhead)
	f.waitHeld(t, most/2)
	if held := f.shard.Held(); held > most {
		t.Fatalf("%d calls in flight, more than %d", held, most)
	}
	f.shard.Release()
	replies(t, s, calls)
}

// A client that leaves gives back what its calls held, so that other streams of the connection go on.
func TestAppendStreamThatIsCutGivesItsBudgetBack(t *testing.T) {
	l := limits.Default()
	l.InFlightBytes = 2048
	f := openWith(t, &l, "orders")
	f.shard.Hold()
	ctx, cancel := context.WithCancel(within(t))
	cut, err := f.log.AppendStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send(t, cut, &gestav1.AppendCall{CallId: 1, Request: request("orders", "1")}, &gestav1.AppendCall{CallId: 2, Request: request("orders", "1")}, &gestav1.AppendCall{CallId: 3, Request: request("orders", "1")})
	f.waitHeld(t, 3)
	cancel()
	other := f.stream(t)
	send(t, other, &gestav1.AppendCall{CallId: 4, Request: request("orders", "1")}, &gestav1.AppendCall{CallId: 5, Request: request("orders", "1")})
	f.shard.Release()
	replies(t, other, 2)
}

func TestDrainAnswersWhatWasAcceptedThenEndsTheStream(t *testing.T) {
	f := open(t, "orders")
	f.shard.Hold()
	s := f.stream(t)
	send(t, s, &gestav1.AppendCall{CallId: 1, Request: request("orders", "1")})
	f.waitHeld(t, 1)
	closed := make(chan error, 1)
	go func() { closed <- f.door.Close(within(t)) }()
	receive(t, f.door.draining.Done())
	f.shard.Release()
	if r := replies(t, s, 1); r[1].GetResponse() == nil {
		t.Fatal(r)
	}
	_, err := s.Recv()
	wantCode(t, err, errs.Unavailable, "reason", "draining")
	if err := receive(t, closed); err != nil {
		t.Fatal(err)
	}
}

func TestDrainCutsOffWhatTakesTooLong(t *testing.T) {
	f := open(t, "orders")
	f.shard.Hold()
	s := f.stream(t)
	send(t, s, &gestav1.AppendCall{CallId: 1, Request: request("orders", "1")})
	f.waitHeld(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.door.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err == nil {
		t.Fatal("the stream goes on")
	}
}

func TestMalformedFramesEndTheStream(t *testing.T) {
	f := open(t, "orders")
	s, err := f.conn.NewStream(within(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, gestav1.Log_AppendStream_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	// A ReadRequest's bytes are no frame of calls.
	if err := s.SendMsg(&gestav1.ReadRequest{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.RecvMsg(&gestav1.AppendStreamResponse{}), errs.Invalid, "field", "calls")
}

// TestAppendStreamsOfAConnectionAreBounded opens as many as a connection may have, is refused one more, and may again when one ends.
func TestAppendStreamsOfAConnectionAreBounded(t *testing.T) {
	f := open(t, "orders")
	call := &gestav1.AppendCall{CallId: 1, Request: request("orders", "1")}
	var streams []appendClient
	for range appendsPerConnection {
		s := f.stream(t)
		send(t, s, call)
		replies(t, s, 1)
		streams = append(streams, s)
	}
	_, err := f.stream(t).Recv()
	wantCode(t, err, errs.Busy)
	if err := streams[0].CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := streams[0].Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	s := f.stream(t)
	send(t, s, call)
	replies(t, s, 1)
}
