package event

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	someTrace  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	otherTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func traced(t testing.TB, m *gestav1.AppendRequest, lim *limits.Limits, traceparent string) (*Commit, error) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return DecodeTraced(b, lim, counter(), traceparent)
}

func TestTheCallersTraceparentIsKept(t *testing.T) {
	own := full()
	own.Metadata["traceparent"] = otherTrace
	m := request("t", "k", full(), own, ev("e3", "T"))
	own.Id = "e2"
	c, err := traced(t, m, testLimits(), someTrace)
	if err != nil {
		t.Fatal(err)
	}
	m.Streams[0].Events[0].Metadata["traceparent"] = someTrace
	m.Streams[0].Events[2].Metadata = map[string]string{"traceparent": someTrace}
	mustEqual(t, c, m)
	for i, want := range []string{someTrace, otherTrace, someTrace} {
		if got := c.Streams[0].Events[i].Traceparent(); got != want {
			t.Errorf("event %d has %q", i, got)
		}
	}
}

func TestAMalformedTraceparentIsPassedOver(t *testing.T) {
	m := request("t", "k", full())
	c, err := traced(t, m, testLimits(), "00-nothing")
	if err != nil || c.Streams[0].Events[0].Traceparent() != "" {
		t.Fatal(err)
	}
	mustEqual(t, c, m)
	m.Streams[0].Events[0].Metadata["traceparent"] = "the producer's own"
	if c, err = traced(t, m, testLimits(), someTrace); err != nil || c.Streams[0].Events[0].Traceparent() != "" {
		t.Fatal(err)
	}
	mustEqual(t, c, m)
}

// What fits within the limits without the traceparent is taken without it.
func TestATraceparentNeverMakesAnAppendFail(t *testing.T) {
	m := request("t", "k", full())
	for name, shrink := range map[string]func(*limits.Limits){
		"entries": func(l *limits.Limits) { l.MetadataEntries = 3 },
		"bytes":   func(l *limits.Limits) { l.MetadataBytes = 10 },
		"commit":  func(l *limits.Limits) { l.CommitBytes = 100 },
	} {
		l := testLimits()
		shrink(l)
		c, err := traced(t, m, l, someTrace)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustEqual(t, c, m)
	}
	l := testLimits()
	l.EventBytes = 1
	if _, err := traced(t, m, l, someTrace); errs.CodeOf(err) != errs.TooLarge || !strings.Contains(err.Error(), "data") {
		t.Error(err)
	}
}

// A repeat comes by another call, in another trace, and is still a repeat.
func TestTraceparentsAreNotContent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := &gestav1.Event{Id: "e", Type: "T", Data: rapid.SliceOf(rapid.Byte()).Draw(rt, "data"), Metadata: map[string]string{}}
		for i := range rapid.IntRange(0, 4).Draw(rt, "metadata") {
			e.Metadata[rapid.SampledFrom([]string{"a", "traceparenu", "z", "actor"}).Draw(rt, "name")] = fmt.Sprint(i)
		}
		if rapid.Bool().Draw(rt, "tagged") {
			e.Tags = []string{"x"}
		}
		var commits []*Commit
		for _, trace := range []string{"", someTrace, otherTrace} {
			c, err := traced(t, request("t", "k", e), testLimits(), trace)
			if err != nil {
				rt.Fatal(err)
			}
			commits = append(commits, c)
		}
		e.Metadata["b"] = "other"
		different, err := traced(t, request("t", "k", e), testLimits(), someTrace)
		if err != nil {
			rt.Fatal(err)
		}
		for i, a := range commits {
			for j, b := range commits {
				x, y := a.Streams[0].Events[0].Bytes, b.Streams[0].Events[0].Bytes
				if !SameContent(x, y) || bytes.Equal(x, y) != (i == j) || a.Digest() != b.Digest() {
					rt.Fatalf("%x\n%x", x, y)
				}
			}
			if SameContent(a.Streams[0].Events[0].Bytes, different.Streams[0].Events[0].Bytes) || a.Digest() == different.Digest() {
				rt.Fatal("another event is the same")
			}
		}
	})
}

func FuzzSameContent(f *testing.F) {
	c, err := traced(f, request("t", "k", full()), testLimits(), someTrace)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Streams[0].Events[0].Bytes, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if !SameContent(a, a) || SameContent(a, b) != SameContent(b, a) {
			t.Fatalf("%x %x", a, b)
		}
		p := Prepared{Bytes: a}
		p.Traceparent()
	})
}
