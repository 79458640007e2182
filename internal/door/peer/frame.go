package peer

import (
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/internal/errs"
)

// Tags (field number and wire type), each one byte, of what is written by hand. See peer.proto.
const (
	tagStreamClass = 1 << 3 // ExchangeRequest
	tagMessages    = 2<<3 | 2
	tagPing        = 3<<3 | 2
	tagHealth      = 4<<3 | 2

	tagGroup   = 1 << 3 // Envelope
	tagMessage = 2<<3 | 2

	tagNumber  = 1 << 3 // Ping
	tagPayload = 1<<3 | 2

	tagPong          = 1<<3 | 2 // ExchangeResponse
	tagPongUnixNanos = 2<<3 | 1
)

// envelope is a message on its way.
type envelope struct {
	group uint32
	m     *raftpb.Message
	size  int
}

// sizeOf estimates what a message takes, in memory and on the wire, without walking all of it.
func sizeOf(m *raftpb.Message) int {
	n := 96 + len(m.GetContext())
	for _, e := range m.GetEntries() {
		n += 32 + len(e.GetData())
	}
	if s := m.GetSnapshot(); s != nil {
		n += 256 + len(s.GetData())
	}
	return n
}

// appendEnvelope appends a message for a group to an ExchangeRequest.
func appendEnvelope(dst []byte, e envelope) ([]byte, error) {
	body := proto.Size(e.m)
	inner := protowire.SizeTag(1) + protowire.SizeVarint(uint64(e.group)) + protowire.SizeTag(2) + protowire.SizeBytes(body)
	if e.group == 0 {
		inner -= protowire.SizeTag(1) + protowire.SizeVarint(0)
	}
	dst = protowire.AppendVarint(append(dst, tagMessages), uint64(inner))
	dst = appendNumber(dst, tagGroup, uint64(e.group))
	dst = protowire.AppendVarint(append(dst, tagMessage), uint64(body))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst, e.m)
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), v)
}

func appendPing(dst []byte, number uint64) []byte {
	dst = protowire.AppendVarint(append(dst, tagPing), uint64(1+protowire.SizeVarint(number)))
	return protowire.AppendVarint(append(dst, tagNumber), number)
}

func appendHealth(dst, payload []byte) []byte {
	dst = protowire.AppendVarint(append(dst, tagHealth), uint64(1+protowire.SizeBytes(len(payload))))
	return protowire.AppendBytes(append(dst, tagPayload), payload)
}

// pong is an ExchangeResponse.
func pong(number uint64, unixNanos int64) outFrame {
	b := newFrame(32)
	*b = protowire.AppendVarint(append(*b, tagPong), uint64(1+protowire.SizeVarint(number)+9))
	*b = protowire.AppendVarint(append(*b, tagNumber), number)
	*b = protowire.AppendFixed64(append(*b, tagPongUnixNanos), uint64(unixNanos))
	return sealed(b)
}

// exchanged is an ExchangeRequest taken apart. Nothing of it points into the frame.
type exchanged struct {
	class    Class
	ping     uint64
	pinged   bool
	health   []byte
	groups   []delivery
	messages int
}

// delivery is what a frame has for one group, in order.
type delivery struct {
	group uint32
	ms    []*raftpb.Message
}

func malformed(what string) error {
	return errs.New(errs.Invalid, "%s from a node is malformed: are all nodes of one release, or two that follow each other?", what)
}

// fields calls each with every field of a message: v is a number's value, b what bytes hold. It stops at the first error.
func fields(b []byte, each func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed("a message")
		}
		var v uint64
		var part []byte
		var m int
		switch b = b[n:]; kind {
		case protowire.VarintType:
			v, m = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, m = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			part, m = protowire.ConsumeBytes(b)
		default:
			m = protowire.ConsumeFieldValue(number, kind, b)
		}
		if m < 0 {
			return malformed("a message")
		}
		if err := each(number, kind, v, part); err != nil {
			return err
		}
		b = b[m:]
	}
	return nil
}

// decodeExchange takes an ExchangeRequest apart. Unknown fields are passed over: what a message must be understood by is Raft's.
func decodeExchange(b []byte) (x exchanged, err error) {
	err = fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType:
			if v == 0 || v > uint64(Log)+1 {
				return malformed("a class of messages")
			}
			x.class = Class(v - 1)
		case number == 2 && kind == protowire.BytesType:
			return x.envelope(b)
		case number == 3 && kind == protowire.BytesType:
			x.pinged = true
			return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, _ []byte) error {
				if number == 1 && kind == protowire.VarintType {
					x.ping = v
				}
				return nil
			})
		case number == 4 && kind == protowire.BytesType:
			x.health = []byte{}
			return fields(b, func(number protowire.Number, kind protowire.Type, _ uint64, b []byte) error {
				if number == 1 && kind == protowire.BytesType {
					x.health = append([]byte{}, b...)
				}
				return nil
			})
		}
		return nil
	})
	return x, err
}

func (x *exchanged) envelope(b []byte) error {
	var group uint64
	var m *raftpb.Message
	err := fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType:
			group = v
		case number == 2 && kind == protowire.BytesType:
			m = new(raftpb.Message)
			if proto.Unmarshal(b, m) != nil {
				return malformed("a message of Raft")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if m == nil || group > 1<<32-1 {
		return malformed("a message of Raft")
	}
	x.add(uint32(group), m)
	return nil
}

// add puts a message with those of its group: groups know no order among each other.
func (x *exchanged) add(group uint32, m *raftpb.Message) {
	x.messages++
	for i := len(x.groups) - 1; i >= 0; i-- {
		if x.groups[i].group == group {
			x.groups[i].ms = append(x.groups[i].ms, m)
			return
		}
	}
	x.groups = append(x.groups, delivery{group, []*raftpb.Message{m}})
}

// decodePong takes an ExchangeResponse apart; ok is false when it holds no pong.
func decodePong(b []byte) (number uint64, unixNanos int64, ok bool, err error) {
	err = fields(b, func(n protowire.Number, kind protowire.Type, _ uint64, b []byte) error {
		if n != 1 || kind != protowire.BytesType {
			return nil
		}
		ok = true
		return fields(b, func(n protowire.Number, kind protowire.Type, v uint64, _ []byte) error {
			switch {
			case n == 1 && kind == protowire.VarintType:
				number = v
			case n == 2 && kind == protowire.Fixed64Type:
				unixNanos = int64(v)
			}
			return nil
		})
	})
	return number, unixNanos, ok, err
}

// mayTravel tells whether a message is one that replicas say to each other: others are of a replica with itself.
func mayTravel(m *raftpb.Message) bool {
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp,
		raftpb.MsgTransferLeader, raftpb.MsgTimeoutNow, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp:
		return true
	}
	return false
}

// classOf tells with which messages one travels. All of a leader's MsgApp keep their order, also those without entries: one that
// overtakes would be refused by the follower and make the leader probe.
func classOf(m *raftpb.Message) Class {
	if t := m.GetType(); t == raftpb.MsgApp || t == raftpb.MsgSnap {
		return Log
	}
	return Control
}
