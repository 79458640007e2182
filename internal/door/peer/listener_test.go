package peer

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// ears count what a listener hears.
type ears struct {
	mu    sync.Mutex
	heard map[string]int
}

func (e *ears) hear(what string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[what] += n
}

func (e *ears) of(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[what]
}

func (e *ears) listener() *Listener {
	end := func(err error) string {
		if err != nil {
			return " " + string(errs.CodeOf(err))
		}
		return ""
	}
	return &Listener{
		Connected: func(_ uint64, c Class) { e.hear("connected "+c.String(), 1) },
		Lost:      func(_ uint64, c Class, _ error) { e.hear("lost "+c.String(), 1) },
		Sent:      func(_ uint64, c Class, n, bytes int) { e.hear("sent "+c.String(), n); e.hear("sent bytes", bytes) },
		Received: func(_ uint64, c Class, n, bytes int) {
			e.hear("received "+c.String(), n)
			e.hear("received bytes", bytes)
		},
		Dropped:   func(_ uint64, c Class, n int) { e.hear("dropped "+c.String(), n) },
		RoundTrip: func(_ uint64, took time.Duration) { e.hear("round trip", int(min(1, took))) },
		Called:    func(m string, _ time.Duration, err error) { e.hear("called "+m+end(err), 1) },
		Answered:  func(m string, _ time.Duration, err error) { e.hear("answered "+m+end(err), 1) },
		Forwarded: func(_ uint64, bytes int, err error) { e.hear("forwarded"+end(err), bytes) },
		Fetched:   func(n int) { e.hear("fetched", n) },
		Served:    func(n int) { e.hear("served", n) },
	}
}

func TestListenersHearWhatIsDone(t *testing.T) {
	t.Parallel()
	at, there := &ears{heard: map[string]int{}}, &ears{heard: map[string]int{}}
	known := newBook()
	a := start(t, known, 1, "", func(o *Options) { o.Listener = at.listener() })
	b := start(t, known, 2, "", func(o *Options) { o.Listener = there.listener() })
	a.connectTo(t, 2)
	a.Send(1, []*raftpb.Message{beat(1, 2, 1), beat(1, 2, 2), app(1, 2, 1, 10), beat(1, 99, 1)})
	list, done := calls(commitOf("1", event.Expect{}, 1), commitOf("2", exactly(7), 1))
	a.Submit(2, 1, list)
	for range list {
		receive(t, done)
	}
	_, err := a.Call(within(t), 2, "none", nil)
	wantCode(t, err, errs.Unsupported)
	b.file("4/x", 1000)
	f, err := a.Fetch(within(t), 2, 4, "x", Resume{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	size := list[0].Commit.Bytes
	for what, n := range map[string]int{"connected control": 1, "connected log": 1, "sent control": 2, "sent log": 1, "dropped control": 1, "called none unsupported": 1,
		"forwarded": size, "forwarded conflict": size, "fetched": 1000, "round trip": 1} {
		eventually(t, what, func() bool { return at.of(what) >= n })
		if at.of(what) != n && what != "round trip" {
			t.Errorf("%s: %d, want %d", what, at.of(what), n)
		}
	}
	for what, n := range map[string]int{"received control": 2, "received log": 1, "answered none unsupported": 1, "served": 1000} {
		eventually(t, what, func() bool { return there.of(what) == n })
	}
	if at.of("sent bytes") == 0 || there.of("received bytes") == 0 {
		t.Error("no bytes")
	}
	b.kill(t)
	eventually(t, "lost", func() bool { return at.of("lost control") == 1 && at.of("lost log") == 1 })
	if t.Failed() {
		t.Log(slices.Sorted(maps.Keys(at.heard)))
	}
}
