package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/client/conformance"
)

type counter struct{ N int }

type add struct{ N int }

type added struct{ N int }

// counting is a kind that does what its commands say: besides adding, to panic, fail, and wait.
func counting(block <-chan struct{}) *Entity[counter, add, added] {
	return &Entity[counter, add, added]{
		Kind: "counter",
		Decide: func(s counter, c add, about *About) (Decision[added], error) {
			switch c.N {
			case -1:
				panic("decide")
			case -2:
				return Decision[added]{}, errors.New("a fault")
			case -3:
				return Decision[added]{}, RetryAfter(1500*time.Millisecond, "soon")
			case -4:
				<-block
			case -5:
				return Decision[added]{Delete: true}, nil
			}
			return Decision[added]{Events: []added{{c.N}}, Reply: s.N + c.N}, nil
		},
		Fold: func(s counter, e added) counter {
			if e.N == 13 {
				panic("fold")
			}
			s.N += e.N
			return s
		},
		Commands: Commands[add]{"Add": add{}}, Events: Events[added]{"Added": {0: added{}}},
	}
}

// serveScript has a service play a script, and gives what it logged.
func serveScript(t *testing.T, s Service, script string) string {
	t.Helper()
	parsed, err := conformance.Parse(t.Name(), script)
	if err != nil {
		t.Fatal(err)
	}
	server, err := conformance.New()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := New(Options{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var log lockedText
	s.Name, s.Logger = "test", slog.New(slog.NewTextHandler(&log, nil))
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, s) }()
	if err := server.Play(t.Context(), parsed); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	return log.String()
}

type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// adds is a cold task for a counter without events.
func adds(id int, key string, numbers ...int) string {
	var commands []string
	for _, n := range numbers {
		commands = append(commands, fmt.Sprintf(`{"id":"c","name":"Add","payload":{"data":{"N":%d}}}`, n))
	}
	return fmt.Sprintf(`{"id":%d,"kind":"counter","key":%q,"session":%d,"base":"TASK_BASE_COLD","commands":[%s]}`, id, key, id, strings.Join(commands, ","))
}

func TestServeContainsPanics(t *testing.T) {
	log := serveScript(t, Service{Kinds: []Kind{counting(nil)}}, `
# a panic of Decide is that command's alone
> {"tasks":[`+adds(1, "a", 1, -1, -2, -3, 2)+`]}
< {"task_id":1,"kept":true,"revision":2,"decisions":[{"acceptance":{"events":["*"]}},{"failure":{"message":"*"}},{"failure":{"message":"a fault"}},{"retry":{"after":"1.500s","message":"soon"}},{"acceptance":{"events":["*"],"reply":{"data":3}}}]}
# after one of Fold there is no state to go on with
> {"tasks":[`+adds(2, "b", 1, 13, 2)+`]}
< {"task_id":2,"kept":false,"decisions":[{"acceptance":{"events":["*"]}},{"failure":{"message":"*"}},{"retry":{"after":"0.001s"}}]}
# a deletion: the server says what becomes of those behind it
> {"tasks":[`+adds(3, "c", -5, 2)+`]}
< {"task_id":3,"kept":false,"decisions":[{"acceptance":{"delete":true}},{"retry":{"after":"0.001s"}}]}
> {"tasks":[{"id":4,"kind":"counter","key":"d","session":9,"revision":1,"base":"TASK_BASE_COLD","events":[{"revision":1,"event":{"type":"Added","data":{"N":13}}}],"commands":[{"name":"Add"}]}]}
< {"task_id":4,"failure":{"message":"*"}}
credit 11
`)
	if strings.Count(log, "the handler panicked") != 3 {
		t.Error(log)
	}
}

// A command that hangs holds up neither those of its frame nor those that come later.
func TestServeHangs(t *testing.T) {
	block := make(chan struct{})
	var released atomic.Bool
	kind := counting(block)
	decide := kind.Decide
	kind.Decide = func(s counter, c add, about *About) (Decision[added], error) {
		if c.N == 99 && released.CompareAndSwap(false, true) {
			close(block)
		}
		return decide(s, c, about)
	}
	serveScript(t, Service{Kinds: []Kind{kind}}, `
> {"tasks":[`+adds(1, "before", 1)+`,`+adds(2, "hangs", -4)+`,`+adds(3, "also", -4)+`,`+adds(4, "behind", 1)+`]}
< {"task_id":1,"kept":true}
< {"task_id":4,"kept":true}
> {"tasks":[`+adds(5, "later", 1)+`,`+adds(6, "hangs, too", -4)+`]}
< {"task_id":5,"kept":true}
> {"tasks":[`+adds(7, "last", 99)+`]}
< {"task_id":7,"kept":true}
< {"task_id":2,"kept":true}
< {"task_id":3,"kept":true}
< {"task_id":6,"kept":true}
credit 7
drain
`)
}

// What does not fit the budget is forgotten, the longest unused first, and told as missing.
func TestServeBudget(t *testing.T) {
	var script strings.Builder
	for i := range 8 {
		fmt.Fprintf(&script, "> {\"tasks\":[%s]}\n< {\"task_id\":%d,\"kept\":true}\n", adds(i+1, fmt.Sprint("k", i), 1), i+1)
	}
	hot := `{"id":%d,"kind":"counter","key":"k%d","session":%d,"revision":1,"base":"TASK_BASE_HOT","commands":[{"name":"Add","payload":{"data":{"N":1}}}]}`
	fmt.Fprintf(&script, "> {\"tasks\":["+hot+","+hot+"]}\n", 20, 0, 1, 21, 7, 8)
	script.WriteString("< {\"task_id\":20,\"missing\":true}\n< {\"task_id\":21,\"missing\":false,\"kept\":true,\"revision\":2}\n")
	serveScript(t, Service{Kinds: []Kind{counting(nil)}, CacheBytes: 4 * 270}, script.String())
}

func TestServeProtobuf(t *testing.T) {
	kind := &Entity[*wrapperspb.Int64Value, *wrapperspb.Int64Value, *wrapperspb.Int64Value]{
		Kind: "number",
		Decide: func(s, c *wrapperspb.Int64Value, _ *About) (Decision[*wrapperspb.Int64Value], error) {
			return Decision[*wrapperspb.Int64Value]{Events: []*wrapperspb.Int64Value{c}, Reply: wrapperspb.Int64(s.GetValue() + c.GetValue())}, nil
		},
		Fold: func(s, e *wrapperspb.Int64Value) *wrapperspb.Int64Value {
			s.Value += e.GetValue()
			return s
		},
		Commands: Commands[*wrapperspb.Int64Value]{"Add": {}}, Events: Events[*wrapperspb.Int64Value]{"Added": {0: {}}},
		Replies: map[string]any{"Add": &wrapperspb.Int64Value{}},
		Envelope: func(e *wrapperspb.Int64Value, about *About, into *Event) {
			into.Tags = []string{"key:" + about.Key}
		},
	}
	serveScript(t, Service{Kinds: []Kind{kind}}, `
# 8, 5 is the field 1 with the number 5
> {"tasks":[{"id":1,"kind":"number","key":"k","session":1,"base":"TASK_BASE_COLD","state_at":2,"commands":[{"name":"Add","payload":{"content_type":"application/protobuf","data":{"base64":"CAU="}}},{"name":"Add","payload":{"content_type":"application/json","data":"7"}}]}]}
< {"task_id":1,"kept":true,"revision":2,"decisions":[{"acceptance":{"events":[{"type":"Added","content_type":"application/protobuf","data":{"base64":"CAU="},"tags":["key:k"]}],"reply":{"type":"google.protobuf.Int64Value","data":{"base64":"CAU="}}}},{"acceptance":{"reply":{"data":{"base64":"CAw="}},"state":{"type":"google.protobuf.Int64Value","content_type":"application/protobuf","data":{"base64":"CAw="}}}}]}
> {"tasks":[{"id":2,"kind":"number","key":"j","base":"TASK_BASE_COLD","want_state":true,"revision":3,"carried":{"type":"google.protobuf.Int64Value","data":{"base64":"CAw="},"revision":2,"content_type":"application/protobuf"},"events":[{"revision":3,"event":{"type":"Added","content_type":"application/protobuf","data":{"base64":"CAE="}}}]}]}
< {"task_id":2,"state":{"data":{"base64":"CA0="},"revision":3}}
`)
	s := Service{Name: "n", Kinds: []Kind{kind}}
	hello, err := s.hello()
	if err != nil || !strings.Contains(string(hello), "google/protobuf/wrappers.proto") || strings.Count(string(hello), "google.protobuf.Int64Value") < 4 {
		t.Errorf("%q %v", hello, err)
	}
}

func TestOldStates(t *testing.T) {
	kind := counting(nil)
	kind.StateVersion = 2
	kind.OldStates = map[uint32]func([]byte) (counter, error){1: func([]byte) (counter, error) { return counter{40}, nil }}
	serveScript(t, Service{Kinds: []Kind{kind}}, `
> {"tasks":[{"id":1,"kind":"counter","key":"k","session":1,"base":"TASK_BASE_COLD","revision":3,"carried":{"type":"counter","version":1,"revision":3,"data":"old"},"commands":[{"name":"Add","payload":{"data":{"N":2}}}]}]}
< {"task_id":1,"decisions":[{"acceptance":{"reply":{"data":42}}}]}
> {"tasks":[{"id":2,"kind":"counter","key":"k","session":2,"base":"TASK_BASE_COLD","revision":3,"carried":{"type":"counter","version":3,"revision":3,"data":"new"},"commands":[{"name":"Add","payload":{"data":{"N":2}}}]}]}
< {"task_id":2,"failure":{"message":"*"}}
> {"tasks":[{"id":3,"kind":"counter","key":"k","session":3,"base":"TASK_BASE_COLD","revision":7,"carried":{"type":"counter","version":2,"revision":3,"data":{"N":1}},"commands":[{"name":"Add"}]}]}
< {"task_id":3,"failure":{"message":"*"}}
> {"tasks":[{"id":4,"kind":"counter","key":"k","session":4,"base":"TASK_BASE_COLD","revision":4,"events":[{"revision":1,"event":{"type":"Added","data":{"N":5}}},{"revision":2,"event":{"type":"gesta.deleted"}},{"revision":4,"event":{"type":"Added","data":{"N":2}}}],"commands":[{"name":"Add","payload":{"data":{"N":2}}}]}]}
< {"task_id":4,"kept":true,"revision":5,"decisions":[{"acceptance":{"reply":{"data":4}}}]}
`)
}

// refusing is a server that refuses handlers, as often as it has errors, and then waits for what they say.
type refusing struct {
	gestav1.UnimplementedRuntimeServer
	mu     sync.Mutex
	errs   []error
	frames chan *gestav1.HandlerFrame
}

func (r *refusing) Attach(s grpc.BidiStreamingServer[gestav1.HandlerFrame, gestav1.ServerFrame]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	r.mu.Lock()
	if len(r.errs) > 0 {
		err := r.errs[0]
		r.errs = r.errs[1:]
		r.mu.Unlock()
		return err
	}
	r.mu.Unlock()
	if err := s.Send(&gestav1.ServerFrame{Welcome: &gestav1.Welcome{Protocol: 1, NodeId: "n1"}}); err != nil {
		return err
	}
	for {
		f, err := s.Recv()
		if err != nil {
			return nil
		}
		r.frames <- f
	}
}

func serveRefusing(t *testing.T, refused ...error) (*refusing, *Client) {
	f := newFake(t)
	f.server.Stop()
	r := &refusing{errs: refused, frames: make(chan *gestav1.HandlerFrame, 16)}
	f.extra = func(s *grpc.Server) { gestav1.RegisterRuntimeServer(s, r) }
	revive(t, f)
	return r, newClient(t, Options{}, f)
}

// Serve waits for a server that will take it, and says drain and goodbye when its context ends.
func TestServeAgainAndDrain(t *testing.T) {
	r, c := serveRefusing(t, failure(codes.Unavailable, "unavailable", "starting", nil), failure(codes.ResourceExhausted, "busy", "too many", nil))
	ctx, stop := context.WithCancel(t.Context())
	var node string
	err := c.Serve(ctx, Service{Name: "s", Kinds: []Kind{counting(nil)}, OnAttach: func(n string) { node = n; stop() }})
	if err != nil || node != "n1" {
		t.Fatal(err, node)
	}
	if f := <-r.frames; f.GetDrain() == nil {
		t.Errorf("the first frame is %v", f)
	}
	if f := <-r.frames; f.GetGoodbye() == nil {
		t.Errorf("the second frame is %v", f)
	}
}

func TestServeRefused(t *testing.T) {
	_, c := serveRefusing(t, failure(codes.AlreadyExists, "exists", "another service serves it", nil))
	if err := c.Serve(t.Context(), Service{Name: "s", Kinds: []Kind{counting(nil)}}); CodeOf(err) != CodeExists {
		t.Error(err)
	}
	for _, kinds := range [][]Kind{
		{counting(nil), counting(nil)},
		{&Entity[counter, add, added]{Kind: "k"}},
		{&Entity[any, add, added]{Kind: "k", Decide: func(any, add, *About) (d Decision[added], err error) { return }, Fold: func(s any, _ added) any { return s }}},
		{&Entity[int, any, added]{Kind: "k", Decide: func(int, any, *About) (d Decision[added], err error) { return }, Fold: func(s int, _ added) int { return s }, Commands: Commands[any]{"N": nil}}},
		{&Entity[int, add, any]{Kind: "k", Decide: func(int, add, *About) (d Decision[any], err error) { return }, Fold: func(s int, _ any) int { return s }, Events: Events[any]{"A": {0: 1}, "B": {0: 2}}}},
		{&Entity[int, add, any]{Kind: "k", Decide: func(int, add, *About) (d Decision[any], err error) { return }, Fold: func(s int, _ any) int { return s }, Events: Events[any]{"gesta.deleted": {0: 1}}}},
	} {
		if err := c.Serve(t.Context(), Service{Name: "s", Kinds: kinds}); CodeOf(err) != CodeInvalid {
			t.Error(err)
		}
	}
}
