package client

import (
	"context"
	"slices"
	"time"
)

// lineKey names a stream.
type lineKey struct{ topic, key string }

// line is the started calls of one stream, in the order in which they were started. As long as nothing fails they are all on the
// wire at once. When one fails for a passing reason it is held; what was started behind it waits until it has been sent again,
// alone, and has an outcome.
//
// Why that keeps the order: calls of one stream are judged in the order in which they arrive on one AppendStream. A call is only
// sent when all before it in its lines are on the wire for the first time (they arrive before it on the same stream, or the
// stream breaks and all of them fail), or when it is the first of its lines. A failed one is sent again only when it is the first
// of its lines and nothing behind it is on the wire. What was behind it on the wire has then failed too and is held, or was
// accepted, or may have been: then it has been overtaken and is not sent again at all. That leaves one case in which order is
// lost unseen: a server refuses a call, accepts one behind it, and the connection breaks before either answer arrives.
type line struct {
	key   lineKey
	calls []*Pending
	front int // the first of calls that is not on the wire for the first time
	sent  int // how many are on the wire
}

// ordered tells whether the streams have calls that were started and are under way: then others on them must queue behind.
func (l *lane) ordered(streams []Append) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return false
	}
	for i := range streams {
		if l.lines[lineKey{streams[i].Topic, streams[i].Key}] != nil {
			return true
		}
	}
	return false
}

// start is Client.Start.
func (l *lane) start(ctx context.Context, streams []Append, opts []AppendOption) *Pending {
	p := &Pending{done: make(chan struct{})}
	k := &p.call
	k.pending = p
	if err := k.encode(ctx, streams, opts); err != nil {
		return failedPending(err)
	}
	if d, ok := ctx.Deadline(); ok {
		k.ends = d
	} else {
		k.ends = time.Now().Add(l.client.opts.Timeout)
	}
	if err := l.enter(ctx, p, streams); err != nil {
		return failedPending(err)
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { l.abandon(p, ctx.Err()) })
		l.mu.Lock()
		p.stop = stop
		if p.state == pendingDone {
			stop()
		}
		l.mu.Unlock()
	}
	return p
}

// enter waits for room and puts the call into its lines.
func (l *lane) enter(ctx context.Context, p *Pending, streams []Append) *Error {
	if err := ctx.Err(); err != nil {
		return givenUp(false, err)
	}
	l.mu.Lock()
	if l.fits(p.call.weight()) {
		l.underway += p.call.weight()
	} else {
		p.call.expires = p.call.ends
		if err := l.admit(ctx, &p.call); err != nil { // unlocks
			return err
		}
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	if l.closed {
		l.release(p.call.weight())
		return closedError()
	}
	l.live++
	l.pendings[p] = struct{}{}
	l.join(p, streams)
	l.advance(p)
	return nil
}

// join appends the call to the lines of its streams; with the lock held, as everything below.
func (l *lane) join(p *Pending, streams []Append) {
	for i := range streams {
		key := lineKey{streams[i].Topic, streams[i].Key}
		ln := l.lines[key]
		if ln == nil {
			ln = &line{key: key}
			l.lines[key] = ln
		}
		if slices.Contains(p.lines, ln) {
			continue // a stream given twice: the server refuses it
		}
		ln.calls = append(ln.calls, p)
		p.lines = append(p.lines, ln)
		if r := streams[i].Expect.rule; r != ruleRevision && r != ruleNone {
			p.loose = append(p.loose, ln)
		}
	}
}

// advance sends the call if its turn has come.
func (l *lane) advance(p *Pending) bool {
	switch p.state {
	case pendingBehind:
		for _, ln := range p.lines {
			if ln.calls[ln.front] != p {
				return false
			}
		}
	case pendingHeld:
		for _, ln := range p.lines {
			if !p.rested || ln.calls[0] != p || ln.sent > 0 {
				return false
			}
		}
		p.resent = true
	default:
		return false
	}
	p.state = pendingSent
	for _, ln := range p.lines {
		ln.sent++
		ln.pass()
	}
	l.enqueue(&p.call)
	return true
}

// pass moves the front over what is on the wire for the first time. A call that was sent again holds it: what is behind waits
// for its outcome.
func (ln *line) pass() {
	for ln.front < len(ln.calls) {
		if p := ln.calls[ln.front]; p.state != pendingSent || p.resent {
			return
		}
		ln.front++
	}
}

// drain sends whatever may be sent of the lines.
func (l *lane) drain(lines []*line) {
	for i := 0; i < len(lines); i++ {
		ln := lines[i]
		for ln.front < len(ln.calls) {
			p := ln.calls[ln.front]
			if !l.advance(p) {
				break
			}
			if len(p.lines) > 1 {
				lines = append(slices.Clip(lines), p.lines...) // what is behind it there may have its turn now
			}
		}
	}
}

// settle takes what an attempt came to; without the lock.
func (l *lane) settle(p *Pending, res Result, err *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.state == pendingDone {
		return
	}
	for _, ln := range p.lines {
		ln.sent--
	}
	lines := p.lines
	if err == nil || err.Code == CodeUnknownOutcome {
		l.overtake(p, err == nil)
	} else if err.retryable() && !p.resent && p.doubted() {
		p.overtaken = true
	}
	switch {
	case err == nil:
		l.finish(p, res, nil)
	case p.ended != nil:
		p.tried.failed(err)
		l.finish(p, Result{}, p.tried.verdict(givenUp(false, p.ended)))
	case p.again(err):
		p.tried.failed(err)
		l.hold(p, err)
	default:
		p.tried.failed(err)
		l.finish(p, Result{}, p.refusal(err))
	}
	l.drain(lines)
}

// again tells whether a failed call is to be sent again.
func (p *Pending) again(err *Error) bool {
	if err.retryable() {
		return !p.overtaken
	}
	switch err.Code {
	case CodeConflict, CodeNotFound, CodeExists:
		// Judged without the calls before it, which may still be written: it is asked again when they are.
		return slices.ContainsFunc(p.lines, func(ln *line) bool { return ln.calls[0] != p })
	}
	return false
}

// refusal is the error of a call that is not sent again.
func (p *Pending) refusal(err *Error) *Error {
	e := p.tried.verdict(err)
	if p.overtaken && err.retryable() {
		e = e.with("overtaken", "true")
		e.Message += "; a later append to the same stream was accepted first, or may have been, so this one was not sent again behind it"
	}
	return e
}

// overtake is called when a call was accepted, or may have been: what was started before it and refused ends here. What was
// started before it and has no answer yet is marked if the call was accepted for sure; if it was not, both were on the wire
// when it broke, and they are sent again in order.
func (l *lane) overtake(p *Pending, surely bool) {
	var refused []*Pending
	for _, ln := range p.lines {
		for _, q := range ln.calls {
			if q == p {
				break
			}
			if !slices.Contains(q.loose, ln) {
				continue // its expectation keeps it in its place
			}
			held := q.state == pendingHeld
			if held && (surely || q.tried.last.Code != CodeUnknownOutcome) {
				refused = append(refused, q)
			}
			q.overtaken = q.overtaken || surely
		}
	}
	for _, q := range refused {
		if q.state == pendingHeld {
			q.overtaken = true
			lines := q.lines
			l.finish(q, Result{}, q.refusal(q.tried.last))
			l.drain(lines)
		}
	}
}

// doubted tells whether a call behind this one, which was on the wire with it, may have been accepted.
func (p *Pending) doubted() bool {
	for _, ln := range p.loose {
		for _, q := range ln.calls[slices.Index(ln.calls, p)+1:] {
			if q.state == pendingHeld && q.tried.last.Code == CodeUnknownOutcome {
				return true
			}
		}
	}
	return false
}

// hold keeps a failed call until it is the first of its lines and its pause is over.
func (l *lane) hold(p *Pending, err *Error) {
	p.state, p.resent, p.rested = pendingHeld, false, !err.retryable()
	for _, ln := range p.lines {
		ln.front = min(ln.front, slices.Index(ln.calls, p))
	}
	if p.rested {
		return
	}
	p.timer = time.AfterFunc(pause(p.tried.n), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		p.rested = true
		l.drain(p.lines)
	})
}

// abandon gives a call up, because its context or time is over; without the lock.
func (l *lane) abandon(p *Pending, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.state == pendingDone {
		return
	}
	if p.state == pendingSent && p.call.state == callDone {
		p.ended = cause // its outcome is on the way
		return
	}
	sent := p.state == pendingSent && p.call.state == callSent
	if p.state == pendingSent {
		for _, ln := range p.lines {
			ln.sent--
		}
		l.detach(&p.call)
	}
	lines := p.lines
	l.finish(p, Result{}, p.tried.verdict(givenUp(sent, cause)))
	l.drain(lines)
}

// finish gives the call its outcome and takes it out of its lines.
func (l *lane) finish(p *Pending, res Result, err *Error) {
	for _, ln := range p.lines {
		ln.remove(p)
		if len(ln.calls) == 0 {
			delete(l.lines, ln.key)
		}
	}
	p.state = pendingDone
	delete(l.pendings, p)
	l.live--
	l.release(p.call.weight())
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.stop != nil {
		p.stop()
	}
	p.result = res
	if err != nil {
		p.err = err
	}
	close(p.done)
}

func (ln *line) remove(p *Pending) {
	i := slices.Index(ln.calls, p)
	if i == 0 {
		ln.calls[0] = nil
		ln.calls = ln.calls[1:]
	} else {
		ln.calls = slices.Delete(ln.calls, i, i+1)
	}
	if i < ln.front {
		ln.front--
	}
	ln.pass()
}
