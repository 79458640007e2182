package index

import (
	"slices"
	"sort"
	"sync/atomic"
)

// segment is an ingested table.
type segment struct {
	layout
	filter atomic.Pointer[bloom]
}

// has tells false when the segment cannot hold a stream with this hash.
func (s *segment) has(hash uint64) bool {
	f := s.filter.Load()
	return f == nil || f.has(hash)
}

// view is an immutable picture of what there is to read, oldest first.
type view struct {
	sealed   []*segment // every ingested segment
	readable []*segment // those with events and without a table in active; a segment is in both for a moment
	active   []*table
}

func newView(sealed []*segment, active []*table) *view {
	v := &view{sealed: sealed, active: active}
	for _, s := range sealed {
		if s.Events > 0 && v.table(s.Segment) == nil {
			v.readable = append(v.readable, s)
		}
	}
	return v
}

func (v *view) table(segment uint64) *table {
	for _, t := range v.active {
		if t.segment == segment {
			return t
		}
	}
	return nil
}

// with adds a table, in place of one of the same segment.
func (v *view) with(t *table) *view {
	active := slices.DeleteFunc(slices.Clone(v.active), func(o *table) bool { return o.segment == t.segment })
	active = append(active, t)
	slices.SortFunc(active, func(a, b *table) int { return compare(a.segment, b.segment) })
	return newView(v.sealed, active)
}

// ingested adds a segment, in place of one of the same number.
func (v *view) ingested(s *segment) *view {
	sealed := slices.DeleteFunc(slices.Clone(v.sealed), func(o *segment) bool { return o.Segment == s.Segment })
	sealed = append(sealed, s)
	slices.SortFunc(sealed, func(a, b *segment) int { return compare(a.Segment, b.Segment) })
	return newView(sealed, v.active)
}

func (v *view) without(segment uint64) *view {
	return newView(v.sealed, slices.DeleteFunc(slices.Clone(v.active), func(t *table) bool { return t.segment == segment }))
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (v *view) head(hash uint64, topic, key []byte) (Head, bool) {
	for i := len(v.active) - 1; i >= 0; i-- {
		if h, ok := v.active[i].head(hash, topic, key); ok {
			return h, true
		}
	}
	return Head{}, false
}

// unit is a segment to read from: ingested, or in memory.
type unit struct {
	sealed *segment
	table  *table
}

func (u unit) none() bool { return u.sealed == nil && u.table == nil }

func (u unit) number() uint64 {
	if u.sealed != nil {
		return u.sealed.Segment
	}
	return u.table.segment
}

func pick(s *segment, t *table, backwards bool) unit {
	switch {
	case s == nil:
		return unit{table: t}
	case t == nil || (s.Segment < t.segment) != backwards:
		return unit{sealed: s}
	}
	return unit{table: t}
}

// from gives the first unit at or after a segment.
func (v *view) from(segment uint64) unit {
	i := sort.Search(len(v.readable), func(i int) bool { return v.readable[i].Segment >= segment })
	j := sort.Search(len(v.active), func(j int) bool { return v.active[j].segment >= segment })
	return pick(at(v.readable, i), at(v.active, j), false)
}

// upTo gives the last unit at or before a segment.
func (v *view) upTo(segment uint64) unit {
	i := sort.Search(len(v.readable), func(i int) bool { return v.readable[i].Segment > segment })
	j := sort.Search(len(v.active), func(j int) bool { return v.active[j].segment > segment })
	return pick(at(v.readable, i-1), at(v.active, j-1), true)
}

func at[T any](list []*T, i int) *T {
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

// holding gives the unit that holds an offset, or would.
func (v *view) holding(offset uint64) unit {
	for j := len(v.active) - 1; j >= 0; j-- {
		if m := v.active[j].summary(); m.Events > 0 && m.FirstOffset <= offset {
			return unit{table: v.active[j]}
		}
	}
	i := sort.Search(len(v.readable), func(i int) bool { return v.readable[i].FirstOffset > offset })
	return unit{sealed: at(v.readable, i-1)}
}
