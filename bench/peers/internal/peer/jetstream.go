package peer

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// jetStream publishes events into one stream of messages in files. Each caller has a subject of its own: with 100,000 subjects, as
// many as the others have streams, it is slower by up to a third.
type jetStream struct {
	server *process.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	n      int
}

const natsStream = "events"

func openJetStream(ctx context.Context, s Setup) (Peer, error) { return openNATS(ctx, s, "") }

func openJetStreamAlways(ctx context.Context, s Setup) (Peer, error) {
	return openNATS(ctx, s, "sync_interval: always")
}

func openNATS(ctx context.Context, s Setup, sync string) (Peer, error) {
	addr, err := local()
	if err != nil {
		return nil, err
	}
	config, err := writeFile(s.Dir, "nats.conf", fmt.Sprintf("listen: %q\njetstream {\n  store_dir: %q\n  %s\n}\n", addr, filepath.Join(s.Dir, "jetstream"), sync))
	if err != nil {
		return nil, err
	}
	server, err := process.Start(process.Spec{Path: filepath.Join(s.Tools, "natsserver"), Args: []string{config}, Dir: s.Dir})
	if err != nil {
		return nil, err
	}
	j := &jetStream{server: server, n: s.Callers}
	if err := answer(ctx, server, func(ctx context.Context) error { return j.connect(ctx, "nats://"+addr) }); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (j *jetStream) connect(ctx context.Context, url string) (err error) {
	if j.conn == nil {
		if j.conn, err = nats.Connect(url); err != nil {
			j.conn = nil
			return err
		}
	}
	if j.js, err = jetstream.New(j.conn); err != nil {
		return err
	}
	_, err = j.js.CreateStream(ctx, jetstream.StreamConfig{Name: natsStream, Subjects: []string{natsStream + ".>"}, Storage: jetstream.FileStorage})
	return err
}

// Callers publish and wait for the acknowledgement of their own message before the next one. Of the client's two calls and of one,
// 4 and 16 connections, the asynchronous call with a wait on one connection was the fastest, so it is the one that is measured.
func (j *jetStream) Callers() []load.Caller {
	callers := make([]load.Caller, j.n)
	data := payloads()
	for i := range callers {
		n := 0
		subject := fmt.Sprintf("%s.%04d", natsStream, i)
		callers[i] = func(ctx context.Context) error {
			n++
			future, err := j.js.PublishAsync(subject, data[n%len(data)])
			if err != nil {
				return err
			}
			return acknowledged(ctx, future)
		}
	}
	return callers
}

func acknowledged(ctx context.Context, f jetstream.PubAckFuture) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *jetStream) Kept(ctx context.Context) (uint64, error) {
	s, err := j.js.Stream(ctx, natsStream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Msgs, nil
}

func (j *jetStream) Pids() []int { return []int{j.server.Pid()} }

func (j *jetStream) Close() {
	if j.conn != nil {
		j.conn.Close()
	}
	j.server.Stop()
}
