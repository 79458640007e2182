package remote

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// TestFramesAreThoseOfTheProtocol holds what is written by hand against the generated code.
func TestFramesAreThoseOfTheProtocol(t *testing.T) {
	recorded := &gestav1.RecordedEvent{Event: &gestav1.Event{Id: "e", Type: "T", Data: make([]byte, 300)}, Revision: 3, Offset: 9}
	raw, err := proto.Marshal(recorded)
	if err != nil {
		t.Fatal(err)
	}
	out := appendEvict(nil, &entity.Evict{Kind: "k", Key: "a", Session: 7})
	out = appendTask(out, &entity.Task{
		ID: 1, Kind: "k", Key: "a", Session: 7, Revision: 3, Base: entity.Cold, Carried: &event.State{Version: 2, Payload: event.Payload{Type: "S", ContentType: "c", Data: []byte("s")}}, CarriedAt: 2,
		Events: [][]byte{raw}, StateAt: 102,
		Commands: []*entity.Command{{ID: "i", Name: "Do", Payload: &event.Payload{ContentType: "application/json", Type: "D", Data: []byte("{}")}, Metadata: []event.Pair{{Name: "actor", Value: "me"}}, ReturnState: true, Received: 5}},
	})
	out = appendTask(out, &entity.Task{ID: 2, Kind: "k", Key: "b", Follows: true, Events: [][]byte{raw}, More: true})
	out = appendTask(out, &entity.Task{ID: 3, Kind: "k", Key: "c", Base: entity.Hot, Revision: 1, WantState: true})
	out = appendFault(out, &entity.Fault{TaskID: 4, Kind: "k", Key: "a", Err: errs.New(errs.Invalid, "wrong")})
	out = appendDrain(out, "over")
	got := &gestav1.ServerFrame{}
	if err := proto.Unmarshal(out, got); err != nil {
		t.Fatal(err)
	}
	want := &gestav1.ServerFrame{
		Evicts: []*gestav1.Evict{{Kind: "k", Key: "a", Session: 7}},
		Tasks: []*gestav1.Task{
			{Id: 1, Kind: "k", Key: "a", Session: 7, Revision: 3, Base: gestav1.TaskBase_TASK_BASE_COLD, Carried: &gestav1.EntityState{Type: "S", Version: 2, ContentType: "c", Data: []byte("s"), Revision: 2},
				Events: []*gestav1.RecordedEvent{recorded}, StateAt: 102,
				Commands: []*gestav1.Command{{Id: "i", Name: "Do", Payload: &gestav1.Payload{ContentType: "application/json", Type: "D", Data: []byte("{}")}, Metadata: map[string]string{"actor": "me"}, ReturnState: true, ReceivedUnixNanos: 5}}},
			{Id: 2, Events: []*gestav1.RecordedEvent{recorded}, More: true},
			{Id: 3, Kind: "k", Key: "c", Revision: 1, Base: gestav1.TaskBase_TASK_BASE_HOT, WantState: true},
		},
		Faults: []*gestav1.Fault{{TaskId: 4, Kind: "k", Key: "a", Code: "invalid", Message: "wrong"}},
		Drain:  &gestav1.Drain{Reason: "over"},
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Fatal(d)
	}
}

func results() *gestav1.HandlerFrame {
	return &gestav1.HandlerFrame{
		Results: []*gestav1.Result{
			{TaskId: 1, Kept: true, Revision: 4, Decisions: []*gestav1.Decision{
				{Outcome: &gestav1.Decision_Acceptance{Acceptance: &gestav1.Acceptance{
					Events: []*gestav1.Event{{Type: "T"}, {Type: "U"}}, Reply: &gestav1.Payload{ContentType: "application/json", Data: []byte("1")},
					State: &gestav1.EntityState{Type: "S", Version: 3, Data: []byte("s")}, Delete: true, Actions: []*gestav1.Action{{Name: "x"}}}}},
				{Outcome: &gestav1.Decision_Rejection{Rejection: &gestav1.Rejection{Code: "c", Message: "m", Details: map[string]string{"k": "v"}}}},
				{Outcome: &gestav1.Decision_Retry{Retry: &gestav1.Retry{After: durationpb.New(1500 * time.Millisecond), Message: "later"}}},
				{Outcome: &gestav1.Decision_Failure{Failure: &gestav1.Failure{Message: "panic"}}},
			}},
			{TaskId: 2, Missing: true},
			{TaskId: 3, Failure: &gestav1.Failure{Message: "all"}, State: &gestav1.EntityState{Type: "S"}},
		},
		Credit: 5, Drain: &gestav1.Drain{Reason: "go"}, Goodbye: &gestav1.Goodbye{},
	}
}

// TestResultsAreRead holds what is read by hand against the generated code.
func TestResultsAreRead(t *testing.T) {
	b, err := proto.Marshal(results())
	if err != nil {
		t.Fatal(err)
	}
	f, err := decodeFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := proto.Marshal(&gestav1.Event{Type: "T"})
	second, _ := proto.Marshal(&gestav1.Event{Type: "U"})
	want := []*entity.Result{
		{TaskID: 1, Kept: true, Revision: 4, Decisions: []entity.Decision{
			{Verdict: entity.Accepted, Events: [][]byte{first, second}, Reply: &event.Payload{ContentType: "application/json", Data: []byte("1")},
				State: &event.State{Version: 3, Payload: event.Payload{Type: "S", Data: []byte("s")}}, Delete: true, Actions: 1},
			{Verdict: entity.Rejected, Code: "c", Message: "m", Details: map[string]string{"k": "v"}},
			{Verdict: entity.Later, After: 1500 * time.Millisecond, Message: "later"},
			{Verdict: entity.Failed, Message: "panic"},
		}},
		{TaskID: 2, Missing: true, Decisions: []entity.Decision{}},
		{TaskID: 3, Failed: true, Failure: "all", State: &event.State{Payload: event.Payload{Type: "S"}}, Decisions: []entity.Decision{}},
	}
	if d := cmp.Diff(want, f.results); d != "" {
		t.Fatal(d)
	}
	if f.credit != 5 || *f.drain != "go" || *f.goodbye != "" || f.hello != nil {
		t.Fatalf("%+v", f)
	}
}

// FuzzFrames: any bytes are taken or refused with a code.
func FuzzFrames(f *testing.F) {
	b, _ := proto.Marshal(results())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeFrame(b); err != nil && errs.CodeOf(err) == errs.Internal {
			t.Fatal(err)
		}
	})
}
