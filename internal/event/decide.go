package event

import (
	"hash/maphash"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// Pair is an entry of metadata.
type Pair struct{ Name, Value string }

// CausationID is the metadata name of the id of what caused an event.
const CausationID = "causation_id"

// CheckMetadata holds a command's metadata, sorted by name, against the limits of an event's, to which it is added. The error is
// invalid or too_large.
func CheckMetadata(pairs []Pair, lim *limits.Limits) error {
	p := parts{metadata: make([]pair, 0, len(pairs))}
	for _, m := range pairs {
		p.metadata = append(p.metadata, pair{[]byte(m.Name), []byte(m.Value)})
	}
	if bad := p.metadataProblem(lim); bad != nil {
		return bad.in("metadata")
	}
	return nil
}

// CheckCommand holds a command's key, name, id and payload against the limits. The error is invalid or too_large, and names the
// field.
func CheckCommand(key, command, id string, p *Payload, lim *limits.Limits) error {
	if key == "" {
		return invalid("is empty: name the entity").in("key")
	}
	if bad := textProblem([]byte(key), "key_bytes", lim.KeyBytes); bad != nil {
		return bad.in("key")
	}
	if bad := typeProblem([]byte(command), lim); bad != nil {
		return bad.in("command")
	}
	if id != "" {
		if bad := idProblem([]byte(id), lim); bad != nil {
			return bad.in("id")
		}
	}
	return CheckPayload("payload", p, "event_bytes", lim.EventBytes)
}

// CheckPayload holds a payload against a limit. The error is invalid or too_large, and names the field.
func CheckPayload(field string, p *Payload, limit string, most int) error {
	if len(p.Data) > most {
		return over(limit, len(p.Data), most, "bytes").in(field)
	}
	if p.ContentType != "" {
		if bad := contentTypeProblem([]byte(p.ContentType)); bad != nil {
			return bad.in(field + ".content_type")
		}
	}
	if bad := textProblem([]byte(p.Type), "type", longestPayloadType); bad != nil {
		return bad.in(field + ".type")
	}
	return nil
}

// longestPayloadType is the most bytes of the name of a payload's type.
const longestPayloadType = 256

// Stamp is what the events of a decision get where they say nothing themselves.
type Stamp struct {
	// ID begins the ids of events without one; a number follows.
	ID string
	// Time is when the command came.
	Time time.Time
	// Metadata are the command's, sorted by name; Cause is its id.
	Metadata []Pair
	Cause    string
	// Declared tells whether the handler may emit an event; nil: any.
	Declared func(typ []byte, version uint32) bool
}

// Stamper prepares the events of decisions; it is used by one goroutine, and keeps its memory.
type Stamper struct {
	scratch  []byte
	metadata []pair
	tags     [][]byte
	seen     seen
}

// Prepare checks a decision's events, encodings of Event, and writes their canonical bytes; with end a tombstone follows them. They
// are put into list when it has room. size is that of their bytes. Errors are about the handler: invalid and too_large name the
// field, unsupported is a field this version does not know.
func (s *Stamper) Prepare(st *Stamp, raw [][]byte, end bool, list []Prepared, lim *limits.Limits) (events []Prepared, size int, err error) {
	n := len(raw)
	if end {
		n++
	}
	if n > lim.CommitEvents {
		return nil, 0, over("commit_events", n, lim.CommitEvents, "events").in("events")
	}
	room := 0
	for _, b := range raw {
		room += len(b)
	}
	slab := make([]byte, 0, room+n*s.room(st))
	if events = list[:0]; cap(list) < n {
		events = make([]Prepared, 0, n)
	}
	for i, b := range raw {
		if events, slab, err = s.prepare(st, i, b, events, slab, lim); err != nil {
			return nil, 0, err
		}
	}
	if end {
		events, slab, err = s.tombstone(st, len(raw), events, slab, lim)
	}
	if len(slab) > lim.CommitBytes {
		return nil, 0, over("commit_bytes", len(slab), lim.CommitBytes, "bytes in all").in("events")
	}
	return events, len(slab), s.sameIDs(events, err)
}

// room is what an event gets at most beyond its own bytes.
func (s *Stamper) room(st *Stamp) int {
	n := len(st.ID) + len(st.Cause) + len(CausationID) + 64
	for _, m := range st.Metadata {
		n += len(m.Name) + len(m.Value) + 10
	}
	return n
}

func (s *Stamper) prepare(st *Stamp, i int, b []byte, events []Prepared, slab []byte, lim *limits.Limits) ([]Prepared, []byte, error) {
	p := parts{metadata: s.metadata[:0], tags: s.tags[:0]}
	name, bad := p.scan(b)
	s.scratch = s.scratch[:0]
	if bad == nil && string(p.typ) == Tombstone {
		name, bad = "type", invalid("is %s, which is the server's own: set delete in the decision", Tombstone)
	}
	if bad == nil && st.Declared != nil && !st.Declared(p.typ, uint32(p.schemaVersion)) {
		name, bad = "type", invalid("is %.80q in version %d, which the handler has not declared: name it in hello", p.typ, p.schemaVersion)
	}
	if bad == nil {
		s.complete(st, i, &p)
		name, bad = p.check(lim, &s.seen)
	}
	s.metadata, s.tags = p.metadata, p.tags
	if bad != nil {
		return nil, nil, bad.in("events[" + strconv.Itoa(i) + "]." + name)
	}
	start := len(slab)
	slab = p.append(slab)
	e := Prepared{Bytes: slab[start:len(slab):len(slab)]}
	e.ID, e.Type = idAndType(e.Bytes, len(p.id), len(p.typ))
	return append(events, e), slab, nil
}

// complete adds what the event does not say.
func (s *Stamper) complete(st *Stamp, i int, p *parts) {
	if len(p.id) == 0 {
		s.scratch = strconv.AppendInt(append(append(s.scratch, st.ID...), '/'), int64(i), 10)
		p.id = s.scratch
	}
	if !p.timed && !st.Time.IsZero() {
		p.timed, p.seconds, p.nanos = true, st.Time.Unix(), int64(st.Time.Nanosecond())
	}
	own := len(p.metadata)
	for _, m := range st.Metadata {
		s.add(p, own, m.Name, m.Value)
	}
	if st.Cause != "" {
		s.add(p, len(p.metadata), CausationID, st.Cause)
	}
}

// add adds an entry unless one of the first own has its name.
func (s *Stamper) add(p *parts, own int, name, value string) {
	for _, m := range p.metadata[:own] {
		if string(m.name) == name {
			return
		}
	}
	p.metadata = append(p.metadata, pair{s.keep(name), s.keep(value)})
}

// keep copies a text for as long as one event is prepared.
func (s *Stamper) keep(text string) []byte {
	start := len(s.scratch)
	s.scratch = append(s.scratch, text...)
	return s.scratch[start:len(s.scratch):len(s.scratch)]
}

func (s *Stamper) tombstone(st *Stamp, i int, events []Prepared, slab []byte, lim *limits.Limits) ([]Prepared, []byte, error) {
	own := *st
	own.Declared = nil
	p := parts{metadata: s.metadata[:0], tags: s.tags[:0], typ: []byte(Tombstone)}
	s.scratch = s.scratch[:0]
	s.complete(&own, i, &p)
	name, bad := p.check(lim, &s.seen)
	s.metadata, s.tags = p.metadata, p.tags
	if bad != nil {
		return nil, nil, bad.in("tombstone." + name)
	}
	start := len(slab)
	slab = p.append(slab)
	e := Prepared{Bytes: slab[start:len(slab):len(slab)]}
	e.ID, e.Type = idAndType(e.Bytes, len(p.id), len(p.typ))
	return append(events, e), slab, nil
}

// sameIDs refuses two events with one id.
func (s *Stamper) sameIDs(events []Prepared, err error) error {
	if err != nil {
		return err
	}
	hash := func(seed maphash.Seed, i int) uint64 { return maphash.Bytes(seed, events[i].ID) }
	equal := func(i, j int) bool { return string(events[i].ID) == string(events[j].ID) }
	if first, second, found := s.seen.twins(len(events), hash, equal); found {
		return errs.New(errs.Invalid, "events[%d].id is also that of events[%d]: ids must differ", second, first).With("field", "events")
	}
	return nil
}
