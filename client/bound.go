package client

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
)

// What a task builds on, as TaskBase.
const (
	baseHot  = 1
	baseWarm = 2
	baseCold = 3
)

// tombstone is the event that ends an entity.
const tombstone = "gesta.deleted"

// kindWorker does the tasks of one kind: a bound, without its types.
type kindWorker interface {
	// begin gives the copy that a task builds on; nil without an error when it is missing.
	begin(w *desk, t *task) (copy any, err error)
	// fold brings the copy on by events.
	fold(w *desk, copy any, events [][]byte) error
	// finish decides the task's commands, and writes its result.
	finish(w *desk, copy any, t *task, commands [][]byte, dst []byte) []byte
	// abandon forgets the copy.
	abandon(copy any)
	evict(key []byte, session uint64)
	clear()
}

// bound is an entity as a worker serves it.
type bound[S, C, E any] struct {
	*model[S, C, E]
	cache *cache
	helds map[string]*held[S] // guarded by the cache's lock
}

// desk is the room of one who does tasks.
type desk struct {
	command  command
	recorded Recorded
	event    Event
	about    About
	data     []byte
	report   func(panicked)
}

// keepDesk bounds, in bytes, the memory that a desk keeps for the next task.
const keepDesk = 256 << 10

func (w *desk) tidy() {
	if cap(w.data) > keepDesk {
		w.data = nil
	}
	w.command, w.recorded, w.event, w.about = command{}, Recorded{}, Event{}, About{}
}

// panicked is an error for what the user's code panicked with.
type panicked struct {
	kind, key, where string
	value            any
	stack            []byte
}

func (p panicked) Error() string {
	return fmt.Sprintf("the handler panicked in %s: %v", p.where, p.value)
}

// guard makes an error of a panic.
func (b *bound[S, C, E]) guard(w *desk, h *held[S], where string, err *error) {
	if value := recover(); value != nil {
		p := panicked{b.Kind, h.key, where, value, debug.Stack()}
		w.report(p)
		*err = p
	}
}

func (b *bound[S, C, E]) begin(w *desk, t *task) (any, error) {
	h := b.take(t)
	if h == nil {
		return nil, nil
	}
	if t.base != baseCold {
		return h, nil
	}
	if err := b.restore(w, h, t.carried); err != nil {
		b.put(h, false)
		return nil, err
	}
	return h, nil
}

// restore sets the state that a cold task begins with.
func (b *bound[S, C, E]) restore(w *desk, h *held[S], carried []byte) (err error) {
	defer b.guard(w, h, "reading a state", &err)
	if carried == nil {
		h.state = b.fresh()
		return nil
	}
	var s state
	if err := s.parse(carried); err != nil {
		return err
	}
	if h.state, err = b.readState(string(s.typ), s.version, string(s.contentType), s.data); err != nil {
		return err
	}
	h.revision, h.known = s.revision, int64(len(s.data))
	return nil
}

func (b *bound[S, C, E]) abandon(copy any) { b.put(copy.(*held[S]), false) }

func (b *bound[S, C, E]) fold(w *desk, copy any, events [][]byte) (err error) {
	h := copy.(*held[S])
	defer b.guard(w, h, "Fold", &err)
	for _, raw := range events {
		r := &w.recorded
		if err := eventwire.AliasRecorded(raw, r); err != nil {
			return err
		}
		if r.Revision <= h.revision {
			continue // a state newer than asked for was carried
		}
		if err := b.foldRecorded(h, r); err != nil {
			return err
		}
		h.revision = r.Revision
		h.since += int64(len(r.Data))
	}
	return nil
}

func (b *bound[S, C, E]) foldRecorded(h *held[S], r *Recorded) error {
	if r.Type == tombstone {
		h.state, h.known, h.since = b.fresh(), 0, 0
		return nil
	}
	e, err := b.readEvent(r)
	if err != nil {
		return err
	}
	h.state = b.Fold(h.state, e)
	return nil
}

// Tags of HandlerFrame, Result, Decision, Acceptance, Rejection, Retry, Failure, Payload and EntityState.
const (
	tagResults = 2<<3 | 2
	tagCredit  = 3 << 3

	tagTaskID         = 1 << 3
	tagDecisions      = 2<<3 | 2
	tagKept           = 3 << 3
	tagResultRevision = 4 << 3
	tagResultState    = 5<<3 | 2
	tagMissing        = 6 << 3
	tagResultFailure  = 7<<3 | 2

	tagAcceptance      = 1<<3 | 2
	tagRejection       = 2<<3 | 2
	tagRetry           = 3<<3 | 2
	tagDecisionFailure = 4<<3 | 2

	tagAccepted    = 1<<3 | 2
	tagReply       = 2<<3 | 2
	tagAfterwards  = 3<<3 | 2
	tagDelete      = 4 << 3
	tagFirstText   = 1<<3 | 2
	tagSecondText  = 2<<3 | 2
	tagThirdBytes  = 3<<3 | 2
	tagFourthBytes = 4<<3 | 2
)

// failed writes the result of a task that failed as a whole.
func failed(dst []byte, id uint64, err error) []byte {
	dst, start := open(dst, tagResults)
	dst = appendNumber(dst, tagTaskID, id)
	dst = appendFailure(dst, tagResultFailure, err)
	return shut(dst, start)
}

// missing writes the result of a task whose copy is not there.
func missing(dst []byte, id uint64) []byte {
	dst, start := open(dst, tagResults)
	dst = appendNumber(dst, tagTaskID, id)
	dst = append(dst, tagMissing, 1)
	return shut(dst, start)
}

func appendFailure(dst []byte, tag byte, err error) []byte {
	dst, start := open(dst, tag)
	dst = appendText(dst, tagFirstText, shortText(err.Error()))
	return shut(dst, start)
}

func (b *bound[S, C, E]) finish(w *desk, copy any, t *task, commands [][]byte, dst []byte) []byte {
	h := copy.(*held[S])
	if h.revision != t.revision {
		b.put(h, false)
		return failed(dst, t.id, fmt.Errorf("the task is for revision %d, what came with it leads to %d", t.revision, h.revision))
	}
	before := len(dst)
	dst, start := open(dst, tagResults)
	dst = appendNumber(dst, tagTaskID, t.id)
	keep := t.session != 0
	if t.want {
		var err error
		if dst, err = b.appendState(w, h, tagResultState, dst); err != nil {
			b.put(h, false)
			return failed(dst[:before], t.id, err)
		}
	}
	dst, sound := b.decideAll(w, h, t, commands, dst)
	if keep = keep && sound; keep {
		dst = append(dst, tagKept, 1)
		dst = appendNumber(dst, tagResultRevision, h.revision)
	}
	b.measure(w, h)
	b.put(h, keep)
	w.tidy()
	return shut(dst, start)
}

// measureAfter is how many bytes of events may be folded before the state's size is looked at again.
const measureAfter = 16 << 10

// measure learns the size of a state that has grown by much since it was last written.
func (b *bound[S, C, E]) measure(w *desk, h *held[S]) {
	if h.since < measureAfter+2*h.known {
		return
	}
	if _, err := b.appendState(w, h, tagResultState, nil); err != nil {
		h.known, h.since = h.known+h.since, 0 // a guess
	}
}

// decideAll writes a decision for each command. sound is false when the copy is not to be used again: it was deleted, or it broke.
// The commands behind are then wanted again: the server knows what is true of the entity.
func (b *bound[S, C, E]) decideAll(w *desk, h *held[S], t *task, commands [][]byte, dst []byte) (out []byte, sound bool) {
	sound = true
	for _, raw := range commands {
		if sound {
			dst, sound = b.decide(w, h, t, raw, dst)
		} else {
			dst = appendRetry(dst, leastRetry, "the command before it ended the entity, or left no state behind")
		}
	}
	return dst, sound
}

// decide writes the decision about one command.
func (b *bound[S, C, E]) decide(w *desk, h *held[S], t *task, raw, dst []byte) (out []byte, sound bool) {
	before := len(dst)
	dst, start := open(dst, tagDecisions)
	d, err := b.ask(w, h, raw)
	if err != nil {
		return shut(appendRefusal(dst, err), start), true
	}
	dst, inner := open(dst, tagAcceptance)
	if dst, err = b.appendAcceptance(w, h, &d, dst); err != nil {
		return failedDecision(dst[:before], err), true
	}
	if err = b.apply(w, h, &d); err == nil && (w.command.returnState || t.stateAt != 0 && h.revision >= t.stateAt) {
		t.stateAt = 0
		dst, err = b.appendState(w, h, tagAfterwards, dst)
	}
	if err != nil {
		return failedDecision(dst[:before], err), false
	}
	if d.Delete {
		dst = append(dst, tagDelete, 1)
	}
	return shut(shut(dst, inner), start), !d.Delete
}

func failedDecision(dst []byte, err error) []byte {
	dst, start := open(dst, tagDecisions)
	return shut(appendFailure(dst, tagDecisionFailure, err), start)
}

// ask lets the user's code decide.
func (b *bound[S, C, E]) ask(w *desk, h *held[S], raw []byte) (d Decision[E], err error) {
	defer b.guard(w, h, "Decide", &err)
	c := &w.command
	if err := c.parse(raw); err != nil {
		return d, err
	}
	name, command, err := b.readCommand(c)
	if err != nil {
		return d, err
	}
	w.about = About{
		Kind: b.Kind, Key: h.key, Command: name, ID: string(c.id), Revision: h.revision, Metadata: c.metadata,
		Received: time.Unix(0, int64(c.received)).UTC(),
	}
	return b.Decide(h.state, command, &w.about)
}

// apply folds what was decided.
func (b *bound[S, C, E]) apply(w *desk, h *held[S], d *Decision[E]) (err error) {
	defer b.guard(w, h, "Fold", &err)
	for _, e := range d.Events {
		h.state = b.Fold(h.state, e)
	}
	h.revision += uint64(len(d.Events))
	if d.Delete {
		h.revision++
	}
	return nil
}

// appendAcceptance writes the events and the reply of a decision.
func (b *bound[S, C, E]) appendAcceptance(w *desk, h *held[S], d *Decision[E], dst []byte) (out []byte, err error) {
	defer b.guard(w, h, "Envelope", &err)
	for i := range d.Events {
		if err := b.envelope(w, d.Events[i]); err != nil {
			return dst, err
		}
		var start int
		dst, start = open(dst, tagAccepted)
		dst = shut(eventwire.AppendEvent(dst, &w.event), start)
		h.since += int64(len(w.data))
	}
	if d.Reply == nil {
		return dst, nil
	}
	f, err := replyForm(reflect.TypeOf(d.Reply))
	if err != nil {
		return dst, err
	}
	if w.data, err = f.append(w.data[:0], d.Reply); err != nil {
		return dst, fmt.Errorf("the reply cannot be written: %w", err)
	}
	dst, start := open(dst, tagReply)
	dst = appendText(dst, tagFirstText, f.content)
	dst = appendText(dst, tagSecondText, f.name())
	dst = appendBlob(dst, tagThirdBytes, w.data)
	return shut(dst, start), nil
}

// envelope sets the desk's event to what an event is written as.
func (b *bound[S, C, E]) envelope(w *desk, e E) (err error) {
	w.event = Event{}
	if w.data, err = b.writeEvent(e, &w.event, w.data[:0]); err != nil {
		return err
	}
	if b.Envelope != nil {
		b.Envelope(e, &w.about, &w.event)
	}
	return nil
}

// appendState writes an EntityState.
func (b *bound[S, C, E]) appendState(w *desk, h *held[S], tag byte, dst []byte) (out []byte, err error) {
	defer b.guard(w, h, "writing a state", &err)
	if w.data, err = b.state.append(w.data[:0], h.state); err != nil {
		return dst, fmt.Errorf("the state cannot be written: %w", err)
	}
	h.known, h.since = int64(len(w.data)), 0
	dst, start := open(dst, tag)
	dst = appendText(dst, tagFirstText, b.stateType())
	dst = appendNumber(dst, fieldStateVersion<<3, uint64(b.StateVersion))
	dst = appendText(dst, tagThirdBytes, b.state.content)
	dst = appendBlob(dst, tagFourthBytes, w.data)
	dst = appendNumber(dst, fieldStateRevision<<3, h.revision)
	return shut(dst, start), nil
}

// replyForms keeps the forms of the types that were replied with.
var replyForms sync.Map // reflect.Type → *form

func replyForm(t reflect.Type) (*form, error) {
	if f, ok := replyForms.Load(t); ok {
		return f.(*form), nil
	}
	f, err := formOf(t)
	if err != nil {
		return nil, fmt.Errorf("a reply of type %v: %w", t, err)
	}
	replyForms.Store(t, &f)
	return &f, nil
}
