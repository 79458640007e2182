package node

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/gesta-db/gesta/internal/errs"
)

// Run is a server as a process: it starts a node and serves until ctx ends or the process gets SIGTERM or an interrupt, then
// drains; a second signal stops at once. It tunes the Go runtime's memory for a server. It returns nil after a stop that was
// asked for and drained.
func Run(ctx context.Context, c Config, with ...Option) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	return run(ctx, signals, c, with...)
}

func run(ctx context.Context, signals <-chan os.Signal, c Config, with ...Option) error {
	c.TuneMemory()
	n, err := startUntil(ctx, signals, c, with...)
	if err != nil {
		return err
	}
	select {
	case err = <-n.Failed():
	case <-signals:
	case <-ctx.Done():
	}
	return errors.Join(err, n.closeUntil(signals))
}

// startUntil starts a node and gives up at a signal.
func startUntil(ctx context.Context, signals <-chan os.Signal, c Config, with ...Option) (*Node, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case <-signals:
			cancel(errStopped)
		case <-started:
		}
	}()
	n, err := Start(ctx, c, with...)
	if err != nil && context.Cause(ctx) == errStopped {
		return nil, errStopped
	}
	return n, err
}

var errStopped = errs.New(errs.Unavailable, "stopped before the node was ready")

// closeUntil drains and closes; a signal cuts the drain short.
func (n *Node) closeUntil(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	closed := make(chan struct{})
	defer close(closed)
	go func() {
		select {
		case <-signals:
			n.log.Warn("stopping at once")
			cancel()
		case <-closed:
		}
	}()
	return n.Close(ctx)
}
