package peer

import (
	"net"
	"sync"
	"testing"
)

// proxy is a wire between two nodes that can be held in one direction or both, as one to a stopped process or through a lost
// route is, or cut.
type proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex
	cond  *sync.Cond
	held  [2]bool // towards the target, and back
	conns map[net.Conn]bool
	over  bool
}

const (
	there = 0
	back  = 1
)

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
		p.cond.Broadcast()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	defer p.wg.Done()
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Add(2)
		go p.carry(there, in, out)
		go p.carry(back, out, in)
	}
}

func (p *proxy) carry(direction int, from, to net.Conn) {
	defer p.wg.Done()
	defer func() { _, _ = from.Close(), to.Close() }()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.wait(direction)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) wait(direction int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held[direction] && !p.over {
		p.cond.Wait()
	}
}

// hold lets nothing through in the directions, until let.
func (p *proxy) hold(directions ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		p.held[d] = true
	}
}

func (p *proxy) let() {
	p.mu.Lock()
	p.held = [2]bool{}
	p.mu.Unlock()
	p.cond.Broadcast()
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}
