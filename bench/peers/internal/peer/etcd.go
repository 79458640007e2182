package peer

import (
	"context"
	"fmt"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// etcd puts each event under a key of its own. More clients than one made it no faster.
type etcd struct {
	server *process.Server
	client *clientv3.Client
	n      int
}

const etcdPrefix = "events/"

func openEtcd(ctx context.Context, s Setup) (Peer, error) {
	client, err := local()
	if err != nil {
		return nil, err
	}
	peers, err := local()
	if err != nil {
		return nil, err
	}
	server, err := process.Start(process.Spec{Path: filepath.Join(s.Tools, "etcdserver"), Dir: s.Dir, Args: []string{
		"--name=one", "--data-dir=" + filepath.Join(s.Dir, "etcd"), "--log-level=error", "--quota-backend-bytes=8589934592",
		"--listen-client-urls=http://" + client, "--advertise-client-urls=http://" + client,
		"--listen-peer-urls=http://" + peers, "--initial-advertise-peer-urls=http://" + peers, "--initial-cluster=one=http://" + peers,
	}})
	if err != nil {
		return nil, err
	}
	e := &etcd{server: server, n: s.Callers}
	if e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{client}, Logger: zap.NewNop()}); err != nil {
		server.Stop()
		return nil, err
	}
	err = answer(ctx, server, func(ctx context.Context) error { _, err := e.client.Get(ctx, etcdPrefix); return err })
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *etcd) Callers() []load.Caller {
	callers := make([]load.Caller, e.n)
	data := payloads()
	for i := range callers {
		n := 0
		callers[i] = func(ctx context.Context) error {
			n++
			_, err := e.client.Put(ctx, fmt.Sprintf("%s%04d/%09d", etcdPrefix, i, n), string(data[n%len(data)]))
			return err
		}
	}
	return callers
}

func (e *etcd) Kept(ctx context.Context) (uint64, error) {
	r, err := e.client.Get(ctx, etcdPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return uint64(r.Count), nil
}

func (e *etcd) Pid() int { return e.server.Pid() }

func (e *etcd) Close() {
	if e.client != nil {
		e.client.Close()
	}
	e.server.Stop()
}
