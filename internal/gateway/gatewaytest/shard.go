package gatewaytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// History is the fake shard's.
const History = 0x1234

// Shards are logs in memory, with numbers from 1.
type Shards struct {
	mu  sync.Mutex
	all []*Shard
}

// NewShards gives some; at least the first is made.
func NewShards(given ...*Shard) *Shards {
	if len(given) == 0 {
		given = []*Shard{NewShard()}
	}
	for i, s := range given {
		s.number = uint32(i + 1)
	}
	return &Shards{all: given}
}

// Shard gives one.
func (s *Shards) Shard(number uint32) (gateway.Shard, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == 0 || int(number) > len(s.all) {
		return nil, false
	}
	return s.all[number-1], true
}

// Numbers lists them.
func (s *Shards) Numbers() (numbers []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		numbers = append(numbers, uint32(i+1))
	}
	return numbers
}

// Only is one log, which is shard 1.
func Only(s gateway.Shard) gateway.Shards { return only{s} }

type only struct{ shard gateway.Shard }

func (o only) Shard(number uint32) (gateway.Shard, bool) {
	return o.shard, number == gateway.FirstShard
}

func (o only) Numbers() []uint32 { return []uint32{gateway.FirstShard} }

// Shard is a log in memory. It knows no ids.
type Shard struct {
	number uint32
	mu     sync.Mutex
	events []recorded
	grown  chan struct{}
	held   []*event.Call
	hold   bool
	fail   error
	why    []string
}

type recorded struct {
	topic, key, kind string
	revision         uint64
	bytes            []byte
}

// NewShard gives an empty one.
func NewShard() *Shard { return &Shard{number: gateway.FirstShard, grown: make(chan struct{})} }

// Hold keeps calls without an outcome until Release.
func (s *Shard) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
}

// Held tells how many calls wait.
func (s *Shard) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// Release judges what was held, and what comes from now on at once.
func (s *Shard) Release() {
	s.mu.Lock()
	held := s.held
	s.held, s.hold = nil, false
	s.mu.Unlock()
	s.Submit(held)
}

// Fail makes every call fail with err, until Fail(nil).
func (s *Shard) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// NotReady makes the shard not ready for these reasons.
func (s *Shard) NotReady(why ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
}

// Submit judges the calls at once.
func (s *Shard) Submit(calls []*event.Call) {
	for _, c := range calls {
		if s.judge(c) {
			c.Done(c)
		}
	}
}

func (s *Shard) judge(c *event.Call) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold {
		s.held = append(s.held, c)
		return false
	}
	if c.Err = s.fail; c.Err == nil {
		c.Outcome, c.Err = s.commit(c.Commit)
	}
	return true
}

func (s *Shard) commit(c *event.Commit) (o event.Outcome, err error) {
	for _, a := range c.Streams {
		if actual := s.head(string(a.Topic), string(a.Key)).Revision; !a.Expect.Met(actual) {
			return o, errs.New(errs.Conflict, "%s/%s is at revision %d", a.Topic, a.Key, actual).With("actual", fmt.Sprint(actual))
		}
	}
	for _, a := range c.Streams {
		o.Streams = append(o.Streams, s.write(a))
	}
	o.Position = s.position(uint64(len(s.events)))
	close(s.grown)
	s.grown = make(chan struct{})
	return o, nil
}

func (s *Shard) write(a event.Append) event.StreamOutcome {
	revision, offset := s.head(string(a.Topic), string(a.Key)).Revision, uint64(len(s.events))
	o := event.StreamOutcome{FirstRevision: revision + 1, FirstOffset: offset + 1}
	for _, e := range a.Events {
		revision, offset = revision+1, offset+1
		b := eventwire.AppendRecorded(nil, e.Bytes, offset, revision, a.Topic, a.Key, int64(offset))
		s.events = append(s.events, recorded{string(a.Topic), string(a.Key), string(e.Type), revision, b})
	}
	o.LastRevision, o.LastOffset = revision, offset
	return o
}

func (s *Shard) position(offset uint64) position.Position {
	return position.Position{Shard: s.number, History: History, Offset: offset}
}

func (s *Shard) head(topic, key string) (h event.Head) {
	for i, e := range s.events {
		if e.topic == topic && e.key == key {
			h = event.Head{Revision: e.revision, Offset: uint64(i + 1), Time: int64(i + 1)}
		}
	}
	return h
}

// Head tells where a stream ends.
func (s *Shard) Head(_ context.Context, topic, key []byte) (event.Head, position.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head(string(topic), string(key)), s.position(uint64(len(s.events))), s.fail
}

// Streams lists streams.
func (s *Shard) Streams(topic, prefix, after []byte, hasAfter bool, limit int) ([]event.StreamHead, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heads := map[string]event.Head{}
	for _, e := range s.events {
		if e.topic == string(topic) && strings.HasPrefix(e.key, string(prefix)) && (!hasAfter || e.key > string(after)) {
			heads[e.key] = s.head(e.topic, e.key)
		}
	}
	var list []event.StreamHead
	for key, h := range heads {
		list = append(list, event.StreamHead{Key: []byte(key), Head: h})
	}
	slices.SortFunc(list, func(a, b event.StreamHead) int { return strings.Compare(string(a.Key), string(b.Key)) })
	more := len(list) > limit
	return list[:min(len(list), limit)], more, nil
}

// TopicEvents counts events.
func (s *Shard) TopicEvents(topic []byte) (n uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.topic == string(topic) {
			n++
		}
	}
	return n, nil
}

// Counts counts events, which were recorded at as many nanoseconds after 1970 as their offset is.
func (s *Shard) Counts(_ context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make([]uint64, buckets)
	for i, e := range s.events {
		if at := time.Unix(0, int64(i+1)); e.topic == string(topic) && !at.Before(from) && at.Before(to) {
			counts[at.Sub(from)*time.Duration(buckets)/to.Sub(from)]++
		}
	}
	return counts, s.fail
}

// Status tells of a leader of one.
func (s *Shard) Status() gateway.ShardStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gateway.ShardStatus{Shard: s.number, History: History, Role: "leader", Leader: "n1", LastOffset: uint64(len(s.events))}
}

// Ready is what NotReady left.
func (s *Shard) Ready() (bool, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.why) == 0, s.why
}
