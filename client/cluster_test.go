package client

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	server "github.com/gesta-db/gesta/internal/node"
)

// trio is three nodes in this process, on fixed ports, so that each can come back where it was.
type trio struct {
	t     *testing.T
	conf  map[string]server.Config
	mu    sync.Mutex
	nodes map[string]*server.Node
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t, conf: map[string]server.Config{}, nodes: map[string]*server.Node{}}
	var list []string
	for _, name := range []string{"n1", "n2", "n3"} {
		o := server.DefaultConfig()
		o.Data, o.GRPC, o.HTTP = t.TempDir(), freeAddr(t), freeAddr(t)
		o.Cluster.NodeID, o.Cluster.PeerListen = name, freeAddr(t)
		o.Limits.CommitBytes, o.Limits.CommitEvents, o.Limits.SegmentBytes = 2<<20, 256, 16<<20
		list = append(list, name+"="+o.Cluster.PeerListen)
		c.conf[name] = o
	}
	for name, o := range c.conf {
		o.Cluster.Initial = strings.Join(list, ",")
		c.conf[name] = o
	}
	var starting sync.WaitGroup
	for name := range c.conf {
		starting.Go(func() { c.start(name) })
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

func (c *trio) start(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	n, err := server.Start(ctx, c.conf[name])
	if err != nil {
		c.t.Errorf("start %s: %v", name, err)
		return
	}
	c.mu.Lock()
	c.nodes[name] = n
	c.mu.Unlock()
	c.t.Cleanup(func() { _ = n.Close(ended()) })
}

// ended is a context that has: what is closed with it hands nothing over.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

const longEnough = 30 * time.Second

// until waits for what another process would be asked for again and again.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end, tick := time.After(longEnough), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end:
			t.Fatalf("not within %v: %s", longEnough, what)
		case <-tick.C:
		}
	}
}

// leader asks through c who leads shard 1, once all nodes are ready.
func (c *trio) leader(cl *Client) (name string) {
	c.t.Helper()
	until(c.t, "three nodes that are ready, and a leader", func() bool {
		s, err := cl.Cluster(c.t.Context())
		if err != nil || len(s.Nodes) != 3 {
			return false
		}
		name = ""
		for _, n := range s.Nodes {
			if n.State != "ready" {
				return false
			}
			for _, r := range n.Replicas {
				if r.Shard == 1 && r.Role == "leader" {
					name = n.NodeID
				}
			}
		}
		return name != ""
	})
	return name
}

// writers append numbered events, each to a stream of its own, until they are told to stop.
type writers struct {
	stop   atomic.Bool
	run    sync.WaitGroup
	mu     sync.Mutex
	acked  map[string][]string // by stream, in the order of their calls
	open   map[string]bool     // ids whose outcome is open
	failed []error
}

func (w *writers) start(c *Client, n int, timeout time.Duration) {
	w.acked, w.open = map[string][]string{}, map[string]bool{}
	for i := range n {
		key := fmt.Sprint("k", i)
		w.run.Go(func() {
			for at := 0; !w.stop.Load(); at++ {
				w.one(c, key, fmt.Sprintf("%s-%06d", key, at), timeout)
			}
		})
	}
}

func (w *writers) one(c *Client, key, id string, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := c.Append(ctx, Append{Topic: "orders", Key: key, Events: []Event{{ID: id, Type: "T"}}})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch CodeOf(err) {
	case "":
		w.acked[key] = append(w.acked[key], id)
	case CodeUnknownOutcome:
		w.open[id] = true
		w.failed = append(w.failed, err)
	default:
		w.failed = append(w.failed, err)
	}
}

// verify reads every stream: what was acknowledged is there once and in order, and nothing else than what may be.
func (w *writers) verify(t *testing.T, c *Client) (events int) {
	t.Helper()
	for key, acked := range w.acked {
		var found []string
		for e, err := range c.Read(t.Context(), StreamScope("orders", key), ReadOptions{}).All() {
			if err != nil {
				t.Fatalf("read %s: %v", key, err)
			}
			found = append(found, strings.Clone(e.ID))
		}
		if !slices.IsSorted(found) || len(slices.Compact(slices.Clone(found))) != len(found) {
			t.Errorf("stream %s is out of order, or has an event twice", key)
		}
		is := map[string]bool{}
		for _, id := range found {
			is[id] = true
		}
		for _, id := range acked {
			if !is[id] {
				t.Errorf("%s was acknowledged and is not there", id)
			}
			delete(is, id)
		}
		for id := range is {
			if !w.open[id] {
				t.Errorf("%s was refused, and is there", id)
			}
		}
		events += len(found)
	}
	return events
}

// count tells how many appends were acknowledged.
func (w *writers) count() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ids := range w.acked {
		n += len(ids)
	}
	return n
}

// One address is enough: the client learns the others and appends at the leader.
func TestTheClientLearnsTheLeader(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	for _, name := range []string{"n1", "n2", "n3"} {
		cl := newClient(t, Options{Addrs: []string{c.conf[name].GRPC}, Timeout: longEnough})
		leader := ""
		until(t, "appends go to the leader", func() bool {
			leader = c.leader(cl) // it may move while the cluster settles
			_, err := cl.Append(t.Context(), Append{Topic: "orders", Key: name, Events: []Event{{Type: "T"}}})
			return err == nil && cl.nodes.count() == 3 && cl.nodes.append().addr == c.conf[leader].GRPC
		})
		next := map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[leader]
		if err := cl.TransferShard(t.Context(), 1, next); err != nil {
			t.Fatal(err)
		}
		until(t, "appends go to "+next, func() bool {
			_, err := cl.Append(t.Context(), Append{Topic: "orders", Key: name, Events: []Event{{Type: "T"}}})
			return err == nil && cl.nodes.append().addr == c.conf[next].GRPC
		})
	}
}

// Node after node is stopped well and started again, and no call of the client fails.
func TestRollingRestartFailsNoCall(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	cl := newClient(t, Options{Addrs: []string{c.conf["n1"].GRPC}, Timeout: longEnough})
	c.leader(cl)
	var w writers
	w.start(cl, 8, longEnough)
	for _, name := range []string{"n1", "n2", "n3"} {
		before := w.count()
		until(t, "appends go on", func() bool { return w.count() > before+20 })
		ctx, cancel := context.WithTimeout(context.Background(), longEnough)
		if err := c.nodes[name].Close(ctx); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
		cancel()
		before = w.count()
		until(t, "appends go on without "+name, func() bool { return w.count() > before+20 })
		c.start(name)
		c.leader(cl)
	}
	w.stop.Store(true)
	w.run.Wait()
	for _, err := range w.failed {
		t.Errorf("a call failed: %v", err)
	}
	t.Logf("%d events", w.verify(t, cl))
}

// The leader is gone at once: calls end within their deadline, and as they say.
func TestLostLeaderEndsCallsTruthfully(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	cl := newClient(t, Options{Addrs: []string{c.conf["n1"].GRPC}, Timeout: longEnough})
	was := c.leader(cl)
	var w writers
	w.start(cl, 8, 5*time.Second)
	until(t, "appends", func() bool { return w.count() > 50 })
	if err := c.nodes[was].Close(ended()); err != nil {
		t.Errorf("close %s: %v", was, err)
	}
	began, before := time.Now(), w.count()
	until(t, "appends go on", func() bool { return w.count() > before+50 })
	t.Logf("appends went on after %v", time.Since(began))
	w.stop.Store(true)
	w.run.Wait()
	t.Logf("%d events, %d calls failed: %v", w.verify(t, cl), len(w.failed), w.failed)
}
