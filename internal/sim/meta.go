package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// MetaStats counts what a run of the meta group has come across.
type MetaStats struct {
	Acked, Refused, Unknown, Forwarded, AnswersLost, Crashes, Elections, Installed int
	// Whole counts runs whose whole log was seen: only of those every outcome is checked.
	Whole int
}

// council is one run of a meta group.
type council struct {
	cfg     Config
	rng     *mrand.Rand
	seats   []*seat
	net     []*pb.Message
	asks    []*ask // changes on their way to another node, and answers on their way back
	cut     map[[2]uint64]bool
	clerks  []*clerk
	history []*move
	seen    map[uint64]replica.Entry
	states  map[uint64]string // the state as first applied at an index
	leaders map[uint64]uint64
	moment  int64
	calm    bool
	stats   MetaStats
}

// seat is one node of the meta group.
type seat struct {
	id      uint64
	disk    *crashfs.FS
	faults  *faultfs.FS
	meta    *meta.Stepped // nil while it is down
	applied uint64
}

// RunMeta plays one seed of the meta group. The error names the promise that did not hold.
func RunMeta(cfg Config) (stats MetaStats, err error) {
	c := &council{cfg: cfg, rng: mrand.New(mrand.NewPCG(cfg.Seed, 11)), cut: map[[2]uint64]bool{}, seen: map[uint64]replica.Entry{}, states: map[uint64]string{}, leaders: map[uint64]uint64{}}
	defer seeded(cfg.Seed)()
	defer func() {
		if r := recover(); r != nil {
			stats, err = c.stats, fmt.Errorf("seed %d: panic: %v", cfg.Seed, r)
		}
	}()
	if err := c.play(); err != nil {
		return c.stats, fmt.Errorf("seed %d: %w", cfg.Seed, err)
	}
	return c.stats, nil
}

func (c *council) play() error {
	for i := range c.cfg.Nodes {
		s := &seat{id: uint64(i + 1), disk: crashfs.New(c.rng.Uint64())}
		c.seats = append(c.seats, s)
		if err := c.start(s); err != nil {
			return err
		}
	}
	for i := range 4 {
		c.clerks = append(c.clerks, &clerk{c: c, number: i})
	}
	for range c.cfg.Steps {
		if err := c.act(); err != nil {
			return err
		}
	}
	if err := c.settle(); err != nil {
		return err
	}
	return c.linearizable()
}

func (c *council) trace(format string, args ...any) {
	if c.cfg.Trace != nil {
		fmt.Fprintf(c.cfg.Trace, format+"\n", args...)
	}
}

func (c *council) start(s *seat) error {
	var voters []uint64
	for i := range c.cfg.Nodes {
		voters = append(voters, uint64(i+1))
	}
	s.faults = faultfs.New(s.disk)
	log := slog.New(slog.NewTextHandler(metaWriter{c, s.id}, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	m, err := meta.OpenStepped(meta.Options{FS: s.faults, Dir: "meta", Replica: s.id, Voters: voters, Logger: log, Salt: c.rng.Uint64}, 4<<10, 12)
	if err != nil {
		return fmt.Errorf("node %d does not open: %w", s.id, err)
	}
	s.meta, s.applied = m, 0
	return c.advance(s)
}

// metaWriter puts what a node logs into the trace, and counts it.
type metaWriter struct {
	c  *council
	id uint64
}

func (t metaWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "is installed") {
		t.c.stats.Installed++
	}
	t.c.trace("  node %d: %s", t.id, strings.TrimSpace(string(p)))
	return len(p), nil
}

// act does one thing, chosen by the seed.
func (c *council) act() error {
	s := c.seats[c.rng.IntN(len(c.seats))]
	switch x := c.rng.IntN(1000); {
	case x < 450:
		return c.deliver()
	case x < 650:
		return c.store(s)
	case x < 710:
		return c.tick(s)
	case x < 830:
		return c.clerks[c.rng.IntN(len(c.clerks))].act()
	case x < 960:
		return c.carry()
	case x < 970:
		return c.mark(s)
	case x < 978:
		return c.crash(s)
	case x < 986:
		return c.restart(s)
	case x < 990:
		c.partition(s)
	case x < 994:
		clear(c.cut)
	case x < 996:
		return c.transfer(s)
	}
	return nil
}

func (c *council) deliver() error {
	if len(c.net) == 0 {
		return nil
	}
	i := c.rng.IntN(min(len(c.net), 8))
	m := c.net[i]
	luck := 100
	if !c.calm {
		luck = c.rng.IntN(100)
	}
	if luck >= 4 { // below that, it comes again
		c.net = slices.Delete(c.net, i, i+1)
	}
	to := c.seats[m.GetTo()-1]
	if luck >= 4 && luck < 8 || c.cut[[2]uint64{m.GetFrom(), m.GetTo()}] || to.meta == nil {
		return nil
	}
	to.meta.Receive(m)
	return c.advance(to)
}

func (c *council) advance(s *seat) error {
	crash := !c.calm && c.rng.IntN(100) == 0
	if crash { // it is felt where a snapshot is saved or a state installed
		s.faults.FailNth(1 + c.rng.IntN(25))
	}
	ms, err := s.meta.Advance()
	if crash && err != nil {
		return c.cutPower(s)
	}
	s.faults.Heal()
	if err != nil {
		return fmt.Errorf("node %d stopped: %w", s.id, err)
	}
	c.net = append(c.net, ms...)
	return c.watch(s)
}

// watch holds what is applied against what was applied at that index before, here or elsewhere: commands and the state they make.
func (c *council) watch(s *seat) error {
	st := s.meta.Status()
	if st.Role == replica.Leader {
		if other, ok := c.leaders[st.Term]; ok && other != s.id {
			return fmt.Errorf("nodes %d and %d both lead term %d", other, s.id, st.Term)
		}
		if _, ok := c.leaders[st.Term]; !ok {
			c.stats.Elections++
			c.trace("node %d leads term %d", s.id, st.Term)
		}
		c.leaders[st.Term] = s.id
	}
	if st.Applied <= s.applied {
		return nil
	}
	es, err := s.meta.Entries(s.applied+1, st.Applied+1)
	if err != nil {
		return err
	}
	for _, e := range es {
		if was, ok := c.seen[e.Index]; ok && (was.Term != e.Term || string(was.Data) != string(e.Data)) {
			return fmt.Errorf("entry %d was committed in term %d, and on node %d in term %d with other content", e.Index, was.Term, s.id, e.Term)
		}
		c.seen[e.Index] = e
	}
	s.applied = st.Applied
	at, b, err := s.meta.State()
	if err != nil {
		return err
	}
	if was, ok := c.states[at]; ok && was != string(b) {
		return fmt.Errorf("at entry %d node %d has the state %s, another had %s", at, s.id, b, was)
	}
	c.states[at] = string(b)
	return nil
}

func (c *council) store(s *seat) error {
	if s.meta == nil || s.meta.Waiting() == 0 {
		return nil
	}
	if err := s.meta.Store(1 + c.rng.IntN(s.meta.Waiting())); err != nil {
		return fmt.Errorf("node %d: store: %w", s.id, err)
	}
	return c.advance(s)
}

func (c *council) tick(s *seat) error {
	if s.meta == nil {
		return nil
	}
	s.meta.Tick()
	return c.advance(s)
}

func (c *council) mark(s *seat) error {
	if s.meta == nil || s.meta.Waiting() > 0 {
		return nil
	}
	return s.meta.Mark()
}

// crash cuts a node's power, at times in the middle of a write.
func (c *council) crash(s *seat) error {
	if s.meta == nil {
		return nil
	}
	if n := s.meta.Waiting(); n > 0 && c.rng.IntN(2) == 0 {
		s.faults.FailNth(1 + c.rng.IntN(3))
		_ = s.meta.Store(n)
	}
	return c.cutPower(s)
}

func (c *council) cutPower(s *seat) error {
	c.stats.Crashes++
	c.trace("crash node %d", s.id)
	_ = s.meta.Close()
	s.disk = s.disk.Crash()
	s.meta = nil
	for _, k := range c.clerks {
		k.crashed(s)
	}
	return nil
}

func (c *council) restart(s *seat) error {
	if s.meta != nil {
		return nil
	}
	c.trace("restart node %d", s.id)
	return c.start(s)
}

func (c *council) partition(s *seat) {
	in, out := c.rng.IntN(2) == 0, c.rng.IntN(2) == 0
	c.trace("cut off node %d (in %v, out %v)", s.id, in, out)
	for _, o := range c.seats {
		c.cut[[2]uint64{o.id, s.id}] = c.cut[[2]uint64{o.id, s.id}] || in
		c.cut[[2]uint64{s.id, o.id}] = c.cut[[2]uint64{s.id, o.id}] || out
	}
}

func (c *council) transfer(s *seat) error {
	if s.meta == nil {
		return nil
	}
	s.meta.Transfer(1 + c.rng.Uint64N(uint64(len(c.seats))))
	return c.advance(s)
}

// settle ends all trouble and lets the group come to rest.
func (c *council) settle() error {
	c.trace("settle")
	c.calm = true
	clear(c.cut)
	for _, s := range c.seats {
		if err := c.restart(s); err != nil {
			return err
		}
	}
	for i := range 40_000 {
		s := c.seats[i%len(c.seats)]
		err := errors.Join(c.store(s), c.deliver(), c.carry())
		if i%20 == 0 {
			err = errors.Join(err, c.tick(c.seats[i/20%len(c.seats)]))
		}
		for _, k := range c.clerks {
			if i%50 == 0 && k.now != nil {
				err = errors.Join(err, k.act())
			}
		}
		if err != nil {
			return err
		}
		if i%100 == 99 && c.rested() {
			return nil
		}
	}
	return errs.New(errs.Internal, "the group did not come to rest")
}

func (c *council) rested() bool {
	for _, k := range c.clerks {
		if k.now != nil {
			return false
		}
	}
	first := c.seats[0].meta.Status()
	for _, s := range c.seats {
		st := s.meta.Status()
		if st.Leader == 0 || st.Applied != first.Applied || st.Applied != st.Last {
			return false
		}
	}
	return true
}

// written is what the log holds of a move.
type written struct {
	Cursor struct {
		Name     string  `json:"name"`
		Position string  `json:"position"`
		Expect   *string `json:"expect"`
	} `json:"set_cursor"`
}

// effects folds the committed commands by the format alone, and gives the moves that changed something. None may be there twice.
// Whole is false when some were applied and trimmed in one step, before they could be looked at.
func (c *council) effects() (effects map[string]bool, whole bool, err error) {
	at := map[string]string{}
	effects = map[string]bool{}
	next := uint64(1)
	for _, i := range slices.Sorted(maps.Keys(c.seen)) {
		if i != next {
			return nil, false, nil
		}
		next++
		if e := c.seen[i]; e.Type != seglog.TypeRecords || len(e.Data) == 0 {
			continue
		}
		walk := seglog.WalkRecords(c.seen[i].Data)
		for walk.Next() {
			var m written
			if err := json.Unmarshal(walk.Payload(), &m); err != nil {
				return nil, false, err
			}
			if _, twice := effects[m.Cursor.Position]; twice {
				return nil, false, fmt.Errorf("the move to %s is in the log twice", m.Cursor.Position)
			}
			met := m.Cursor.Expect == nil || *m.Cursor.Expect == at[m.Cursor.Name]
			if effects[m.Cursor.Position] = met; met {
				at[m.Cursor.Name] = m.Cursor.Position
			}
		}
		if walk.Err() != nil {
			return nil, false, walk.Err()
		}
	}
	return effects, true, nil
}

// linearizable asks porcupine, cursor by cursor, whether one order explains every outcome: a change that was acknowledged happened
// once, a refusal was true, and what has no outcome happened once or never, as the log says.
func (c *council) linearizable() error {
	effects, whole, err := c.effects()
	if err != nil || !whole {
		return err
	}
	c.stats.Whole++
	for name := range cursors {
		var ops []porcupine.Operation
		for _, m := range c.history {
			happened, proposed := effects[m.position]
			switch {
			case m.acked && !happened || m.conflict && (happened || !proposed) || m.nothing && proposed:
				return fmt.Errorf("the log says of %+v: proposed %v, happened %v", *m, proposed, happened)
			case m.cursor != name || !m.conflict && !happened:
				continue
			}
			end := m.returned
			if !m.acked && !m.conflict {
				end = math.MaxInt64
			}
			ops = append(ops, porcupine.Operation{ClientId: m.clerk, Input: *m, Call: m.invoked, Return: end})
		}
		if r := porcupine.CheckOperationsTimeout(cursorModel, ops, 20*time.Second); r != porcupine.Ok {
			var b strings.Builder
			for _, o := range ops {
				fmt.Fprintf(&b, "  %+v\n", o.Input)
			}
			return fmt.Errorf("cursor %d is not linearizable (%v):\n%s", name, r, &b)
		}
	}
	return nil
}

// cursorModel is a cursor as its users think of it.
var cursorModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		at, m := state.(string), input.(move)
		met := m.expect == nil || *m.expect == at
		if m.conflict {
			return !met && m.actual == at, at
		}
		return met, m.position
	},
}
