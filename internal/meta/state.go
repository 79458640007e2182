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
	Shard   uint32    `json:"shard"`
}

// command is one change of the state: an entry of the meta group's log. Exactly one part is set.
type command struct {
	CreateTopic *Topic  `json:"create_topic,omitempty"`
	DeleteTopic *string `json:"delete_topic,omitempty"`
}

// state is the fold of the commands. It is not changed in place: apply gives a new one, so readers need no lock.
type state struct {
	Index  uint64           `json:"index"`
	Topics map[string]Topic `json:"topics"`
}

func newState() *state { return &state{Topics: map[string]Topic{}} }

// apply folds one command. What it does must depend on the state and the command alone: every replica does the same.
func (s *state) apply(index uint64, payload []byte) (*state, error) {
	var c command
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, errs.New(errs.Corrupt, "meta entry %d does not parse: %w", index, err)
	}
	next := &state{Index: index, Topics: maps.Clone(s.Topics)}
	switch {
	case c.CreateTopic != nil:
		if _, ok := next.Topics[c.CreateTopic.Name]; !ok {
			next.Topics[c.CreateTopic.Name] = *c.CreateTopic
		}
	case c.DeleteTopic != nil:
		delete(next.Topics, *c.DeleteTopic)
	default:
		return nil, errs.New(errs.Unsupported, "meta entry %d is of a kind that this version does not know: run the version that wrote it, or a newer one", index)
	}
	return next, nil
}

// list gives the topics whose names begin with prefix and come after a name, in order.
func (s *state) list(prefix, after string, limit int) (ts []Topic, more bool) {
	for _, name := range slices.Sorted(maps.Keys(s.Topics)) {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(ts) == limit {
			return ts, true
		}
		ts = append(ts, s.Topics[name])
	}
	return ts, false
}
