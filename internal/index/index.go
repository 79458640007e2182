package index

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Loc is where an event's record is.
type Loc struct {
	Entry uint64 // Raft index of the entry
	Off   uint32 // of the record in the entry's data, in bytes
	Size  uint32 // of the record's payload, in bytes
}

// Event is what the index is told of an event. The slices are copied.
type Event struct {
	Offset, Revision uint64
	Topic, Key, Type []byte   // the topic up to 255 bytes, the key up to 64 KiB
	Tags             []uint64 // TagHash of each
	ID               uint64   // IDHash
	Loc              Loc
	Time             int64 // recorded, in nanoseconds since 1970 UTC
}

// Head is where a stream ends.
type Head struct {
	Revision, Offset uint64
	Time             int64 // as Event.Time; zero from ActiveHead and SealedHead, which do not look it up
}

// StreamHead is a stream of a known topic and where it ends.
type StreamHead struct {
	Key []byte
	Head
}

// Posting is an event found in a stream or a topic. Revision is zero in a topic's postings.
type Posting struct {
	Offset, Revision uint64
	Loc              Loc
}

// Options say where the index lives and what it may take.
type Options struct {
	// Dir is the folder; it is created, and emptied when what it holds cannot be used.
	Dir string
	// FS is where Dir and the files given to Build and Ingest are; nil means the real file system.
	FS vfs.FS
	// BlockCacheBytes bounds the cache of blocks of ingested tables.
	BlockCacheBytes int64
	// HeadsCacheBytes bounds the cache of the heads of streams in ingested segments. Half as much again may go to the filters
	// that tell which segments hold a stream.
	HeadsCacheBytes int64
	// IDWindow is for how many of the newest events ids are found by SealedIDs; about 4.5 bytes of memory each. 0 means 10
	// million.
	IDWindow uint64
	// ReadOnly leaves the folder as it is: damage fails Open instead of emptying it, and nothing can be ingested.
	ReadOnly bool
	// Listener hears what happens; nil means nobody does.
	Listener *Listener
}

// Listener is told what the index does. Every field may be nil; none may block.
type Listener struct {
	// Discarded: the folder was not usable and was emptied.
	Discarded func(dir string, reason error)
	// Damaged: the folder is not to be trusted any more, and is emptied at the next Open.
	Damaged func(dir string, reason error)
	// Built: a table was written.
	Built func(Built, time.Duration)
	// Ingested: a table was taken in.
	Ingested func(SegmentMark, time.Duration)
}

const defaultIDWindow = 10_000_000

// Index is one shard's index. Begin, Add, AddCommand and Reset belong to one goroutine, Build and Ingest to one (another) at a
// time; everything else may be called from any.
type Index struct {
	o     Options
	fs    vfs.FS
	db    *pebble.DB
	cache *pebble.Cache
	lock  *pebble.Lock
	heads *heads
	ids   *idWindow

	mu         sync.Mutex // orders changes of the view
	view       atomic.Pointer[view]
	generation atomic.Uint64
	current    *table // the owner's

	cursors chan *cursor
	version atomic.Uint64 // of what is ingested; cursors of an older one are made anew
	warm    warmer
	damaged atomic.Bool
}

// Generation changes just before a table in memory is dropped: what SealedHead and SealedIDs said before may then lack what
// ActiveHead and ActiveIDs no longer say. To use both, read it before the former and again after the latter: it must not have changed.
func (ix *Index) Generation() uint64 { return ix.generation.Load() }

// Begin starts the table of a segment, named by its first entry: events added later go to it, and the table before it is
// frozen. Beginning a segment again goes on with its table.
func (ix *Index) Begin(segment uint64) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	v := ix.view.Load()
	if t := v.table(segment); t != nil && !t.frozen.Load() {
		ix.current = t
		return
	}
	events, streams := 0, 0
	if ix.current != nil {
		ix.current.freeze()
		events, streams = int(ix.current.rows.len()+ix.current.commands.len()), int(ix.current.streams.len())
	}
	ix.current = newTable(segment, events, streams)
	ix.view.Store(v.with(ix.current))
}

// Add takes committed events of the segment begun last, in the order of their offsets. Readers see all of them or none.
func (ix *Index) Add(events []Event) {
	if len(events) > 0 {
		ix.current.add(events)
	}
}

// AddCommand files a command's id under the offset of its commit's first event; Locate of that leads to the entry. It comes after
// the Add of that commit. The place of the command's own record is not kept: the entry is read whole.
func (ix *Index) AddCommand(hash uint64, _ Loc, offset uint64) { ix.current.addCommand(hash, offset) }

// ActiveHead gives a stream's head when the stream has events in a segment that is still in memory. Time is not filled.
func (ix *Index) ActiveHead(topic, key []byte) (Head, bool) {
	return ix.view.Load().head(streamHash(topic, key), topic, key)
}

// ActiveIDs appends the offsets of events (or commands) in memory with this id hash that dst does not hold yet. They are
// candidates: the ids themselves may differ.
func (ix *Index) ActiveIDs(hash uint64, dst []uint64) []uint64 {
	for _, t := range ix.view.Load().active {
		if n := len(dst); n == 0 {
			dst = t.ids(hash, dst)
		} else {
			dst = mergeNew(dst, t.ids(hash, nil))
		}
	}
	return dst
}

func mergeNew(dst, more []uint64) []uint64 {
next:
	for _, m := range more {
		for _, d := range dst {
			if d == m {
				continue next
			}
		}
		dst = append(dst, m)
	}
	return dst
}

// Last gives the newest event's offset and recorded time; zero without events.
func (ix *Index) Last() (offset uint64, time int64) {
	v := ix.view.Load()
	for i := len(v.active) - 1; i >= 0; i-- {
		if m := v.active[i].summary(); m.Events > 0 {
			return m.LastOffset, m.LastTime
		}
	}
	for i := len(v.sealed) - 1; i >= 0; i-- {
		if m := &v.sealed[i].SegmentMark; m.Events > 0 {
			return m.LastOffset, m.LastTime
		}
	}
	return 0, 0
}
