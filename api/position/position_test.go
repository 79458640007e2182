package position

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Position{
			Shard: rapid.Uint32().Draw(t, "shard"), History: rapid.Uint64().Draw(t, "history"), Offset: rapid.Uint64().Draw(t, "offset"),
		}
		q, err := Parse(p.String())
		if err != nil || q != p {
			t.Fatalf("%v came back as %v, %v", p, q, err)
		}
		if order, ok := p.Compare(q); order != 0 || !ok {
			t.Fatalf("not equal to itself: %d %v", order, ok)
		}
	})
}

// TestGolden holds tokens that were handed out: they must be read for ever.
func TestGolden(t *testing.T) {
	for token, want := range golden {
		if got := want.String(); got != token {
			t.Errorf("%+v is %s, want %s", want, got, token)
		}
		if got, err := Parse(token); err != nil || got != want {
			t.Errorf("%s is %+v %v, want %+v", token, got, err, want)
		}
	}
}

func TestEveryTypoIsFound(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+ "
	for _, p := range golden {
		token := p.String()
		for i := range token {
			for _, c := range letters {
				if changed := token[:i] + string(c) + token[i+1:]; changed != token {
					mustRefuse(t, changed)
				}
			}
			mustRefuse(t, token[:i]+token[i+1:])
			mustRefuse(t, token[:i]+"A"+token[i:])
			mustRefuse(t, token[:i])
		}
		mustRefuse(t, token+"A")
		mustRefuse(t, token+token)
		mustRefuse(t, " "+token)
	}
	mustRefuse(t, "")
	mustRefuse(t, strings.Repeat("A", 1<<16))
}

func mustRefuse(t *testing.T, token string) {
	t.Helper()
	if p, err := Parse(token); err == nil {
		t.Errorf("%q was taken for %+v", token, p)
	}
}

func TestNewerTokensAreToldApart(t *testing.T) {
	for _, b := range [][]byte{{2, 1, 0}, {3, 2, 0, 1}} {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		if _, err := Parse(encoding.EncodeToString(b)); !errors.Is(err, ErrVersion) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

// TestOneTokenEach: a shard or offset written with more bytes than it needs is another spelling, and refused.
func TestOneTokenEach(t *testing.T) {
	b := []byte{version, 1, 0x81, 0x00, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := Parse(encoding.EncodeToString(b)); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
}

func TestCompare(t *testing.T) {
	p := Position{Shard: 1, History: 2, Offset: 3}
	for _, c := range []struct {
		q     Position
		order int
		ok    bool
	}{
		{Position{1, 2, 4}, -1, true}, {Position{1, 2, 2}, 1, true}, {p, 0, true},
		{Position{2, 2, 3}, 0, false}, {Position{1, 9, 3}, 0, false},
	} {
		if order, ok := p.Compare(c.q); order != c.order || ok != c.ok {
			t.Errorf("%v to %v: %d %v", p, c.q, order, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for token := range golden {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, err := Parse(token)
		if err == nil && p.String() != token {
			t.Fatalf("%q reads as %+v, whose token is %q", token, p, p)
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrSeveral) {
			t.Fatal(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	p := Position{Shard: 1, History: 0x0123456789abcdef, Offset: 123456789}
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = p.Append(dst[:0])
	}
}

var golden = map[string]Position{
	"AQEAAAAAAAAAAAAArJZgjQ":                  {},
	"AQEB782riWdFIwGsAu5lvpw":                 {Shard: 1, History: 0x0123456789abcdef, Offset: 300},
	"AQH_____D_______________________AZaWFJE": {Shard: math.MaxUint32, History: math.MaxUint64, Offset: math.MaxUint64},
}
