package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// DecodeAppendRequest makes a commit of the wire encoding of a gesta.v1.AppendRequest. It checks everything that can be
// checked without the log, and copies what it keeps, so b may be used again at once.
//
// An event without id gets one: derived from the command id when there is one, so that a repeat of the command is the same
// commit; else from newID, which must give ids within the limits that are never given again.
//
// Errors: invalid and too_large name the field ("streams[0].events[3].type", also in the detail "field") and the limit;
// unsupported for a field that this version does not know, since leaving it out could change what was meant.
func DecodeAppendRequest(b []byte, lim *limits.Limits, newID func() string) (*Commit, error) {
	return decode(b, lim, newID, nil)
}

func decode(b []byte, lim *limits.Limits, newID func() string, traceparent []byte) (*Commit, error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.lim, d.newID, d.traceparent = lim, newID, traceparent
	return d.decode(b)
}

// FromProto is DecodeAppendRequest for a message that was already taken apart.
func FromProto(m *gestav1.AppendRequest, lim *limits.Limits, newID func() string) (*Commit, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, errs.New(errs.Invalid, "the request cannot be encoded: %w", err)
	}
	return DecodeAppendRequest(b, lim, newID)
}

// decoder is one decoding under way; its lists are kept for the next one.
type decoder struct {
	lim   *limits.Limits
	newID func() string
	// traceparent is what events without one get; nil: nothing.
	traceparent []byte

	commit *Commit
	slab   []byte // all that the commit keeps
	seed   string // of ids derived from the command's
	stream int    // where it is, for naming fields; -1: in the request itself
	event  int    // -1: in the stream itself
	// lists of the event at hand
	metadata []pair
	tags     [][]byte
	seen     seen
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// release keeps the decoder's lists but nothing that belongs to the request.
func (d *decoder) release() {
	clear(d.metadata[:cap(d.metadata)])
	clear(d.tags[:cap(d.tags)])
	*d = decoder{metadata: d.metadata[:0], tags: d.tags[:0], seen: d.seen}
	decoders.Put(d)
}

// one is a commit of one event, in one piece of memory.
type one struct {
	commit  Commit
	streams [1]Append
	events  [1]Prepared
}

func (d *decoder) decode(b []byte) (*Commit, error) {
	d.stream, d.event = -1, -1
	streams, events, err := d.count(b)
	if err != nil {
		return nil, err
	}
	o := new(one)
	d.commit, d.slab = &o.commit, make([]byte, 0, d.room(len(b), events))
	list := o.events[:]
	if o.commit.Streams = o.streams[:]; streams > 1 {
		o.commit.Streams = make([]Append, streams)
	}
	if events > 1 {
		list = make([]Prepared, events)
	}
	if err := d.request(b); err != nil {
		return nil, err
	}
	if err := d.events(b, list); err != nil {
		return nil, err
	}
	return d.commit, d.checkWhole()
}

// room is what the commit's bytes take.
func (d *decoder) room(request, events int) int {
	if d.traceparent != nil {
		request += events * traceparentRoom
	}
	return request
}

// count tells how much memory the commit needs, before any is taken.
func (d *decoder) count(b []byte) (streams, events int, err error) {
	for f := (field{}); len(b) > 0; {
		rest, ok := f.next(b)
		if !ok {
			return 0, 0, d.refuse("", malformedField())
		}
		if b = rest; f.is(1, protowire.BytesType) {
			streams++
			events += countEvents(f.bytes)
		}
	}
	switch {
	case streams == 0:
		return 0, 0, d.refuse("streams", invalid("is empty: name at least one stream"))
	case streams > d.lim.CommitStreams:
		return 0, 0, d.refuse("streams", over("commit_streams", streams, d.lim.CommitStreams, "streams"))
	case events > d.lim.CommitEvents:
		return 0, 0, d.refuse("events", over("commit_events", events, d.lim.CommitEvents, "events in all"))
	}
	return streams, events, nil
}

func countEvents(b []byte) (n int) {
	for f := (field{}); len(b) > 0; {
		rest, ok := f.next(b)
		if !ok {
			return n
		}
		if b = rest; f.is(4, protowire.BytesType) {
			n++
		}
	}
	return n
}

// request reads everything but the events.
func (d *decoder) request(b []byte) error {
	n := 0
	for f := (field{}); len(b) > 0; {
		b, _ = f.next(b) // count has read it before
		switch {
		case f.is(1, protowire.BytesType):
			d.stream = n
			if err := d.header(f.bytes, &d.commit.Streams[n]); err != nil {
				return err
			}
			d.stream = -1
			n++
		case f.is(2, protowire.BytesType):
			if bad := idProblem(f.bytes, d.lim); bad != nil {
				return d.refuse("command_id", bad)
			}
			d.commit.CommandID = d.keep(f.bytes)
		case f.is(3, protowire.VarintType):
			d.commit.NoCreate = f.value != 0
		default:
			return d.refuse("", unknownField(&f))
		}
	}
	return nil
}

// header reads what a stream's append says beside its events.
func (d *decoder) header(b []byte, s *Append) error {
	for f := (field{}); len(b) > 0; {
		rest, ok := f.next(b)
		if !ok {
			return d.refuse("", malformedField())
		}
		b = rest
		switch {
		case f.is(1, protowire.BytesType):
			s.Topic = f.bytes
		case f.is(2, protowire.BytesType):
			s.Key = f.bytes
		case f.is(3, protowire.BytesType):
			if bad := s.Expect.scan(f.bytes); bad != nil {
				return d.refuse("expectation", bad)
			}
		case f.is(4, protowire.BytesType):
		default:
			return d.refuse("", unknownField(&f))
		}
	}
	if bad := topicProblem(s.Topic, d.lim.TopicBytes); bad != nil {
		return d.refuse("topic", bad)
	}
	if bad := textProblem(s.Key, "key_bytes", d.lim.KeyBytes); bad != nil {
		return d.refuse("key", bad)
	}
	s.Topic, s.Key = d.keep(s.Topic), d.keep(s.Key)
	return nil
}

// scan reads a gesta.v1.Expectation; without a rule it expects nothing.
func (e *Expect) scan(b []byte) *problem {
	for f := (field{}); len(b) > 0; {
		rest, ok := f.next(b)
		switch {
		case !ok:
			return malformedField()
		case f.is(1, protowire.VarintType):
			*e = Expect{Kind: Exact, Revision: f.value}
		case f.is(2, protowire.VarintType):
			kind, known := states[f.value]
			if !known {
				return invalid("has the unknown state %d: use any, none, exists or a revision", f.value)
			}
			*e = Expect{Kind: kind}
		default:
			return unknownField(&f)
		}
		b = rest
	}
	return nil
}

var states = map[uint64]ExpectKind{
	uint64(gestav1.StreamState_STREAM_STATE_UNSPECIFIED): Any,
	uint64(gestav1.StreamState_STREAM_STATE_ANY):         Any,
	uint64(gestav1.StreamState_STREAM_STATE_NONE):        None,
	uint64(gestav1.StreamState_STREAM_STATE_EXISTS):      Exists,
}

// events reads the events of every stream into list.
func (d *decoder) events(b []byte, list []Prepared) error {
	d.stream = 0
	for f := (field{}); len(b) > 0; {
		if b, _ = f.next(b); !f.is(1, protowire.BytesType) {
			continue
		}
		n, err := d.streamEvents(f.bytes, list)
		if err != nil {
			return err
		}
		if n == 0 {
			return d.refuse("events", invalid("is empty: append at least one event"))
		}
		d.commit.Streams[d.stream].Events = list[:n:n]
		list = list[n:]
		d.stream++
	}
	d.stream = -1
	return nil
}

func (d *decoder) streamEvents(b []byte, list []Prepared) (n int, err error) {
	for f := (field{}); len(b) > 0; {
		if b, _ = f.next(b); !f.is(4, protowire.BytesType) {
			continue
		}
		d.event = n
		if err := d.prepare(f.bytes, &list[n]); err != nil {
			return n, err
		}
		n++
	}
	d.event = -1
	return n, nil
}

// prepare checks one event and writes its canonical bytes.
func (d *decoder) prepare(b []byte, to *Prepared) error {
	p := parts{metadata: d.metadata[:0], tags: d.tags[:0]} // on the stack
	name, bad := p.scan(b)
	if d.traceparent != nil {
		p.trace(d.traceparent)
	}
	d.metadata, d.tags = p.metadata, p.tags
	if bad != nil {
		return d.refuse(name, bad)
	}
	if len(p.id) == 0 {
		p.id = d.makeID()
	}
	if name, bad := p.check(d.lim, &d.seen); bad != nil {
		return d.refuse(name, bad)
	}
	start := len(d.slab)
	d.slab = p.append(d.slab)
	to.Bytes = d.slab[start:len(d.slab):len(d.slab)]
	to.ID, to.Type = idAndType(to.Bytes, len(p.id), len(p.typ))
	d.commit.Bytes += len(to.Bytes)
	return nil
}

// idAndType finds them in canonical bytes, where they come first and are not empty.
func idAndType(b []byte, id, typ int) (idBytes, typeBytes []byte) {
	i := 1 + protowire.SizeVarint(uint64(id))
	t := i + id + 1 + protowire.SizeVarint(uint64(typ))
	return b[i : i+id : i+id], b[t : t+typ : t+typ]
}

func (d *decoder) makeID() []byte {
	if len(d.commit.CommandID) == 0 {
		return []byte(d.newID())
	}
	if d.seed == "" {
		d.seed = d.commit.commandSeed()
	}
	return fmt.Appendf(nil, "cmd-%s-%d.%d", d.seed, d.stream, d.event)
}

// commandSeed is a name of the command for ids derived from it: the scope of a command id is the commit's first stream.
func (c *Commit) commandSeed() string {
	h := sha256.New()
	for _, part := range [][]byte{c.Streams[0].Topic, c.Streams[0].Key, c.CommandID} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// checkWhole holds what is true of the commit as one.
func (d *decoder) checkWhole() error {
	c := d.commit
	if c.Bytes > d.lim.CommitBytes {
		return d.refuse("events", over("commit_bytes", c.Bytes, d.lim.CommitBytes, "bytes in all"))
	}
	for i := range c.Streams {
		if err := d.checkIDs(i); err != nil {
			return err
		}
	}
	hash := func(seed maphash.Seed, i int) uint64 {
		return maphash.Bytes(seed, c.Streams[i].Topic) ^ maphash.Bytes(seed, c.Streams[i].Key)*31
	}
	equal := func(i, j int) bool {
		return bytes.Equal(c.Streams[i].Topic, c.Streams[j].Topic) && bytes.Equal(c.Streams[i].Key, c.Streams[j].Key)
	}
	if first, second, found := d.seen.twins(len(c.Streams), hash, equal); found {
		return d.refuse("streams["+strconv.Itoa(second)+"]", invalid("is the same stream as streams[%d]: put its events there", first))
	}
	return nil
}

func (d *decoder) checkIDs(stream int) error {
	events := d.commit.Streams[stream].Events
	hash := func(seed maphash.Seed, i int) uint64 { return maphash.Bytes(seed, events[i].ID) }
	equal := func(i, j int) bool { return bytes.Equal(events[i].ID, events[j].ID) }
	if first, second, found := d.seen.twins(len(events), hash, equal); found {
		d.stream, d.event = stream, second
		return d.refuse("id", invalid("%.80q is also that of events[%d] of the same stream: ids must differ", events[second].ID, first))
	}
	return nil
}

// keep copies what the commit holds on to.
func (d *decoder) keep(b []byte) []byte {
	start := len(d.slab)
	d.slab = append(d.slab, b...)
	return d.slab[start:len(d.slab):len(d.slab)]
}

// refuse names the field in which the problem is.
func (d *decoder) refuse(name string, p *problem) error {
	path := ""
	if d.stream >= 0 {
		path = "streams[" + strconv.Itoa(d.stream) + "]"
	}
	if d.event >= 0 {
		path += ".events[" + strconv.Itoa(d.event) + "]"
	}
	switch {
	case path == "" && name == "":
		path = "request"
	case path == "":
		path = name
	case name != "":
		path += "." + name
	}
	return p.in(path)
}

func unknownField(f *field) *problem {
	return &problem{code: errs.Unsupported, text: fmt.Sprintf("has the field %d (wire type %d), which this version does not know: upgrade the server, or do not use it", f.number, f.typ)}
}
