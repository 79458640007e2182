package hostile

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ports of the switch: the clients' is 0, node n's is n.
const (
	clients = 0
	ports   = 4
)

// packetBytes is the MTU; queued is how many packets may be under way between two ports, past which they are lost as on any wire.
const (
	packetBytes = 9000
	queued      = 4096
)

// weather is what happens to packets from one port to another.
type weather struct {
	cut    bool
	delay  time.Duration
	jitter time.Duration // beside the delay, at most
	loss   float64       // share that is lost
}

// wire is the switch: every namespace's device, and the weather between each two.
type wire struct {
	net  string // the first three parts of every address
	tun  [ports]*os.File
	done sync.WaitGroup

	mu      sync.Mutex
	weather [ports][ports]weather
	way     [ports][ports]chan packet
}

type packet struct {
	due   time.Time
	bytes []byte
}

// newWire makes the switch and puts a device for node n into the namespaces of process holders[n-1].
func newWire(t *testing.T, holders []int) *wire {
	t.Helper()
	w := &wire{net: freeNet(t)}
	for port := range ports {
		name := fmt.Sprintf("gst%x%d", os.Getpid(), port)
		w.tun[port] = openTUN(t, name)
		if port == clients {
			w.address(t, nil, name, 254)
			continue
		}
		holder := holders[port-1]
		run(t, "ip", "link", "set", name, "netns", strconv.Itoa(holder))
		w.address(t, []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", holder)}, name, port)
	}
	w.forward()
	t.Cleanup(w.close)
	return w
}

func (w *wire) address(t *testing.T, within []string, name string, host int) {
	t.Helper()
	ip := func(args ...string) {
		args = append(append([]string{}, append(within, "ip")...), args...)
		run(t, args[0], args[1:]...)
	}
	ip("addr", "add", fmt.Sprintf("%s.%d/24", w.net, host), "dev", name)
	ip("link", "set", name, "mtu", strconv.Itoa(packetBytes), "up")
	if within != nil {
		ip("link", "set", "lo", "up")
	}
}

// freeNet draws a network that this machine does not know, from those that are set apart for tests between devices.
func freeNet(t *testing.T) string {
	t.Helper()
	for range 50 {
		prefix := fmt.Sprintf("198.%d.%d", 18+rand.IntN(2), rand.IntN(256))
		_, n, _ := net.ParseCIDR(prefix + ".0/24")
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		used := false
		for _, a := range addrs {
			if have, ok := a.(*net.IPNet); ok && (n.Contains(have.IP) || have.Contains(n.IP)) {
				used = true
			}
		}
		if !used {
			return prefix
		}
	}
	t.Skip("SKIPPED: no network of 198.18.0.0/15 is free here")
	return ""
}

// openTUN makes a device that is gone when its file is closed.
func openTUN(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		t.Fatalf("make %s: %v", name, err)
	}
	return os.NewFile(uintptr(fd), name)
}

func (w *wire) forward() {
	for from := range ports {
		for to := range ports {
			w.way[from][to] = make(chan packet, queued)
			w.done.Go(func() { w.carry(w.way[from][to], w.tun[to]) })
		}
	}
	for from := range ports {
		w.done.Go(func() { w.listen(from) })
	}
}

// listen takes what comes from one port and decides what becomes of it.
func (w *wire) listen(from int) {
	defer func() {
		for to := range ports {
			close(w.way[from][to])
		}
	}()
	buffer := make([]byte, packetBytes)
	for {
		n, err := w.tun[from].Read(buffer)
		if err != nil {
			return
		}
		if to, ok := w.port(buffer[:n]); ok {
			w.send(from, to, buffer[:n])
		}
	}
}

// port is where an IPv4 packet goes.
func (w *wire) port(b []byte) (int, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return 0, false
	}
	switch host := int(b[19]); {
	case host == 254:
		return clients, true
	case host > 0 && host < ports:
		return host, true
	}
	return 0, false
}

func (w *wire) send(from, to int, b []byte) {
	w.mu.Lock()
	is := w.weather[from][to]
	w.mu.Unlock()
	if is.cut || is.loss > 0 && rand.Float64() < is.loss {
		return
	}
	p := packet{bytes: append([]byte(nil), b...)}
	if is.delay > 0 || is.jitter > 0 {
		p.due = time.Now().Add(is.delay + time.Duration(rand.Int64N(int64(is.jitter)+1)))
	}
	select {
	case w.way[from][to] <- p:
	default: // lost
	}
}

// carry keeps the order of the packets of one way.
func (w *wire) carry(way <-chan packet, to *os.File) {
	for p := range way {
		if !p.due.IsZero() {
			<-time.After(time.Until(p.due))
		}
		_, _ = to.Write(p.bytes) // a device that is down loses it
	}
}

func (w *wire) close() {
	for _, f := range w.tun {
		_ = f.Close()
	}
	w.done.Wait()
}

// set gives the way from one port to another its weather.
func (w *wire) set(from, to int, is weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather[from][to] = is
}

// around sets the weather between a node and the other nodes; clients still reach it unless they are named too.
func (w *wire) around(node int, out, in weather, withClients bool) {
	for other := range ports {
		if other == node || other == clients && !withClients {
			continue
		}
		w.set(node, other, out)
		w.set(other, node, in)
	}
}

// calm ends all weather.
func (w *wire) calm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = [ports][ports]weather{}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
