package gatewaytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Topics are kept in memory.
type Topics struct {
	mu   sync.Mutex
	all  map[string]gateway.Topic
	made int
	gate chan struct{} // when set, EnsureTopic waits until it is closed
}

// NewTopics gives some.
func NewTopics(names ...string) *Topics {
	t := &Topics{all: map[string]gateway.Topic{}}
	for _, n := range names {
		t.all[n] = gateway.Topic{Name: n, Shard: gateway.FirstShard, Created: time.Unix(1, 0)}
	}
	return t
}

// Hold makes EnsureTopic wait until the function it gives is called.
func (t *Topics) Hold() (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gate = make(chan struct{})
	return sync.OnceFunc(func() { close(t.gate) })
}

// Made tells how many topics were created.
func (t *Topics) Made() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.made
}

// Topic looks one up.
func (t *Topics) Topic(name []byte) (gateway.Topic, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.all[string(name)]
	return found, ok
}

// Refresh has nothing to wait for.
func (t *Topics) Refresh(context.Context) error { return nil }

// EnsureTopic makes one.
func (t *Topics) EnsureTopic(ctx context.Context, name string, l gateway.Layout) (bool, error) {
	t.mu.Lock()
	gate := t.gate
	t.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.all[name]; ok {
		return false, nil
	}
	made, err := t.lay(gateway.Topic{Name: name, Created: time.Unix(1, 0)}, l)
	if err != nil {
		return false, err
	}
	t.all[name] = made
	t.made++
	return true, nil
}

// lay chooses the first shards where the number alone is given.
func (t *Topics) lay(topic gateway.Topic, l gateway.Layout) (gateway.Topic, error) {
	shards := l.Shards
	switch other, ok := t.all[l.Colocate]; {
	case ok:
		shards = other.Shards()
	case l.Colocate != "":
		return topic, errs.New(errs.NotFound, "there is no topic %s to lie with", l.Colocate).With("topic", l.Colocate).With("field", "colocate")
	case len(shards) == 0:
		for n := range max(1, l.Partitions) {
			shards = append(shards, uint32(n+gateway.FirstShard))
		}
	}
	if topic.Shard = shards[0]; len(shards) > 1 {
		topic.Partitions = shards
	}
	return topic, nil
}

// DeleteTopic forgets one.
func (t *Topics) DeleteTopic(_ context.Context, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.all[name]; !ok {
		return errs.New(errs.NotFound, "there is no topic %s", name)
	}
	delete(t.all, name)
	return nil
}

// Topics lists them.
func (t *Topics) Topics(prefix, after string, limit int) (list []gateway.Topic, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.all)) {
		if strings.HasPrefix(name, prefix) && name > after {
			list = append(list, t.all[name])
		}
	}
	return list[:min(len(list), limit)], len(list) > limit
}

// Count tells how many there are.
func (t *Topics) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}
