package client

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Kind is a kind of entities that a handler serves: an [*Entity].
type Kind interface {
	kindName() string
	describe() (*gestav1.EntityKind, error)
	bind(c *cache) (kindWorker, error)
	descriptors(add func(proto.Message))
}

func (d *Entity[S, C, E]) kindName() string { return d.Kind }

func (d *Entity[S, C, E]) describe() (*gestav1.EntityKind, error) {
	m, err := d.modelOf()
	if err != nil {
		return nil, err
	}
	return m.describe(), nil
}

func (d *Entity[S, C, E]) bind(c *cache) (kindWorker, error) {
	m, err := d.modelOf()
	if err != nil {
		return nil, err
	}
	return &bound[S, C, E]{model: m, cache: c, helds: map[string]*held[S]{}}, nil
}

// worker does what frames ask for. It knows no connection: frames come in, results go out.
type worker struct {
	kinds map[string]kindWorker
	// loads are the tasks that come in parts. Only accept uses them, and accept is called for one frame after the other.
	loads map[uint64]*load
}

func newWorker(kinds []Kind, budget int64) (*worker, error) {
	w := &worker{kinds: map[string]kindWorker{}, loads: map[uint64]*load{}}
	c := newCache(budget)
	for _, k := range kinds {
		bound, err := k.bind(c)
		if err != nil {
			return nil, err
		}
		if w.kinds[k.kindName()] != nil {
			return nil, &Error{Code: CodeInvalid, Message: fmt.Sprintf("the kind %q is given twice", k.kindName())}
		}
		w.kinds[k.kindName()] = bound
	}
	return w, nil
}

// reset forgets what belongs to an attachment.
func (w *worker) reset() {
	clear(w.loads)
	for _, k := range w.kinds {
		k.clear()
	}
}

// accept takes in a frame before its tasks are done: frames are accepted in the order in which they come.
func (w *worker) accept(f *serverFrame) error {
	for _, raw := range f.evicts {
		var e task
		if err := parseEvict(raw, &e); err != nil {
			return err
		}
		if k := w.kinds[string(e.kind)]; k != nil {
			k.evict(e.key, e.session)
		}
	}
	for i := range f.tasks {
		t := &f.tasks[i]
		l := w.loads[t.id]
		if l == nil && !t.more {
			continue
		}
		if l == nil {
			l = &load{}
			w.loads[t.id] = l
		}
		if !t.more {
			delete(w.loads, t.id)
		}
		t.load = l
		l.add(f, t)
	}
	return nil
}

func parseEvict(b []byte, t *task) error {
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case 1:
			t.kind = v.bytes
		case 2:
			t.key = v.bytes
		case 3:
			t.session = v.number
		}
	}
	return nil
}

// do does a task and writes its result, if the task is at its end. credit is how many commands it took.
func (w *worker) do(d *desk, f *serverFrame, t *task, dst []byte) (out []byte, credit int) {
	if t.load != nil {
		return w.doLoad(d, t.load, dst)
	}
	return w.whole(d, t, f.at(t.events), f.at(t.commands), dst), max(1, t.commands.to-t.commands.from)
}

func (w *worker) whole(d *desk, t *task, events, commands [][]byte, dst []byte) []byte {
	k := w.kinds[string(t.kind)]
	if k == nil {
		return failed(dst, t.id, fmt.Errorf("this handler does not serve the kind %.80q", t.kind))
	}
	held, err := k.begin(d, t)
	switch {
	case err != nil:
		return failed(dst, t.id, err)
	case held == nil:
		return missing(dst, t.id)
	}
	if err := k.fold(d, held, events); err != nil {
		k.abandon(held)
		return failed(dst, t.id, err)
	}
	return k.finish(d, held, t, commands, dst)
}

// load is a task that comes in parts. Its parts are done in their order, by one at a time.
type load struct {
	mu    sync.Mutex
	parts []part
	busy  bool

	// Of who is busy.
	first   task
	kind    kindWorker
	held    any
	lost    bool // the copy is missing
	err     error
	started bool
}

// part is one of the tasks that a load is made of, with slices of its own.
type part struct {
	task     task
	events   [][]byte
	commands [][]byte
}

func (l *load) add(f *serverFrame, t *task) {
	p := part{task: *t, events: append([][]byte(nil), f.at(t.events)...), commands: append([][]byte(nil), f.at(t.commands)...)}
	l.mu.Lock()
	l.parts = append(l.parts, p)
	l.mu.Unlock()
}

// next gives the next part; nil when another is busy with them, or there is none.
func (l *load) next(mine bool) *part {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy && !mine {
		return nil
	}
	if l.busy = len(l.parts) > 0; !l.busy {
		return nil
	}
	p := l.parts[0]
	l.parts = l.parts[1:]
	return &p
}

func (w *worker) doLoad(d *desk, l *load, dst []byte) ([]byte, int) {
	credit := 0
	for p := l.next(false); p != nil; p = l.next(true) {
		w.part(d, l, p)
		if !p.task.more {
			dst = l.end(d, p, dst)
			credit += max(1, len(p.commands))
		}
	}
	return dst, credit
}

// part folds what a part brings.
func (w *worker) part(d *desk, l *load, p *part) {
	if !l.started {
		l.started, l.first = true, p.task
		if l.kind = w.kinds[string(p.task.kind)]; l.kind == nil {
			l.err = fmt.Errorf("this handler does not serve the kind %.80q", p.task.kind)
			return
		}
		l.held, l.err = l.kind.begin(d, &p.task)
		l.lost = l.held == nil && l.err == nil
	}
	if l.err != nil || l.lost {
		return
	}
	if l.err = l.kind.fold(d, l.held, p.events); l.err != nil {
		l.kind.abandon(l.held)
	}
}

// end decides what the last part brings.
func (l *load) end(d *desk, p *part, dst []byte) []byte {
	switch {
	case l.err != nil:
		return failed(dst, p.task.id, l.err)
	case l.lost:
		return missing(dst, p.task.id)
	}
	t := l.first
	t.stateAt = max(t.stateAt, p.task.stateAt)
	t.want = t.want || p.task.want
	return l.kind.finish(d, l.held, &t, p.commands, dst)
}
