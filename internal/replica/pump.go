package replica

import (
	"sync"
	"time"
)

// idleMark is how long the log rests before a durable mark says that everything in it was acknowledged as stored.
const idleMark = 10 * time.Millisecond

// Pump stores writes on its own goroutine: whatever has gathered while one was synced goes into the next batch.
type Pump struct {
	disk   *Disk
	wrote  func([]*Write, error)
	stored func(entries int, took time.Duration)

	mu     sync.Mutex
	queue  []*Write
	commit uint64
	wake   chan struct{}
	stop   chan struct{}
}

// NewPump makes a pump that tells wrote of each write that is durable, in order, or of the failure that ends it; stored, which
// may be nil, hears what each sync took.
func NewPump(d *Disk, wrote func([]*Write, error), stored func(entries int, took time.Duration)) *Pump {
	return &Pump{disk: d, wrote: wrote, stored: stored, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// Add queues writes. It does not block: what is queued is bounded by what the group may leave uncommitted.
func (p *Pump) Add(ws []*Write) {
	if len(ws) == 0 {
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, ws...)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Pump) take() []*Write {
	p.mu.Lock()
	defer p.mu.Unlock()
	ws := p.queue
	p.queue = nil
	return ws
}

// Close ends Run; what is queued is not stored.
func (p *Pump) Close() { close(p.stop) }

// Run stores until Close, or until the first failure.
func (p *Pump) Run() {
	idle := time.NewTimer(idleMark)
	defer idle.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
			if p.drain() != nil {
				return
			}
			idle.Reset(idleMark)
		case <-idle.C:
			if err := p.disk.Mark(p.commit); err != nil {
				p.wrote(nil, err)
				return
			}
		}
	}
}

// drain stores until nothing waits. A failed write or sync leaves the log poisoned: nothing more is stored.
func (p *Pump) drain() error {
	for {
		ws := p.take()
		if len(ws) == 0 {
			return nil
		}
		began := time.Now()
		if err := p.disk.Store(ws); err != nil {
			p.wrote(nil, err)
			return err
		}
		p.report(ws, time.Since(began))
		p.commit = ws[len(ws)-1].Commit()
		p.wrote(ws, nil)
	}
}

func (p *Pump) report(ws []*Write, took time.Duration) {
	n := 0
	for _, w := range ws {
		n += w.Entries()
	}
	if n > 0 && p.stored != nil {
		p.stored(n, took)
	}
}
