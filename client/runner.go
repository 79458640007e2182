package client

import (
	"sync"
	"sync/atomic"
	"time"
)

// runner receives frames and does their tasks.
type runner struct {
	a    *attachment
	desk desk
	out  []byte
	job  *job

	doing atomic.Pointer[job] // nil while it waits

	// Of the watch.
	seen  int64
	beats int // for so long nothing has moved
}

// job is a frame that is being done. Results gather in it, so that another can send them when its runner hangs.
type job struct {
	frame serverFrame

	mu     sync.Mutex
	next   int     // of the frame's tasks
	out    *[]byte // nil: nothing has gathered
	credit int
	moved  int64 // tasks begun and ended
	shared bool  // another runner has taken part: the job is not used again
}

// startRunner lets one more wait for frames, after it has done what is left of j if that is not nil.
func (a *attachment) startRunner(j *job) {
	r := &runner{a: a}
	r.desk.report = a.report
	r.doing.Store(j)
	a.mu.Lock()
	a.runners[r] = struct{}{}
	a.mu.Unlock()
	a.all.Add(1)
	go r.run(j)
}

func (a *attachment) report(p panicked) {
	a.service.Logger.Error("the handler panicked", "kind", p.kind, "key", p.key, "in", p.where, "panic", p.value, "stack", string(p.stack))
}

func (r *runner) run(j *job) {
	a := r.a
	defer a.all.Done()
	if j != nil {
		r.finish(j)
	}
	for r.wanted() {
		j := r.fresh()
		if !a.next(&j.frame) {
			break
		}
		r.doing.Store(j)
		r.finish(j)
	}
	a.mu.Lock()
	delete(a.runners, r)
	a.mu.Unlock()
}

// wanted tells whether the runner is to wait for a frame: there are more than enough when others that hung have come back.
func (r *runner) wanted() bool {
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	return r.a.idle < r.a.service.Workers
}

// fresh gives the job for the next frame.
func (r *runner) fresh() *job {
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	if r.job == nil || r.job.shared {
		r.job = &job{}
	}
	r.job.next = 0
	return r.job
}

// finish does what is left of a job, and sends the results.
func (r *runner) finish(j *job) {
	for t, _ := j.claim(nil, 0); t != nil; {
		var credit int
		r.out, credit = r.a.worker.do(&r.desk, &j.frame, t, r.out[:0])
		full := false
		if t, full = j.claim(r.out, credit); full {
			r.a.flush(j)
		}
	}
	if cap(r.out) > keepDesk {
		r.out = nil
	}
	r.a.flush(j)
	r.doing.Store(nil)
}

// claim adds a task's result and gives the next task, nil when there is none. full tells that enough has gathered to be sent.
func (j *job) claim(result []byte, credit int) (t *task, full bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moved++
	if len(result) > 0 {
		if j.out == nil {
			j.out = framePool.Get(0)
		}
		*j.out = append(*j.out, result...)
		j.credit += credit
		full = len(*j.out) >= resultTarget
	}
	if j.next < len(j.frame.tasks) {
		t = &j.frame.tasks[j.next]
		j.next++
	}
	return t, full
}

// flush sends the results that have gathered.
func (a *attachment) flush(j *job) {
	j.mu.Lock()
	out, credit := j.out, j.credit
	j.out, j.credit = nil, 0
	j.mu.Unlock()
	if out != nil {
		a.send(out, credit)
	}
}

// watch looks after runners that hang, and says goodbye when a draining handler has nothing left to do.
func (a *attachment) watch(stop <-chan struct{}) {
	every := time.NewTicker(beat)
	defer every.Stop()
	quiet := time.Duration(0)
	for {
		select {
		case <-stop:
			return
		case <-every.C:
		}
		busy := a.look()
		draining, told := a.drains()
		if quiet += beat; busy || !draining {
			quiet = 0
		}
		if quiet >= lull || quiet > 0 && told {
			a.say(tagGoodbye, "finished", true)
		}
	}
}

func (a *attachment) drains() (draining, told bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining, a.told
}

// look starts runners for those that hang, and tells whether anything is in hand.
func (a *attachment) look() (busy bool) {
	var hung, left []*job // left: of which something is to be done yet; nil: to wait for frames alone
	a.mu.Lock()
	for r := range a.runners {
		j := r.doing.Load()
		busy = busy || j != nil
		if j == nil || !r.hangs(j) || len(a.runners)+len(left) >= mostRunners {
			continue
		}
		hung = append(hung, j)
		if j.rest() {
			j.shared = true
			left = append(left, j)
		} else if a.idle == 0 {
			left = append(left, nil)
		}
	}
	a.mu.Unlock()
	for _, j := range hung {
		a.flush(j)
	}
	for _, j := range left {
		a.startRunner(j)
	}
	return busy
}

// hangs tells, once, that nothing has moved for two beats.
func (r *runner) hangs(j *job) bool {
	j.mu.Lock()
	moved := j.moved
	j.mu.Unlock()
	if moved != r.seen {
		r.seen, r.beats = moved, 0
		return false
	}
	r.beats++
	return r.beats == 2
}

func (j *job) rest() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next < len(j.frame.tasks)
}
