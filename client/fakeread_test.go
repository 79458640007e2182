package client

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
)

// Read serves offsets only: from is start, end or a position.
func (f *fake) Read(r *gestav1.ReadRequest, s grpc.ServerStreamingServer[gestav1.ReadResponse]) error {
	f.mu.Lock()
	f.reads = append(f.reads, r)
	if len(f.refuseRead) > 0 {
		err := f.refuseRead[0]
		f.refuseRead = f.refuseRead[1:]
		f.mu.Unlock()
		return err
	}
	frames, breakAfter := f.frames, -1
	if len(f.breakAfter) > 0 {
		breakAfter, f.breakAfter = f.breakAfter[0], f.breakAfter[1:]
	}
	f.mu.Unlock()
	sent, live := 0, false
	next, err := f.startOf(r)
	if err != nil {
		return err
	}
	for {
		f.mu.Lock()
		out, more := &gestav1.ReadResponse{Shard: 1, History: 7}, f.more
		for len(out.GetEvents()) < frames && next >= 1 && next <= uint64(len(f.log)) && sent+len(out.GetEvents()) != breakAfter &&
			(r.GetLimit() == 0 || sent+len(out.GetEvents()) < int(r.GetLimit())) {
			if e := f.log[next-1]; matches(r, e) {
				out.Events = append(out.Events, e)
			}
			next += step(r)
		}
		f.mu.Unlock()
		out.Position = position.Position{Shard: 1, History: 7, Offset: place(r, next)}.String()
		sent += len(out.GetEvents())
		switch {
		case len(out.GetEvents()) > 0:
		case sent == breakAfter:
			return status.Error(codes.Unavailable, "the wire was cut")
		case !r.GetFollow() || r.GetLimit() > 0 && sent == int(r.GetLimit()):
			return nil
		case !live:
			live, out.Live = true, true
		default:
			select {
			case <-more:
			case <-s.Context().Done():
				return s.Context().Err()
			}
			continue
		}
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

func matches(r *gestav1.ReadRequest, e *gestav1.RecordedEvent) bool {
	if st := r.GetStream(); st != nil && (st.GetTopic() != e.GetTopic() || st.GetKey() != e.GetKey()) {
		return false
	}
	if t := r.GetTopic(); t != "" && t != e.GetTopic() {
		return false
	}
	types := r.GetFilter().GetTypes()
	return (len(types) == 0 || slices.Contains(types, e.GetEvent().GetType())) && strings.HasPrefix(e.GetKey(), r.GetFilter().GetKeyPrefix())
}

func step(r *gestav1.ReadRequest) uint64 {
	if r.GetBackwards() {
		return ^uint64(0)
	}
	return 1
}

// place is the position that continues with the event at next.
func place(r *gestav1.ReadRequest, next uint64) uint64 {
	if r.GetBackwards() {
		return next
	}
	return next - 1
}

func (f *fake) startOf(r *gestav1.ReadRequest) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := uint64(len(f.log))
	token, isPos := strings.CutPrefix(r.GetFrom(), "pos:")
	switch {
	case isPos:
		p, err := position.Parse(token)
		if err != nil {
			return 0, failure(codes.InvalidArgument, "invalid", err.Error(), map[string]string{"field": "from"})
		}
		if r.GetBackwards() {
			return p.Offset, nil
		}
		return p.Offset + 1, nil
	case r.GetFrom() == "end" && !r.GetBackwards():
		return end + 1, nil
	case r.GetFrom() == "" && r.GetBackwards() || r.GetFrom() == "end":
		return end, nil
	case r.GetFrom() == "" || r.GetFrom() == "start":
		return 1, nil
	}
	return 0, failure(codes.InvalidArgument, "invalid", "no such starting point: "+r.GetFrom(), map[string]string{"field": "from"})
}

func (f *fake) Head(_ context.Context, r *gestav1.HeadRequest) (*gestav1.HeadResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refuseRead) > 0 {
		err := f.refuseRead[0]
		f.refuseRead = f.refuseRead[1:]
		return nil, err
	}
	return &gestav1.HeadResponse{Revision: f.heads[r.GetStream().GetTopic()+"/"+r.GetStream().GetKey()], Position: "p"}, nil
}
