package bench

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// verify reads the topic from where it was before the run, and counts each acknowledged event.
func (r *appendRun) verify(ctx context.Context, from string, res *AppendResult) error {
	began := time.Now()
	seen := make([]bitmap, len(r.workers))
	var read atomic.Uint64
	stop := r.cfg.watch(Verifying, r.total.Load(), read.Load)
	defer stop()
	rd := r.client.Read(ctx, client.TopicScope(r.cfg.Topic), client.ReadOptions{From: "pos:" + from, KeyPrefix: r.naming.prefix()})
	defer rd.Close()
	for {
		e, err := rd.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		read.Add(1)
		worker, seq, ok := r.naming.read(e.ID)
		if !ok || worker >= len(seen) {
			continue
		}
		if seen[worker].has(seq) {
			res.Duplicates++
			continue
		}
		seen[worker].set(seq, 1)
		if r.workers[worker].acked.has(seq) {
			res.Found++
		}
	}
	res.VerifySeconds = time.Since(began).Seconds()
	res.Verified = res.Found == res.Acknowledged && res.Duplicates == 0
	return nil
}
