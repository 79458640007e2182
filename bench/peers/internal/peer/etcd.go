package peer

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// etcd puts each event under a key of its own. More clients than one made it no faster.
type etcd struct {
	servers []*process.Server
	client  *clientv3.Client
	n       int
}

const etcdPrefix = "events/"

func openEtcd(ctx context.Context, s Setup) (Peer, error) { return openEtcds(ctx, s, 1) }

// OpenEtcdCluster starts three members.
func OpenEtcdCluster(ctx context.Context, s Setup) (Peer, error) { return openEtcds(ctx, s, 3) }

func openEtcds(ctx context.Context, s Setup, members int) (Peer, error) {
	e := &etcd{n: s.Callers}
	endpoints, err := e.start(s, members)
	if err == nil {
		e.client, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	}
	if err == nil {
		err = answer(ctx, e.servers[0], func(ctx context.Context) error { _, err := e.client.Get(ctx, etcdPrefix); return err })
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *etcd) start(s Setup, members int) (endpoints []string, err error) {
	clients, peers, cluster := make([]string, members), make([]string, members), make([]string, members)
	for i := range members {
		for _, addr := range []*string{&clients[i], &peers[i]} {
			if *addr, err = local(); err != nil {
				return nil, err
			}
			*addr = "http://" + *addr
		}
		cluster[i] = fmt.Sprintf("m%d=%s", i, peers[i])
	}
	for i := range members {
		name := fmt.Sprintf("m%d", i)
		server, err := process.Start(process.Spec{Path: filepath.Join(s.Tools, "etcdserver"), Dir: s.Dir, Args: []string{
			"--name=" + name, "--data-dir=" + filepath.Join(s.Dir, name), "--log-level=error", "--quota-backend-bytes=8589934592",
			"--listen-client-urls=" + clients[i], "--advertise-client-urls=" + clients[i],
			"--listen-peer-urls=" + peers[i], "--initial-advertise-peer-urls=" + peers[i], "--initial-cluster=" + strings.Join(cluster, ","),
		}})
		if err != nil {
			return nil, err
		}
		e.servers = append(e.servers, server)
	}
	return clients, nil
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

func (e *etcd) Pids() []int {
	var all []int
	for _, s := range e.servers {
		all = append(all, s.Pid())
	}
	return all
}

func (e *etcd) Close() {
	if e.client != nil {
		e.client.Close()
	}
	for _, s := range e.servers {
		s.Stop()
	}
}
