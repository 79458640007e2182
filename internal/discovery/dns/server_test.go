package dns

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// zone is what a name server answers: the data of the records, by question, such as "a.test. 1".
type zone map[question][][]byte

type question struct {
	name string
	kind uint16
}

const (
	typeA    = 1
	typeAAAA = 28
	typeSRV  = 33

	noSuchName = 3
	refused    = 5
)

// serve answers questions by UDP until the test ends, and gives the resolver that asks here. Names that are not in the zone do not
// exist; those with a nil list are refused, as by a server that is in trouble.
func serve(t *testing.T, z zone) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		packet := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(z.answer(packet[:n]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer is made of the question itself, and records whose name points back to it.
func (z zone) answer(ask []byte) []byte {
	q, end := readQuestion(ask)
	data, known := z[q]
	out := append([]byte{}, ask[:end]...)
	flags := uint16(0x8180) // an answer, recursion asked for and available
	switch {
	case known && data == nil:
		flags |= refused
	case !known && !z.exists(q.name):
		flags |= noSuchName
	}
	binary.BigEndian.PutUint16(out[2:], flags)
	binary.BigEndian.PutUint16(out[6:], uint16(len(data)))
	clear(out[8:12]) // no authority, nothing additional
	for _, d := range data {
		out = append(out, 0xc0, 12) // the name at byte 12
		out = binary.BigEndian.AppendUint16(out, q.kind)
		out = append(out, 0, 1, 0, 0, 0, 1) // Internet, for a second
		out = binary.BigEndian.AppendUint16(out, uint16(len(d)))
		out = append(out, d...)
	}
	return out
}

func (z zone) exists(name string) bool {
	for q := range z {
		if q.name == name {
			return true
		}
	}
	return false
}

func readQuestion(ask []byte) (question, int) {
	var name strings.Builder
	at := 12
	for ask[at] != 0 {
		size := int(ask[at])
		name.Write(ask[at+1 : at+1+size])
		name.WriteByte('.')
		at += 1 + size
	}
	return question{name.String(), binary.BigEndian.Uint16(ask[at+1:])}, at + 5
}

func srv(port uint16, target string) []byte {
	data := binary.BigEndian.AppendUint16([]byte{0, 10, 0, 5}, port) // priority 10, weight 5
	for label := range strings.SplitSeq(strings.TrimSuffix(target, "."), ".") {
		if label != "" {
			data = append(append(data, byte(len(label))), label...)
		}
	}
	return append(data, 0)
}
