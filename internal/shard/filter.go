package shard

import (
	"bytes"
	"slices"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// filtered tells whether the index has lists for what the filter keeps.
func (r *reader) filtered() bool {
	return len(r.spec.Types) > 0 || len(r.spec.Tags) > 0 || r.spec.Scope == event.ScopeTopic && len(r.spec.KeyPrefix) > 0
}

// listed tells whether the index has a list for the read at all: a stream's, a topic's, or one of its filter.
func (r *reader) listed() bool { return r.spec.Scope != event.ScopeAll || r.filtered() }

func (r *reader) query() index.Query {
	q := index.Query{Types: r.spec.Types, Tags: r.spec.Tags}
	switch r.spec.Scope {
	case event.ScopeStream:
		q.Topic, q.Key, q.HasKey = r.spec.Topic, r.spec.Key, true
	case event.ScopeTopic:
		q.Topic, q.KeyPrefix = r.spec.Topic, r.spec.KeyPrefix
	}
	return q
}

// wants applies the scope and the filter to an event, what costs least first.
func (r *reader) wants(payload []byte, v *eventwire.View) (bool, error) {
	if !r.inScope(v) || v.Revision < r.minRevision || !bytes.HasPrefix(v.Key, r.spec.KeyPrefix) || !r.typed(v) {
		return false, nil
	}
	if len(r.spec.Tags) > 0 {
		if ok, err := tagged(v, r.spec.Tags); !ok || err != nil {
			return false, err
		}
	}
	if r.spec.Where == nil {
		return true, nil
	}
	return r.spec.Where.Match(payload, v)
}

func (r *reader) inScope(v *eventwire.View) bool {
	switch r.spec.Scope {
	case event.ScopeStream:
		return bytes.Equal(v.Topic, r.spec.Topic) && bytes.Equal(v.Key, r.spec.Key)
	case event.ScopeTopic:
		return bytes.Equal(v.Topic, r.spec.Topic)
	}
	return true
}

func (r *reader) typed(v *eventwire.View) bool {
	return len(r.spec.Types) == 0 || slices.ContainsFunc(r.spec.Types, func(t []byte) bool { return bytes.Equal(t, v.Type) })
}

// tagged tells whether an event carries all of some tags: 32 at most on either side.
func tagged(v *eventwire.View, wanted [][]byte) (bool, error) {
	for _, tag := range wanted {
		if ok, err := carries(v.Event, tag); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func carries(event, tag []byte) (bool, error) {
	has := eventwire.WalkTags(event)
	for has.Next() {
		if bytes.Equal(has.Tag(), tag) {
			return true, nil
		}
	}
	return false, has.Err()
}
