package index

import (
	"bytes"
	"slices"
	"sort"
)

// topicEntry is what a segment knows of a topic.
type topicEntry struct {
	number          uint32
	events, streams uint64
}

func (c *cursor) topic(s *segment, topic []byte) (topicEntry, bool, error) {
	c.key = appendTopicKey(c.key[:0], s.Segment, topic)
	v, ok, err := c.get(c.key)
	if !ok {
		return topicEntry{}, false, err
	}
	in := input{b: v}
	e := topicEntry{number: uint32(in.uvarint()), events: in.uvarint(), streams: in.uvarint()}
	return e, true, c.failed(in.err())
}

// TopicEvents counts a topic's events. It asks every segment: some microseconds for each.
func (ix *Index) TopicEvents(topic []byte) (uint64, error) {
	v := ix.view.Load()
	var n uint64
	for _, t := range v.active {
		n += t.topicEvents(topic)
	}
	if len(v.readable) == 0 {
		return n, nil
	}
	c, err := ix.cursor()
	if err != nil {
		return 0, err
	}
	defer c.release()
	for _, s := range v.readable {
		e, _, err := c.topic(s, topic)
		if err != nil {
			return 0, err
		}
		n += e.events
	}
	return n, nil
}

// Streams lists a topic's streams in the order of their keys: those that begin with prefix and, when hasAfter is set, come after
// a key; at most limit, and whether there are more. It asks every segment.
func (ix *Index) Streams(topic, prefix, after []byte, hasAfter bool, limit int) ([]StreamHead, bool, error) {
	if limit <= 0 {
		return nil, false, nil
	}
	q := listQuery{topic: topic, prefix: prefix, after: after, hasAfter: hasAfter, limit: limit + 1}
	found, err := ix.list(&q)
	if err != nil {
		return nil, false, err
	}
	more := len(found) > limit
	if more {
		found = found[:limit]
	}
	for i := range found {
		if found[i].Time, err = ix.timeOf(found[i].Offset); err != nil {
			return nil, false, err
		}
	}
	return found, more, nil
}

type listQuery struct {
	topic, prefix, after []byte
	hasAfter             bool
	limit                int
}

func (q *listQuery) wants(key []byte) bool {
	return bytes.HasPrefix(key, q.prefix) && (!q.hasAfter || bytes.Compare(key, q.after) > 0)
}

// start is the least key that could be wanted.
func (q *listQuery) start() []byte {
	if q.hasAfter && bytes.Compare(q.after, q.prefix) >= 0 {
		return append(slices.Clone(q.after), 0)
	}
	return q.prefix
}

// list merges the lists of all segments, each cut to the limit: the least keys of all are among the least of each.
func (ix *Index) list(q *listQuery) ([]StreamHead, error) {
	v := ix.view.Load()
	var all []StreamHead
	for _, t := range v.active {
		all = q.merge(all, t.list(q))
	}
	if len(v.readable) == 0 {
		return all, nil
	}
	c, err := ix.cursor()
	if err != nil {
		return nil, err
	}
	defer c.release()
	for _, s := range v.readable {
		some, err := c.list(s, q)
		if err != nil {
			return nil, err
		}
		all = q.merge(all, some)
	}
	return all, nil
}

// merge joins two sorted lists, keeps the newer head of a stream in both, and cuts to the limit.
func (q *listQuery) merge(a, b []StreamHead) []StreamHead {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	out := make([]StreamHead, 0, min(len(a)+len(b), q.limit))
	for len(out) < q.limit && len(a)+len(b) > 0 {
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = bytes.Compare(a[0].Key, b[0].Key)
		}
		switch {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			newer := a[0]
			if b[0].Revision > newer.Revision {
				newer = b[0]
			}
			out, a, b = append(out, newer), a[1:], b[1:]
		}
	}
	return out
}

// list gives a segment's wanted streams.
func (c *cursor) list(s *segment, q *listQuery) ([]StreamHead, error) {
	var out []StreamHead
	err := c.walk(s, q, func(e *streamEntry) bool {
		h := Head{Revision: e.lastRevision, Offset: s.FirstOffset + e.lastOffset}
		out = append(out, StreamHead{Key: bytes.Clone(c.block.key), Head: h})
		return len(out) < q.limit
	})
	return out, err
}

// walk calls f with a segment's wanted streams, in the order of their keys, until f returns false. f must not move the cursor.
func (c *cursor) walk(s *segment, q *listQuery, f func(*streamEntry) bool) error {
	prefix := appendStreamKey(nil, s.Segment, q.topic, nil)
	for ok := c.it.SeekGE(appendStreamKey(nil, s.Segment, q.topic, q.start())); ok; ok = c.it.Next() {
		block, mine, err := c.value(prefix)
		if err != nil || !mine {
			return err
		}
		c.block.reset(block)
		for c.block.next() {
			if q.wants(c.block.key) {
				if !f(&c.block.entry) {
					return nil
				}
			} else if bytes.Compare(c.block.key, q.prefix) > 0 && !bytes.HasPrefix(c.block.key, q.prefix) {
				return nil
			}
		}
		if c.block.in.bad {
			return c.failed(errShort)
		}
	}
	return c.failed(c.it.Error())
}

// listSlice is how many streams are looked at under one lock.
const listSlice = 1024

// list gives a table's wanted streams, sorted. It keeps twice the limit at most.
func (t *table) list(q *listQuery) []StreamHead {
	l := tableList{q: q}
	for at, more := uint32(0), true; more; at += listSlice {
		more = t.listSome(&l, at)
	}
	l.cut()
	return l.out
}

func (t *table) listSome(l *tableList, at uint32) bool {
	defer t.runlock(t.rlock())
	topic, ok := t.byTopic[string(l.q.topic)]
	n := t.streams.len()
	if !ok || at >= n {
		return false
	}
	for i := at; i < min(n, at+listSlice); i++ {
		if s := t.streams.at(i); s.topic == topic {
			l.offer(t.key(s), t.headOf(s))
		}
	}
	return true
}

// tableList gathers the least keys of a table, which has them in no order.
type tableList struct {
	q     *listQuery
	out   []StreamHead
	bound []byte // once there are enough: the greatest key that may still matter
}

func (l *tableList) offer(key []byte, h Head) {
	if l.bound != nil && bytes.Compare(key, l.bound) > 0 || !l.q.wants(key) {
		return
	}
	l.out = append(l.out, StreamHead{Key: bytes.Clone(key), Head: h})
	if len(l.out) > 2*l.q.limit {
		l.cut()
	}
}

func (l *tableList) cut() {
	sort.Slice(l.out, func(i, j int) bool { return bytes.Compare(l.out[i].Key, l.out[j].Key) < 0 })
	if len(l.out) >= l.q.limit {
		l.out = l.out[:l.q.limit]
		l.bound = l.out[len(l.out)-1].Key
	}
}
