package client

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// What is written by hand is what the generated code would write.
func TestCommandsAreProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Command{
			Kind: rapid.String().Draw(t, "kind"), Key: rapid.String().Draw(t, "key"), Name: rapid.String().Draw(t, "name"), ID: rapid.String().Draw(t, "id"),
			Payload:     Payload{rapid.String().Draw(t, "content type"), rapid.String().Draw(t, "type"), rapid.SliceOf(rapid.Byte()).Draw(t, "data")},
			ReturnState: rapid.Bool().Draw(t, "state"), Metadata: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "metadata"),
		}
		want := &gestav1.ExecuteRequest{Kind: c.Kind, Key: c.Key, Command: c.Name, Id: c.ID, ReturnState: c.ReturnState, Metadata: c.Metadata}
		if c.Payload.ContentType != "" || c.Payload.Type != "" || len(c.Payload.Data) > 0 {
			want.Payload = &gestav1.Payload{ContentType: c.Payload.ContentType, Type: c.Payload.Type, Data: c.Payload.Data}
		}
		if rapid.Bool().Draw(t, "expects") {
			want.ExpectedRevision = proto.Uint64(rapid.Uint64().Draw(t, "expected"))
			c.Expect = Revision(*want.ExpectedRevision)
		}
		var got gestav1.ExecuteRequest
		if err := proto.Unmarshal(appendExecute(nil, &c, ""), &got); err != nil {
			t.Fatal(err)
		}
		if c.ID == "" && len(got.GetId()) == idBytes {
			got.Id = ""
		}
		if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
			t.Fatal(d)
		}
	})
}

// cashier answers every call at once.
type cashier struct {
	gestav1.UnimplementedEntitiesServer
	last *gestav1.ExecuteRequest
}

func (c *cashier) ExecuteStream(s grpc.BidiStreamingServer[gestav1.ExecuteStreamRequest, gestav1.ExecuteStreamResponse]) error {
	for {
		in, err := s.Recv()
		if err != nil {
			return nil
		}
		out := &gestav1.ExecuteStreamResponse{}
		for _, call := range in.GetCalls() {
			out.Replies = append(out.Replies, c.reply(call))
		}
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

func (c *cashier) reply(call *gestav1.ExecuteCall) *gestav1.ExecuteReply {
	r := call.GetRequest()
	c.last = r
	if r.GetCommand() == "Refuse" {
		return &gestav1.ExecuteReply{CallId: call.GetCallId(), Outcome: &gestav1.ExecuteReply_Error{Error: &gestav1.Error{
			Code: "rejected", Message: "no", Details: map[string]string{"rejection_code": "broke", "available": "3"},
		}}}
	}
	return &gestav1.ExecuteReply{CallId: call.GetCallId(), Outcome: &gestav1.ExecuteReply_Response{Response: &gestav1.ExecuteResponse{
		Reply: &gestav1.Payload{ContentType: "application/json", Type: "T", Data: r.GetPayload().GetData()}, Revision: 4, Position: "p", Repeated: true, Events: 2,
		State: &gestav1.EntityState{Type: "counter", Version: 0, ContentType: "application/json", Data: []byte(`{"N":9}`), Revision: 4},
	}}}
}

func (c *cashier) State(_ context.Context, r *gestav1.StateRequest) (*gestav1.StateResponse, error) {
	return &gestav1.StateResponse{Revision: 7, Position: "p", State: &gestav1.EntityState{Type: "counter", Data: []byte(`{"N":8}`), Revision: r.GetRevision()}}, nil
}

func (c *cashier) Delete(_ context.Context, r *gestav1.DeleteRequest) (*gestav1.DeleteResponse, error) {
	return &gestav1.DeleteResponse{Revision: r.GetExpectedRevision() + 1, Position: "p", Repeated: r.GetId() == ""}, nil
}

func newCashier(t testing.TB) (*cashier, *Client) {
	f := newFake(t)
	f.server.Stop()
	s := &cashier{}
	f.extra = func(g *grpc.Server) { gestav1.RegisterEntitiesServer(g, s) }
	l := relisten(t, f)
	f.serve(t, l)
	return s, newClient(t, Options{}, f)
}

func TestExecute(t *testing.T) {
	s, c := newCashier(t)
	kind := counting(nil)
	out, err := kind.Send(t.Context(), c, "k", add{5}, "id-1")
	if err != nil {
		t.Fatal(err)
	}
	var n struct{ N int }
	if err := out.Reply.Into(&n); err != nil || n.N != 5 || out.Revision != 4 || out.Position != "p" || !out.Repeated || out.Events != 2 {
		t.Errorf("%+v %v", out, err)
	}
	if state, err := kind.ReadState(*out.State); err != nil || state.N != 9 || out.State.Revision != 4 {
		t.Error(state, err)
	}
	if s.last.GetKind() != "counter" || s.last.GetKey() != "k" || s.last.GetCommand() != "Add" || s.last.GetId() != "id-1" {
		t.Error(s.last)
	}
	_, err = c.Execute(t.Context(), Command{Kind: "counter", Key: "k", Name: "Refuse"})
	if r := RejectionOf(err); r == nil || r.Code != "broke" || r.Message != "no" || len(r.Details) != 1 || CodeOf(err) != CodeRejected {
		t.Error(err)
	}
	if _, err := c.Execute(t.Context(), Command{Expect: Exists()}); CodeOf(err) != CodeInvalid {
		t.Error(err)
	}
	if state, revision, err := kind.State(t.Context(), c, "k", AtRevision(3)); err != nil || state.N != 8 || revision != 3 {
		t.Error(state, revision, err)
	}
	if d, err := c.DeleteEntity(t.Context(), Deletion{Kind: "counter", Key: "k", Expect: Revision(8)}); err != nil || d.Revision != 9 || d.Repeated {
		t.Error(d, err)
	}
	if _, err := kind.Command("k", add{}); err != nil {
		t.Error(err)
	}
	if err := (Payload{Data: []byte("{")}).Into(&n); CodeOf(err) != CodeInvalid {
		t.Error(err)
	}
	if RejectionOf(errors.New("x")) != nil || RejectionOf(Reject("a", "b").With("c", "d")).Details["c"] != "d" {
		t.Error("rejections")
	}
}

// BenchmarkWorker does hot tasks of one command in frames of 64, as Attach does, without the connection.
func BenchmarkWorker(b *testing.B) {
	kind := counting(nil)
	w, err := newWorker([]Kind{kind}, 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	const many = 64
	var d desk
	cold, hot := &gestav1.ServerFrame{}, &gestav1.ServerFrame{}
	command := []*gestav1.Command{{Id: "0123456789abcdefghijklmnop", Name: "Add", Payload: &gestav1.Payload{ContentType: typeJSON, Data: []byte(`{"N":0}`)}}}
	for i := range many {
		key := "key-" + strconv.Itoa(i)
		cold.Tasks = append(cold.Tasks, &gestav1.Task{Id: 1, Kind: "counter", Key: key, Session: 1, Base: baseCold})
		hot.Tasks = append(hot.Tasks, &gestav1.Task{Id: 1, Kind: "counter", Key: key, Session: 1, Base: baseHot, Commands: command})
	}
	var f serverFrame
	do := func(m *gestav1.ServerFrame, each func(*task)) {
		raw, err := proto.Marshal(m)
		if err == nil {
			err = f.parse(raw)
		}
		if err != nil {
			b.Fatal(err)
		}
		for i := range f.tasks {
			each(&f.tasks[i])
		}
	}
	var out []byte
	do(cold, func(t *task) { out, _ = w.do(&d, &f, t, out[:0]) })
	b.ReportAllocs()
	revision := uint64(0)
	for b.Loop() {
		do(hot, func(t *task) {
			t.revision = revision
			out, _ = w.do(&d, &f, t, out[:0])
		})
		revision++
	}
	b.ReportMetric(float64(b.N)*many/b.Elapsed().Seconds(), "commands/s")
}
