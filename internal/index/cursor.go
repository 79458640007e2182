package index

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// idleCursors is how many cursors are kept for the next look-up.
const idleCursors = 32

// cursor reads ingested tables: an iterator, which costs more to make than to move, and room to decode in.
type cursor struct {
	ix      *Index
	it      *pebble.Iterator
	version uint64
	key     []byte
	block   blockReader
	spots   []spot
	runs    []run
	group   placeGroup
}

// cursor gives an idle cursor that sees all that is ingested now, or a new one.
func (ix *Index) cursor() (*cursor, error) {
	version := ix.version.Load()
	for {
		select {
		case c := <-ix.cursors:
			if c.version == version {
				return c, nil
			}
			c.close()
		default:
			it, err := ix.db.NewIterWithContext(context.Background(), nil)
			if err != nil {
				return nil, ix.failed(err)
			}
			return &cursor{ix: ix, it: it, version: version}, nil
		}
	}
}

func (c *cursor) close() { _ = c.it.Close() } // an error was returned by the move that met it

// release gives a cursor back; one that met an error is not used again.
func (c *cursor) release() {
	if c.it.Error() != nil {
		c.close()
		return
	}
	select {
	case c.ix.cursors <- c:
	default:
		c.close()
	}
}

func (ix *Index) closeCursors() {
	for {
		select {
		case c := <-ix.cursors:
			c.close()
		default:
			return
		}
	}
}

// value reads where the iterator stands, when its key has the prefix.
func (c *cursor) value(prefix []byte) ([]byte, bool, error) {
	if !c.it.Valid() {
		return nil, false, c.failed(c.it.Error())
	}
	if !bytes.HasPrefix(c.it.Key(), prefix) {
		return nil, false, nil
	}
	v, err := c.it.ValueAndErr()
	return v, err == nil, c.failed(err)
}

func (c *cursor) failed(err error) error {
	if err == nil {
		return nil
	}
	return c.ix.failed(err)
}

// get reads one key.
func (c *cursor) get(key []byte) ([]byte, bool, error) {
	c.it.SeekGE(key)
	v, ok, err := c.value(key)
	return v, ok && len(c.it.Key()) == len(key), err
}

// atOrBefore reads the last key up to key that shares its first n bytes.
func (c *cursor) atOrBefore(key []byte, n int) ([]byte, bool, error) {
	c.it.SeekLT(append(key, 0))
	return c.value(key[:n])
}

// stream finds what a segment knows of a stream. The entry is valid until the cursor moves.
func (c *cursor) stream(s *segment, topic, key []byte) (*streamEntry, bool, error) {
	c.key = appendStreamKey(c.key[:0], s.Segment, topic, key)
	c.it.SeekGE(c.key)
	n := keyHead + 1 + len(topic)
	block, ok, err := c.value(c.key[:n])
	if !ok {
		return nil, false, err
	}
	c.block.reset(block)
	if !c.block.find(c.key[n:]) {
		return nil, false, c.failed(c.block.in.err())
	}
	return &c.block.entry, true, nil
}

// eachStream calls f with every stream of a segment until f returns false. What it is given is valid during the call.
func (c *cursor) eachStream(s *segment, f func(topic, key []byte, head Head) bool) error {
	prefix := appendKey(nil, s.Segment, kindStream)
	for ok := c.it.SeekGE(prefix); ok; ok = c.it.Next() {
		block, mine, err := c.value(prefix)
		if err != nil || !mine {
			return err
		}
		rest := c.it.Key()[keyHead:]
		topic := rest[1 : 1+rest[0]]
		c.block.reset(block)
		for c.block.next() {
			e := &c.block.entry
			if !f(topic, c.block.key, Head{Revision: e.lastRevision, Offset: s.FirstOffset + e.lastOffset}) {
				return nil
			}
		}
		if err := c.block.in.err(); err != nil {
			return c.failed(err)
		}
	}
	return c.failed(c.it.Error())
}

// ids appends the offsets that a segment has filed under an id's hash.
func (c *cursor) ids(s *segment, hash uint64, dst []uint64) ([]uint64, error) {
	if s.ids == 0 {
		return dst, nil
	}
	c.key = appendShort(c.key[:0], s.Segment, kindID, bucketOf(hash, s.idBits))
	v, ok, err := c.get(c.key)
	if !ok {
		return dst, err
	}
	dst, err = findIDs(dst, v, s.FirstOffset, s.idWidth, printOf(hash, s.idBits))
	return dst, c.failed(err)
}

// hashes reads the known part of all id hashes of a segment, in order; the rest of their bits is zero.
func (c *cursor) hashes(s *segment) ([]uint64, error) {
	all := make([]uint64, 0, s.ids)
	prefix := appendKey(nil, s.Segment, kindID)
	for ok := c.it.SeekGE(prefix); ok; ok = c.it.Next() {
		v, mine, err := c.value(prefix)
		if err != nil || !mine {
			return all, err
		}
		key := c.it.Key()
		top := uint64(key[keyHead])<<8 | uint64(key[keyHead+1])
		err = readIDs(v, 0, s.idWidth, func(print uint32, _ uint64) {
			all = append(all, top<<(64-s.idBits)|uint64(print)<<(32-s.idBits))
		})
		if err != nil {
			return nil, c.failed(err)
		}
	}
	return all, c.failed(c.it.Error())
}

// filter reads a segment's filter.
func (c *cursor) filter(s *segment) (bloom, error) {
	f := newBloom(s.filterBlocks)
	prefix := appendKey(nil, s.Segment, kindFilter)
	at := 0
	for ok := c.it.SeekGE(prefix); ok; ok = c.it.Next() {
		v, mine, err := c.value(prefix)
		if err != nil {
			return nil, err
		}
		if !mine {
			break
		}
		if err := f.load(at, v); err != nil {
			return nil, c.failed(err)
		}
		at += len(v) / 8
	}
	if at != len(f) {
		return nil, c.failed(errShort)
	}
	return f, c.failed(c.it.Error())
}
