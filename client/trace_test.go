package client

import (
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

const (
	someTrace  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	otherTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func TestEventsKeepTheTraceparent(t *testing.T) {
	streams := []Append{{Topic: "t", Key: "k", Events: []Event{
		{Type: "A"},
		{Type: "B", ID: "b", Metadata: map[string]string{"actor": "me", "z": ""}, Tags: []string{"x"}},
		{Type: "C", Metadata: map[string]string{"traceparent": otherTrace}},
	}}}
	for given, want := range map[string]string{someTrace: someTrace, "nonsense": "", "": ""} {
		k := newCall()
		if err := k.encode(WithTraceparent(t.Context(), given), streams, nil); err != nil {
			t.Fatal(err)
		}
		q := new(gestav1.AppendRequest)
		if err := proto.Unmarshal(k.request, q); err != nil {
			t.Fatal(err)
		}
		for i, e := range q.GetStreams()[0].GetEvents() {
			wanted, own := want, len(streams[0].Events[i].Metadata)
			if i == 2 {
				wanted = otherTrace
			} else if want != "" {
				own++
			}
			if e.GetMetadata()["traceparent"] != wanted || len(e.GetMetadata()) != own {
				t.Errorf("with %q event %d has %v", given, i, e.GetMetadata())
			}
		}
	}
	if len(streams[0].Events[0].Metadata)+len(streams[0].Events[1].Metadata) != 2 {
		t.Error("the caller's events were changed")
	}
}

// The node-wide test shows that the server's spans belong to the trace; here it is told at all.
func TestCallsTellTheTraceparent(t *testing.T) {
	ctx := telling(WithTraceparent(t.Context(), someTrace))
	if m, _ := metadata.FromOutgoingContext(ctx); len(m["traceparent"]) != 1 || m["traceparent"][0] != someTrace {
		t.Error(m)
	}
	if telling(t.Context()) != t.Context() {
		t.Error("something is told without a trace")
	}
}
