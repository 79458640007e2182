package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Kind says what a record of a log entry holds. The last record of each commit has EndOfCommit set in it: an entry carries
// one commit or several, each visible whole or not at all.
//
// An entry's data is: a prelude; then commits, each being what goes beside its events (the command, then the reply, in later
// versions actions, then the carried state), then its events. An entry of settings has the settings in place of commits.
//
//	kind  record    payload
//	1     prelude   format u8 = 1 | term u64 | first offset u64 | events u32 | recorded i64 (29 bytes)
//	2     event     a gesta.v1.RecordedEvent in the canonical encoding: what readers receive
//	3     command   format u8 = 1 | digest 32 bytes | topic | key | id (each: length uvarint, bytes) |
//	                streams uvarint | for each stream: events uvarint
//	4     settings  format u8 = 1 | shard u32 | history u64 | segment bytes i64 | id window events u64 | id window i64 ns |
//	                limits version u32 | cluster id (length uvarint, bytes)
//	5     reply     format u8 = 1 | content type | type | data (each: length uvarint, bytes)
//	6     actions   reserved: what a commit asks to be done next
//	7     state     format u8 = 1 | revision u64 | version u32 | topic | key | type | content type | data
//	                (each: length uvarint, bytes)
//	8, 9            reserved
//
// Fixed numbers are little endian. A record of a reserved kind, or of a newer format, says something this version must not
// pass over: whoever meets one stops with unsupported.
type Kind uint8

// The kinds that this version writes and reads.
const (
	KindPrelude  Kind = 1
	KindEvent    Kind = 2
	KindCommand  Kind = 3
	KindSettings Kind = 4
	KindReply    Kind = 5
	KindState    Kind = 7

	// EndOfCommit is set in the kind of a commit's last record.
	EndOfCommit Kind = 0x80
)

// Base is the kind without EndOfCommit.
func (k Kind) Base() Kind { return k &^ EndOfCommit }

// Ends tells whether the record is its commit's last.
func (k Kind) Ends() bool { return k&EndOfCommit != 0 }

// String names the kind, for messages.
func (k Kind) String() string {
	switch k.Base() {
	case KindPrelude:
		return "prelude"
	case KindEvent:
		return "event"
	case KindCommand:
		return "command"
	case KindSettings:
		return "settings"
	case KindReply:
		return "reply"
	case KindState:
		return "state"
	}
	return fmt.Sprintf("kind %d", uint8(k.Base()))
}

// recordFormat is the version of the payloads below.
const recordFormat = 1

// PreludeSize is the length of a prelude's payload: it is the same for all, so that it can be filled in when the events
// behind it are known.
const PreludeSize = 1 + 8 + 8 + 4 + 8

// Prelude says for which state of the shard an entry was judged, so that applying it can prove that it was that one.
type Prelude struct {
	// Term is the Raft term of the leader that judged.
	Term uint64
	// FirstOffset is that of the entry's first event.
	FirstOffset uint64
	// Events is how many events the entry has.
	Events uint32
	// Recorded is the recorded time of all its events, in nanoseconds since 1970 UTC.
	Recorded int64
}

// AppendPrelude appends PreludeSize bytes to dst.
func AppendPrelude(dst []byte, p *Prelude) []byte {
	dst = append(dst, recordFormat)
	dst = binary.LittleEndian.AppendUint64(dst, p.Term)
	dst = binary.LittleEndian.AppendUint64(dst, p.FirstOffset)
	dst = binary.LittleEndian.AppendUint32(dst, p.Events)
	return binary.LittleEndian.AppendUint64(dst, uint64(p.Recorded))
}

// DecodePrelude reads what AppendPrelude wrote. The error is corrupt, or unsupported for a newer format.
func DecodePrelude(b []byte) (Prelude, error) {
	r := payload{b: b, kind: KindPrelude}
	r.format()
	p := Prelude{Term: r.u64(), FirstOffset: r.u64(), Events: r.u32(), Recorded: int64(r.u64())}
	return p, r.end()
}

// Command records that a commit came with a command id: with it, a repeat of the command is recognised and answered with
// the outcome it had, rebuilt from the events that follow.
type Command struct {
	// Topic and Key are the id's scope: those of the commit's first stream.
	Topic, Key, ID []byte
	// Digest is Commit.Digest: the same id with another is another command, and refused.
	Digest [32]byte
	// Events is how many events each stream of the commit got, in the commit's order; the events follow in that order.
	Events []uint32
}

// AppendCommand appends the payload to dst.
func AppendCommand(dst []byte, c *Command) []byte {
	dst = append(dst, recordFormat)
	dst = append(dst, c.Digest[:]...)
	for _, part := range [][]byte{c.Topic, c.Key, c.ID} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Events)))
	for _, n := range c.Events {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}

// DecodeCommand reads what AppendCommand wrote; Topic, Key and ID are parts of b. The error is corrupt, or unsupported for a
// newer format.
func DecodeCommand(b []byte) (Command, error) {
	r := payload{b: b, kind: KindCommand}
	r.format()
	var c Command
	copy(c.Digest[:], r.take(len(c.Digest)))
	c.Topic, c.Key, c.ID = r.bytes(), r.bytes(), r.bytes()
	if n := r.uvarint(uint64(len(r.b))); n > 0 { // each takes a byte at least
		c.Events = make([]uint32, n)
	}
	for i := range c.Events {
		c.Events[i] = uint32(r.uvarint(math.MaxUint32))
	}
	if err := r.end(); err != nil {
		return Command{}, err
	}
	return c, nil
}

// Settings are what judgement depends on beside the events themselves. They are in the log so that every replica judges
// alike; they hold from the entry after theirs.
type Settings struct {
	// Cluster is the cluster's id.
	Cluster []byte
	Shard   uint32
	// History is drawn when the shard begins, and again at a forced recovery or a restore. It is never 0.
	History uint64
	// SegmentBytes is how long a segment of the shard's log gets.
	SegmentBytes int64
	// IDWindowEvents and IDWindow bound how long ids are remembered: whichever ends first.
	IDWindowEvents uint64
	IDWindow       time.Duration
	// LimitsVersion counts the changes of the limits that judgement depends on.
	LimitsVersion uint32
}

// AppendSettings appends the payload to dst.
func AppendSettings(dst []byte, s *Settings) []byte {
	dst = append(dst, recordFormat)
	dst = binary.LittleEndian.AppendUint32(dst, s.Shard)
	dst = binary.LittleEndian.AppendUint64(dst, s.History)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.SegmentBytes))
	dst = binary.LittleEndian.AppendUint64(dst, s.IDWindowEvents)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.IDWindow))
	dst = binary.LittleEndian.AppendUint32(dst, s.LimitsVersion)
	return append(binary.AppendUvarint(dst, uint64(len(s.Cluster))), s.Cluster...)
}

// DecodeSettings reads what AppendSettings wrote; it copies. The error is corrupt, or unsupported for a newer format.
func DecodeSettings(b []byte) (Settings, error) {
	r := payload{b: b, kind: KindSettings}
	r.format()
	s := Settings{Shard: r.u32(), History: r.u64(), SegmentBytes: int64(r.u64()), IDWindowEvents: r.u64(), IDWindow: time.Duration(r.u64())}
	s.LimitsVersion = r.u32()
	s.Cluster = append([]byte(nil), r.bytes()...)
	return s, r.end()
}

// AppendReply appends the payload to dst.
func AppendReply(dst []byte, p *Payload) []byte {
	dst = append(dst, recordFormat)
	return appendPayload(dst, p)
}

// DecodeReply reads what AppendReply wrote; Data is a part of b. The error is corrupt, or unsupported for a newer format.
func DecodeReply(b []byte) (Payload, error) {
	r := payload{b: b, kind: KindReply}
	r.format()
	p := r.payload()
	return p, r.end()
}

func appendPayload(dst []byte, p *Payload) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(p.ContentType))), p.ContentType...)
	dst = append(binary.AppendUvarint(dst, uint64(len(p.Type))), p.Type...)
	return append(binary.AppendUvarint(dst, uint64(len(p.Data))), p.Data...)
}

func (r *payload) payload() Payload {
	return Payload{ContentType: string(r.bytes()), Type: string(r.bytes()), Data: r.bytes()}
}

// Carried is a state in the log, and the stream and revision that it is the state of.
type Carried struct {
	Topic, Key []byte
	Revision   uint64
	State
}

// AppendCarried appends the payload to dst.
func AppendCarried(dst []byte, c *Carried) []byte {
	dst = append(dst, recordFormat)
	dst = binary.LittleEndian.AppendUint64(dst, c.Revision)
	dst = binary.LittleEndian.AppendUint32(dst, c.Version)
	dst = append(binary.AppendUvarint(dst, uint64(len(c.Topic))), c.Topic...)
	dst = append(binary.AppendUvarint(dst, uint64(len(c.Key))), c.Key...)
	return appendPayload(dst, &c.Payload)
}

// DecodeCarried reads what AppendCarried wrote; Topic, Key and Data are parts of b. The error is corrupt, or unsupported for a
// newer format.
func DecodeCarried(b []byte) (Carried, error) {
	r := payload{b: b, kind: KindState}
	r.format()
	c := Carried{Revision: r.u64()}
	c.Version, c.Topic, c.Key = r.u32(), r.bytes(), r.bytes()
	c.Payload = r.payload()
	if err := r.end(); err != nil {
		return Carried{}, err
	}
	return c, nil
}

// payload reads a record's payload from its beginning. After the first failure every read gives zero, and end tells.
type payload struct {
	b    []byte
	kind Kind
	err  error
}

func (r *payload) fail(format string, args ...any) {
	if r.err == nil {
		r.err = errs.New(errs.Corrupt, "a %s record "+format, append([]any{r.kind}, args...)...)
	}
	r.b = nil
}

func (r *payload) format() {
	if b := r.take(1); len(b) == 1 && b[0] > recordFormat {
		r.b, r.err = nil, errs.New(errs.Unsupported, "a %s record has format %d and this version reads %d: run the version that wrote it, or a newer one", r.kind, b[0], recordFormat)
	} else if len(b) == 1 && b[0] == 0 {
		r.fail("has format 0")
	}
}

func (r *payload) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.fail("is cut off")
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *payload) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *payload) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *payload) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 || v > most {
		r.fail("has a number that is cut off or out of range")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *payload) bytes() []byte {
	return r.take(int(r.uvarint(uint64(len(r.b)))))
}

// end gives what went wrong, also when something is left over.
func (r *payload) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("has %d bytes too many", len(r.b))
	}
	return r.err
}
