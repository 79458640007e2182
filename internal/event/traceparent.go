package event

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// traceparentRoom is what a traceparent adds to an event's bytes.
const traceparentRoom = 4 + 2 + len(eventwire.Traceparent) + eventwire.TraceparentSize

// DecodeTraced is DecodeAppendRequest for a caller that has told its traceparent: each event that has none in its metadata gets
// it. One that is malformed is passed over, and so is one that does not fit within the limits: being traced never makes an
// append fail.
func DecodeTraced(b []byte, lim *limits.Limits, newID func() string, traceparent string) (*Commit, error) {
	traceparent = eventwire.CheckTraceparent(traceparent)
	if traceparent == "" {
		return DecodeAppendRequest(b, lim, newID)
	}
	commit, err := decode(b, lim, newID, []byte(traceparent))
	if errs.CodeOf(err) == errs.TooLarge {
		return DecodeAppendRequest(b, lim, newID)
	}
	return commit, err
}

// trace adds the caller's traceparent to an event that has none.
func (p *parts) trace(traceparent []byte) {
	for _, m := range p.metadata {
		if string(m.name) == eventwire.Traceparent {
			return
		}
	}
	p.metadata = append(p.metadata, pair{traceparentName, traceparent})
}

var traceparentName = []byte(eventwire.Traceparent)

// Traceparent gives the traceparent in an event's canonical bytes, or "".
func (p *Prepared) Traceparent() string {
	_, entry, _ := content(p.Bytes)
	if entry == nil {
		return ""
	}
	var at parts
	if at.takePair(entry) != nil {
		return ""
	}
	return eventwire.CheckTraceparent(string(at.metadata[0].value))
}

// SameContent tells whether two events, in canonical bytes, say the same. Their traceparent does not count: it tells by which
// call an event came, and a call that is repeated is another one.
func SameContent(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	a1, _, a2 := content(a)
	b1, _, b2 := content(b)
	if len(a1)+len(a2) != len(b1)+len(b2) {
		return false
	}
	// They are cut at different places when only one has a traceparent.
	if len(a1) > len(b1) {
		a1, a2, b1, b2 = b1, b2, a1, a2
	}
	middle := len(b1) - len(a1)
	return bytes.Equal(a1, b1[:len(a1)]) && bytes.Equal(a2[:middle], b1[len(a1):]) && bytes.Equal(a2[middle:], b2)
}

// content cuts the traceparent's entry out of an event's canonical bytes; entry is nil when there is none.
func content(b []byte) (before, entry, after []byte) {
	var f, name field
	for rest := b; len(rest) > 0; {
		next, ok := f.next(rest)
		if !ok {
			break
		}
		if f.is(8, protowire.BytesType) {
			if _, ok := name.next(f.bytes); ok && name.is(1, protowire.BytesType) && string(name.bytes) == eventwire.Traceparent {
				return b[:len(b)-len(rest)], f.bytes, next
			}
		}
		rest = next
	}
	return b, nil, nil
}
