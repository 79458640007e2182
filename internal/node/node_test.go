package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/vfs"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func testConfig(t *testing.T, dir string) Config {
	t.Helper()
	c := DefaultConfig()
	c.Data, c.GRPC, c.HTTP, c.DrainTimeout = dir, "127.0.0.1:0", "127.0.0.1:0", patience
	// Small segments are zero-filled quickly.
	c.Limits.SegmentBytes, c.Limits.CommitEvents = 4<<20, 64
	c.Limits.CommitBytes, c.Limits.EventBytes, c.Limits.StateBytes, c.Limits.EntryBytes = 128<<10, 64<<10, 64<<10, 128<<10
	return c
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, c Config, with ...Option) *Node {
	t.Helper()
	n, err := Start(within(t), c, with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func dial(t *testing.T, n *Node) gestav1.LogClient {
	t.Helper()
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return gestav1.NewLogClient(conn)
}

func put(t *testing.T, log gestav1.LogClient, topic, key string) *gestav1.AppendResponse {
	t.Helper()
	r, err := log.Append(within(t), &gestav1.AppendRequest{Streams: []*gestav1.StreamAppend{{Topic: topic, Key: key, Events: []*gestav1.Event{{Type: "Happened"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, n *Node, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + n.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// The real shard and topics keep what the gateway relies on.
func TestContracts(t *testing.T) {
	n := start(t, testConfig(t, t.TempDir()))
	gatewaytest.TopicsContract(t, topicsDoor{n.engine.host.Meta()})
	gatewaytest.ShardContract(t, n.shardDoor(1))
}

func TestWhatWasAppendedIsThereAfterARestart(t *testing.T) {
	c := testConfig(t, filepath.Join(t.TempDir(), "data"))
	first, err := Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	log := dial(t, first)
	if r := put(t, log, "orders", "1"); len(r.GetCreatedTopics()) != 1 || r.GetStreams()[0].GetFirstOffset() != 1 {
		t.Fatal(r)
	}
	closeNode(t, first)
	second := start(t, c)
	if second.ID() != first.ID() {
		t.Fatalf("%s became %s", first.ID(), second.ID())
	}
	log = dial(t, second)
	if r := put(t, log, "orders", "1"); len(r.GetCreatedTopics()) != 0 || r.GetStreams()[0].GetFirstRevision() != 2 || r.GetStreams()[0].GetFirstOffset() != 2 {
		t.Fatal(r)
	}
}

func TestReadyVersionAndMetrics(t *testing.T) {
	n := start(t, testConfig(t, t.TempDir()), WithVersion("v9.9"))
	put(t, dial(t, n), "orders", "1")
	if status, body := get(t, n, "/ready"); status != 200 {
		t.Fatal(status, body)
	}
	status, body := get(t, n, "/version")
	var v map[string]string
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 || v["version"] != "v9.9" || v["node_id"] != n.ID() {
		t.Fatal(status, body, err)
	}
	_, body = get(t, n, "/metrics")
	for _, line := range []string{
		`gesta_appends_total{code="ok"} 1`, `gesta_appends_total{code="conflict"} 0`, "gesta_append_events_total 1", "gesta_append_seconds_count 1",
		`gesta_shard_leader{shard="1"} 1`, `gesta_shard_last_offset{shard="1"} 1`, `gesta_shard_index_lag_entries{shard="1"} 0`, "gesta_topics 1",
		"gesta_ready 1", "gesta_grpc_connections 1", "gesta_log_write_seconds_count", "go_goroutines", "process_resident_memory_bytes", "gesta_disk_free_bytes",
	} {
		if !strings.Contains(body, line) {
			t.Errorf("/metrics has no %q", line)
		}
	}
}

func TestRefusedStartsLeaveNothingBehind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*Config)
		code   errs.Code
		says   string
	}{
		"port in use":     {func(c *Config) { c.GRPC = taken.Addr().String() }, errs.Unavailable, "--grpc"},
		"http in use":     {func(c *Config) { c.HTTP = taken.Addr().String() }, errs.Unavailable, "--http"},
		"not our address": {func(c *Config) { c.GRPC, c.Insecure = "192.0.2.1:1", true }, errs.Invalid, "--grpc"},
		"bad setting":     {func(c *Config) { c.LogLevel = "loud" }, errs.Invalid, "log.level"},
		"public":          {func(c *Config) { c.GRPC = "0.0.0.0:7070" }, errs.Invalid, "--insecure"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := testConfig(t, filepath.Join(t.TempDir(), "data"))
			c.change(&conf)
			_, err := Start(within(t), conf)
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %s with %s", errs.CodeOf(err), err, c.code, c.says)
			}
			if _, err := os.Stat(conf.Data); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder was made: %v", err)
			}
		})
	}
}

func TestAFolderInUse(t *testing.T) {
	c := testConfig(t, t.TempDir())
	start(t, c)
	_, err := Start(within(t), c)
	if errs.CodeOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatal(err)
	}
}

func TestDrainEndsFollowersAndKeepsReadyHonest(t *testing.T) {
	c := testConfig(t, t.TempDir())
	n, err := Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	log := dial(t, n)
	put(t, log, "orders", "1")
	s, err := log.Read(within(t), &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Topic{Topic: "orders"}, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for live := false; !live; {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		live = r.GetLive()
	}
	closeNode(t, n)
	if _, err := s.Recv(); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Fatal(err)
	}
	if ready, checks := n.gate.Ready(); ready || checks[3].OK {
		t.Fatal(checks)
	}
}

// fullDisk tells how much is free as it is told.
type fullDisk struct {
	vfs.FS
	free uint64
	err  error
}

func (d *fullDisk) Free(string) (uint64, error) { return d.free, d.err }

func TestBelowTheDiskFloorAppendsAreRefusedUntilThereIsSpace(t *testing.T) {
	disk := &fullDisk{FS: vfs.OS(), free: 1 << 40}
	var out strings.Builder
	n := start(t, testConfig(t, t.TempDir()))
	w := &diskWatch{fs: disk, dir: n.config.Data, floor: 256 << 20, gate: n.gate, log: slog.New(slog.NewTextHandler(&out, nil))}
	n.stopWatch() // from here the test looks
	log := dial(t, n)
	put(t, log, "orders", "1")
	expect := func(free uint64, err error, refused bool) {
		t.Helper()
		disk.free, disk.err = free, err
		w.look()
		_, failed := log.Append(within(t), &gestav1.AppendRequest{Streams: []*gestav1.StreamAppend{{Topic: "orders", Events: []*gestav1.Event{{Type: "T"}}}}})
		if (failed != nil) != refused || refused && !strings.Contains(failed.Error(), "disk_floor") {
			t.Fatalf("with %d free: %v", free, failed)
		}
		if ready, _ := n.gate.Ready(); ready == refused {
			t.Fatalf("with %d free ready is %v", free, ready)
		}
	}
	expect(255<<20, nil, true)
	expect(257<<20, nil, true) // not yet: it would waver
	expect(280<<20, nil, false)
	expect(0, errors.New("no such volume"), false) // what cannot be told refuses nothing
	if !strings.Contains(out.String(), "nearly full") || !strings.Contains(out.String(), "disk space again") {
		t.Fatal(out.String())
	}
}

func TestRunDrainsAtASignal(t *testing.T) {
	c := testConfig(t, t.TempDir())
	signals := make(chan os.Signal, 2)
	var out strings.Builder
	signals <- syscall.SIGTERM
	// The signal is there from the start: either it stops the start, or it drains what has begun.
	err := run(within(t), signals, c, WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	if err != nil && !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	// And the folder is free again.
	start(t, c)
}

func TestRunStopsAtOnceAtASecondSignal(t *testing.T) {
	c := testConfig(t, t.TempDir())
	ctx, cancel := context.WithCancel(within(t))
	signals := make(chan os.Signal, 1)
	ready := make(chan struct{})
	result := make(chan error, 1)
	go func() { result <- run(ctx, signals, c, WithLogger(slog.New(onReady{ready}))) }()
	select {
	case <-ready:
	case err := <-result:
		t.Fatal(err)
	}
	cancel()
	signals <- syscall.SIGTERM
	select {
	case err := <-result:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("still there")
	}
}

// onReady closes a channel when the node says that it is ready.
type onReady struct{ ready chan struct{} }

func (onReady) Enabled(context.Context, slog.Level) bool { return true }
func (h onReady) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h onReady) WithGroup(string) slog.Handler          { return h }
func (h onReady) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "ready" {
		close(h.ready)
	}
	return nil
}

func TestTLSOnBothListeners(t *testing.T) {
	c := testConfig(t, t.TempDir())
	c.TLSCert, c.TLSKey = certificate(t)
	n := start(t, c)
	text, err := os.ReadFile(c.TLSCert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	put(t, gestav1.NewLogClient(conn), "orders", "1")
	secure := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer secure.CloseIdleConnections()
	resp, err := secure.Get("https://" + n.HTTPAddr() + "/ready")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
}

func TestListeningToEverybodyIsSaid(t *testing.T) {
	var out strings.Builder
	c := testConfig(t, t.TempDir())
	c.GRPC, c.Insecure = "0.0.0.0:0", true
	start(t, c, WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	for _, want := range []string{"without TLS", "new data folder", "settings", "insecure=true"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
}

func TestStartingIsNotReady(t *testing.T) {
	if ready, checks := newReadiness().Ready(); ready || len(checks) != 1 || checks[0].Reason == "" {
		t.Fatal(ready, checks)
	}
	r := newReadiness()
	r.from(gateway.New(gateway.Options{Shards: gatewaytest.NewShards(), Topics: gatewaytest.NewTopics()}))
	if ready, checks := r.Ready(); !ready {
		t.Fatal(fmt.Sprint(checks))
	}
}
