package remote

import (
	"encoding/binary"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Tags (field number and wire type) of runtime.proto and entities.proto; each is one byte.
const (
	frameWelcome = 1<<3 | 2 // ServerFrame
	frameEvicts  = 2<<3 | 2
	frameTasks   = 3<<3 | 2
	frameFaults  = 4<<3 | 2
	frameDrain   = 5<<3 | 2

	taskID        = 1 << 3 // Task
	taskKind      = 2<<3 | 2
	taskKey       = 3<<3 | 2
	taskSession   = 4 << 3
	taskRevision  = 5 << 3
	taskBase      = 6 << 3
	taskCarried   = 7<<3 | 2
	taskEvents    = 8<<3 | 2
	taskMore      = 9 << 3
	taskCommands  = 10<<3 | 2
	taskStateAt   = 11 << 3
	taskWantState = 12 << 3

	stateType     = 1<<3 | 2 // EntityState
	stateVersion  = 2 << 3
	stateContent  = 3<<3 | 2
	stateData     = 4<<3 | 2
	stateRevision = 5 << 3

	commandID       = 1<<3 | 2 // Command
	commandName     = 2<<3 | 2
	commandPayload  = 3<<3 | 2
	commandMetadata = 4<<3 | 2
	commandReturn   = 5 << 3
	commandReceived = 6<<3 | 1

	payloadContent = 1<<3 | 2 // Payload
	payloadType    = 2<<3 | 2
	payloadData    = 3<<3 | 2

	evictKind    = 1<<3 | 2 // Evict
	evictKey     = 2<<3 | 2
	evictSession = 3 << 3

	faultTask    = 1 << 3 // Fault
	faultKind    = 2<<3 | 2
	faultKey     = 3<<3 | 2
	faultCode    = 4<<3 | 2
	faultMessage = 5<<3 | 2

	drainReason = 1<<3 | 2 // Drain

	mapName  = 1<<3 | 2
	mapValue = 2<<3 | 2
)

// begin opens a field whose length is not known yet; close writes it.
func begin(dst []byte, tag byte) ([]byte, int) {
	dst = append(dst, tag, 0)
	return dst, len(dst)
}

// end writes the length of dst[start:] into the byte before it, and moves it when one byte does not do.
func end(dst []byte, start int) []byte {
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

func number(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), v)
}

func flag(dst []byte, tag byte, v bool) []byte {
	if !v {
		return dst
	}
	return append(dst, tag, 1)
}

func text(dst []byte, tag byte, v string) []byte {
	if v == "" {
		return dst
	}
	return protowire.AppendString(append(dst, tag), v)
}

func data(dst []byte, tag byte, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return protowire.AppendBytes(append(dst, tag), v)
}

// appendTask appends a task to a ServerFrame.
func appendTask(dst []byte, t *entity.Task) []byte {
	dst, at := begin(dst, frameTasks)
	dst = number(dst, taskID, t.ID)
	if !t.Follows {
		dst = text(dst, taskKind, t.Kind)
		dst = text(dst, taskKey, t.Key)
		dst = number(dst, taskSession, t.Session)
		dst = number(dst, taskRevision, t.Revision)
		dst = number(dst, taskBase, uint64(t.Base))
		if t.Carried != nil {
			dst = appendState(dst, taskCarried, t.Carried, t.CarriedAt)
		}
	}
	for _, e := range t.Events {
		dst = protowire.AppendBytes(append(dst, taskEvents), e)
	}
	dst = flag(dst, taskMore, t.More)
	for _, c := range t.Commands {
		dst = appendCommand(dst, c)
	}
	dst = number(dst, taskStateAt, t.StateAt)
	dst = flag(dst, taskWantState, t.WantState)
	return end(dst, at)
}

func appendState(dst []byte, tag byte, s *event.State, revision uint64) []byte {
	dst, at := begin(dst, tag)
	dst = text(dst, stateType, s.Type)
	dst = number(dst, stateVersion, uint64(s.Version))
	dst = text(dst, stateContent, s.ContentType)
	dst = data(dst, stateData, s.Data)
	dst = number(dst, stateRevision, revision)
	return end(dst, at)
}

func appendCommand(dst []byte, c *entity.Command) []byte {
	dst, at := begin(dst, taskCommands)
	dst = text(dst, commandID, c.ID)
	dst = text(dst, commandName, c.Name)
	dst = appendPayload(dst, commandPayload, c.Payload)
	for _, m := range c.Metadata {
		var entry int
		dst, entry = begin(dst, commandMetadata)
		dst = protowire.AppendString(append(dst, mapName), m.Name)
		dst = protowire.AppendString(append(dst, mapValue), m.Value)
		dst = end(dst, entry)
	}
	dst = flag(dst, commandReturn, c.ReturnState)
	dst = binary.LittleEndian.AppendUint64(append(dst, commandReceived), uint64(c.Received))
	return end(dst, at)
}

func appendPayload(dst []byte, tag byte, p *event.Payload) []byte {
	dst, at := begin(dst, tag)
	dst = text(dst, payloadContent, p.ContentType)
	dst = text(dst, payloadType, p.Type)
	dst = data(dst, payloadData, p.Data)
	return end(dst, at)
}

func appendEvict(dst []byte, e *entity.Evict) []byte {
	dst, at := begin(dst, frameEvicts)
	dst = text(dst, evictKind, e.Kind)
	dst = text(dst, evictKey, e.Key)
	dst = number(dst, evictSession, e.Session)
	return end(dst, at)
}

func appendFault(dst []byte, f *entity.Fault) []byte {
	e := errs.As(f.Err)
	dst, at := begin(dst, frameFaults)
	dst = number(dst, faultTask, f.TaskID)
	dst = text(dst, faultKind, f.Kind)
	dst = text(dst, faultKey, f.Key)
	dst = text(dst, faultCode, string(e.Code))
	dst = text(dst, faultMessage, strings.ToValidUTF8(e.Message, "\uFFFD"))
	return end(dst, at)
}

func appendDrain(dst []byte, reason string) []byte {
	dst, at := begin(dst, frameDrain)
	dst = text(dst, drainReason, reason)
	return end(dst, at)
}
