package entity

import (
	"bytes"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// fold is a state that a handler makes of what is stored: it touches no session and writes nothing.
type fold struct {
	call *Call
	kind *kind
	at   uint64 // the revision
	over bool

	check *entity      // whose carried state is made again; nil: none
	want  *event.State // which that is
}

// Fold takes a question for a state at a revision.
func (c *Core) Fold(call *Call, at uint64) {
	k := c.kind(call.Kind)
	if k.queued >= k.queue() {
		c.answer(call, errs.New(errs.Busy, "%d commands of kind %s wait: try again later", k.queued, k.name).With("limit", "queue"))
		return
	}
	f := &fold{call: call, kind: k, at: at}
	k.queued++
	c.folds[f] = true
	c.startFold(f)
}

func (c *Core) startFold(f *fold) {
	if f.over {
		return
	}
	s := f.kind.choose(hashOf(f.call.Key))
	switch {
	case s == nil:
		f.kind.folds = append(f.kind.folds, f)
	case !s.free():
		s.folds = append(s.folds, f)
	default:
		s.att.credit--
		f.kind.inHand++
		spec := event.LoadSpec{Below: f.below(), Topic: f.kind.topic, Key: []byte(f.call.Key), AtMost: f.at, Accept: s.conf.accepts, Bytes: pieceBytes}
		c.out.Loads = append(c.out.Loads, &Loading{f: f, seat: s, Barrier: true, Spec: spec, began: c.now})
	}
}

// foldAgain begins a fold again whose handler is gone.
func (c *Core) foldAgain(f *fold) { c.startFold(f) }

func (c *Core) endFold(f *fold, o *Outcome, err error) {
	if f.over {
		return
	}
	f.over = true
	delete(c.folds, f)
	if f.check != nil {
		c.checked(f, o, err)
		return
	}
	f.kind.queued--
	if o != nil {
		f.call.Outcome = *o
	}
	c.answer(f.call, err)
	c.forgetKind(f.kind)
}

func (c *Core) foldLoaded(l *Loading) {
	f, got := l.f, &l.Got
	if l.Err == nil && !f.over && !l.seat.att.gone && got.More {
		c.sendPiece(l, &Task{Kind: f.kind.name, Key: f.call.Key})
		return
	}
	c.unload(l)
	defer c.pumpSeat(l.seat)
	switch {
	case l.Err != nil:
		c.endFold(f, nil, l.Err)
	case l.seat.att.gone:
		c.foldAgain(f)
	case got.Revision < f.at:
		c.endFold(f, nil, errs.New(errs.NotFound, "entity %s/%s has no revision %d yet; its newest is %d", f.kind.name, f.call.Key, f.at, got.Revision).With("actual_revision", strconv.FormatUint(got.Revision, 10)))
	case got.Deleted:
		c.endFold(f, nil, errs.New(errs.Gone, "entity %s/%s was deleted at revision %d", f.kind.name, f.call.Key, got.Revision).With("revision", strconv.FormatUint(got.Revision, 10)))
	case l.task == 0 && got.Carried != nil && len(got.Events) == 0:
		c.endFold(f, &Outcome{Revision: got.Revision, Position: got.Position, State: got.Carried}, nil)
	default:
		c.sendFold(l)
	}
}

// sendFold sends a fold's task, or the last piece of it.
func (c *Core) sendFold(l *Loading) {
	f, got := l.f, &l.Got
	t := &Task{ID: l.task, Kind: f.kind.name, Key: f.call.Key, Revision: got.Revision, Events: got.Events, WantState: true, Follows: l.task != 0}
	if l.task == 0 {
		t.ID = c.id()
		t.Base, t.Carried, t.CarriedAt = Cold, got.Carried, got.Base
	}
	f.call.Outcome = Outcome{Revision: got.Revision, Position: got.Position}
	l.seat.att.tasks[t.ID] = &inHand{id: t.ID, seat: l.seat, f: f, began: c.now.UnixNano()}
	l.seat.att.credit--
	f.kind.inHand++
	c.emit(l.seat.att, t)
}

func (c *Core) foldResult(t *inHand, r *Result) {
	f := t.f
	switch {
	case f.over:
	case r.Failed:
		c.failed(t.seat)
		c.endFold(f, nil, errs.New(errs.Internal, "the handler failed: %.500s", r.Failure).With("reason", "handler_failed"))
	case r.Missing || r.State == nil:
		c.fault(t.seat.att, Fault{TaskID: t.id, Kind: f.kind.name, Key: f.call.Key, Err: errs.New(errs.Invalid, "the result brings no state, and one was asked for")})
		c.endFold(f, nil, errs.New(errs.Internal, "the handler's result brings no state").With("reason", "handler_fault"))
	default:
		c.succeeded(t.seat)
		o := f.call.Outcome
		o.State = r.State
		c.endFold(f, &o, c.checkState(r.State))
	}
}

// unchecked tells that a load begins with a carried state that is to be made again first.
func (l *Loading) unchecked() bool {
	return l.seat.conf.CheckReplay && l.task == 0 && l.Got.Carried != nil && l.e.checked != l.Got.Base
}

// check makes an entity's newest carried state again, from the one before it.
func (c *Core) check(e *entity, l *Loading) {
	e.checking = true
	call := &Call{Kind: e.kind.name, Key: e.key, Received: c.now, Deadline: c.now.Add(l.seat.conf.Timeout)}
	f := &fold{call: call, kind: e.kind, at: l.Got.Base, check: e, want: l.Got.Carried}
	c.folds[f] = true
	c.startFold(f)
}

// below leaves out the state that is checked.
func (f *fold) below() uint64 {
	if f.check == nil {
		return 0
	}
	return f.at
}

// checked goes on with an entity, or refuses what waits for it.
func (c *Core) checked(f *fold, o *Outcome, err error) {
	e := f.check
	e.checking = false
	switch {
	case err != nil:
		c.refuse(e, err)
	case !bytes.Equal(o.State.Data, f.want.Data):
		err = errs.New(errs.Internal, "the state carried at revision %d of %s/%s is not what the events before it fold to: the handler's fold has changed, or depends on more than the events; raise the version of the state", f.at, e.kind.name, e.key).With("reason", "replay")
		c.tellFault(e, err)
		c.refuse(e, err)
	default:
		e.checked = f.at
		c.poke(e)
	}
}
