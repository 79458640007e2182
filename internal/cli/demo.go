package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/demo"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/node"
)

type demoCmd struct {
	Exit bool `help:"End after the check; without it, and on a terminal, the server stays to be tried."`
}

// Help is the long form of gesta demo --help.
func (demoCmd) Help() string {
	return `Runs a server on a temporary folder, on the usual ports if they are free, imports the history of a public repository (10,246
events, one stream for each of 763 files), folds every stream, and checks the result against what git says. The exit code is 1
if one stream differs. Then it attaches a handler, sends 4,000 commands to entities, and shows the state of one, now and then. The folder is removed at the end.`
}

const demoTopic = "files"

// demoShow is one run of the demo.
type demoShow struct {
	*app
	server *client.Client
	addr   string
	files  map[string]demo.File
	detach func() // ends the handler of the second act; nil before it
}

func (c *demoCmd) Run(a *app) error {
	folder, err := os.MkdirTemp("", "gesta-demo-")
	if err != nil {
		return errs.New(errs.NoSpace, "no folder for the demo: %w", err)
	}
	defer os.RemoveAll(folder)
	d := &demoShow{app: a}
	d.title("Gesta: the history of a public repository, %s events in %d streams, one for each file", thousands(demo.Events), demo.Streams)
	running, err := startDemoNode(a, folder)
	if err != nil {
		return err
	}
	defer running.Close(context.Background()) // its folder goes with it
	d.addr = running.Addr()
	d.step("A server on a fresh folder", "%s, data in %s", d.addr, folder)
	if d.server, err = a.connect(remote{Addr: []string{d.addr}, Timeout: demoTimeout}); err != nil {
		return err
	}
	defer d.server.Close()
	defer d.leave()
	if err := d.tell(); err != nil {
		return err
	}
	if c.Exit || !a.OutTerminal {
		return nil
	}
	d.stay()
	select {
	case <-a.ctx.Done():
		return nil // the usual end
	case err := <-running.Failed():
		return err
	}
}

// startDemoNode runs a server with the usual settings; of its log only what is wrong is shown.
func startDemoNode(a *app, folder string) (*node.Node, error) {
	c := node.DefaultConfig()
	c.Data, c.GRPC, c.HTTP, c.LogLevel = folder, usualPort(c.GRPC), usualPort(c.HTTP), "warn"
	c.TuneMemory()
	return node.Start(a.ctx, c, node.WithVersion(a.Version), node.WithLogger(c.NewLogger(a.Err)))
}

// demoTimeout is longer than usual: the first machine somebody tries this on may be a slow one.
const demoTimeout = 60 * time.Second

// usualPort gives the usual address when it is free, else one that lets the system choose.
func usualPort(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		host, _, _ := net.SplitHostPort(addr) // a constant of ours
		return net.JoinHostPort(host, "0")
	}
	l.Close()
	return addr
}

// tell goes through the chapters; it stops at the first that fails.
func (d *demoShow) tell() error {
	for _, chapter := range []func() error{d.load, d.fold, d.askThePast, d.check, d.attach, d.command} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

// leave ends the handler, if there is one.
func (d *demoShow) leave() {
	if d.detach != nil {
		d.detach()
	}
}

func (d *demoShow) load() error {
	history, size := demo.History()
	from, err := newSource("the history", history, size)
	if err != nil {
		return err
	}
	key, err := parseKeyFrom("subject")
	if err != nil {
		return err
	}
	m := &importer{app: d.app, server: d.server, source: from, topic: demoTopic, key: key, silent: true}
	total, err := m.run()
	if err != nil {
		return err
	}
	if total.New != demo.Events {
		return errs.New(errs.Internal, "%d events were recorded, not %d", total.New, demo.Events)
	}
	elapsed := time.Duration(total.Seconds * float64(time.Second))
	d.step("Import", "%s events in %s, %s, each on disk before it was acknowledged", thousands(uint64(total.New)), secondsText(elapsed), rate(total.New, elapsed))
	return nil
}

// fold reads every stream on its own, as an application would load an entity.
func (d *demoShow) fold() error {
	started := time.Now()
	keys, err := d.streams()
	if err != nil {
		return err
	}
	if d.files, err = d.foldAll(keys); err != nil {
		return err
	}
	var lines, exist int64
	for _, f := range d.files {
		if f.Exists {
			exist, lines = exist+1, lines+f.Lines
		}
	}
	d.step("Fold", "%d streams in %s: %d files exist, with %s lines", len(d.files), secondsText(time.Since(started)), exist, thousands(uint64(lines)))
	return d.busiest()
}

func (d *demoShow) streams() ([]string, error) {
	var keys []string
	for s, err := range d.server.Streams(d.ctx, demoTopic, "") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, s.Key)
	}
	return keys, nil
}

// readers is how many streams are read at a time.
const readers = 16

func (d *demoShow) foldAll(keys []string) (map[string]demo.File, error) {
	p := startProgress(d.World, "folding  ", "streams")
	defer p.finish()
	ctx, cancel := context.WithCancelCause(d.ctx)
	defer cancel(nil)
	work := make(chan string)
	files := make(map[string]demo.File, len(keys))
	var mu sync.Mutex
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for key := range work {
				file, _, err := d.foldStream(ctx, key, 0)
				if err != nil {
					cancel(err)
				}
				mu.Lock()
				files[key] = file
				p.set(int64(len(files)), shareOf(int64(len(files)), uint64(len(keys))))
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	all.Wait()
	return files, context.Cause(ctx)
}

// foldStream folds a stream's first events, all of them when limit is 0, and gives the newest one's time.
func (d *demoShow) foldStream(ctx context.Context, key string, limit uint64) (demo.File, time.Time, error) {
	reader := d.server.Read(ctx, client.StreamScope(demoTopic, key), client.ReadOptions{Limit: limit})
	defer reader.Close()
	var file demo.File
	var at time.Time
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return file, at, nil
		}
		if err != nil {
			return file, at, err
		}
		if file, err = file.Fold(e.Type, e.Data); err != nil {
			return file, at, err
		}
		at = e.Time
	}
}

func (d *demoShow) busiest() error {
	paths := demo.Busiest(d.files, 5)
	most := d.files[paths[0]].Changes
	t := newTable(d.Out, d.screenWidth(), column{title: "    busiest files", min: 12}, column{title: "changes", right: true}, column{}, column{title: "lines", right: true})
	for _, path := range paths {
		f := d.files[path]
		err := t.row("    "+path, thousands(uint64(f.Changes)), strings.TrimRight(bar(float64(f.Changes)/float64(most), 20), "░"), thousands(uint64(f.Lines)))
		if err != nil {
			return err
		}
	}
	return t.flush()
}

func (d *demoShow) screenWidth() int {
	if d.OutTerminal {
		return d.Width
	}
	return 0
}

// pastRevision is where the question about the past stands.
const pastRevision = 100

// askThePast takes the busiest file whose name says code: what was it then, and what is it now?
func (d *demoShow) askThePast() error {
	path := "store/store.go"
	then, at, err := d.foldStream(d.ctx, path, pastRevision)
	if err != nil {
		return err
	}
	now := d.files[path]
	if then.Changes != pastRevision {
		return errs.New(errs.Internal, "%s has %d events, not at least %d", path, then.Changes, pastRevision)
	}
	d.step("Ask the past", "%s at revision %d, %s: %s lines; now, at revision %d: %s lines", path, pastRevision,
		at.Format(time.DateOnly), thousands(uint64(then.Lines)), now.Changes, thousands(uint64(now.Lines)))
	return nil
}

func (d *demoShow) check() error {
	want, err := demo.Expected()
	if err != nil {
		return err
	}
	found := demo.Compare(d.files, want)
	if len(found) == 0 {
		d.step("Check", "all %d streams fold to exactly what git says", len(want))
		return nil
	}
	for _, f := range found {
		d.note("differs: %s", f)
	}
	return errs.New(errs.Internal, "%s of %d differ from what git says", count(uint64(len(found)), "stream"), len(want))
}

// stay shows what to do with a server that is full of history.
func (d *demoShow) stay() {
	addr := ""
	if d.addr != client.DefaultAddr {
		addr = " --addr " + d.addr
	}
	d.title("\nThe server stays. Try, in another terminal:")
	d.say("  gesta read %s/store/store.go --tail 5%s", demoTopic, addr)
	d.say("  gesta streams list %s --prefix http/%s", demoTopic, addr)
	d.say(`  gesta append %s/README.md FileChanged '{"added":1,"removed":0}' --expect %d%s`, demoTopic, d.files["README.md"].Changes, addr)
	d.say(`  gesta send account/a-1 Change '{"Amount":5}' --state%s`, addr)
	d.say("  gesta state account/a-1 --at 10%s", addr)
	d.say("\nCtrl-C ends it and removes its folder.")
}

func (d *demoShow) title(format string, values ...any) {
	d.say("%s", d.bold(fmt.Sprintf(format, values...)))
}

func (d *demoShow) step(name, format string, values ...any) {
	d.say("  %s  %s", d.bold(pad(name, 26, false)), fmt.Sprintf(format, values...))
}

func (d *demoShow) say(format string, values ...any) {
	fmt.Fprintf(d.Out, format+"\n", values...)
}

func (d *demoShow) bold(s string) string {
	if d.Plain || !d.OutTerminal {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}
