package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// A reader that is cut off again and again, and comes back with the last id it saw, gets every event once, in order, while
// others append.
func TestStreamsAreResumed(t *testing.T) {
	const total = 200
	f := open(t, "a")
	address := f.listen(t)
	var appending sync.WaitGroup
	appending.Go(func() {
		for i := range total {
			f.must(t, fmt.Sprintf("/v1/streams/a/%d/events", i%7), fmt.Sprintf(`{"events":[{"type":"T%d","data":%d}]}`, i%2, i))
		}
	})
	defer appending.Wait()
	last, seen, connections := "", 0, 0
	for seen < total {
		s := subscribe(t, address+"/v1/topics/a/events", last)
		connections++
		for range 1 + connections%20 {
			e, ok := s.next()
			if !ok {
				t.Fatal("the stream ended by itself")
			}
			if e.id != "" {
				last = e.id
			}
			if e.data == "" || e.name != "" {
				continue
			}
			if seen++; !strings.HasPrefix(e.data, fmt.Sprintf(`{"offset":%d,`, seen)) {
				t.Fatalf("event %d is %s", seen, e.data)
			}
			if seen == total {
				break
			}
		}
		s.close()
	}
	t.Logf("%d events over %d connections", seen, connections)
}

func TestStreamTellsWhenItIsLive(t *testing.T) {
	f := open(t)
	fill(t, f, 1)
	s := subscribe(t, f.listen(t)+"/v1/streams/a/x/events", "")
	defer s.close()
	if e, _ := s.next(); !strings.Contains(e.data, `"id":"x0"`) || e.id == "" || e.name != "" {
		t.Fatalf("%+v", e)
	}
	live, _ := s.next()
	if live.name != "live" || live.data != fmt.Sprintf(`{"position":%q}`, live.id) {
		t.Fatalf("%+v", live)
	}
	fill(t, f, 1)
	if e, _ := s.next(); !strings.Contains(e.data, `"revision":2`) {
		t.Fatalf("%+v", e)
	}
}

// passing is a shard whose reads are live, then pass offset 5 without an event, and then wait.
type passing struct{ *gatewaytest.Shard }

func (passing) Read(context.Context, event.ReadSpec) (event.Reader, error) {
	return &passingReader{}, nil
}

type passingReader struct{ n int }

func (r *passingReader) Next(ctx context.Context) (event.Batch, error) {
	at := position.Position{Shard: 1, History: gatewaytest.History, Offset: 4}
	switch r.n++; r.n {
	case 1:
		return event.Batch{Position: at, Live: true}, nil
	case 2:
		at.Offset++
		return event.Batch{Position: at}, nil
	}
	<-ctx.Done()
	return event.Batch{}, ctx.Err()
}

func (*passingReader) Close() {}

// A heartbeat comes while nothing does; when a filter left something out, the first one carries the position to come back to.
func TestHeartbeats(t *testing.T) {
	l := limits.Default()
	f := openOver(t, Settings{Heartbeat: 10 * time.Millisecond}, passing{gatewaytest.NewShard()}, &l, "a")
	s := subscribe(t, f.listen(t)+"/v1/topics/a/events?type=Two", "")
	defer s.close()
	passed := position.Position{Shard: 1, History: gatewaytest.History, Offset: 5}
	for i, want := range []sseEvent{{comment: true, id: passed.String()}, {comment: true}, {comment: true}} {
		e, ok := s.next()
		if i == 0 && e.name == "live" {
			e, ok = s.next()
		}
		if !ok || e != want {
			t.Fatalf("%+v, want %+v", e, want)
		}
	}
}

// Draining ends streams with a reason.
func TestDrainEndsStreams(t *testing.T) {
	f := open(t, "a")
	s := subscribe(t, f.listen(t)+"/v1/topics/a/events", "")
	defer s.close()
	if e, _ := s.next(); e.name != "live" || f.door.Streams() != 1 {
		t.Fatalf("%+v, %d open", e, f.door.Streams())
	}
	f.door.drain()
	if e, ok := s.next(); !ok || e.name != "problem" || !strings.Contains(e.data, `"reason":"draining"`) {
		t.Fatalf("%+v", e)
	}
	if e, ok := s.next(); ok {
		t.Fatalf("after the end: %+v", e)
	}
}

// A stream need not follow: it says where it ends.
func TestStreamsThatEnd(t *testing.T) {
	f := open(t)
	fill(t, f, 2)
	address := f.listen(t)
	for query, want := range map[string]int{"?follow=false": 4, "?limit=3": 3, "?direction=backwards": 4} {
		s := subscribe(t, address+"/v1/topics/a/events"+query, "")
		n := 0
		for {
			e, ok := s.next()
			if !ok {
				t.Fatalf("%s: no end", query)
			}
			if e.name == "end" {
				break
			}
			n++
		}
		if _, more := s.next(); n != want || more {
			t.Errorf("%s: %d events, want %d; more after the end: %v", query, n, want, more)
		}
		s.close()
	}
}

// The server's deadlines are for requests, and for each piece of an answer: an answer that goes on may go on.
func TestStreamsOutliveTimeouts(t *testing.T) {
	f := openWith(t, Settings{HeaderTimeout: 30 * time.Millisecond, ReadTimeout: 30 * time.Millisecond, WriteTimeout: 60 * time.Millisecond, Heartbeat: 20 * time.Millisecond}, "a")
	s := subscribe(t, f.listen(t)+"/v1/topics/a/events", "")
	defer s.close()
	for range 10 {
		if _, ok := s.next(); !ok {
			t.Fatal("cut off")
		}
	}
	f.must(t, "/v1/streams/a/x/events", events)
	for {
		e, ok := s.next()
		if !ok {
			t.Fatal("cut off")
		}
		if strings.Contains(e.data, "OrderPlaced") {
			return
		}
	}
}

// A body that does not come is not waited for.
func TestSlowBodies(t *testing.T) {
	f := openWith(t, Settings{ReadTimeout: 20 * time.Millisecond}, "a")
	address := f.listen(t)
	for path := range appends {
		r, closeIt := newPipe()
		resp, err := http.Post(address+path, "application/json", r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		closeIt()
		a := answer{resp, string(body)}
		wantProblem(t, a, http.StatusRequestTimeout, "unavailable", "body")
		if why := theContract().check(f.pattern(resp.Request), "POST", "application/json", "", false, a); why != "" {
			t.Error(why)
		}
	}
}
