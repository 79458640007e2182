package grpc

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// entitiesService describes gesta.v1.Entities; its stream of commands is ours.
func entitiesService() *grpc.ServiceDesc {
	desc := gestav1.Entities_ServiceDesc
	desc.HandlerType = (*any)(nil)
	desc.Streams = []grpc.StreamDesc{{StreamName: "ExecuteStream", ClientStreams: true, ServerStreams: true, Handler: func(srv any, stream grpc.ServerStream) error {
		return toStatus(srv.(entitiesServer).door.executeStream(stream))
	}}}
	return &desc
}

// entitiesServer is the service Entities.
type entitiesServer struct {
	gestav1.UnimplementedEntitiesServer
	door *Door
}

func (e entitiesServer) Execute(ctx context.Context, q *gestav1.ExecuteRequest) (*gestav1.ExecuteResponse, error) {
	who, _ := e.door.callerOf(ctx)
	c := &entity.Call{
		Kind: q.GetKind(), Key: q.GetKey(), Command: q.GetCommand(), ID: q.GetId(), ReturnState: q.GetReturnState(), Expected: q.GetExpectedRevision(), Expects: q.ExpectedRevision != nil,
		Payload:  event.Payload{ContentType: q.GetPayload().GetContentType(), Type: q.GetPayload().GetType(), Data: q.GetPayload().GetData()},
		Metadata: pairs(ctx, q.GetMetadata()),
	}
	o, err := e.door.gate.ExecuteOne(ctx, who, c)
	if err != nil {
		return nil, err
	}
	r := &gestav1.ExecuteResponse{Revision: o.Revision, Repeated: o.Repeated, Events: uint32(o.Events), State: stateMessage(&o)}
	if o.Position.Shard != 0 {
		r.Position = o.Position.String()
	}
	if o.Reply != nil {
		r.Reply = &gestav1.Payload{ContentType: o.Reply.ContentType, Type: o.Reply.Type, Data: o.Reply.Data}
	}
	return r, nil
}

func (e entitiesServer) State(ctx context.Context, q *gestav1.StateRequest) (*gestav1.StateResponse, error) {
	who, _ := e.door.callerOf(ctx)
	at, revision := event.Point{Kind: event.End}, uint64(0)
	switch m := q.GetMoment().(type) {
	case *gestav1.StateRequest_Revision:
		if revision = m.Revision; revision == 0 {
			return nil, errs.New(errs.Invalid, "revision is 0, before the first event: there is no state").With("field", "revision")
		}
	case *gestav1.StateRequest_At:
		var err error
		if at, err = event.ParsePoint(m.At, true); err != nil {
			return nil, err
		}
	}
	o, err := e.door.gate.State(ctx, who, q.GetKind(), q.GetKey(), revision, at)
	if err != nil {
		return nil, err
	}
	return &gestav1.StateResponse{State: stateMessage(&o), Revision: o.Revision, Position: o.Position.String()}, nil
}

func (e entitiesServer) Delete(ctx context.Context, q *gestav1.DeleteRequest) (*gestav1.DeleteResponse, error) {
	who, _ := e.door.callerOf(ctx)
	o, err := e.door.gate.DeleteEntity(ctx, who, &gateway.Deletion{Kind: q.GetKind(), Key: q.GetKey(), ID: q.GetId(), Expected: q.GetExpectedRevision(), Expects: q.ExpectedRevision != nil, Metadata: pairs(ctx, q.GetMetadata())})
	if err != nil {
		return nil, err
	}
	return &gestav1.DeleteResponse{Revision: o.Streams[0].LastRevision, Position: o.Position.String(), Repeated: o.Repeated}, nil
}

func stateMessage(o *entity.Outcome) *gestav1.EntityState {
	if o.State == nil {
		return nil
	}
	return &gestav1.EntityState{Type: o.State.Type, Version: o.State.Version, ContentType: o.State.ContentType, Data: o.State.Data, Revision: o.Revision}
}

// pairs gives metadata sorted by name, with the caller's traceparent when they have none.
func pairs(ctx context.Context, m map[string]string) []event.Pair {
	list := make([]event.Pair, 0, len(m)+1)
	for name, v := range m {
		list = append(list, event.Pair{Name: name, Value: v})
	}
	if t := traceparent(ctx); t != "" && m[traceparentName] == "" {
		list = append(list, event.Pair{Name: traceparentName, Value: t})
	}
	slices.SortFunc(list, func(a, b event.Pair) int { return strings.Compare(a.Name, b.Name) })
	return list
}
