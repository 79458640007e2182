package meta

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
)

// Layout says where a new topic shall lie. At most one part is set; the zero value is the first shard.
type Layout struct {
	// Shards are the topic's, in the order by which keys find theirs.
	Shards []uint32 `json:"shards,omitempty"`
	// Partitions is over how many shards it shall lie; which, is chosen when the command is applied.
	Partitions int `json:"partitions,omitempty"`
	// Colocate names the topic whose shards it shall have.
	Colocate string `json:"colocate,omitempty"`
}

func (l *Layout) any() bool { return len(l.Shards) > 0 || l.Partitions > 0 || l.Colocate != "" }

// firstShard is where a topic lies when nobody says.
const firstShard = 1

// lay gives a topic its shards. It depends on the state alone, so every replica chooses alike.
func (s *state) lay(t *Topic, l *Layout) error {
	shards, err := s.laid(l)
	if err != nil {
		return err
	}
	if t.Shard, t.Partitions = shards[0], nil; len(shards) > 1 {
		t.Partitions = shards
	}
	return nil
}

func (s *state) laid(l *Layout) ([]uint32, error) {
	switch {
	case l.Colocate != "":
		other, ok := s.Topics[l.Colocate]
		if !ok {
			return nil, errs.New(errs.NotFound, "there is no topic %s to lie with", l.Colocate).With("topic", l.Colocate).With("field", "colocate")
		}
		return other.shards(), nil
	case l.Partitions > 0:
		return s.spread(l.Partitions)
	case len(l.Shards) == 0:
		return []uint32{firstShard}, nil
	}
	for i, n := range l.Shards {
		if _, ok := s.Shards[n]; !ok {
			return nil, errs.New(errs.NotFound, "there is no shard %d; there are %s", n, numbers(slices.Sorted(maps.Keys(s.Shards)))).With("field", "shards")
		}
		if slices.Contains(l.Shards[:i], n) {
			return nil, errs.New(errs.Invalid, "shard %d is named twice", n).With("field", "shards")
		}
	}
	return l.Shards, nil
}

// spread chooses the shards that the fewest topics lie on, the lowest numbers first.
func (s *state) spread(n int) ([]uint32, error) {
	if n > len(s.Shards) {
		return nil, errs.New(errs.Invalid, "%d partitions need as many shards, and there are %d: add shards first, with gesta shards add", n, len(s.Shards)).With("field", "partitions")
	}
	load := map[uint32]int{}
	for _, t := range s.Topics {
		for _, shard := range t.shards() {
			load[shard]++
		}
	}
	all := slices.Collect(maps.Keys(s.Shards))
	slices.SortFunc(all, func(a, b uint32) int { return cmp.Or(cmp.Compare(load[a], load[b]), cmp.Compare(a, b)) })
	chosen := all[:n:n]
	slices.Sort(chosen)
	return chosen, nil
}

func (t *Topic) shards() []uint32 {
	if len(t.Partitions) > 0 {
		return t.Partitions
	}
	return []uint32{t.Shard}
}

// numbers writes 1, 2 and 3.
func numbers(list []uint32) string {
	text := ""
	for i, n := range list {
		switch {
		case i > 0 && i == len(list)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += strconv.FormatUint(uint64(n), 10)
	}
	return text
}
