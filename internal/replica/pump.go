package replica

import (
	"sync"
	"time"
)

// spaceAgain is how long a full disk is left alone before what did not fit is written again.
const spaceAgain = 250 * time.Millisecond

// idleMark is how long the log rests before a durable mark says that everything in it was acknowledged as stored.
const idleMark = 10 * time.Millisecond

// Pump stores writes on its own goroutine: whatever has gathered while one was synced goes into the next batch.
type Pump struct {
	disk   *Disk
	wrote  func([]*Write, error)
	stored func(entries int, took time.Duration)
	// Full, which may be nil and is set before Run, hears that writes wait for space on the disk, and by nil that they wait no more.
	Full func(error)

	mu     sync.Mutex
	queue  []*Write
	commit uint64
	wake   chan struct{}
	stop   chan struct{}
	once   sync.Once
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
func (p *Pump) Close() { p.once.Do(func() { close(p.stop) }) }

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
			err := p.disk.Mark(p.commit)
			if err != nil && !p.disk.waits(err) {
				p.wrote(nil, err)
				return
			}
			if err != nil {
				idle.Reset(spaceAgain)
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
		if err := p.store(ws); err != nil {
			p.wrote(nil, err)
			return err
		}
		p.report(ws, time.Since(began))
		p.commit = ws[len(ws)-1].Commit()
		p.wrote(ws, nil)
	}
}

// store stores writes. When the disk is full it waits for space: nothing is lost, and what is in flight stays undecided.
func (p *Pump) store(ws []*Write) error {
	err := p.disk.Store(ws)
	if err == nil || !p.disk.waits(err) {
		return err
	}
	p.tellFull(err)
	for err != nil && p.disk.waits(err) {
		select {
		case <-p.stop:
			return err
		case <-time.After(spaceAgain):
		}
		err = p.disk.Store(ws)
	}
	if err == nil {
		p.tellFull(nil)
	}
	return err
}

func (p *Pump) tellFull(err error) {
	if p.Full != nil {
		p.Full(err)
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
