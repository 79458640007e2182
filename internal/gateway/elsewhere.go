package gateway

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Entities that run on another node get their commands in one hop: the node that has the handler decides them, whatever it thinks of who
// owns them. Should two nodes decide for one entity for a while, the log's condition lets one of them win.

// The questions about entities that nodes ask each other.
const (
	methodExecute = "entity.execute" // ExecuteStreamRequest → ExecuteStreamResponse
	methodState   = "entity.state"   // StateRequest → StateResponse
)

// Ask asks another node. Its errors keep their codes.
type Ask func(ctx context.Context, node uint64, method string, body []byte) ([]byte, error)

// askAgain is how long a command rests whose node did not answer, before it is sent to the one that runs its entity then.
const askAgain = 100 * time.Millisecond

// owner gives the node that runs an entity; local when it is this one.
func (g *Gateway) owner(kind, key string) (local bool, node uint64) {
	if g.placement == nil || g.askNode == nil {
		return true, 0
	}
	return g.placement.Owner(kind, key)
}

// dispatch hands commands to where their entities run.
func (g *Gateway) dispatch(calls []*entity.Call) {
	here := calls[:0:len(calls)]
	var there map[uint64][]*entity.Call
	for _, c := range calls {
		local, node := g.owner(c.Kind, c.Key)
		if local {
			here = append(here, c)
			continue
		}
		if there == nil {
			there = map[uint64][]*entity.Call{}
		}
		there[node] = append(there[node], c)
	}
	if len(here) > 0 {
		g.entities.Execute(here)
	}
	for node, cs := range there {
		go g.executeAt(node, cs)
	}
}

// executeAt has another node execute commands. Those without an id get one: what happened to them may have to be asked again.
func (g *Gateway) executeAt(node uint64, calls []*entity.Call) {
	q := &gestav1.ExecuteStreamRequest{Calls: make([]*gestav1.ExecuteCall, len(calls))}
	now, longest := g.clock.Now(), time.Time{}
	for i, c := range calls {
		if c.ID == "" {
			c.ID = g.ids.next()
		}
		q.Calls[i] = &gestav1.ExecuteCall{CallId: uint64(i), Request: requestOf(c), Timeout: durationpb.New(c.Deadline.Sub(now))}
		if c.Deadline.After(longest) {
			longest = c.Deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), longest)
	defer cancel()
	r := &gestav1.ExecuteStreamResponse{}
	err := g.exchange(ctx, node, methodExecute, q, r)
	if err != nil {
		g.executeAgain(calls, err)
		return
	}
	for _, one := range r.GetReplies() {
		if i := one.GetCallId(); i < uint64(len(calls)) && calls[i] != nil {
			settle(calls[i], one)
			calls[i] = nil
		}
	}
	for _, c := range calls {
		if c != nil {
			c.Err = errs.New(errs.UnknownOutcome, "the node that runs %s/%s did not say what became of the command; repeat it with the same id", c.Kind, c.Key)
			c.Done(c)
		}
	}
}

// executeAgain sends commands anew that their node did not take. What may have been executed is told so instead: a later refusal would
// speak of the last try alone, and the caller repeats it with the same id.
func (g *Gateway) executeAgain(calls []*entity.Call, err error) {
	code := errs.CodeOf(err)
	var again []*entity.Call
	for _, c := range calls {
		if (code == errs.Unavailable || code == errs.NoLeader) && g.clock.Now().Add(askAgain).Before(c.Deadline) && !g.draining.Load() {
			again = append(again, c)
			continue
		}
		c.Err = err
		c.Done(c)
	}
	if len(again) > 0 {
		time.AfterFunc(askAgain, func() { g.dispatch(again) })
	}
}

func (g *Gateway) exchange(ctx context.Context, node uint64, method string, q, r proto.Message) error {
	body, err := proto.Marshal(q)
	if err != nil {
		return err
	}
	got, err := g.askNode(ctx, node, method, body)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(got, r); err != nil {
		return errs.New(errs.Internal, "a node's answer about entities does not parse: %w", err)
	}
	return nil
}

// AnswerPeer answers another node's question about entities. Handled is false for a method that is none of these.
func (g *Gateway) AnswerPeer(ctx context.Context, method string, body []byte) (answer []byte, handled bool, err error) {
	var serve func(context.Context, []byte) (proto.Message, error)
	switch method {
	case methodExecute:
		serve = g.answerExecute
	case methodState:
		serve = g.answerState
	default:
		return nil, false, nil
	}
	if g.entities == nil {
		return nil, true, errNoEntities()
	}
	r, err := serve(ctx, body)
	if err != nil {
		return nil, true, err
	}
	answer, err = proto.Marshal(r)
	return answer, true, err
}

func (g *Gateway) answerExecute(ctx context.Context, body []byte) (proto.Message, error) {
	q := &gestav1.ExecuteStreamRequest{}
	if err := proto.Unmarshal(body, q); err != nil {
		return nil, errs.New(errs.Invalid, "a node's commands do not parse: %w", err)
	}
	now := g.clock.Now()
	calls, done := make([]*entity.Call, len(q.GetCalls())), make(chan struct{}, len(q.GetCalls()))
	for i, one := range q.GetCalls() {
		calls[i] = callOf(one.GetRequest())
		calls[i].Received, calls[i].Deadline = now, now.Add(one.GetTimeout().AsDuration())
		calls[i].Done = func(*entity.Call) { done <- struct{}{} }
	}
	g.entities.Execute(append([]*entity.Call(nil), calls...))
	for range calls {
		<-done // each ends by its deadline
	}
	r := &gestav1.ExecuteStreamResponse{Replies: make([]*gestav1.ExecuteReply, len(calls))}
	for i, c := range calls {
		if c.Err == nil && c.ReturnState && c.Outcome.State == nil {
			c.Err = g.CompleteState(ctx, c)
		}
		r.Replies[i] = replyOf(q.GetCalls()[i].GetCallId(), c)
	}
	return r, nil
}

func (g *Gateway) stateAt(ctx context.Context, node uint64, kind, key string, revision uint64) (entity.Outcome, error) {
	q, r := &gestav1.StateRequest{Kind: kind, Key: key}, &gestav1.StateResponse{}
	if revision > 0 {
		q.Moment = &gestav1.StateRequest_Revision{Revision: revision}
	}
	if err := g.exchange(ctx, node, methodState, q, r); err != nil {
		if errs.CodeOf(err) == errs.UnknownOutcome { // nothing is written by a question
			err = errs.New(errs.Unavailable, "the node that runs %s/%s did not answer: try again", kind, key)
		}
		return entity.Outcome{}, err
	}
	o := entity.Outcome{Revision: r.GetRevision(), State: stateOf(r.GetState())}
	return o, placed(&o, r.GetPosition())
}

func (g *Gateway) answerState(ctx context.Context, body []byte) (proto.Message, error) {
	q := &gestav1.StateRequest{}
	if err := proto.Unmarshal(body, q); err != nil {
		return nil, errs.New(errs.Invalid, "a node's question for a state does not parse: %w", err)
	}
	put := func(c *entity.Call) { g.entities.Execute([]*entity.Call{c}) }
	if revision := q.GetRevision(); revision > 0 {
		put = func(c *entity.Call) { g.entities.Fold(c, revision) }
	}
	o, err := g.ask(ctx, q.GetKind(), q.GetKey(), put)
	if err != nil {
		return nil, err
	}
	return &gestav1.StateResponse{State: stateMessage(&o), Revision: o.Revision, Position: o.Position.String()}, nil
}

func requestOf(c *entity.Call) *gestav1.ExecuteRequest {
	q := &gestav1.ExecuteRequest{
		Kind: c.Kind, Key: c.Key, Command: c.Command, Id: c.ID, ReturnState: c.ReturnState,
		Payload: &gestav1.Payload{ContentType: c.Payload.ContentType, Type: c.Payload.Type, Data: c.Payload.Data},
	}
	if c.Expects {
		q.ExpectedRevision = &c.Expected
	}
	if len(c.Metadata) > 0 {
		q.Metadata = make(map[string]string, len(c.Metadata))
		for _, p := range c.Metadata {
			q.Metadata[p.Name] = p.Value
		}
	}
	return q
}

func callOf(q *gestav1.ExecuteRequest) *entity.Call {
	c := &entity.Call{
		Kind: q.GetKind(), Key: q.GetKey(), Command: q.GetCommand(), ID: q.GetId(), ReturnState: q.GetReturnState(), Expected: q.GetExpectedRevision(), Expects: q.ExpectedRevision != nil,
		Payload: event.Payload{ContentType: q.GetPayload().GetContentType(), Type: q.GetPayload().GetType(), Data: q.GetPayload().GetData()},
	}
	for _, name := range slices.Sorted(maps.Keys(q.GetMetadata())) {
		c.Metadata = append(c.Metadata, event.Pair{Name: name, Value: q.GetMetadata()[name]})
	}
	return c
}

func replyOf(id uint64, c *entity.Call) *gestav1.ExecuteReply {
	if c.Err != nil {
		e := errs.As(c.Err)
		return &gestav1.ExecuteReply{CallId: id, Outcome: &gestav1.ExecuteReply_Error{Error: &gestav1.Error{Code: string(e.Code), Message: e.Message, Details: e.Details}}}
	}
	o := &c.Outcome
	r := &gestav1.ExecuteResponse{Revision: o.Revision, Repeated: o.Repeated, Events: uint32(o.Events), State: stateMessage(o)}
	if o.Position.Shard != 0 {
		r.Position = o.Position.String()
	}
	if o.Reply != nil {
		r.Reply = &gestav1.Payload{ContentType: o.Reply.ContentType, Type: o.Reply.Type, Data: o.Reply.Data}
	}
	return &gestav1.ExecuteReply{CallId: id, Outcome: &gestav1.ExecuteReply_Response{Response: r}}
}

// settle ends a call with what another node said.
func settle(c *entity.Call, one *gestav1.ExecuteReply) {
	if e := one.GetError(); e != nil {
		c.Err = &errs.Error{Code: errs.Code(e.GetCode()), Message: e.GetMessage(), Details: e.GetDetails()}
		c.Done(c)
		return
	}
	r := one.GetResponse()
	c.Outcome = entity.Outcome{Revision: r.GetRevision(), Repeated: r.GetRepeated(), Events: int(r.GetEvents()), State: stateOf(r.GetState())}
	if p := r.GetReply(); p != nil {
		c.Outcome.Reply = &event.Payload{ContentType: p.GetContentType(), Type: p.GetType(), Data: p.GetData()}
	}
	c.Err = placed(&c.Outcome, r.GetPosition())
	c.Done(c)
}

func placed(o *entity.Outcome, token string) (err error) {
	if token == "" {
		return nil
	}
	if o.Position, err = position.Parse(token); err != nil {
		return errs.New(errs.Internal, "a node's answer has no position: %w", err)
	}
	return nil
}

func stateMessage(o *entity.Outcome) *gestav1.EntityState {
	if o.State == nil {
		return nil
	}
	return &gestav1.EntityState{Type: o.State.Type, Version: o.State.Version, ContentType: o.State.ContentType, Data: o.State.Data, Revision: o.Revision}
}

func stateOf(s *gestav1.EntityState) *event.State {
	if s == nil {
		return nil
	}
	return &event.State{Version: s.GetVersion(), Payload: event.Payload{Type: s.GetType(), ContentType: s.GetContentType(), Data: s.GetData()}}
}
