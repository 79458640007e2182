// Package peer starts the databases that Gesta is measured beside, gives callers that append to them through their own Go
// clients, and counts afterwards what they kept. Where a choice had to be made it was made in the peer's favour: no condition, no
// id for recognising repeats, buffers larger than the defaults.
package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// Kind is a peer in one configuration.
type Kind struct {
	Name       string // short, for the figures
	Title      string // for people
	Durability string // what an acknowledgement promises
	Syncs      bool   // before the acknowledgement
	Open       func(ctx context.Context, s Setup) (Peer, error)
}

// Setup is what a peer is started with.
type Setup struct {
	Tools   string // folder of the servers that were built
	Dir     string // empty folder for its data
	Callers int
}

// Peer is a server under way with clients.
type Peer interface {
	// Callers gives one caller per goroutine; each appends an event of 256 bytes under keys of its own.
	Callers() []load.Caller
	// Kept counts the events in the server.
	Kept(ctx context.Context) (uint64, error)
	// Pids are the process ids of its servers.
	Pids() []int
	// Close ends the clients and the server.
	Close()
}

// Kinds are all peers, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{
		{Name: "etcd", Title: "etcd", Durability: "fdatasync before the ack, group commit", Syncs: true, Open: openEtcd},
		{Name: "jetstream-always", Title: "JetStream, sync_interval: always", Durability: "fsync before the ack", Syncs: true, Open: openJetStreamAlways},
		{Name: "postgres", Title: "PostgreSQL", Durability: "fsync of the WAL before the ack, group commit", Syncs: true, Open: openPostgres},
		{Name: "jetstream", Title: "JetStream, default", Durability: "page cache only: no fsync before the ack", Open: openJetStream},
	}
}

// EventBytes is the size of an event's payload.
const EventBytes = 256

// payloads gives events that cannot be compressed and are not all the same.
func payloads() [][]byte {
	all := make([][]byte, 64)
	for i := range all {
		all[i] = make([]byte, EventBytes)
		for j := range all[i] {
			all[i][j] = byte(rand.Uint32())
		}
	}
	return all
}

// streams is how many streams the events go to, where the peer has such a thing.
const streams = 100_000

// startTime is how long a server may take until it answers.
const startTime = 30 * time.Second

// answer asks until the server answers, has ended, or took too long.
func answer(ctx context.Context, s *process.Server, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.Ended():
			return s.Failure()
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// local is an address of loopback that nobody listens on.
func local() (string, error) {
	port, err := process.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

func writeFile(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
