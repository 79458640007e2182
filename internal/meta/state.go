package meta

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Topic is a declared topic.
type Topic struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Shard is where it lies, the first of them when there are several.
	Shard uint32 `json:"shard"`
	// Partitions are its shards when there are several, in the order by which keys find theirs; they never change.
	Partitions []uint32 `json:"partitions,omitzero"`
}

// Cursor is a position under a name: where a reader left off.
type Cursor struct {
	Name     string    `json:"name"`
	Position string    `json:"position"`
	Updated  time.Time `json:"updated"`
}

// setCursor moves a cursor. Expect is nil, or the position that it must have: empty when it must not be there yet.
type setCursor struct {
	Cursor
	Expect *string `json:"expect,omitempty"`
}

// command is one change of the state: an entry of the meta group's log. Exactly one part is set.
type command struct {
	CreateTopic *Topic  `json:"create_topic,omitempty"`
	Layout      *Layout `json:"layout,omitempty"` // of CreateTopic; nil: on the shard that it names
	DeleteTopic *string `json:"delete_topic,omitempty"`
	// Limit is how many topics there may be, as who proposed it has it configured: every replica must judge alike.
	Limit        int        `json:"limit,omitempty"`
	SetCursor    *setCursor `json:"set_cursor,omitempty"`
	DeleteCursor *string    `json:"delete_cursor,omitempty"`
	PutMember    *Member    `json:"put_member,omitempty"`
	RemoveMember *removal   `json:"remove_member,omitempty"`
	Drain        *drain     `json:"drain,omitempty"`
	PutShard     *Shard     `json:"put_shard,omitempty"`
	Raise        *uint32    `json:"raise,omitempty"`
}

// state is the fold of the commands. It is not changed in place: apply gives a new one, so readers need no lock.
type state struct {
	Index   uint64            `json:"index"`
	Topics  map[string]Topic  `json:"topics"`
	Cursors map[string]Cursor `json:"cursors,omitempty"`
	Members map[string]Member `json:"members,omitempty"` // by node
	Gone    map[uint64]string `json:"gone,omitempty"`    // removed replicas, and which nodes they were
	Shards  map[uint32]Shard  `json:"shards,omitempty"`
	Feature uint32            `json:"feature,omitempty"`
}

func newState() *state { return &state{Topics: map[string]Topic{}, Cursors: map[string]Cursor{}} }

// apply folds one command. What it does must depend on the state and the command alone: every replica does the same. A command that
// the state refuses changes nothing; refusal says why to who asked.
func (s *state) apply(index uint64, payload []byte) (next *state, refusal, err error) {
	var c command
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, nil, errs.New(errs.Corrupt, "meta entry %d does not parse: %w", index, err)
	}
	copied := *s
	next = &copied
	next.Index = index
	switch {
	case c.CreateTopic != nil:
		refusal = next.createTopic(c.CreateTopic, c.Layout, c.Limit)
	case c.DeleteTopic != nil:
		next.Topics = maps.Clone(s.Topics)
		delete(next.Topics, *c.DeleteTopic)
	case c.SetCursor != nil:
		refusal = next.setCursor(c.SetCursor)
	case c.DeleteCursor != nil:
		if _, ok := s.Cursors[*c.DeleteCursor]; !ok {
			refusal = errs.New(errs.NotFound, "there is no cursor %s", *c.DeleteCursor).With("cursor", *c.DeleteCursor)
		}
		next.Cursors = maps.Clone(s.Cursors)
		delete(next.Cursors, *c.DeleteCursor)
	case c.PutMember != nil:
		refusal = next.putMember(c.PutMember)
	case c.RemoveMember != nil:
		refusal = next.removeMember(c.RemoveMember)
	case c.Drain != nil:
		refusal = next.drainMember(c.Drain)
	case c.PutShard != nil:
		refusal = next.putShard(c.PutShard, c.Limit)
	case c.Raise != nil:
		refusal = next.raise(*c.Raise)
	default:
		return nil, nil, errs.New(errs.Unsupported, "meta entry %d is of a kind that this version does not know: run the version that wrote it, or a newer one", index)
	}
	return next, refusal, nil
}

func (s *state) createTopic(t *Topic, l *Layout, limit int) error {
	if _, ok := s.Topics[t.Name]; ok {
		return nil
	}
	if limit > 0 && len(s.Topics) >= limit {
		return errs.New(errs.TooLarge, "there are %d topics, the limit; delete empty ones, or use keys of one topic", len(s.Topics)).With("limit", "topics")
	}
	laid := *t
	if l != nil {
		if err := s.lay(&laid, l); err != nil {
			return err
		}
	}
	s.Topics = maps.Clone(s.Topics)
	s.Topics[t.Name] = laid
	return nil
}

// maxCursors bounds the named cursors: all of them are in every snapshot and in memory.
const maxCursors = 10_000

func (s *state) setCursor(c *setCursor) error {
	was, ok := s.Cursors[c.Name]
	if c.Expect != nil && was.Position != *c.Expect {
		return errs.New(errs.Conflict, "cursor %s is at %q, expected %q: another reader moved it; read it again and decide anew", c.Name, was.Position, *c.Expect).
			With("cursor", c.Name).With("actual_position", was.Position)
	}
	if !ok && len(s.Cursors) >= maxCursors {
		return errs.New(errs.TooLarge, "there are %d cursors, the limit; delete those that nobody uses", maxCursors).With("limit", "cursors")
	}
	if s.Cursors = maps.Clone(s.Cursors); s.Cursors == nil {
		s.Cursors = map[string]Cursor{}
	}
	s.Cursors[c.Name] = c.Cursor
	return nil
}

// list gives the topics whose names begin with prefix and come after a name, in order.
func (s *state) list(prefix, after string, limit int) (ts []Topic, more bool) {
	return page(s.Topics, prefix, after, limit)
}

// page gives what a map holds under names that begin with prefix and come after a name, in order.
func page[T any](m map[string]T, prefix, after string, limit int) (found []T, more bool) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(found) == limit {
			return found, true
		}
		found = append(found, m[name])
	}
	return found, false
}
