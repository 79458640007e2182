package node

import (
	"testing"

	"google.golang.org/grpc/metadata"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// A retry is another call, mostly in another span: it is recognised by its ids, with an exact expectation, and by its command.
func TestARetryInAnotherTraceIsARepeat(t *testing.T) {
	log := dial(t, start(t, testConfig(t, t.TempDir())))
	event := []*gestav1.Event{{Id: "e", Type: "Happened", Metadata: map[string]string{"actor": "me", "z": "1"}}}
	for name, q := range map[string]*gestav1.AppendRequest{
		"id":       {Streams: []*gestav1.StreamAppend{{Topic: "orders", Key: "id", Events: event}}},
		"expected": {Streams: []*gestav1.StreamAppend{{Topic: "orders", Key: "expected", Events: event, Expectation: &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: 0}}}}},
		"command":  {CommandId: "c", Streams: []*gestav1.StreamAppend{{Topic: "orders", Key: "command", Events: []*gestav1.Event{{Type: "Happened"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, trace := range []string{someTrace, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""} {
				ctx := within(t)
				if trace != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", trace)
				}
				r, err := log.Append(ctx, q)
				if err != nil || r.GetRepeated() != (i > 0) || r.GetStreams()[0].GetLastRevision() != 1 {
					t.Fatalf("call %d: %v, %v", i, r, err)
				}
			}
		})
	}
}
