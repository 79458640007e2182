package entity

import (
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
)

// entity is a stream with behaviour that is known here: because it has work, or because a handler has a copy of it.
type entity struct {
	kind  *kind
	key   string
	bytes []byte // the key
	hash  uint64

	home    *seat  // whose handler has the session
	epoch   uint64 // of the kind's seats, when home was chosen
	session uint64 // 0: the next task is cold
	// revision is that of the session: what was decided counts, stored or not.
	revision  uint64
	durable   position.Position // of the newest event known to be stored
	carriedAt uint64            // the newest state in the log, or about to be
	deleted   bool
	kept      *event.State // for a handler that keeps nothing: the state at revision
	keptBytes int64

	queue     list     // to be sent
	task      *inHand  // what the handler has
	loading   *Loading // what is being read
	decided   list     // in the order of decision, until answered
	unknown   int      // writes among them without an outcome
	last      *command // the newest write without an outcome
	confirm   *Confirm // that was asked and not answered
	broken    bool     // something it rested on was lost: what follows is decided again
	barrier   bool     // the next load must count everything
	checking  bool     // its carried state is made again, to compare
	checked   uint64   // the revision of the carried state that was
	ready     bool     // it stands in a seat's list
	waits     bool     // it stands in the kind's list
	missing   int      // times in a row that the handler lacked its base
	count     int      // commands of it without an outcome
	idle      bool     // it stands in the kind's idle list
	forgotten bool     // it is known no more: the next command makes another
	lastUsed  time.Time
	prev      *entity
	next      *entity
}

func (c *Core) newEntity(k *kind, key string) *entity {
	key = strings.Clone(key) // it may be a part of something large
	e := &entity{kind: k, key: key, bytes: []byte(key), hash: hashOf(key)}
	k.entities[key] = e
	c.entities++
	c.bytes += e.size()
	return e
}

func (e *entity) size() int64 { return entityBytes + int64(2*len(e.key)) }

// keep sets the state that is kept for a handler that keeps none; nil forgets it.
func (c *Core) keep(e *entity, s *event.State) {
	c.bytes -= e.keptBytes
	e.kept, e.keptBytes = s, 0
	if s != nil {
		e.keptBytes = int64(len(s.Data))
	}
	c.bytes += e.keptBytes
}

// working tells whether anything of the entity is under way.
func (e *entity) working() bool {
	return e.task != nil || e.loading != nil || e.confirm != nil || e.queue.first != nil || e.decided.first != nil || e.count > 0
}

// awake takes an entity out of the idle ones.
func (c *Core) awake(e *entity) {
	if e.idle {
		e.kind.idle.remove(e)
	}
}

// rest puts an entity without work to the idle ones, or forgets one that no handler has.
func (c *Core) rest(e *entity) {
	switch {
	case e.idle || e.forgotten || e.working():
	case e.session == 0 && e.kept == nil:
		c.forget(e, "")
	default:
		e.lastUsed = c.now
		e.kind.idle.add(e)
		c.shrink()
	}
}

// forget drops an entity, and tells its handler.
func (c *Core) forget(e *entity, why string) {
	c.awake(e)
	e.forgotten = true
	if e.session != 0 && e.home != nil && !e.home.att.gone {
		c.evict(e)
	}
	c.keep(e, nil)
	c.bytes -= e.size()
	c.entities--
	delete(e.kind.entities, e.key)
	if told := c.cfg.Listener.Forgotten; told != nil && why != "" {
		told(e.kind.name, why)
	}
	c.forgetKind(e.kind)
}

func (c *Core) evict(e *entity) {
	a := e.home.att
	a.frame.Evicts = append(a.frame.Evicts, Evict{Kind: e.kind.name, Key: e.key, Session: e.session})
	c.touch(a)
}

// shrink forgets the entities that were idle for longest while there are more than the budget allows.
func (c *Core) shrink() {
	for c.bytes > c.cfg.Limits.EntityCacheBytes {
		var oldest *entity
		for _, k := range c.kinds {
			if e := k.idle.first; e != nil && (oldest == nil || e.lastUsed.Before(oldest.lastUsed)) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		c.forget(oldest, "budget")
	}
}

// passivate forgets entities that have been idle for as long as their kind allows.
func (c *Core) passivate() {
	for _, k := range c.kinds {
		idle := time.Duration(defaultIdle)
		if k.conf != nil {
			idle = k.conf.Idle
		}
		for e := k.idle.first; e != nil && c.now.Sub(e.lastUsed) >= idle; e = k.idle.first {
			c.forget(e, "idle")
		}
	}
}

// entities is a list of entities, the one that was idle for longest first.
type entities struct{ first, last *entity }

func (l *entities) add(e *entity) {
	e.idle, e.prev, e.next = true, l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

func (l *entities) remove(e *entity) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.idle, e.prev, e.next = false, nil, nil
}

// hashOf is the same on every node and in every run: where a key goes depends on it.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix spreads a number over all bits (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
