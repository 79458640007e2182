package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// counter is a handler without an SDK: entities that count. It keeps its sessions, folds, and decides.
type counter struct {
	stream gestav1.Runtime_AttachClient
	ended  chan struct{}

	mu    sync.Mutex
	state map[string]*tally // by session
	colds int
	lies  bool // the states that it gives are not what it folds
}

type tally struct {
	N, Events int
	revision  uint64
}

func (c *tally) fold(typ string, data []byte) {
	if typ == "gesta.deleted" {
		*c = tally{}
		return
	}
	var e struct{ By int }
	_ = json.Unmarshal(data, &e)
	c.N += e.By
	c.Events++
}

func (c *tally) message() *gestav1.EntityState {
	b, _ := json.Marshal(c)
	return &gestav1.EntityState{Type: "count", Version: 1, ContentType: "application/json", Data: b}
}

func attach(t *testing.T, conn *grpc.ClientConn, hello *gestav1.Hello) *counter {
	t.Helper()
	c, err := tryAttach(t.Context(), conn, hello)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryAttach(ctx context.Context, conn *grpc.ClientConn, hello *gestav1.Hello) (*counter, error) {
	stream, err := gestav1.NewRuntimeClient(conn).Attach(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&gestav1.HandlerFrame{Hello: hello}); err != nil {
		return nil, err
	}
	welcome, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if welcome.Welcome.GetProtocol() != 1 {
		return nil, fmt.Errorf("welcome is %v", welcome)
	}
	c := &counter{stream: stream, ended: make(chan struct{}), state: map[string]*tally{}}
	go c.serve()
	return c, nil
}

func (c *counter) serve() {
	defer close(c.ended)
	for {
		in, err := c.stream.Recv()
		if err != nil {
			return
		}
		out := &gestav1.HandlerFrame{}
		c.mu.Lock()
		for _, e := range in.Evicts {
			delete(c.state, e.Key)
		}
		for _, task := range in.Tasks {
			out.Results = append(out.Results, c.do(task))
			out.Credit += max(1, uint32(len(task.Commands)))
		}
		c.mu.Unlock()
		if in.Drain != nil {
			out.Goodbye = &gestav1.Goodbye{Reason: "drained"}
		}
		if c.stream.Send(out) != nil || in.Drain != nil {
			return
		}
	}
}

func (c *counter) do(task *gestav1.Task) *gestav1.Result {
	s := c.state[task.Key]
	if task.Base == gestav1.TaskBase_TASK_BASE_COLD {
		s = &tally{}
		if task.Session != 0 {
			c.colds++
			c.state[task.Key] = s
		}
		if task.Carried != nil {
			_ = json.Unmarshal(task.Carried.Data, s)
		}
	}
	for _, e := range task.Events {
		s.fold(e.Event.Type, e.Event.Data)
	}
	s.revision = task.Revision
	r := &gestav1.Result{TaskId: task.Id, Kept: true}
	if task.WantState {
		r.State = s.message()
	}
	for _, cmd := range task.Commands {
		r.Decisions = append(r.Decisions, c.decide(task, s, cmd))
	}
	r.Revision = s.revision
	return r
}

func (c *counter) decide(task *gestav1.Task, s *tally, cmd *gestav1.Command) *gestav1.Decision {
	var q struct{ By int }
	_ = json.Unmarshal(cmd.Payload.Data, &q)
	a := &gestav1.Acceptance{}
	switch cmd.Name {
	case "add":
		if s.N+q.By < 0 {
			return &gestav1.Decision{Outcome: &gestav1.Decision_Rejection{Rejection: &gestav1.Rejection{Code: "negative", Message: "it would be negative", Details: map[string]string{"n": fmt.Sprint(s.N)}}}}
		}
		a.Events = []*gestav1.Event{{Type: "added", ContentType: "application/json", Data: cmd.Payload.Data}}
	case "end":
		a.Delete = true
	case "undeclared":
		a.Events = []*gestav1.Event{{Type: "unheard"}}
	case "act":
		a.Actions = []*gestav1.Action{{Name: "later"}}
	}
	for _, e := range a.Events {
		s.fold(e.Type, e.Data)
		s.revision++
	}
	if a.Delete {
		*s = tally{revision: s.revision + 1}
	}
	a.Reply = &gestav1.Payload{ContentType: "application/json", Data: []byte(fmt.Sprint(s.N))}
	if cmd.ReturnState || task.StateAt > 0 && s.revision >= task.StateAt {
		if a.State = s.message(); c.lies {
			a.State.Data = []byte(`{"N":7}`)
		}
	}
	return &gestav1.Decision{Outcome: &gestav1.Decision_Acceptance{Acceptance: a}}
}

func counterHello() *gestav1.Hello {
	return &gestav1.Hello{Service: "counters", Build: "1", Protocol: 1, Kinds: []*gestav1.EntityKind{{
		Name: "counter", Events: []*gestav1.EventType{{Name: "added"}}, State: &gestav1.StateType{Name: "count", Version: 1},
		Snapshots: &gestav1.SnapshotPolicy{Policy: &gestav1.SnapshotPolicy_Every{Every: 3}},
	}}}
}

func connect(t *testing.T, n *Node) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func plus(key, id string, by int) *gestav1.ExecuteRequest {
	return &gestav1.ExecuteRequest{Kind: "counter", Key: key, Command: "add", Id: id, Payload: &gestav1.Payload{Data: fmt.Appendf(nil, `{"By":%d}`, by)}}
}

func codeOf(t *testing.T, err error) (string, map[string]string) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.Reason, info.Metadata
		}
	}
	t.Fatalf("no code: %v", err)
	return "", nil
}

// TestEntitiesByWire sends commands by the wire to a handler on the wire, over a restart, and asks for states of all times.
func TestEntitiesByWire(t *testing.T) {
	config := testConfig(t, t.TempDir())
	n := start(t, config)
	conn := connect(t, n)
	h := attach(t, conn, counterHello())
	entities := gestav1.NewEntitiesClient(conn)
	execute := func(q *gestav1.ExecuteRequest) *gestav1.ExecuteResponse {
		t.Helper()
		r, err := entities.Execute(within(t), q)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i := 1; i <= 10; i++ {
		r := execute(plus("a", fmt.Sprint("c", i), i))
		if r.Revision != uint64(i) || string(r.Reply.Data) != fmt.Sprint(i*(i+1)/2) || r.Position == "" || r.Repeated || r.Events != 1 {
			t.Fatalf("%d: %v", i, r)
		}
	}
	refused := func(q *gestav1.ExecuteRequest, want string) map[string]string {
		t.Helper()
		_, err := entities.Execute(within(t), q)
		code, details := codeOf(t, err)
		if code != want {
			t.Fatalf("%s, want %s: %v", code, want, err)
		}
		return details
	}
	if d := refused(plus("a", "no", -100), "rejected"); d["rejection_code"] != "negative" || d["n"] != "55" {
		t.Fatalf("the rejection's details are %v", d)
	}
	expecting := plus("a", "", 1)
	expecting.ExpectedRevision = new(uint64)
	refused(expecting, "conflict")
	bad := plus("a", "", 1)
	bad.Command = "undeclared"
	refused(bad, "internal")
	bad.Command = "act"
	refused(bad, "unsupported")
	if r := execute(plus("a", "c3", 3)); !r.Repeated || r.Revision != 3 || string(r.Reply.Data) != "6" {
		t.Fatalf("a repeat got %v", r)
	}
	refused(plus("a", "c3", 4), "invalid")
	again := plus("a", "c3", 3)
	again.ReturnState = true
	if r := execute(again); !r.Repeated || !strings.Contains(string(r.State.GetData()), `"N":6`) || r.State.Revision != 3 {
		t.Fatalf("a repeat with its state got %v", r)
	}
	h.mu.Lock()
	if h.colds != 2 { // at the beginning, and after the undeclared event
		t.Errorf("the entity was loaded %d times", h.colds)
	}
	h.mu.Unlock()
	state := func(q *gestav1.StateRequest) string {
		t.Helper()
		q.Kind = "counter"
		r, err := entities.State(within(t), q)
		if err != nil {
			t.Fatal(err)
		}
		return string(r.State.Data)
	}
	check := func() {
		t.Helper()
		if s := state(&gestav1.StateRequest{Key: "a"}); s != `{"N":55,"Events":10}` {
			t.Fatal(s)
		}
		for i := uint64(1); i <= 10; i++ {
			want := fmt.Sprintf(`{"N":%d,"Events":%d}`, i*(i+1)/2, i)
			if s := state(&gestav1.StateRequest{Key: "a", Moment: &gestav1.StateRequest_Revision{Revision: i}}); s != want {
				t.Fatalf("at %d: %s", i, s)
			}
		}
		if s := state(&gestav1.StateRequest{Key: "a", Moment: &gestav1.StateRequest_At{At: "id:c4/0"}}); s != `{"N":10,"Events":4}` {
			t.Fatal(s)
		}
		if r := execute(plus("a", "c9", 9)); !r.Repeated || string(r.Reply.Data) != "45" {
			t.Fatalf("a repeat got %v", r)
		}
	}
	check()
	if _, err := entities.State(within(t), &gestav1.StateRequest{Kind: "counter", Key: "never"}); err == nil {
		t.Fatal("a state of nothing")
	}
	other := counterHello()
	other.Service = "others"
	_, err := tryAttach(within(t), conn, other)
	if code, _ := codeOf(t, err); code != "exists" {
		t.Fatal(err)
	}
	closeNode(t, n)
	n = start(t, config)
	conn = connect(t, n)
	entities = gestav1.NewEntitiesClient(conn)
	blind := counterHello()
	blind.Kinds[0].Events = []*gestav1.EventType{{Name: "added", Versions: []uint32{7}}}
	_, err = tryAttach(within(t), conn, blind)
	if code, d := codeOf(t, err); code != "unsupported" || d["unreadable"] != "added version 0" {
		t.Fatal(err)
	}
	attach(t, conn, counterHello())
	check()
	del, err := entities.Delete(within(t), &gestav1.DeleteRequest{Kind: "counter", Key: "a", Id: "d1"})
	if err != nil || del.Revision != 11 {
		t.Fatal(del, err)
	}
	if del, err = entities.Delete(within(t), &gestav1.DeleteRequest{Kind: "counter", Key: "a", Id: "d1"}); err != nil || del.Revision != 11 || !del.Repeated {
		t.Fatal(del, err)
	}
	refused(plus("a", "after", 1), "gone")
	end := plus("b", "b1", 1)
	execute(end)
	end.Command, end.Id = "end", "b2"
	execute(end)
	refused(plus("b", "b3", 1), "gone")
}

// TestReplayIsChecked holds that an entity is not served whose carried state is not what its events fold to, and others are.
func TestReplayIsChecked(t *testing.T) {
	n := start(t, testConfig(t, t.TempDir()))
	conn := connect(t, n)
	entities := gestav1.NewEntitiesClient(conn)
	hello := counterHello()
	hello.Kinds[0].CheckReplay = true
	h := attach(t, conn, hello)
	for key, lies := range map[string]bool{"honest": false, "liar": true} {
		h.mu.Lock()
		h.lies = lies
		h.mu.Unlock()
		for i := range 7 { // two carry a state
			if _, err := entities.Execute(within(t), plus(key, fmt.Sprint(i), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.stream.Send(&gestav1.HandlerFrame{Drain: &gestav1.Drain{}}); err != nil {
		t.Fatal(err)
	}
	<-h.ended // it was told to go
	attach(t, conn, hello)
	if r, err := entities.Execute(within(t), plus("honest", "more", 1)); err != nil || string(r.Reply.Data) != "8" {
		t.Fatal(r, err)
	}
	_, err := entities.Execute(within(t), plus("liar", "more", 1))
	if code, d := codeOf(t, err); code != "internal" || d["reason"] != "replay" {
		t.Fatal(err)
	}
}
