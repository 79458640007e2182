package client

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ServerFrame, Task, Command, Payload and EntityState.
const (
	fieldWelcome = 1
	fieldEvicts  = 2
	fieldTasks   = 3
	fieldFaults  = 4
	fieldDrain   = 5

	fieldTaskID       = 1
	fieldTaskKind     = 2
	fieldTaskKey      = 3
	fieldTaskSession  = 4
	fieldTaskRevision = 5
	fieldTaskBase     = 6
	fieldTaskCarried  = 7
	fieldTaskEvents   = 8
	fieldTaskMore     = 9
	fieldTaskCommands = 10
	fieldTaskStateAt  = 11
	fieldTaskWant     = 12

	fieldCommandID       = 1
	fieldCommandName     = 2
	fieldCommandPayload  = 3
	fieldCommandMetadata = 4
	fieldCommandState    = 5
	fieldCommandReceived = 6

	fieldStateVersion  = 2
	fieldStateContent  = 3
	fieldStateData     = 4
	fieldStateRevision = 5
)

// serverFrame is a ServerFrame; its parts alias the frame's bytes, which are never used again.
type serverFrame struct {
	welcome []byte
	evicts  [][]byte
	tasks   []task
	faults  [][]byte
	drain   []byte
	drains  bool

	blobs [][]byte // the events and commands of the tasks
}

// task is a Task. Its events and commands are kept as they came.
type task struct {
	id       uint64
	kind     []byte
	key      []byte
	session  uint64
	revision uint64
	base     uint64
	carried  []byte // nil: none
	stateAt  uint64
	more     bool
	want     bool
	events   span
	commands span
	load     *load // of a task that comes in parts
}

// span is a part of the frame's blobs.
type span struct{ from, to int }

func (f *serverFrame) at(s span) [][]byte { return f.blobs[s.from:s.to] }

// parse reads a frame into f, whose slices are used again.
func (f *serverFrame) parse(b []byte) error {
	*f = serverFrame{evicts: f.evicts[:0], tasks: f.tasks[:0], faults: f.faults[:0], blobs: f.blobs[:0]}
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case fieldWelcome:
			f.welcome = v.bytes
		case fieldEvicts:
			f.evicts = append(f.evicts, v.bytes)
		case fieldTasks:
			f.tasks = append(f.tasks, task{})
			if err := f.parseTask(v.bytes, &f.tasks[len(f.tasks)-1]); err != nil {
				return err
			}
		case fieldFaults:
			f.faults = append(f.faults, v.bytes)
		case fieldDrain:
			f.drain, f.drains = v.bytes, true
		}
	}
	return nil
}

func (f *serverFrame) parseTask(b []byte, t *task) error {
	t.events.from, t.commands.from = len(f.blobs), -1
	events := 0
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case fieldTaskID:
			t.id = v.number
		case fieldTaskKind:
			t.kind = v.bytes
		case fieldTaskKey:
			t.key = v.bytes
		case fieldTaskSession:
			t.session = v.number
		case fieldTaskRevision:
			t.revision = v.number
		case fieldTaskBase:
			t.base = v.number
		case fieldTaskCarried:
			t.carried = nonNil(v.bytes)
		case fieldTaskEvents:
			f.blobs = append(f.blobs, v.bytes)
			if events++; t.commands.from >= 0 { // fields out of their order: events are kept before commands
				copy(f.blobs[t.commands.from+1:], f.blobs[t.commands.from:])
				f.blobs[t.commands.from] = v.bytes
				t.commands.from++
			}
		case fieldTaskMore:
			t.more = v.number != 0
		case fieldTaskCommands:
			if t.commands.from < 0 {
				t.commands.from = len(f.blobs)
			}
			f.blobs = append(f.blobs, v.bytes)
		case fieldTaskStateAt:
			t.stateAt = v.number
		case fieldTaskWant:
			t.want = v.number != 0
		}
	}
	t.events.to = t.events.from + events
	t.commands = span{t.events.to, len(f.blobs)}
	return nil
}

// nonNil tells an empty message from one that is not there.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// command is a Command; its parts alias the frame.
type command struct {
	id, name    []byte
	contentType []byte
	data        []byte
	metadata    map[string]string
	returnState bool
	received    uint64
}

func (c *command) parse(b []byte) error {
	*c = command{}
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case fieldCommandID:
			c.id = v.bytes
		case fieldCommandName:
			c.name = v.bytes
		case fieldCommandPayload:
			if err := c.parsePayload(v.bytes); err != nil {
				return err
			}
		case fieldCommandMetadata:
			if c.metadata == nil {
				c.metadata = map[string]string{}
			}
			if err := parseEntry(v.bytes, c.metadata); err != nil {
				return err
			}
		case fieldCommandState:
			c.returnState = v.number != 0
		case fieldCommandReceived:
			c.received = v.number
		}
	}
	return nil
}

func (c *command) parsePayload(b []byte) error {
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case 1:
			c.contentType = v.bytes
		case 3:
			c.data = v.bytes
		}
	}
	return nil
}

// parseEntry reads an entry of a map of texts.
func parseEntry(b []byte, into map[string]string) error {
	var name, value string
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case 1:
			name = string(v.bytes)
		case 2:
			value = string(v.bytes)
		}
	}
	into[name] = value
	return nil
}

// state is an EntityState as it came.
type state struct {
	typ, contentType []byte
	version          uint32
	data             []byte
	revision         uint64
}

func (s *state) parse(b []byte) error {
	for len(b) > 0 {
		v, n := nextField(b)
		if n < 0 {
			return errFrame
		}
		b = b[n:]
		switch v.num {
		case 1:
			s.typ = v.bytes
		case fieldStateVersion:
			s.version = uint32(v.number)
		case fieldStateContent:
			s.contentType = v.bytes
		case fieldStateData:
			s.data = v.bytes
		case fieldStateRevision:
			s.revision = v.number
		}
	}
	return nil
}

// open begins a message field whose length is not known yet; shut, given what open gave, ends it.
func open(dst []byte, tag byte) (grown []byte, start int) {
	dst = append(dst, tag, 0)
	return dst, len(dst)
}

// shut writes the length of dst[start:] before it, and moves it when one byte does not do.
func shut(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	for range more {
		dst = append(dst, 0)
	}
	copy(dst[start+more:], dst[start:start+n])
	protowire.AppendVarint(dst[:start-1], uint64(n))
	return dst
}
