package cli

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/demo"
	"github.com/gesta-db/gesta/internal/errs"
)

// The demo's second act: so many callers send so many commands each to so many accounts.
const (
	demoCallers  = 16
	demoCommands = 250
	demoAccounts = 4
)

// attach lets this process decide about accounts until the demo ends.
func (d *demoShow) attach() error {
	ctx, stop := context.WithCancel(context.Background())
	attached, served := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		served <- d.server.Serve(ctx, client.Service{Name: "demo", Kinds: []client.Kind{demo.Accounts}, OnAttach: func(string) {
			select {
			case attached <- struct{}{}:
			default: // once more
			}
		}})
	}()
	d.detach = func() {
		stop()
		<-served
	}
	select {
	case <-attached:
	case err := <-served:
		served <- nil
		return err
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
	d.step("Attach a handler", "two functions in Go, decide and fold, for the kind %s", demo.Accounts.Kind)
	return nil
}

// tally is what came of commands.
type tally struct {
	mu                sync.Mutex
	accepted, refused int
	err               error
}

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.accepted++
	case client.RejectionOf(err) != nil:
		t.refused++
	default:
		t.err = err
	}
}

// command sends commands from many callers at once: an account decides one after another.
func (d *demoShow) command() error {
	started := time.Now()
	var came tally
	var all sync.WaitGroup
	for caller := range demoCallers {
		all.Go(func() {
			for n := range demoCommands {
				key := "a-" + strconv.Itoa((caller+n)%demoAccounts)
				amount := int64((caller*7+n*13)%41 - 20)
				_, err := demo.Accounts.Send(d.ctx, d.server, key, demo.Change{Amount: amount}, "")
				came.add(err)
			}
		})
	}
	all.Wait()
	if came.err != nil {
		return came.err
	}
	elapsed := time.Since(started)
	d.step("Send commands", "%s in %s, %s: %s accepted, %s refused", thousands(demoCallers*demoCommands), secondsText(elapsed),
		rate(demoCallers*demoCommands, elapsed), thousands(uint64(came.accepted)), thousands(uint64(came.refused)))
	return d.balance(came.accepted)
}

// balance holds the accounts, now and then, against their events.
func (d *demoShow) balance(accepted int) error {
	events := 0
	for i := range demoAccounts {
		_, revision, err := demo.Accounts.State(d.ctx, d.server, "a-"+strconv.Itoa(i))
		if err != nil {
			return err
		}
		events += int(revision)
	}
	if events != accepted {
		return errs.New(errs.Internal, "the accounts have %d events, and %d commands were accepted", events, accepted)
	}
	now, last, err := demo.Accounts.State(d.ctx, d.server, "a-1")
	if err != nil {
		return err
	}
	then, _, err := demo.Accounts.State(d.ctx, d.server, "a-1", client.AtRevision(last/2))
	if err != nil {
		return err
	}
	d.step("The state, now and then", "account a-1 holds %d at revision %d, and held %d at revision %d", now.Balance, last, then.Balance, last/2)
	return nil
}
