package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/fleet"
)

type devCmd struct {
	Nodes int    `default:"3" placeholder:"N" help:"How many nodes (default 3)."`
	Data  string `default:"gesta-dev" placeholder:"DIR" help:"The folder below which each node has its own (default gesta-dev). Started again on it, the cluster is the same."`
	GRPC  string `name:"grpc" env:"GESTA_DEV_GRPC" default:"127.0.0.1:7070" placeholder:"HOST:PORT" help:"Where the first node listens for gRPC; the others take the next ports (default 127.0.0.1:7070)."`
	HTTP  string `name:"http" env:"GESTA_DEV_HTTP" default:"127.0.0.1:7080" placeholder:"HOST:PORT" help:"The same for HTTP (default 127.0.0.1:7080)."`
	Peer  string `env:"GESTA_DEV_PEER" default:"127.0.0.1:7090" placeholder:"HOST:PORT" help:"The same for the nodes among themselves (default 127.0.0.1:7090)."`
	Quiet bool   `short:"q" help:"Show only what goes wrong of the nodes' logs."`
}

// Help is the long form of gesta dev --help.
func (devCmd) Help() string {
	return `Runs the nodes of a cluster in one terminal, each a process of its own. Type what shall happen to them:

kill N ends node N at once, as a crash does; stop N lets it drain; start N starts it again; status tells how all are; quit, or
Ctrl-C, stops them. Without a terminal the commands come from standard input; when that is empty, the cluster runs until a signal.`
}

// readyPatience is how long nodes may take to be ready: a folder that was not closed well is read first.
const readyPatience = time.Minute

// devShow is one run of gesta dev.
type devShow struct {
	*app
	fleet *fleet.Fleet
	mu    sync.Mutex // held for each line
}

func (c *devCmd) Run(a *app) error {
	if c.Nodes < 1 {
		return errs.New(errs.Invalid, "--nodes %d is not above zero", c.Nodes).With("field", "nodes")
	}
	d := &devShow{app: a}
	var args []string
	if c.Quiet {
		args = []string{"--log-level", "warn"}
	}
	var err error
	d.fleet, err = fleet.New(fleet.Options{
		Program: a.Program, Args: args, Dir: c.Data, Nodes: c.Nodes, GRPC: c.GRPC, HTTP: c.HTTP, Peer: c.Peer,
		Log:   func(node string) io.Writer { return &prefixed{show: d, prefix: node + " | "} },
		Ended: func(node string, err error) { d.say("%s ended: %v", node, err) },
	})
	if err != nil {
		return errs.New(errs.Invalid, "%w", err)
	}
	defer d.fleet.Close()
	if err := d.startAll(c.Data); err != nil {
		return err
	}
	return d.obey()
}

// startAll starts every node and waits until all are ready.
func (d *devShow) startAll(dir string) error {
	nodes := d.fleet.Nodes()
	for _, n := range nodes {
		d.say("%s: gRPC %s, HTTP %s, data %s", n.ID, n.GRPC, n.HTTP, filepath.Join(dir, n.ID))
	}
	ctx, cancel := context.WithTimeout(d.ctx, readyPatience)
	defer cancel()
	if err := d.fleet.StartAll(ctx); err != nil {
		return errs.New(errs.Unavailable, "%w", err)
	}
	d.say("%d nodes are ready: type kill N, stop N, start N, status or quit", len(nodes))
	return nil
}

// obey does what is typed, until quit, the end of what was piped in, or a signal.
func (d *devShow) obey() error {
	typed := make(chan string)
	go func() {
		defer close(typed)
		lines := bufio.NewScanner(d.In)
		for lines.Scan() {
			select {
			case typed <- lines.Text():
			case <-d.ctx.Done():
				return
			}
		}
	}()
	any := false
	for {
		select {
		case <-d.ctx.Done():
			return nil
		case line, more := <-typed:
			if !more && !any {
				typed = nil // nobody is there to type: a signal ends it
				continue
			}
			if any = true; !more || strings.TrimSpace(line) == "quit" {
				return nil
			}
			if err := d.do(strings.Fields(line)); err != nil {
				d.say("%v", err)
			}
		}
	}
}

func (d *devShow) do(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 1 && words[0] == "status":
		return d.status()
	case len(words) != 2:
		return fmt.Errorf("%q is not known: type kill N, stop N, start N, status or quit", strings.Join(words, " "))
	}
	n, err := d.fleet.Find(words[1])
	if err != nil {
		return err
	}
	switch words[0] {
	case "kill":
		if err = d.fleet.Kill(n); err == nil {
			d.say("%s was killed", n.ID)
		}
	case "stop":
		if err = d.fleet.Stop(n); err == nil {
			d.say("%s has stopped", n.ID)
		}
	case "start":
		err = d.start(n)
	default:
		err = fmt.Errorf("%q is not known: type kill N, stop N, start N, status or quit", words[0])
	}
	return err
}

func (d *devShow) start(n *fleet.Node) error {
	if err := d.fleet.Start(n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, readyPatience)
	defer cancel()
	if err := d.fleet.Ready(ctx, n); err != nil {
		return err
	}
	if err := d.fleet.Settled(ctx); err != nil {
		return err
	}
	d.say("%s is ready again", n.ID)
	return nil
}

// statusPatience is how long the nodes may take to tell how they are.
const statusPatience = 5 * time.Second

func (d *devShow) status() error {
	for _, n := range d.fleet.Nodes() {
		state := "does not run"
		if d.fleet.Running(n) {
			state = "runs"
		}
		d.say("%s %s, gRPC %s, HTTP %s", n.ID, state, n.GRPC, n.HTTP)
	}
	c := clusterStatusCmd{remote: remote{Addr: d.fleet.Addrs(), Timeout: statusPatience}, output: output{Output: "auto"}}
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.Run(d.app)
}

// say prints one line.
func (d *devShow) say(format string, values ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintln(d.Out, visibleLines(fmt.Sprintf(format, values...)))
}

// prefixed writes whole lines with a prefix: nodes write at the same time.
type prefixed struct {
	show   *devShow
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, whole := bytes.Cut(p.rest, []byte{'\n'})
		if !whole {
			return len(b), nil
		}
		p.show.mu.Lock()
		fmt.Fprintln(p.show.Err, p.prefix+visible(string(line)))
		p.show.mu.Unlock()
		p.rest = append(p.rest[:0:0], rest...)
	}
}
