package bench

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// ReadConfig says what to read.
type ReadConfig struct {
	Target
	Shard uint32 // the shard to read whole [1]
	Limit uint64 // ends after so many events; 0: at the end
}

// ReadResult is what one reader came to.
type ReadResult struct {
	Seconds         float64 `json:"seconds"`
	Events          uint64  `json:"events"`
	EventsPerSecond float64 `json:"events_per_second"`
	MiBPerSecond    float64 `json:"mib_per_second"` // of payload
	FirstMs         float64 `json:"first_event_ms"`
	Verified        bool    `json:"verified"` // offsets ascended without a gap
}

// Read reads a shard from its start with one reader, decoding every event.
func Read(ctx context.Context, cfg ReadConfig) (ReadResult, error) {
	c, err := cfg.open()
	if err != nil {
		return ReadResult{}, err
	}
	defer c.Close()
	var read atomic.Uint64
	stop := cfg.watch(Measuring, cfg.Limit, read.Load)
	defer stop()
	began := time.Now()
	rd := c.Read(ctx, client.ShardScope(or(cfg.Shard, 1)), client.ReadOptions{Limit: cfg.Limit})
	defer rd.Close()
	res := ReadResult{Verified: true}
	last, bytes := uint64(0), uint64(0)
	for {
		e, err := rd.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return res, err
		}
		if res.Events == 0 {
			res.FirstMs = millis(time.Since(began))
			last = e.Offset - 1
		}
		res.Verified = res.Verified && e.Offset == last+1
		last = e.Offset
		res.Events++
		bytes += uint64(len(e.Data))
		if res.Events&1023 == 0 {
			read.Store(res.Events)
		}
	}
	took := time.Since(began)
	if res.Events == 0 {
		return res, invalid("the shard has no events to read: run gesta bench append first")
	}
	read.Store(res.Events)
	res.Seconds, res.EventsPerSecond = took.Seconds(), perSecond(res.Events, took)
	res.MiBPerSecond = perSecond(bytes, took) / mib
	return res, nil
}
