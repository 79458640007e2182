package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/shard"
)

const (
	// scrubRate bounds, in bytes a second, what is read of each shard to find damage: a terabyte takes a day.
	scrubRate = 12 << 20
	// scrubEvery is the pause between two rounds through a shard's segments.
	scrubEvery = 6 * time.Hour
	// digestsTimeout bounds the question which segments another replica has.
	digestsTimeout = 10 * time.Second
)

// replicas are a shard's other replicas, as its scrubber sees them.
type replicas struct{ h *Host }

// Source is one of them.
func (r replicas) Source(number uint32, replica uint64) shard.Source {
	return source{r.h.o.Transport, replica, number}
}

// Digests asks those that answer which sealed segments they have.
func (r replicas) Digests(ctx context.Context, number uint32) (map[uint64][]shard.Piece, error) {
	h := r.h
	body, err := json.Marshal(asked{Shard: number})
	if err != nil {
		return nil, err
	}
	all, last := map[uint64][]shard.Piece{}, error(nil)
	for _, id := range h.othersOf(number) {
		ctx, cancel := context.WithTimeout(ctx, digestsTimeout)
		got, err := h.o.Transport.Call(ctx, id, methodDigests, body)
		cancel()
		var pieces []shard.Piece
		if err == nil {
			err = json.Unmarshal(got, &pieces)
		}
		if err != nil {
			last = err
			continue
		}
		all[id] = pieces
	}
	if len(all) == 0 {
		return nil, last
	}
	return all, nil
}

type asked struct {
	Shard uint32 `json:"shard"`
}

func (h *Host) answerDigests(_ context.Context, body []byte) (any, error) {
	q, err := decode[asked](body)
	if err != nil {
		return nil, err
	}
	s := h.local(q.Shard)
	if s == nil {
		return nil, errs.New(errs.Unavailable, "node %s has no replica of shard %d", h.o.Self.Node, q.Shard)
	}
	pieces := []shard.Piece{}
	for _, seg := range s.Segments() {
		if seg.Sealed {
			pieces = append(pieces, shard.Piece{First: seg.First, Last: seg.Last, Bytes: seg.Bytes, Generation: seg.Generation, Digest: seg.Digest})
		}
	}
	return pieces, nil
}

func (h *Host) scrubbing(o *shard.Options) shard.Scrubbing {
	s := shard.Scrubbing{
		FS: o.FS, Dir: o.Dir, Number: o.Number, Pace: shard.Budget(scrubRate), Every: scrubEvery, Logger: o.Logger,
		Repaired: func(first uint64) {
			o.Logger.Info("a damaged segment was replaced by another replica's", "segment", first)
		},
		Damaged: func(err error) { o.Logger.Error("a damaged segment cannot be replaced", "error", err) },
	}
	if len(h.othersOf(o.Number)) > 0 {
		s.Peers = replicas{h}
	}
	return s
}

// mend tries to make a damaged shard open again with what other replicas have.
func (h *Host) mend(o shard.Options, cause error) (*shard.Shard, error) {
	if errs.CodeOf(cause) != errs.Corrupt || len(h.othersOf(o.Number)) == 0 {
		return nil, cause
	}
	n, err := shard.Mend(h.context, o.Config, h.scrubbing(&o), cause)
	if err != nil || n == 0 {
		o.Logger.Error("the shard is damaged and other replicas could not help; the rest of the node goes on", "error", cause, "mending", err)
		return nil, cause
	}
	o.Logger.Warn("segments were missing or damaged and are replaced by other replicas'", "segments", n)
	s, err := shard.Open(o)
	if err != nil {
		return h.mend(o, err) // each open finds one damaged segment
	}
	return s, nil
}

// hosted is a replica that is open, with who looks after its segments.
type hosted struct {
	*shard.Shard
	stop context.CancelFunc
}

func (h *Host) shardOptions(number uint32) shard.Options {
	sh, _ := h.meta.Shard(number)
	o := h.o.Shard(number)
	o.Voters, o.Send, o.Salvage = slices.Clone(sh.Initial), h.sender(number), true // which nobody alone does
	h.noteLineage(sh)
	o.Lineage = h.lineage(number)
	o.Offered = func(m shard.Manifest) { h.offered(number, m) }
	return o
}

// host opens a replica and has its segments looked after.
func (h *Host) host(number uint32) error {
	o := h.shardOptions(number)
	var scrubber atomic.Pointer[shard.Scrubber] // the shard may meet damage before there is one; its first round meets it again
	if l := o.Listener; l != nil {
		heard := *l
		heard.Damaged = func(err error) {
			if l.Damaged != nil {
				l.Damaged(err)
			}
			if s := scrubber.Load(); s != nil {
				s.Suspect(err)
			}
		}
		o.Listener = &heard
	}
	s, err := shard.Open(o)
	if err != nil {
		if s, err = h.mend(o, err); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(h.context)
	scrubs := shard.NewScrubber(h.scrubbing(&o), s)
	scrubber.Store(scrubs)
	h.running.Go(func() { scrubs.Run(ctx) })
	h.mu.Lock()
	h.shards[number] = &hosted{s, stop}
	h.mu.Unlock()
	return nil
}

// takeOut closes a replica; appends and reads go elsewhere meanwhile.
func (h *Host) takeOut(number uint32) error {
	h.mu.Lock()
	s := h.shards[number]
	delete(h.shards, number)
	h.mu.Unlock()
	if s == nil {
		return nil
	}
	s.stop()
	return s.Close()
}
