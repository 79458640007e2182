package eventwire

import "encoding/binary"

// View is a recorded event's parts where they lie in its encoding: nothing is copied, so it is valid as long as the bytes are.
type View struct {
	// Event is the encoding of the gesta.v1.Event; ID and Type are parts of it.
	Event, ID, Type  []byte
	Topic, Key       []byte
	Offset, Revision uint64
	// Recorded is in nanoseconds since 1970 UTC.
	Recorded int64
}

// ViewRecorded sets v to the parts of the recorded event that b encodes. It is for encodings this package wrote, as the log
// keeps them: fields must ascend, none twice (unknown ones are skipped), and of the event only id and type are looked at.
// The error wraps ErrMalformed. It does not allocate.
func ViewRecorded(b []byte, v *View) error {
	*v = View{}
	last := uint64(0)
	for i := 0; i < len(b); {
		at := i
		tag, next := varint(b, i)
		if next < 0 || tag>>3 <= last {
			return malformed("a field's tag", at)
		}
		last = tag >> 3
		if i = viewField(b, next, tag, v); i < 0 {
			return malformed("a field of a recorded event", at)
		}
	}
	var err error
	v.ID, v.Type, err = ViewEvent(v.Event)
	return err
}

func viewField(b []byte, i int, tag uint64, v *View) (next int) {
	switch tag {
	case tagEvent:
		v.Event, next = part(b, i)
	case tagOffset:
		v.Offset, next = varint(b, i)
	case tagRevision:
		v.Revision, next = varint(b, i)
	case tagTopic:
		v.Topic, next = part(b, i)
	case tagKey:
		v.Key, next = part(b, i)
	case tagRecorded:
		if len(b)-i < 8 {
			return -1
		}
		v.Recorded = int64(binary.LittleEndian.Uint64(b[i:]))
		return i + 8
	default:
		return skip(b, i, tag)
	}
	return next
}

// ViewEvent gives the id and type of an event in the canonical encoding, where they lie in b; the rest is not looked at.
// The error wraps ErrMalformed.
func ViewEvent(b []byte) (id, typ []byte, err error) {
	i := 0
	if i < len(b) && b[i] == tagID {
		if id, i = part(b, i+1); i < 0 {
			return nil, nil, malformed("an event's id", 0)
		}
	}
	if at := i; i < len(b) && b[i] == tagType {
		if typ, i = part(b, i+1); i < 0 {
			return nil, nil, malformed("an event's type", at)
		}
	}
	return id, typ, nil
}

// Tags walks the tags of an encoded event.
type Tags struct {
	b   []byte
	at  int
	tag []byte
	bad bool
}

// WalkTags begins before the first tag of an event in the canonical encoding (View.Event). It does not allocate.
func WalkTags(event []byte) Tags { return Tags{b: event} }

// Next moves to the next tag; false at the end, or where the encoding is broken (see Err).
func (t *Tags) Next() bool {
	for t.at < len(t.b) && !t.bad {
		tag, next := varint(t.b, t.at)
		switch {
		case next < 0:
		case tag == tagTag:
			t.tag, next = part(t.b, next)
		default:
			next = skip(t.b, next, tag)
		}
		if t.bad = next < 0; t.bad {
			return false
		}
		if t.at = next; tag == tagTag {
			return true
		}
	}
	return false
}

// Tag is the tag moved to, where it lies in the event's encoding.
func (t *Tags) Tag() []byte { return t.tag }

// Err wraps ErrMalformed when the walk ended before the event did.
func (t *Tags) Err() error {
	if t.bad {
		return malformed("a field of an event", t.at)
	}
	return nil
}

// part gives the bytes whose length is at b[i:].
func part(b []byte, i int) (p []byte, next int) {
	from, to := span(b, i)
	if to < 0 {
		return nil, -1
	}
	return b[from:to:to], to
}
