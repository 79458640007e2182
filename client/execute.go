package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Command is something asked of an entity.
type Command struct {
	Kind, Key string
	Name      string // for instance Withdraw
	Payload   Payload
	// ID names the command for idempotency among those of its entity: a repeat gets the first outcome that wrote something. By
	// default a random one, so that only the client's own retries are repeats.
	ID string
	// Expect is [Any] (the zero value), [None] or a [Revision]: when it does not hold, the command fails with [CodeConflict]
	// undecided.
	Expect Expect
	// ReturnState also wants the state after the command.
	ReturnState bool
	// Metadata is handed to the handler and kept with the events.
	Metadata map[string]string
}

// Outcome is what came of a command. All of it is on stable storage.
type Outcome struct {
	// Reply is what the handler answered, without content type when it answered nothing.
	Reply Payload `json:"reply"`
	// Revision is the entity's after the command.
	Revision uint64 `json:"revision"`
	// Position is the token of the last event that the command caused, or of one not before the state that was decided on.
	Position string `json:"position"`
	// State is set when it was wanted.
	State *EntityState `json:"state,omitempty"`
	// Repeated is true when a command with this id had been executed before: this is its first outcome again.
	Repeated bool `json:"repeated"`
	// Events is how many events the command caused: the last ones up to Revision.
	Events int `json:"events"`
}

// Execute lets an entity decide about a command, and returns when what came of it is durable. Commands of many callers ride one
// batched stream, as appends do.
//
// Errors: CodeRejected when the handler said no (see [RejectionOf]), CodeConflict when Expect does not hold, CodeGone when the
// entity was deleted, CodeNotFound for a kind that nothing serves or a command that it does not take, CodeInvalid and CodeTooLarge
// for what is not taken, CodeInternal when the handler failed, CodeUnknownOutcome when the answer was lost until ctx ended, and
// what could not be retried away until then (CodeUnavailable while no handler is attached, CodeBusy, CodeNoLeader).
func (c *Client) Execute(ctx context.Context, command Command) (Outcome, error) {
	k := newCall()
	if err := k.encodeCommand(ctx, &command); err != nil {
		return Outcome{}, err
	}
	if _, ok := ctx.Deadline(); !ok {
		k.expires = time.Now().Add(c.opts.Timeout)
	}
	out := &Outcome{}
	k.into = out
	if _, err := c.executes.do(ctx, k); err != nil {
		return Outcome{}, err
	}
	return *out, nil
}

func (k *call) encodeCommand(ctx context.Context, c *Command) error {
	if c.Expect.rule == ruleExists {
		return &Error{Code: CodeInvalid, Message: "a command expects a revision, none or any: exists cannot be asked for", Details: map[string]string{"field": "expected_revision"}}
	}
	k.request = appendExecute(k.request[:0], c, traceparentOf(ctx))
	if len(k.request) > maxRequest {
		return &Error{
			Code: CodeTooLarge, Message: fmt.Sprintf("the command has %d bytes, the client sends at most %d", len(k.request), maxRequest),
			Details: map[string]string{"limit": fmt.Sprint(maxRequest)},
		}
	}
	return nil
}

// Tags of ExecuteRequest.
const (
	tagKind        = 1<<3 | 2
	tagEntityKey   = 2<<3 | 2
	tagCommand     = 3<<3 | 2
	tagPayload     = 4<<3 | 2
	tagID          = 5<<3 | 2
	tagExpected    = 6 << 3
	tagReturnState = 7 << 3
	tagMetadata    = 8<<3 | 2
)

// appendExecute writes an ExecuteRequest. A command without an id gets one, and one without a traceparent the one given, if any.
func appendExecute(dst []byte, c *Command, traceparent string) []byte {
	dst = appendText(dst, tagKind, c.Kind)
	dst = appendText(dst, tagEntityKey, c.Key)
	dst = appendText(dst, tagCommand, c.Name)
	dst = appendPayload(dst, tagPayload, &c.Payload)
	if c.ID == "" {
		dst = appendID(append(dst, tagID, idBytes))
	}
	dst = appendText(dst, tagID, c.ID)
	if c.Expect.rule != ruleAny {
		dst = protowire.AppendVarint(append(dst, tagExpected), c.Expect.revision)
	}
	if c.ReturnState {
		dst = append(dst, tagReturnState, 1)
	}
	for name, value := range c.Metadata {
		dst = appendEntry(dst, tagMetadata, name, value)
	}
	if _, own := c.Metadata[eventwire.Traceparent]; !own && traceparent != "" {
		dst = appendEntry(dst, tagMetadata, eventwire.Traceparent, traceparent)
	}
	return dst
}

func appendPayload(dst []byte, tag byte, p *Payload) []byte {
	if p.ContentType == "" && p.Type == "" && len(p.Data) == 0 {
		return dst
	}
	size := sizeText(p.ContentType) + sizeText(p.Type)
	if len(p.Data) > 0 {
		size += 1 + protowire.SizeBytes(len(p.Data))
	}
	dst = protowire.AppendVarint(append(dst, tag), uint64(size))
	dst = appendText(dst, tagFirstText, p.ContentType)
	dst = appendText(dst, tagSecondText, p.Type)
	return appendBlob(dst, tagThirdBytes, p.Data)
}

func appendEntry(dst []byte, tag byte, name, value string) []byte {
	dst, start := open(dst, tag)
	dst = appendText(dst, tagFirstText, name)
	dst = appendText(dst, tagSecondText, value)
	return shut(dst, start)
}

// decodeOutcome reads an ExecuteResponse. What it sets shares no memory with b.
func decodeOutcome(b []byte, o *Outcome) error {
	*o = Outcome{}
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		var err error
		switch f.num {
		case 1:
			err = o.Reply.decode(f.bytes)
		case 2:
			o.Revision = f.number
		case 3:
			o.Position = string(f.bytes)
		case 4:
			o.State = &EntityState{}
			err = o.State.decode(f.bytes)
		case 5:
			o.Repeated = f.number != 0
		case 6:
			o.Events = int(f.number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// StateOption says which state is wanted.
type StateOption func(*gestav1.StateRequest)

// AtRevision wants the state after that event of the stream.
func AtRevision(n uint64) StateOption {
	return func(r *gestav1.StateRequest) { r.Moment = &gestav1.StateRequest_Revision{Revision: n} }
}

// AtPoint wants the state at a point: N | pos:TOKEN | id:EVENTID | time:RFC3339 | time:YYYY-MM-DD (UTC) | -2h. It includes what was
// recorded up to then.
func AtPoint(point string) StateOption {
	return func(r *gestav1.StateRequest) { r.Moment = &gestav1.StateRequest_At{At: point} }
}

// StateResult is an entity's state.
type StateResult struct {
	EntityState
	// Newest is the entity's newest revision, when the state was asked for now; else that of the state.
	Newest uint64 `json:"newest"`
	// Position is that of the event that the state ends with.
	Position string `json:"position"`
}

// State tells what an entity's events add up to, now or at an earlier point, as the attached handler folds them.
//
// Errors: CodeNotFound when there were no events then, CodeGone when the entity was deleted then, CodeUnavailable when no handler
// of the kind attaches in time.
func (c *Client) State(ctx context.Context, kind, key string, opts ...StateOption) (StateResult, error) {
	req := &gestav1.StateRequest{Kind: kind, Key: key}
	for _, o := range opts {
		o(req)
	}
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.StateResponse, error) {
		return gestav1.NewEntitiesClient(conn).State(ctx, req)
	})
	if err != nil {
		return StateResult{}, err
	}
	return StateResult{EntityState: stateOf(m.GetState()), Newest: m.GetRevision(), Position: m.GetPosition()}, nil
}

// Deletion asks for the end of an entity; its fields are as in [Command].
type Deletion struct {
	Kind, Key string
	ID        string
	Expect    Expect
	Metadata  map[string]string
}

// DeleteEntity ends an entity with a tombstone: later commands fail with CodeGone, unless the kind allows a new life. Its events
// stay. Outcome has the tombstone's revision and position. Errors are those of [Client.Execute].
func (c *Client) DeleteEntity(ctx context.Context, d Deletion) (Outcome, error) {
	req := &gestav1.DeleteRequest{Kind: d.Kind, Key: d.Key, Id: d.ID, Metadata: d.Metadata}
	if d.ID == "" {
		req.Id = NewID()
	}
	if d.Expect.rule != ruleAny {
		req.ExpectedRevision = &d.Expect.revision
	}
	// With its id a deletion may be asked for again, whatever became of it before.
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.DeleteResponse, error) {
		return gestav1.NewEntitiesClient(conn).Delete(ctx, req)
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Revision: m.GetRevision(), Position: m.GetPosition(), Repeated: m.GetRepeated(), Events: 1}, nil
}
