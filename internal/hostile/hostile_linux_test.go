package hostile

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gesta-db/gesta/client"
)

var (
	soak = flag.Duration("soak", 0, "how long TestSoak goes on")
	seed = flag.Uint64("seed", 0, "decides what TestSoak does; 0: drawn")
	only = flag.String("only", "", "have nothing happen but this, again and again")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if bin, err := built(); flag.Lookup("test.list").Value.String() == "" && err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// event is something that happens to a cluster under load.
type event struct {
	name string
	// do makes it happen and ends it.
	do func(r *round, rng *rand.Rand)
	// bar is the longest time without an acknowledged append that is right for it on any machine, however loaded; 0: none.
	bar time.Duration
	// spotless: no request of a client that knows every node may fail.
	spotless bool
}

// electing is longer than any election takes.
const electing = 1500 * time.Millisecond

// pass lets time pass under load.
func pass(d time.Duration) { <-time.After(d) }

var events = []event{
	{name: "kill the leader", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) { r.killed(r.c.leader()) }},
	{name: "kill a follower", bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) { r.killed(r.c.follower()) }},
	{name: "kill all at once", do: func(r *round, _ *rand.Rand) {
		for _, n := range r.c.nodes {
			n.signal(syscall.SIGKILL)
		}
		for _, n := range r.c.nodes {
			<-n.done
		}
		r.c.start(r.c.nodes...)
	}},
	{name: "freeze the leader", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) { r.frozen(r.c.leader()) }},
	{name: "freeze a follower", bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) { r.frozen(r.c.follower()) }},
	{name: "cut the leader off", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.leader(), weather{cut: true}, weather{cut: true}, false)
	}},
	{name: "cut the leader off, from clients too", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.leader(), weather{cut: true}, weather{cut: true}, true)
	}},
	{name: "cut a follower off", bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.follower(), weather{cut: true}, weather{cut: true}, false)
	}},
	{name: "the leader is heard but hears nothing", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.leader(), weather{}, weather{cut: true}, false)
	}},
	{name: "the leader hears but is not heard", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.leader(), weather{cut: true}, weather{}, false)
	}},
	{name: "a follower is heard but hears nothing", bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.follower(), weather{}, weather{cut: true}, false)
	}},
	{name: "a follower hears but is not heard", bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) {
		r.weathered(r.c.follower(), weather{cut: true}, weather{}, false)
	}},
	{name: "the leader and one follower do not hear each other", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		a, b := r.c.leader(), r.c.follower()
		r.c.wire.set(a.number, b.number, weather{cut: true})
		r.c.wire.set(b.number, a.number, weather{cut: true})
		pass(2 * electing)
		r.c.wire.calm()
	}},
	{name: "a flapping link", bar: 8 * time.Second, do: func(r *round, rng *rand.Rand) {
		n := r.c.leader()
		for range 8 {
			r.c.wire.around(n.number, weather{cut: true}, weather{cut: true}, false)
			pass(time.Duration(50+rng.IntN(400)) * time.Millisecond)
			r.c.wire.calm()
			pass(time.Duration(50+rng.IntN(400)) * time.Millisecond)
		}
	}},
	{name: "a slow and lossy link", bar: 8 * time.Second, do: func(r *round, rng *rand.Rand) {
		bad := weather{delay: 30 * time.Millisecond, jitter: 40 * time.Millisecond, loss: 0.02}
		r.weathered(r.c.nodes[rng.IntN(3)], bad, bad, false)
	}},
	{name: "a rolling restart", spotless: true, bar: 4 * time.Second, do: func(r *round, _ *rand.Rand) {
		for _, n := range r.c.nodes {
			n.stop()
			r.until(50, n.name+" is down")
			r.c.start(n)
			r.until(50, n.name+" is back")
		}
	}},
}

func (r *round) killed(n *node) {
	n.kill()
	r.until(200, n.name+" is killed")
	r.c.start(n)
}

func (r *round) frozen(n *node) {
	n.signal(syscall.SIGSTOP)
	pass(2 * electing)
	n.signal(syscall.SIGCONT)
}

func (r *round) weathered(n *node, out, in weather, withClients bool) {
	r.c.wire.around(n.number, out, in, withClients)
	pass(2 * electing)
	r.c.wire.calm()
}

// endure has one thing happen to a cluster under load, and checks every promise.
func (c *cluster) endure(t *testing.T, e event, rng *rand.Rand) {
	t.Helper()
	r := c.begin(t)
	from := time.Since(r.begun)
	e.do(r, rng)
	r.until(100, "after "+e.name)
	gap := r.longest(from, time.Since(r.begun))
	r.told = fmt.Sprintf(" without an append for %v;", gap.Round(time.Millisecond))
	r.finish()
	r.check()
	if e.bar > 0 && gap > e.bar {
		t.Errorf("no append was acknowledged for %v, longer than %v", gap, e.bar)
	}
	if e.spotless {
		r.spotless()
	}
}

// spotless fails the test for every request that failed although its client knew every node.
func (r *round) spotless() {
	for _, o := range r.patients {
		if o.outcome == open || o.outcome == refused || o.tries > 1 {
			r.t.Errorf("writer %d, from %v to %v: %s: %v", o.writer, o.invoked, o.returned, o.outcome, o.err)
		}
	}
}

// brief are the events that every test run has; the others are for the soak.
var brief = map[string]bool{
	"kill the leader": true, "kill all at once": true, "freeze the leader": true, "the leader is heard but hears nothing": true,
	"cut the leader off": true, "a rolling restart": true,
}

// TestHostile has the most telling things happen, one after the other, to one cluster.
func TestHostile(t *testing.T) {
	c := newCluster(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, e := range events {
		if brief[e.name] && !t.Run(e.name, func(t *testing.T) { c.in(t).endure(t, e, rng) }) {
			return
		}
	}
	c.sound()
}

// TestSoak has anything happen, drawn from a seed, for as long as -soak says.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("SKIPPED: takes as long as it is told: make soak-hostile DURATION=10m")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 0))
	c := newCluster(t)
	for end := time.Now().Add(*soak); time.Now().Before(end); {
		e := events[rng.IntN(len(events))]
		if *only != "" && e.name != *only {
			continue
		}
		if !t.Run(e.name, func(t *testing.T) { c.in(t).endure(t, e, rng) }) {
			t.Fatalf("seed %d", *seed)
		}
	}
	c.sound()
}

// What a node with a small volume may use, and what of it must stay free.
const (
	volume = 384 << 20
	floor  = 64 << 20
)

// TestFullDisk fills the volume of the leader, then of every node, and empties them again.
func TestFullDisk(t *testing.T) {
	c := place(t, "--disk-floor", "64MiB")
	for _, n := range c.nodes {
		if out, err := n.within("mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", volume), "none", n.data).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: no tmpfs can be mounted: %v: %s", err, out)
		}
	}
	c.start(c.nodes...)
	c.endure(t, event{name: "the leader's disk is full", bar: 8 * time.Second, do: func(r *round, _ *rand.Rand) {
		n := c.leader()
		ballast := n.fill()
		r.until(200, n.name+" is full")
		n.empty(ballast)
	}}, rand.New(rand.NewPCG(1, 1)))
	c.endure(t, event{name: "all disks are full", do: func(r *round, _ *rand.Rand) {
		var full []string
		for _, n := range c.nodes {
			full = append(full, n.fill())
		}
		r.refusals()
		for i, n := range c.nodes {
			n.empty(full[i])
		}
	}}, rand.New(rand.NewPCG(1, 1)))
	c.sound()
}

// refusals waits until appends are refused for want of space.
func (r *round) refusals() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(heal); ; <-tick.C {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := r.all.Append(ctx, client.Append{Topic: topic, Key: "marks", Events: []client.Event{{Type: "Tried"}}})
		cancel()
		if client.CodeOf(err) == client.CodeNoSpace {
			return
		}
		if time.Now().After(end) {
			r.t.Errorf("every disk is full, and an append ends with %v", err)
			return
		}
	}
}

// fill leaves half of the floor free on the node's volume.
func (n *node) fill() string {
	n.t.Helper()
	root := fmt.Sprintf("/proc/%d/root%s", n.holder, n.data)
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil {
		n.t.Fatal(err)
	}
	ballast := filepath.Join(root, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-floor/2); err != nil {
		n.t.Fatal(err)
	}
	return ballast
}

func (n *node) empty(ballast string) {
	if err := os.Remove(ballast); err != nil {
		n.t.Error(err)
	}
}

// What cannot be done to a process from outside is told, so that nobody takes it for tested here.
func TestClockJump(t *testing.T) {
	t.Skip("SKIPPED: a time namespace shifts only the monotonic clock and that since boot, and a static binary takes no preloaded library: the wall clock of one node cannot be moved from outside. The simulator moves it")
}

func TestSlowDisk(t *testing.T) {
	t.Skip("SKIPPED: there is no device mapper to delay a disk, and throttling by control groups would slow down the whole machine's device: not tested here")
}

// in has failures count for a subtest.
func (c *cluster) in(t *testing.T) *cluster {
	sub := *c
	sub.t = t
	return &sub
}
