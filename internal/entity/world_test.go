package entity

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
	"google.golang.org/protobuf/proto"
)

// fact is the data of an event in these tests: which command caused it, and what its handler knew when it decided. So the log itself
// tells whether every decision was made on what is true.
type fact struct {
	Command string
	On      uint64 // the fold of all events before it
	After   uint64 // the revision that it was decided at
}

// tally is the state in these tests: a fold that no two histories share.
type tally struct {
	Sum      uint64
	Revision uint64
}

func (s *tally) fold(typ, id string) {
	if s.Revision++; typ == event.Tombstone {
		s.Sum = 0
		return
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%d/%s/%s", s.Sum, s.Revision, typ, id)
	s.Sum = h.Sum64()
}

// record is an event in the log of these tests.
type record struct {
	offset uint64
	typ    string
	id     string
	data   []byte
	state  *event.State // carried
}

// stream is what is applied.
type stream struct {
	records []record
}

func (s *stream) at(revision uint64) tally {
	var t tally
	for _, r := range s.records[:revision] {
		t.fold(r.typ, r.id)
	}
	return t
}

// world is a log, handlers and callers around a core, all stepped from a seed.
type world struct {
	t    *testing.T
	rand *rand.Rand
	core *Core
	now  time.Time
	// mortal entities may not begin anew after a deletion.
	mortal bool

	streams  map[string]*stream
	offset   uint64
	heads    map[string]uint64 // what is proposed counts
	commands map[string]*event.Outcome
	flying   []*event.Call // accepted, in order
	waiting  []answer      // outcomes that write nothing, until all before them are applied
	outcomes []*event.Call // on their way to the core
	loads    []*Loading
	confirms []*Confirm

	handlers []*actor
	calls    map[*Call]*asked
	retry    []*asked
	acked    int
	made     int
	counts   map[string]int
	calm     bool
	deletes  bool
	checks   bool
}

type answer struct {
	call  *event.Call
	after int // flying calls before it
}

// asked is a command, over all its tries.
type asked struct {
	key, id, command string
	done             bool
	tries            int
}

// actor is a handler's process.
type actor struct {
	w        *world
	a        *Attachment
	sessions map[string]*copyOf
	tasks    []*Task
	partial  map[uint64]*Task
	inHand   map[string]holding
	answered []uint64
	left     bool
	forgets  bool // it keeps nothing
}

type copyOf struct {
	session uint64
	tally
}

// holding is a task that a handler has, since when.
type holding struct {
	id    uint64
	since time.Time
}

const testTimeout = 2 * time.Second

const testKind = "things"

func newWorld(t *testing.T, seed uint64) *world {
	lim := limits.Default()
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_700_000_000, 0), streams: map[string]*stream{}, heads: map[string]uint64{},
		commands: map[string]*event.Outcome{}, calls: map[*Call]*asked{}, counts: map[string]int{}}
	w.core = New(Config{Limits: lim, Logger: slog.New(slog.DiscardHandler), IDs: "s", Listener: &Listener{
		Reset: func(string) { w.counts["resets"]++ }, Faulted: func(_, what string) { w.counts[what]++ }, Breaker: func(string, bool) { w.counts["breakers"]++ },
		Loaded: func(string, int, time.Duration) { w.counts["loads"]++ }, Forgotten: func(_, why string) { w.counts[why]++ },
	}})
	w.core.At(w.now)
	return w
}

func (w *world) stream(key string) *stream {
	s := w.streams[key]
	if s == nil {
		s = &stream{}
		w.streams[key] = s
	}
	return s
}

// absorb takes what a step asks for.
func (w *world) absorb() {
	s := w.core.Take()
	for _, call := range s.Commits {
		w.judge(call)
	}
	w.release(0)
	for _, a := range s.Send {
		f := a.take()
		for _, h := range w.handlers {
			if h.a == a && !h.left {
				h.receive(&f)
			}
		}
	}
	w.loads = append(w.loads, s.Loads...)
	w.confirms = append(w.confirms, s.Confirms...)
	for _, call := range s.Done {
		w.done(call)
	}
}

// judge accepts a commit, or answers it, as the shard does.
func (w *world) judge(call *event.Call) {
	if w.chance(2) {
		call.Err = errs.New(errs.Busy, "busy")
		w.outcomes = append(w.outcomes, call)
		return
	}
	c := call.Commit
	key, head := string(c.Streams[0].Key), uint64(0)
	if head = uint64(len(w.stream(key).records)); w.heads[key] > head {
		head = w.heads[key]
	}
	if prior := w.commands[key+"\x00"+string(c.CommandID)]; len(c.CommandID) > 0 && prior != nil {
		call.Outcome = *prior
		call.Outcome.Repeated = true
		w.waiting = append(w.waiting, answer{call, len(w.flying)})
		return
	}
	for _, f := range w.flying {
		if len(c.CommandID) > 0 && string(f.Commit.CommandID) == string(c.CommandID) && string(f.Commit.Streams[0].Key) == key {
			call.Outcome = f.Outcome
			call.Outcome.Repeated = true
			w.waiting = append(w.waiting, answer{call, len(w.flying)})
			return
		}
	}
	prev := call.After
	if call.After = nil; !c.Streams[0].Expect.Met(head) || prev != nil && (prev.Err != nil || prev.Outcome.Repeated || len(prev.Outcome.Streams) == 0) {
		call.Err = errs.New(errs.Conflict, "conflict")
		w.waiting = append(w.waiting, answer{call, len(w.flying)})
		return
	}
	n := uint64(len(c.Streams[0].Events))
	call.Outcome = event.Outcome{Reply: c.Reply, Streams: []event.StreamOutcome{{FirstRevision: head + 1, LastRevision: head + n}}}
	w.heads[key] = head + n
	w.flying = append(w.flying, call)
}

// commit applies the oldest commit.
func (w *world) commit() {
	call := w.flying[0]
	w.flying = w.flying[1:]
	w.apply(call)
	w.outcomes = append(w.outcomes, call)
	w.release(1)
}

func (w *world) apply(call *event.Call) {
	c := call.Commit
	key := string(c.Streams[0].Key)
	s := w.stream(key)
	if got := uint64(len(s.records)) + 1; call.Outcome.Streams[0].FirstRevision != got {
		w.t.Fatalf("the test's log is wrong: %d, not %d", call.Outcome.Streams[0].FirstRevision, got)
	}
	for i, e := range c.Streams[0].Events {
		var m gestav1.Event
		if err := proto.Unmarshal(e.Bytes, &m); err != nil {
			w.t.Fatal(err)
		}
		w.check(s, &m)
		w.offset++
		r := record{offset: w.offset, typ: m.Type, id: m.Id, data: m.Data}
		if c.State != nil && i == len(c.Streams[0].Events)-1 {
			r.state = c.State
		}
		s.records = append(s.records, r)
	}
	if c.State != nil {
		w.counts["carried"]++
		var got tally
		want := s.at(uint64(len(s.records)))
		if c.State.Type == event.Tombstone {
			return
		}
		if err := json.Unmarshal(c.State.Data, &got); err != nil || got != want {
			w.t.Fatalf("a commit carries %+v where %+v is true", got, want)
		}
	}
	call.Outcome.Position = position.Position{Shard: 1, History: 1, Offset: w.offset}
	if len(c.CommandID) > 0 {
		id := key + "\x00" + string(c.CommandID)
		if w.commands[id] != nil {
			w.t.Fatalf("command %q has two effects", c.CommandID)
		}
		o := call.Outcome
		w.commands[id] = &o
	}
}

// check holds a decision against the history that it is appended to.
func (w *world) check(s *stream, m *gestav1.Event) {
	if m.Type == event.Tombstone || m.Type == "foreign" {
		return
	}
	if n := len(s.records); w.mortal && n > 0 && s.records[n-1].typ == event.Tombstone {
		w.t.Fatalf("an entity that may have no new life has an event after its end: %s", m.Id)
	}
	var f fact
	if err := json.Unmarshal(m.Data, &f); err != nil {
		w.t.Fatal(err)
	}
	if f.After != uint64(len(s.records)) || f.On != s.at(f.After).Sum {
		w.t.Fatalf("command %s was decided at revision %d on what is not true; the event became %d", f.Command, f.After, len(s.records)+1)
	}
}

// lose drops everything that is not applied, as a leader does that loses its place.
func (w *world) lose() {
	w.counts["lost"] += len(w.flying)
	for _, call := range w.flying {
		call.Outcome, call.Err = event.Outcome{}, errs.New(errs.NoLeader, "lost")
		w.outcomes = append(w.outcomes, call)
	}
	for _, a := range w.waiting {
		a.call.Outcome, a.call.Err = event.Outcome{}, errs.New(errs.NoLeader, "lost")
		w.outcomes = append(w.outcomes, a.call)
	}
	w.flying, w.waiting, w.heads = nil, nil, map[string]uint64{}
}

func (w *world) release(applied int) {
	kept := w.waiting[:0]
	for _, a := range w.waiting {
		if a.after -= applied; a.after <= 0 {
			w.outcomes = append(w.outcomes, a.call)
			continue
		}
		kept = append(kept, a)
	}
	w.waiting = kept
}

// load reads as the shard's Load does.
func (w *world) load(l *Loading) {
	s := w.stream(string(l.Spec.Key))
	n := uint64(len(s.records))
	upTo := n
	if l.Spec.AtMost > 0 {
		upTo = min(upTo, l.Spec.AtMost)
	}
	got := event.Loaded{Head: event.Head{Revision: n}, Base: l.Spec.After}
	if l.Spec.After == 0 {
		from := upTo
		if l.Spec.Below > 0 {
			from = min(from, l.Spec.Below-1)
		}
		for r := from; r > 0; r-- {
			st := s.records[r-1].state
			if st != nil && st.Type == event.Tombstone {
				got.Base, got.Deleted = r, r == upTo
				break
			}
			if st != nil && l.Spec.Accept(st.Type, st.Version) {
				got.Base, got.Carried = r, st
				break
			}
		}
	}
	got.Revision = got.Base
	for got.Revision < upTo {
		if len(got.Events) == 3 {
			got.More = true
			break
		}
		r := s.records[got.Revision]
		got.Revision++
		if got.Deleted = r.typ == event.Tombstone; got.Deleted {
			got.Base, got.Carried, got.Events = got.Revision, nil, nil
			continue
		}
		b, _ := proto.Marshal(&gestav1.RecordedEvent{Event: &gestav1.Event{Id: r.id, Type: r.typ, Data: r.data}, Revision: got.Revision, Offset: r.offset})
		got.Events = append(got.Events, b)
	}
	if got.Revision > 0 {
		got.Position = position.Position{Shard: 1, History: 1, Offset: s.records[got.Revision-1].offset}
	}
	l.Got, l.Err = got, nil
	w.core.Loaded(l)
}

func (w *world) confirm(q *Confirm) {
	key := string(q.Key)
	q.Head = uint64(len(w.stream(key).records))
	for i, id := range q.IDs {
		if o := w.commands[key+"\x00"+id]; id != "" && o != nil {
			var digest [32]byte
			for _, cmd := range q.commands {
				if cmd.call.ID == id {
					digest = cmd.digest
				}
			}
			q.Known = append(q.Known, Known{Place: i, Outcome: *o, Digest: digest})
		}
	}
	w.core.Confirmed(q)
}

// foreign appends an event that no handler decided.
func (w *world) foreign(key string) {
	w.counts["foreign"]++
	head := max(uint64(len(w.stream(key).records)), w.heads[key])
	b, _ := proto.Marshal(&gestav1.Event{Id: fmt.Sprint("foreign-", w.counts["foreign"]), Type: "foreign"})
	c := &event.Commit{Streams: []event.Append{{Topic: []byte(testKind), Key: []byte(key), Events: []event.Prepared{{Bytes: b}}}}}
	call := &event.Call{Commit: c, User: (*write)(nil), Outcome: event.Outcome{Streams: []event.StreamOutcome{{FirstRevision: head + 1, LastRevision: head + 1}}}}
	w.heads[key] = head + 1
	w.flying = append(w.flying, call)
}

func (w *world) chance(percent int) bool { return !w.calm && w.rand.IntN(100) < percent }

// ask sends a new command, or one again.
func (w *world) ask() {
	var q *asked
	if len(w.retry) > 0 && w.rand.IntN(2) == 0 {
		i := w.rand.IntN(len(w.retry))
		q = w.retry[i]
		w.retry = append(w.retry[:i], w.retry[i+1:]...)
	} else {
		w.made++
		q = &asked{key: fmt.Sprint("k", w.rand.IntN(3)), id: fmt.Sprint("c", w.made), command: []string{"do", "do", "do", "two", "look", "no"}[w.rand.IntN(6)]}
		if w.deletes && w.rand.IntN(20) == 0 {
			q.command = "end"
		}
	}
	w.send(q)
	if w.chance(5) {
		w.send(q) // at once again
	}
}

func (w *world) send(q *asked) {
	q.tries++
	call := &Call{Kind: testKind, Key: q.key, Command: q.command, ID: q.id, Received: w.now, Deadline: w.now.Add(time.Duration(1+w.rand.IntN(20)) * time.Second)}
	if w.chance(5) {
		call.Command, call.ID = "", ""
		q = nil
	}
	w.calls[call] = q
	w.core.Execute(call)
}

func (w *world) done(call *Call) {
	q, ok := w.calls[call]
	if !ok {
		w.t.Fatalf("a call was answered twice: %+v", call)
	}
	delete(w.calls, call)
	w.counts[string(errs.CodeOf(call.Err))]++
	s := w.stream(call.Key)
	if call.Err == nil {
		w.truthful(call, s)
	}
	if q == nil {
		return
	}
	switch code := errs.CodeOf(call.Err); code {
	case "":
		q.done = true
		w.acked++
	case errs.Rejected, errs.Internal, errs.Gone:
	case errs.Busy, errs.Unavailable, errs.NoLeader, errs.UnknownOutcome, errs.Conflict:
		w.retry = append(w.retry, q)
	default:
		w.t.Fatalf("%s: %v", code, call.Err)
	}
}

// truthful holds an answer against the log as it is.
func (w *world) truthful(call *Call, s *stream) {
	o := &call.Outcome
	if o.Revision > uint64(len(s.records)) {
		w.t.Fatalf("answered at revision %d, which is not stored", o.Revision)
	}
	if call.Command == "" {
		var got tally
		if err := json.Unmarshal(o.State.Data, &got); err != nil || got != s.at(o.Revision) {
			w.t.Fatalf("the state at %d is told as %+v, and is %+v", o.Revision, got, s.at(o.Revision))
		}
		return
	}
	if o.Events == 0 {
		if string(o.Reply.Data) != fmt.Sprint(s.at(o.Revision).Sum) {
			w.t.Fatalf("%s was answered %s at revision %d", call.ID, o.Reply.Data, o.Revision)
		}
		return
	}
	for i := range o.Events {
		r := s.records[o.Revision-1-uint64(i)]
		if !strings.HasPrefix(r.id, call.ID+"/") {
			w.t.Fatalf("%s was acknowledged at revision %d, where event %s is", call.ID, o.Revision, r.id)
		}
	}
}

func (w *world) attach() *actor {
	h := &actor{w: w, sessions: map[string]*copyOf{}, partial: map[uint64]*Task{}, inHand: map[string]holding{}, forgets: w.rand.IntN(4) == 0}
	hello := &Hello{Service: "things", Process: fmt.Sprint("p", w.rand.IntN(3)), Credit: 1 + w.rand.IntN(5), Kinds: []KindConfig{{
		Name: testKind, Events: map[string]EventType{"did": {Versions: []uint32{0}}, "foreign": {Versions: []uint32{0}}}, State: "tally", Version: 1, Every: 5,
		Idle: 30 * time.Second, Timeout: testTimeout, NewLife: !w.mortal, CheckReplay: w.checks, Concurrency: 2, Queue: 50, EntityQueue: 20,
	}}}
	a, err := w.core.Attach(hello)
	if err != nil {
		w.t.Fatal(err)
	}
	h.a = a
	w.handlers = append(w.handlers, h)
	return h
}

func (h *actor) leave() {
	h.left = true
	h.w.core.Detach(h.a, "left")
	for i, o := range h.w.handlers {
		if o == h {
			h.w.handlers = append(h.w.handlers[:i], h.w.handlers[i+1:]...)
			return
		}
	}
}

// receive checks what is sent against the protocol.
func (h *actor) receive(f *Frame) {
	for _, e := range f.Evicts {
		if s := h.sessions[e.Key]; s != nil && s.session == e.Session {
			if had, ok := h.inHand[e.Key]; ok && h.w.now.Sub(had.since) < testTimeout {
				h.w.t.Fatalf("entity %s is evicted while it is in hand", e.Key)
			}
			delete(h.sessions, e.Key)
		}
	}
	pieces := false
	for _, t := range f.Tasks {
		pieces = pieces || t.More
		if first := h.partial[t.ID]; first != nil {
			first.Events = append(first.Events, t.Events...)
			first.Commands, first.StateAt, first.WantState = t.Commands, t.StateAt, t.WantState
			if !t.More {
				delete(h.partial, t.ID)
				h.begin(first)
			}
			continue
		}
		own := *t
		if t.More {
			h.partial[t.ID] = &own
			continue
		}
		h.begin(&own)
	}
	if pieces {
		h.w.core.Sent(h.a)
	}
}

func (h *actor) begin(t *Task) {
	if t.Session != 0 {
		if had, ok := h.inHand[t.Key]; ok && (t.Base != Cold || h.w.now.Sub(had.since) < testTimeout) {
			h.w.t.Fatalf("entity %s has two tasks in hand", t.Key)
		}
		h.inHand[t.Key] = holding{t.ID, h.w.now}
	}
	h.tasks = append(h.tasks, t)
}

// work answers one task, or does not.
func (h *actor) work() {
	if len(h.tasks) == 0 {
		return
	}
	i := h.w.rand.IntN(len(h.tasks))
	t := h.tasks[i]
	h.tasks = append(h.tasks[:i], h.tasks[i+1:]...)
	defer h.w.core.Grant(h.a, max(1, len(t.Commands)))
	if h.inHand[t.Key].id == t.ID {
		delete(h.inHand, t.Key)
	}
	h.w.core.Result(h.a, h.answer(t))
	h.answered = append(h.answered, t.ID)
}

func (h *actor) answer(t *Task) *Result {
	w := h.w
	switch {
	case w.chance(1):
		delete(h.sessions, t.Key)
		return &Result{TaskID: t.ID, Failed: true, Failure: "panic"}
	case w.chance(1):
		delete(h.sessions, t.Key)
		return &Result{TaskID: t.ID, Decisions: make([]Decision, len(t.Commands)+1)}
	case w.chance(1) && len(h.answered) > 0:
		w.core.Result(h.a, &Result{TaskID: h.answered[w.rand.IntN(len(h.answered))]})
	case w.chance(1):
		w.core.Result(h.a, &Result{TaskID: 1 << 40})
	}
	s := h.copy(t)
	if s == nil {
		return &Result{TaskID: t.ID, Missing: true}
	}
	r := &Result{TaskID: t.ID, Kept: !h.forgets && !w.chance(2)}
	if t.WantState {
		r.State = s.message()
	}
	for _, c := range t.Commands {
		r.Decisions = append(r.Decisions, h.decide(t, s, c))
	}
	if r.Revision = s.Revision; !r.Kept {
		delete(h.sessions, t.Key)
	}
	if w.chance(1) {
		r.Revision++
	}
	return r
}

func (h *actor) copy(t *Task) *copyOf {
	s := h.sessions[t.Key]
	switch t.Base {
	case Cold:
		s = &copyOf{session: t.Session}
		if s.Revision = t.CarriedAt; t.Carried != nil {
			if err := json.Unmarshal(t.Carried.Data, &s.tally); err != nil || s.Revision != t.CarriedAt {
				h.w.t.Fatalf("carried %s at %d: %v", t.Carried.Data, t.CarriedAt, err)
			}
		}
		if t.Session != 0 {
			h.sessions[t.Key] = s
		}
	default:
		if s == nil || s.session != t.Session || h.w.chance(2) {
			return nil
		}
	}
	for _, b := range t.Events {
		var e gestav1.RecordedEvent
		if err := proto.Unmarshal(b, &e); err != nil || e.Revision != s.Revision+1 && e.Event.Type != event.Tombstone {
			h.w.t.Fatalf("event of revision %d on %d: %v", e.Revision, s.Revision, err)
		}
		s.fold(e.Event.Type, e.Event.Id)
	}
	if t.Session != 0 && s.Revision != t.Revision {
		h.w.t.Fatalf("a task for revision %d, and the session %d of %s (base %d) is at %d", t.Revision, t.Session, t.Key, t.Base, s.Revision)
	}
	return s
}

func (s *copyOf) message() *event.State {
	b, _ := json.Marshal(s.tally)
	return &event.State{Version: 1, Payload: event.Payload{Type: "tally", Data: b}}
}

func (h *actor) decide(t *Task, s *copyOf, c *Command) Decision {
	w := h.w
	if w.chance(1) {
		return Decision{Verdict: Later, After: time.Duration(w.rand.IntN(1000)) * time.Millisecond}
	}
	if w.chance(1) {
		return Decision{Verdict: Failed, Message: "panic"}
	}
	d := Decision{Verdict: Accepted}
	n := map[string]int{"do": 1, "two": 2}[c.Name]
	for i := range n {
		typ := "did"
		if w.chance(1) {
			typ = "undeclared"
		}
		data, _ := json.Marshal(fact{Command: c.ID, On: s.Sum, After: s.Revision})
		b, _ := proto.Marshal(&gestav1.Event{Type: typ, Data: data})
		d.Events = append(d.Events, b)
		s.fold(typ, fmt.Sprintf("%s/%d", c.ID, i))
	}
	if c.Name == "end" {
		d.Delete = true
		s.fold(event.Tombstone, "")
	}
	if c.Name == "no" {
		return Decision{Verdict: Rejected, Code: "no"}
	}
	d.Reply = &event.Payload{Data: []byte(fmt.Sprint(s.Sum))}
	if c.ReturnState || t.StateAt > 0 && s.Revision >= t.StateAt {
		d.State = s.message()
	}
	return d
}
