package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/vfs"
)

// crew is a cluster of nodes in this process, each with a folder and fixed peer ports.
type crew struct {
	t     *testing.T
	conf  map[string]Config
	with  map[string]Option
	nodes map[string]*Node
}

// freeAddr finds a port that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newCrew(t *testing.T, names ...string) *crew {
	c := &crew{t: t, conf: map[string]Config{}, with: map[string]Option{}, nodes: map[string]*Node{}}
	var list []string
	for _, name := range names {
		conf := c.config(name)
		list = append(list, name+"="+conf.Cluster.PeerListen)
	}
	for _, name := range names {
		conf := c.conf[name]
		conf.Cluster.Initial = strings.Join(list, ",")
		c.conf[name] = conf
	}
	return c
}

// config makes the settings of one more node.
func (c *crew) config(name string) Config {
	conf := testConfig(c.t, c.t.TempDir())
	conf.Cluster.NodeID, conf.Cluster.PeerListen = name, freeAddr(c.t)
	c.conf[name] = conf
	return conf
}

// start starts nodes at the same time.
func (c *crew) start(names ...string) {
	c.t.Helper()
	type started struct {
		name string
		node *Node
		err  error
	}
	got := make(chan started)
	ctx := within(c.t)
	for _, name := range names {
		go func() {
			n, err := Start(ctx, c.conf[name], c.logger(name), c.option(name))
			got <- started{name, n, err}
		}()
	}
	for range names {
		s := <-got
		if s.err != nil {
			c.t.Errorf("start %s: %v", s.name, s.err)
			continue
		}
		c.nodes[s.name] = s.node
		c.t.Cleanup(func() { _ = s.node.Close(gone()) })
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

func (c *crew) option(name string) Option {
	if o := c.with[name]; o != nil {
		return o
	}
	return func(*options) {}
}

func (c *crew) logger(name string) Option {
	if os.Getenv("GESTA_TEST_LOG") == "" {
		return func(*options) {}
	}
	return WithLogger(testLogger(c.t, name))
}

// gone is a context that has ended: what is closed with it hands nothing over.
func gone() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// drop stops a node at once.
func (c *crew) drop(name string) {
	c.t.Helper()
	if err := c.nodes[name].Close(gone()); err != nil {
		c.t.Fatal(err)
	}
	delete(c.nodes, name)
}

func (c *crew) host(name string) *cluster.Host { return c.nodes[name].engine.host }

// until waits until what is asked for is so; the test says what that is when it never comes.
func (c *crew) until(what string, ok func() bool) {
	c.t.Helper()
	end, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end:
			c.t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// leader waits until a node leads a shard and all nodes that run agree.
func (c *crew) leader(shard uint32) (name string) {
	c.t.Helper()
	c.until(fmt.Sprintf("a leader of shard %d that all agree on", shard), func() bool {
		name = ""
		for _, n := range c.nodes {
			l := n.engine.host.Route(shard).Local()
			if l == nil {
				continue // it has no replica
			}
			leader := n.engine.host.Name(l.Status().Leader)
			if leader == "" || name != "" && leader != name || c.nodes[leader] == nil {
				return false
			}
			name = leader
		}
		return true
	})
	return name
}

// voters waits until the shard's voters are these nodes.
func (c *crew) voters(shard uint32, names ...string) {
	c.t.Helper()
	c.until(fmt.Sprintf("voters of shard %d: %v", shard, names), func() bool {
		for _, n := range c.nodes {
			l := n.engine.host.Route(shard).Local()
			if l == nil {
				continue // it has no replica
			}
			st := l.Status()
			if len(st.Conf.Voters) != len(names) || len(st.Conf.VotersOutgoing) > 0 {
				return false
			}
			for _, name := range names {
				m, ok := c.memberOf(n, name)
				if !ok || !contains(st.Conf.Voters, m) {
					return false
				}
			}
		}
		return true
	})
}

func (c *crew) memberOf(n *Node, name string) (uint64, bool) {
	for _, m := range n.engine.host.Meta().Members() {
		if m.Node == name {
			return m.Replica, true
		}
	}
	return 0, false
}

func contains(ids []uint64, id uint64) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}

// puts appends to a stream through a node, and expects it to work.
func (c *crew) puts(name, key string, n int) {
	c.t.Helper()
	log := dial(c.t, c.nodes[name])
	for range n {
		put(c.t, log, "orders", key)
	}
}

// heads expects every node to answer the same revision for a stream.
func (c *crew) heads(key string, revision uint64) {
	c.t.Helper()
	for name, n := range c.nodes {
		h, _, err := n.shardDoor(1).Head(within(c.t), []byte("orders"), []byte(key))
		if err != nil || h.Revision != revision {
			c.t.Fatalf("%s: head of orders/%s is %d %v, want %d", name, key, h.Revision, err, revision)
		}
	}
}

// shardDoor is the node's way to a shard.
func (n *Node) shardDoor(number uint32) *shardDoor {
	s, _ := n.engine.doors.door(number)
	return s
}

func TestThreeNodes(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	for _, name := range []string{"n1", "n2", "n3"} {
		c.puts(name, "a", 3)
	}
	c.heads("a", 9)

	old := c.leader(1)
	c.drop(old)
	for name := range c.nodes {
		c.puts(name, "a", 2)
	}
	c.heads("a", 13)

	// What is left of a minority answers only who says that it may be behind.
	var left, other string
	for name := range c.nodes {
		left, other = name, left
	}
	c.drop(other)
	door := c.nodes[left].shardDoor(1)
	r, err := door.Read(within(t), event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("orders"), Stale: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Next(within(t)); err != nil || len(b.Events) == 0 {
		t.Errorf("a stale read without a majority: %d events, %v", len(b.Events), err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := door.Read(soon, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("orders")}); err == nil {
		t.Error("a minority answered a read as if it knew")
	}
	c.start(other)

	c.start(old)
	c.leader(1)
	c.heads("a", 13)
	c.puts(old, "a", 1)
	c.heads("a", 14)
}

// A fourth node joins, takes the place of one that is removed, and the removed one cannot come back with its folder.
func TestANodeIsReplaced(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 5)

	conf := c.config("n4")
	conf.Cluster.Join = c.conf["n1"].Cluster.PeerListen
	c.conf["n4"] = conf
	c.start("n4")
	c.voters(1, "n1", "n2", "n3")

	c.drop("n3")
	if err := c.host("n2").Remove(within(t), "n3"); err != nil {
		t.Fatal(err)
	}
	c.voters(1, "n1", "n2", "n4")
	c.puts("n4", "a", 1)
	c.heads("a", 6)

	back, err := Start(within(t), c.conf["n3"])
	if err == nil {
		select {
		case err = <-back.Failed():
		case <-time.After(patience):
			t.Error("a removed node runs on")
		}
		_ = back.Close(gone())
	}
	if errs.CodeOf(err) != errs.Unavailable || !strings.Contains(fmt.Sprint(err), "removed") {
		t.Fatalf("a removed node: %v", err)
	}
}

// One node alone becomes three.
func TestOneGrowsToThree(t *testing.T) {
	c := newCrew(t)
	c.config("n1")
	c.start("n1")
	c.puts("n1", "a", 5)
	for _, name := range []string{"n2", "n3"} {
		conf := c.config(name)
		conf.Cluster.Join = c.conf["n1"].Cluster.PeerListen
		c.conf[name] = conf
		c.start(name)
	}
	c.voters(1, "n1", "n2", "n3")
	c.heads("a", 5)
	c.drop("n1")
	c.puts("n3", "a", 1)
	c.heads("a", 6)
}

// What cannot be is refused with what to do.
func TestForeignNodesAreRefused(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.leader(1)

	twice := testConfig(t, t.TempDir())
	twice.Cluster.NodeID, twice.Cluster.PeerListen, twice.Cluster.Join = "n2", freeAddr(t), c.conf["n1"].Cluster.PeerListen
	if _, err := Start(within(t), twice); errs.CodeOf(err) != errs.Exists {
		t.Errorf("a second n2: %v", err)
	}

	// A folder that was lost and made anew is not the founder that it replaces.
	c.drop("n3")
	conf := c.conf["n3"]
	conf.Data = t.TempDir()
	if _, err := Start(within(t), conf); errs.CodeOf(err) != errs.Exists {
		t.Errorf("n3 with an empty folder: %v", err)
	}

	for _, name := range []string{"n1", "n2"} {
		if err := c.host("n1").Remove(within(t), name); errs.CodeOf(err) != errs.Conflict {
			t.Errorf("removing %s while n3 is down: %v", name, err)
		}
	}
	if err := c.host("n1").Remove(within(t), "nope"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("removing nobody: %v", err)
	}
}

// Leadership is handed over before a node stops: appends through the others go on without a failure.
func TestDrainingHandsOver(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 1)
	was := c.leader(1)
	if err := c.nodes[was].Close(within(t)); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, was)
	began := time.Now()
	for name := range c.nodes {
		c.puts(name, "a", 1)
	}
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("appends after a drained stop took %v: an election", took)
	}
	c.heads("a", 3)
}

// testLogger writes a node's log lines to the test's.
func testLogger(t *testing.T, name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
}

type lineWriter struct{ t *testing.T }

func (w lineWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// A node that was away for many segments gets them as files, and goes on from there; so does one that joins late.
func TestFarBehindCatchesUpBySegments(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	for name, conf := range c.conf {
		conf.Limits.SegmentBytes, conf.Limits.EntryBytes, conf.Limits.CommitBytes = 4<<20, 64<<10, 64<<10
		conf.Limits.EventBytes, conf.Limits.StateBytes, conf.Limits.ReplyBytes = 32<<10, 32<<10, 32<<10
		c.conf[name] = conf
	}
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 1)
	c.leader(1)
	c.drop("n3")
	log := dial(t, c.nodes["n1"])
	payload := bytes.Repeat([]byte("x"), 30<<10)
	for i := range 1000 { // about 7 segments
		if _, err := log.Append(within(t), &gestav1.AppendRequest{Streams: []*gestav1.StreamAppend{{Topic: "orders", Key: "big", Events: []*gestav1.Event{{Type: "Happened", Data: payload}}}}}); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	c.start("n3")
	c.until("n3 has everything", func() bool {
		l := c.host("n3").Route(1).Local()
		if l == nil {
			return false
		}
		h, _, err := l.Head(within(t), []byte("orders"), []byte("big"))
		return err == nil && h.Revision == 1000
	})
	sealed := 0
	for _, s := range c.host("n3").Route(1).Local().Segments() {
		if s.Sealed {
			sealed++
		}
	}
	if sealed < 4 {
		t.Errorf("n3 has %d sealed segments: the test did not test what it should", sealed)
	}
	c.puts("n3", "a", 1)
	c.heads("a", 2)
}

// scarce is a disk whose free space a test sets; 0 is the disk's own.
type scarce struct {
	vfs.FS
	free atomic.Uint64
}

func (s *scarce) Free(dir string) (uint64, error) {
	if n := s.free.Load(); n > 0 {
		return n, nil
	}
	return s.FS.Free(dir)
}

// A leader whose disk is nearly full lets another lead; when all are nearly full, appends are refused; with space they go on.
func TestLowDiskHandsOver(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	disks := map[string]*scarce{}
	for name := range c.conf {
		disks[name] = &scarce{FS: vfs.OS()}
		c.with[name] = WithFS(disks[name])
	}
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 1)
	was := c.leader(1)
	disks[was].free.Store(1 << 20)
	c.until("another leads", func() bool { return c.leader(1) != was })
	c.puts(was, "a", 1)

	for _, d := range disks {
		d.free.Store(1 << 20)
	}
	log := dial(t, c.nodes["n1"])
	again := func() error {
		_, err := log.Append(within(t), &gestav1.AppendRequest{Streams: []*gestav1.StreamAppend{{Topic: "orders", Key: "b", Events: []*gestav1.Event{{Type: "Happened"}}}}})
		return err
	}
	c.until("appends are refused", func() bool { return status.Code(again()) == codes.ResourceExhausted })
	for _, d := range disks {
		d.free.Store(0)
	}
	c.until("appends go on", func() bool { return again() == nil })
}

// Any node tells of all, and takes the changes.
func TestAnyNodeShowsAndChangesTheCluster(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 3)
	for name := range c.nodes {
		c.until(name+" hears of all", func() bool {
			s, err := c.nodes[name].gate.ClusterStatus(gateway.Caller{})
			if err != nil || len(s.Nodes) != 3 {
				return false
			}
			leaders := 0
			for _, n := range s.Nodes {
				if n.State != gateway.NodeReady || n.Disk.Free == 0 || len(n.Replicas) != 2 || n.GRPC != c.nodes[n.Node].Addr() || n.Started.IsZero() {
					return false
				}
				for _, r := range n.Replicas {
					if r.Role == "leader" {
						leaders++
					}
				}
			}
			return leaders == 2
		})
	}
	leader := c.leader(1)
	other := map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[leader]
	if err := c.nodes[other].gate.TransferShard(within(t), gateway.Caller{}, 1, other); err != nil {
		t.Fatal(err)
	}
	c.until("shard 1 is led by "+other, func() bool { return c.leader(1) == other })
	if err := c.nodes[leader].gate.DrainNode(within(t), gateway.Caller{}, other, true); err != nil {
		t.Fatal(err)
	}
	c.until(other+" leads nothing", func() bool {
		shards, err := c.nodes[leader].gate.ShardPlaces(gateway.Caller{})
		return err == nil && len(shards) == 1 && shards[0].Leader != other && shards[0].Leader != "" && len(shards[0].Nodes) == 3
	})
	if err := c.nodes[other].gate.DrainNode(within(t), gateway.Caller{}, other, false); err != nil {
		t.Fatal(err)
	}
	gone := map[string]string{"n1": "n3", "n2": "n1", "n3": "n2"}[leader]
	c.drop(gone)
	c.until(gone+" is silent", func() bool {
		n, err := c.nodes[other].gate.ClusterNode(gateway.Caller{}, gone)
		return err == nil && n.State == gateway.NodeSilent
	})
}

// Two of three nodes are lost for good: the third goes on alone with what it has, in a new history, and others join again.
func TestRecoveryFromALostMajority(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.puts("n1", "a", 3)
	c.heads("a", 3)
	early := c.position("n1")
	c.drop("n3") // what comes now it will never have
	c.puts("n1", "a", 2)
	late := c.position("n1")
	c.drop("n1")
	c.drop("n2")

	if _, err := Recover(vfs.OS(), c.conf["n3"].Data); err != nil {
		t.Fatal(err)
	}
	c.start("n3")
	c.puts("n3", "a", 4)
	c.heads("a", 7)

	door := c.nodes["n3"].shardDoor(1)
	read := func(p position.Position) (int, error) {
		r, err := door.Read(within(t), event.ReadSpec{Scope: event.ScopeAll, From: event.Point{Kind: event.AtPosition, Position: p}})
		if err != nil {
			return 0, err
		}
		defer r.Close()
		b, err := r.Next(within(t))
		return len(b.Events), err
	}
	if n, err := read(early); err != nil || n != 4 {
		t.Errorf("from before the fork: %d events, %v", n, err)
	}
	if _, err := read(late); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("from beyond the fork: %v", err)
	}
	if n, err := read(c.position("n3")); err != io.EOF || n != 0 {
		t.Errorf("from the end: %d events, %v", n, err)
	}

	conf := c.config("n4")
	conf.Cluster.Join = c.conf["n3"].Cluster.PeerListen
	c.conf["n4"] = conf
	c.start("n4")
	c.until("n4 has everything", func() bool {
		l := c.host("n4").Route(1).Local()
		return l != nil && l.Status().LastOffset == 7 && l.Status().History == c.position("n3").History
	})
	back, err := Start(within(t), c.conf["n1"])
	if err == nil {
		_ = back.Close(gone())
		c.until("n1 is not taken in", func() bool { _, member := c.memberOf(c.nodes["n3"], "n1"); return !member })
	}
}

// position is where the shard ends.
func (c *crew) position(name string) position.Position {
	c.t.Helper()
	_, p, err := c.nodes[name].shardDoor(1).Head(within(c.t), []byte("orders"), []byte("a"))
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}
