package client

import (
	"context"
	"fmt"
	"reflect"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Payload is what a command, a reply or a state says.
type Payload struct {
	// ContentType is application/json, application/protobuf, or any other media type; empty: application/json.
	ContentType string `json:"content_type,omitempty"`
	// Type names the data's type, for Protobuf the message's full name.
	Type string `json:"type,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// PayloadOf writes a value: a Protobuf message as Protobuf, bytes as they are, anything else as JSON. nil is nothing. The error
// has [CodeInvalid].
func PayloadOf(v any) (Payload, error) {
	if v == nil {
		return Payload{}, nil
	}
	f, err := replyForm(reflect.TypeOf(v))
	if err != nil {
		return Payload{}, unwritable(err)
	}
	data, err := f.append(nil, v)
	if err != nil {
		return Payload{}, unwritable(err)
	}
	return Payload{ContentType: f.content, Type: f.name(), Data: data}, nil
}

func unwritable(err error) *Error {
	return &Error{Code: CodeInvalid, Message: "the value cannot be written: " + err.Error(), cause: err}
}

// Into reads the payload into what v points to: a Protobuf message, or anything that JSON can be read into. The error has
// [CodeInvalid].
func (p Payload) Into(v any) error { return readInto(p.ContentType, p.Data, v) }

func readInto(contentType string, data []byte, v any) error {
	f, err := replyForm(reflect.TypeOf(v))
	if err == nil && f.typ.Kind() != reflect.Pointer {
		err = fmt.Errorf("%v is not a pointer", f.typ)
	}
	if err == nil {
		err = f.fill(contentType, data, v)
	}
	if err != nil {
		return &Error{Code: CodeInvalid, Message: "the data cannot be read: " + err.Error(), cause: err}
	}
	return nil
}

func (p *Payload) decode(b []byte) error {
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch f.num {
		case 1:
			p.ContentType = mediaName(f.bytes)
		case 2:
			p.Type = string(f.bytes)
		case 3:
			p.Data = append([]byte(nil), f.bytes...)
		}
	}
	return nil
}

// mediaName is a content type, without an allocation for the usual ones.
func mediaName(b []byte) string {
	switch string(b) {
	case typeJSON:
		return typeJSON
	case typeProtobuf:
		return typeProtobuf
	}
	return string(b)
}

// EntityState is what an entity's events add up to, as the handler wrote it.
type EntityState struct {
	Type        string `json:"type,omitempty"`
	Version     uint32 `json:"version,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Data        []byte `json:"data,omitempty"`
	// Revision is that of the event after which it is the state.
	Revision uint64 `json:"revision"`
}

// Into reads the state as [Payload.Into] does.
func (s EntityState) Into(v any) error { return readInto(s.ContentType, s.Data, v) }

func (s *EntityState) decode(b []byte) error {
	var raw state
	if err := raw.parse(b); err != nil {
		return err
	}
	*s = EntityState{
		Type: string(raw.typ), Version: raw.version, ContentType: mediaName(raw.contentType),
		Data: append([]byte(nil), raw.data...), Revision: raw.revision,
	}
	return nil
}

func stateOf(m *gestav1.EntityState) EntityState {
	return EntityState{Type: m.GetType(), Version: m.GetVersion(), ContentType: m.GetContentType(), Data: m.GetData(), Revision: m.GetRevision()}
}

// Command makes a command of a value of one of the registered types, to be completed and given to [Client.Execute]. The error has
// [CodeInvalid].
func (d *Entity[S, C, E]) Command(key string, command C) (Command, error) {
	m, err := d.modelOf()
	if err != nil {
		return Command{}, err
	}
	t := reflect.TypeOf(command)
	name := m.names[t]
	if name == "" {
		return Command{}, &Error{Code: CodeInvalid, Message: fmt.Sprintf("%v is not the type of one command of %s", t, m.Kind)}
	}
	p, err := PayloadOf(command)
	return Command{Kind: m.Kind, Key: key, Name: name, Payload: p}, err
}

// Send lets an entity decide about a command. id names it for idempotency; "" leaves that to the client's own retries. Errors are
// those of [Client.Execute].
func (d *Entity[S, C, E]) Send(ctx context.Context, c *Client, key string, command C, id string) (Outcome, error) {
	ask, err := d.Command(key, command)
	if err != nil {
		return Outcome{}, err
	}
	ask.ID = id
	return c.Execute(ctx, ask)
}

// State tells an entity's state and its revision. Errors are those of [Client.State].
func (d *Entity[S, C, E]) State(ctx context.Context, c *Client, key string, opts ...StateOption) (s S, revision uint64, err error) {
	r, err := c.State(ctx, d.Kind, key, opts...)
	if err != nil {
		return s, 0, err
	}
	s, err = d.ReadState(r.EntityState)
	return s, r.Revision, err
}

// ReadState reads a state that was written by this or an older version. The error has [CodeInvalid].
func (d *Entity[S, C, E]) ReadState(from EntityState) (s S, err error) {
	m, err := d.modelOf()
	if err != nil {
		return s, err
	}
	if s, err = m.readState(from.Type, from.Version, from.ContentType, from.Data); err != nil {
		return s, unreadable(err)
	}
	return s, nil
}

// WriteState writes a state as a snapshot has it.
func (d *Entity[S, C, E]) WriteState(s S) (EntityState, error) {
	m, err := d.modelOf()
	if err != nil {
		return EntityState{}, err
	}
	data, err := m.state.append(nil, s)
	if err != nil {
		return EntityState{}, unwritable(err)
	}
	return EntityState{Type: m.stateType(), Version: m.StateVersion, ContentType: m.state.content, Data: data}, nil
}

// ReadEvent reads an event of the entity's stream, for instance in a read model that follows the topic. The error has
// [CodeInvalid]; a tombstone (type gesta.deleted) is none of the entity's events.
func (d *Entity[S, C, E]) ReadEvent(r *Recorded) (e E, err error) {
	m, err := d.modelOf()
	if err != nil {
		return e, err
	}
	if e, err = m.readEvent(r); err != nil {
		return e, unreadable(err)
	}
	return e, nil
}

// WriteEvent writes an event as the handler emits it, without an envelope.
func (d *Entity[S, C, E]) WriteEvent(e E) (into Event, err error) {
	m, err := d.modelOf()
	if err != nil {
		return into, err
	}
	if _, err = m.writeEvent(e, &into, nil); err != nil {
		return into, unwritable(err)
	}
	return into, nil
}

// NewState is the state of an entity without events.
func (d *Entity[S, C, E]) NewState() (s S, err error) {
	m, err := d.modelOf()
	if err != nil {
		return s, err
	}
	return m.fresh(), nil
}

func unreadable(err error) *Error {
	return &Error{Code: CodeInvalid, Message: err.Error(), cause: err}
}
