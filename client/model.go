package client

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// model is an entity with its types looked up.
type model[S, C, E any] struct {
	*Entity[S, C, E]
	commands map[string]*form
	names    map[reflect.Type]string // of the commands
	events   map[string]map[uint32]*form
	emitted  map[reflect.Type]emitted
	state    form
	fresh    func() S
}

// emitted is what a Go type is written as.
type emitted struct {
	name    string
	version uint32
	form    *form
}

// modelled is the model of an entity, made on first use.
type modelled[S, C, E any] struct {
	once  sync.Once
	model *model[S, C, E]
	err   error
}

func (d *Entity[S, C, E]) modelOf() (*model[S, C, E], error) {
	d.made.once.Do(func() { d.made.model, d.made.err = newModel(d) })
	return d.made.model, d.made.err
}

func newModel[S, C, E any](d *Entity[S, C, E]) (*model[S, C, E], error) {
	m := &model[S, C, E]{Entity: d, commands: map[string]*form{}, names: map[reflect.Type]string{}, events: map[string]map[uint32]*form{}, emitted: map[reflect.Type]emitted{}, fresh: d.New}
	if d.Decide == nil || d.Fold == nil {
		return nil, m.wrong("needs Decide and Fold")
	}
	if m.fresh == nil {
		m.fresh = newState[S]
	}
	var err error
	if m.state, err = formOf(reflect.TypeOf(m.fresh())); err != nil {
		return nil, m.wrong("has a state that cannot be written: %w", err)
	}
	if err := m.addCommands(); err != nil {
		return nil, err
	}
	return m, m.addEvents()
}

// newState is a zero S, or a pointer to a zero value.
func newState[S any]() (s S) {
	if t := reflect.TypeFor[S](); t.Kind() == reflect.Pointer {
		return reflect.New(t.Elem()).Interface().(S)
	}
	return s
}

func (m *model[S, C, E]) wrong(format string, values ...any) error {
	err := fmt.Errorf(format, values...)
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf("the entity %q %v", m.Kind, err), Details: map[string]string{"field": "kind"}, cause: errors.Unwrap(err)}
}

func (m *model[S, C, E]) addCommands() error {
	for _, name := range slices.Sorted(maps.Keys(m.Commands)) {
		f, err := formOf(reflect.TypeOf(m.Commands[name]))
		if err != nil {
			return m.wrong("has the command %s: %w", name, err)
		}
		m.commands[name] = &f
		if _, twice := m.names[f.typ]; twice {
			m.names[f.typ] = "" // which one is meant cannot be told by the type
		} else {
			m.names[f.typ] = name
		}
	}
	return nil
}

func (m *model[S, C, E]) addEvents() error {
	for _, name := range slices.Sorted(maps.Keys(m.Events)) {
		if strings.HasPrefix(name, "gesta.") {
			return m.wrong("has the event %s: names that begin with gesta. are the server's", name)
		}
		m.events[name] = map[uint32]*form{}
		for _, version := range slices.Sorted(maps.Keys(m.Events[name])) {
			f, err := formOf(reflect.TypeOf(m.Events[name][version]))
			if err != nil {
				return m.wrong("has the event %s: %w", name, err)
			}
			m.events[name][version] = &f
			if other, taken := m.emitted[f.typ]; taken && other.name != name {
				return m.wrong("has the type %v for the events %s and %s: give each its own", f.typ, other.name, name)
			}
			m.emitted[f.typ] = emitted{name, version, &f}
		}
	}
	return nil
}

func (m *model[S, C, E]) stateType() string {
	switch {
	case m.StateType != "":
		return m.StateType
	case m.state.message != nil:
		return m.state.name()
	}
	return m.Kind
}

// readEvent makes an event of what the log keeps.
func (m *model[S, C, E]) readEvent(r *Recorded) (e E, err error) {
	f := m.events[r.Type][r.SchemaVersion]
	if f == nil {
		return e, fmt.Errorf("the event %s of schema version %d at revision %d is not among those that %s reads", r.Type, r.SchemaVersion, r.Revision, m.Kind)
	}
	v, err := f.read(r.ContentType, r.Data)
	if err != nil {
		return e, fmt.Errorf("the event %s at revision %d cannot be read: %w", r.Type, r.Revision, err)
	}
	return v.(E), nil
}

// writeEvent sets type, version and data of into, the data to what it appends to data.
func (m *model[S, C, E]) writeEvent(e E, into *Event, data []byte) ([]byte, error) {
	t := reflect.TypeOf(e)
	x, ok := m.emitted[t]
	if !ok {
		return data, fmt.Errorf("%v is not the type of an event of %s", t, m.Kind)
	}
	data, err := x.form.append(data, e)
	if err != nil {
		return data, fmt.Errorf("the event %s cannot be written: %w", x.name, err)
	}
	into.Type, into.SchemaVersion, into.ContentType, into.Data = x.name, x.version, x.form.content, data
	return data, nil
}

// readCommand makes a command of what a task brings.
func (m *model[S, C, E]) readCommand(c *command) (name string, v C, err error) {
	f := m.commands[string(c.name)]
	if f == nil {
		return "", v, Reject("unknown_command", "%s has no command %.80q", m.Kind, c.name)
	}
	read, err := f.read(string(c.contentType), c.data)
	if err != nil {
		return "", v, Reject("invalid", "the data of %s cannot be read: %v", c.name, err)
	}
	return string(c.name), read.(C), nil
}

func (m *model[S, C, E]) readState(typ string, version uint32, contentType string, data []byte) (s S, err error) {
	if typ != m.stateType() {
		return s, fmt.Errorf("a state of type %.80q cannot be read as %q", typ, m.stateType())
	}
	if version == m.StateVersion {
		v, err := m.state.read(contentType, data)
		if err != nil {
			return s, fmt.Errorf("the state cannot be read: %w", err)
		}
		return v.(S), nil
	}
	read := m.OldStates[version]
	if read == nil {
		return s, fmt.Errorf("a state of version %d cannot be read: the handler writes version %d", version, m.StateVersion)
	}
	return read(data)
}

// describe is what the server is told of the entity.
func (m *model[S, C, E]) describe() *gestav1.EntityKind {
	k := &gestav1.EntityKind{
		Name: m.Kind, NewLife: m.NewLife, CheckReplay: m.CheckReplay,
		Concurrency: m.Concurrency, Queue: m.Queue, EntityQueue: m.EntityQueue,
		State: &gestav1.StateType{Name: m.stateType(), Version: m.StateVersion, Reads: slices.Sorted(maps.Keys(m.OldStates))},
	}
	if m.Idle > 0 {
		k.Idle = durationpb.New(m.Idle)
	}
	if m.Timeout > 0 {
		k.Timeout = durationpb.New(m.Timeout)
	}
	switch {
	case m.SnapshotEvery < 0:
		k.Snapshots = &gestav1.SnapshotPolicy{Policy: &gestav1.SnapshotPolicy_Never{Never: true}}
	case m.SnapshotEvery > 0:
		k.Snapshots = &gestav1.SnapshotPolicy{Policy: &gestav1.SnapshotPolicy_Every{Every: uint32(m.SnapshotEvery)}}
	}
	for _, name := range slices.Sorted(maps.Keys(m.commands)) {
		c := &gestav1.CommandType{Name: name, Type: m.commands[name].name()}
		if reply, ok := m.Replies[name].(proto.Message); ok {
			c.ReplyType = string(reply.ProtoReflect().Descriptor().FullName())
		}
		k.Commands = append(k.Commands, c)
	}
	for _, name := range slices.Sorted(maps.Keys(m.events)) {
		e := &gestav1.EventType{Name: name, Versions: slices.Sorted(maps.Keys(m.events[name]))}
		e.Type = m.events[name][slices.Max(e.Versions)].name()
		k.Events = append(k.Events, e)
	}
	return k
}
