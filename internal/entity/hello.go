package entity

import (
	"slices"
	"strconv"
	"time"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// Protocol is the newest version of the handlers' protocol that is spoken.
const Protocol = 1

// Bounds and defaults of a hello.
const (
	mostKinds          = 256
	mostNames          = 1024
	mostDescriptors    = limits.MiB
	longestText        = 256
	defaultCredit      = 1024
	mostCredit         = 1 << 20
	defaultEvery       = 100
	defaultIdle        = 2 * time.Minute
	shortestIdle       = time.Second
	longestIdle        = 7 * 24 * time.Hour
	defaultTimeout     = 10 * time.Second
	longestTimeout     = 5 * time.Minute
	defaultConcurrency = 1024
	defaultQueue       = 65_536
	defaultEntityQueue = 4096
	mostQueue          = 1 << 20
)

// Hello says who attaches and what it serves, checked and with defaults.
type Hello struct {
	Service, Build, Process string
	Credit                  int
	Kinds                   []KindConfig
	Descriptors             []byte
}

// KindConfig is how a handler serves a kind.
type KindConfig struct {
	Name string
	// Commands are those it takes, with the names of their types; nil: any.
	Commands map[string]CommandType
	// Events are those it reads and may emit, with their versions; nil: any.
	Events map[string]EventType
	// State, Version and Reads are how it writes states, and which it reads beside.
	State   string
	Version uint32
	Reads   []uint32
	// Every is after how many events a commit carries a state; 0: never.
	Every       uint64
	Idle        time.Duration
	Timeout     time.Duration
	NewLife     bool
	CheckReplay bool
	Concurrency int
	Queue       int
	EntityQueue int
}

// CommandType names the Protobuf types of a command; empty when they are not Protobuf.
type CommandType struct{ Type, ReplyType string }

// EventType tells which versions of an event are read, and its Protobuf type.
type EventType struct {
	Versions []uint32
	Type     string
}

// accepts tells whether a carried state can be begun with.
func (k *KindConfig) accepts(typ string, version uint32) bool {
	return typ == k.State && (version == k.Version || slices.Contains(k.Reads, version))
}

// reads tells whether an event of a type and version is among those declared. A tombstone is the server's own.
func (k *KindConfig) reads(typ string, version uint32) bool {
	if k.Events == nil || typ == event.Tombstone {
		return true
	}
	t, ok := k.Events[typ]
	return ok && slices.Contains(t.Versions, version)
}

// ReadHello checks what a handler says of itself. Errors: invalid and too_large name the field; unsupported for a protocol that is
// not spoken.
func ReadHello(m *gestav1.Hello, lim *limits.Limits) (*Hello, error) {
	if m == nil {
		return nil, bad("hello", "is missing: a handler's first frame says who it is")
	}
	if m.Protocol == 0 {
		return nil, bad("hello.protocol", "is 0: say which version of the protocol the handler speaks, for instance 1")
	}
	h := &Hello{Service: m.Service, Build: m.Build, Process: m.Process, Descriptors: m.Descriptors}
	if err := event.CheckTopic(m.Service); err != nil {
		return nil, bad("hello.service", "%v", err)
	}
	var err error
	switch {
	case len(m.Build) > longestText:
		return nil, bad("hello.build", "has %d bytes; at most %d", len(m.Build), longestText)
	case len(m.Process) > longestText:
		return nil, bad("hello.process", "has %d bytes; at most %d", len(m.Process), longestText)
	case len(m.Descriptors) > mostDescriptors:
		return nil, errs.New(errs.TooLarge, "hello.descriptors has %d bytes; at most %d", len(m.Descriptors), int(mostDescriptors)).With("field", "hello.descriptors")
	case len(m.Kinds) == 0 || len(m.Kinds) > mostKinds:
		return nil, bad("hello.kinds", "has %d kinds; it must have 1 to %d", len(m.Kinds), mostKinds)
	}
	if h.Credit, err = between("hello.credit", m.Credit, defaultCredit, mostCredit); err != nil {
		return nil, err
	}
	for i, k := range m.Kinds {
		c, err := readKind(k, "hello.kinds["+strconv.Itoa(i)+"]")
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(h.Kinds, func(o KindConfig) bool { return o.Name == c.Name }) {
			return nil, bad("hello.kinds", "has %q twice", c.Name)
		}
		h.Kinds = append(h.Kinds, *c)
	}
	return h, nil
}

func readKind(m *gestav1.EntityKind, field string) (*KindConfig, error) {
	if err := event.CheckTopic(m.GetName()); err != nil {
		return nil, bad(field+".name", "%v", err)
	}
	k := &KindConfig{Name: m.Name, State: m.GetState().GetName(), Version: m.GetState().GetVersion(), Reads: m.GetState().GetReads(),
		NewLife: m.NewLife, CheckReplay: m.CheckReplay, Every: defaultEvery}
	if len(k.State) > longestText || len(k.Reads) > mostNames || k.State == event.Tombstone {
		return nil, bad(field+".state", "is too long, or named as a tombstone")
	}
	switch p := m.GetSnapshots().GetPolicy().(type) {
	case *gestav1.SnapshotPolicy_Every:
		if k.Every = uint64(p.Every); p.Every == 0 {
			return nil, bad(field+".snapshots.every", "is 0: say 1 or more, or never")
		}
	case *gestav1.SnapshotPolicy_Never:
		if p.Never {
			k.Every = 0
		}
	}
	if err := k.readNames(m, field); err != nil {
		return nil, err
	}
	return k, k.readBounds(m, field)
}

func (k *KindConfig) readNames(m *gestav1.EntityKind, field string) error {
	if len(m.Commands) > mostNames || len(m.Events) > mostNames {
		return bad(field, "has %d commands and %d events; at most %d of each", len(m.Commands), len(m.Events), mostNames)
	}
	for _, c := range m.Commands {
		if k.Commands == nil {
			k.Commands = map[string]CommandType{}
		}
		if _, twice := k.Commands[c.GetName()]; twice || c.GetName() == "" || len(c.GetName()) > longestText {
			return bad(field+".commands", "has %.80q twice, or a name that is empty or too long", c.GetName())
		}
		k.Commands[c.Name] = CommandType{Type: c.Type, ReplyType: c.ReplyType}
	}
	for _, e := range m.Events {
		if k.Events == nil {
			k.Events = map[string]EventType{}
		}
		if _, twice := k.Events[e.GetName()]; twice || e.GetName() == "" || len(e.GetName()) > longestText || len(e.GetVersions()) > mostNames {
			return bad(field+".events", "has %.80q twice, or a name that is empty or too long", e.GetName())
		}
		t := EventType{Versions: e.Versions, Type: e.Type}
		if len(t.Versions) == 0 {
			t.Versions = []uint32{0}
		}
		k.Events[e.Name] = t
	}
	return nil
}

func (k *KindConfig) readBounds(m *gestav1.EntityKind, field string) (err error) {
	k.Idle, k.Timeout = defaultIdle, defaultTimeout
	if m.Idle != nil {
		if k.Idle = m.Idle.AsDuration(); k.Idle < shortestIdle || k.Idle > longestIdle {
			return bad(field+".idle", "is %v; it must be between %v and %v", k.Idle, shortestIdle, longestIdle)
		}
	}
	if m.Timeout != nil {
		if k.Timeout = m.Timeout.AsDuration(); k.Timeout <= 0 || k.Timeout > longestTimeout {
			return bad(field+".timeout", "is %v; it must be more than 0 and at most %v", k.Timeout, longestTimeout)
		}
	}
	if k.Concurrency, err = between(field+".concurrency", m.Concurrency, defaultConcurrency, mostQueue); err != nil {
		return err
	}
	if k.Queue, err = between(field+".queue", m.Queue, defaultQueue, mostQueue); err != nil {
		return err
	}
	k.EntityQueue, err = between(field+".entity_queue", m.EntityQueue, defaultEntityQueue, mostQueue)
	return err
}

func between(field string, v uint32, byDefault, most int) (int, error) {
	if v == 0 {
		return byDefault, nil
	}
	if int64(v) > int64(most) {
		return 0, bad(field, "is %d; at most %d", v, most)
	}
	return int(v), nil
}

func bad(field, format string, args ...any) error {
	return errs.New(errs.Invalid, field+" "+format, args...).With("field", field)
}
