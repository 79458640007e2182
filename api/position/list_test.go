package position

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// goldenLists hold tokens that were handed out: they must be read for ever.
var goldenLists = map[string]List{
	"AQEB782riWdFIwGsAu5lvpw":              {{Shard: 1, History: 0x0123456789abcdef, Offset: 300}},
	"AQIB782riWdFIwGsAgIBAAAAAAAAAAAhzwgQ": {{Shard: 1, History: 0x0123456789abcdef, Offset: 300}, {Shard: 2, History: 1}},
	"AQMDBQAAAAAAAAABQP__________gICAgIAgrAIJAAAAAAAAAIABjHVnWw": {
		{Shard: 3, History: 5, Offset: 1}, {Shard: 64, History: math.MaxUint64, Offset: 1 << 40}, {Shard: 300, History: 9, Offset: 128},
	},
}

func someList() *rapid.Generator[List] {
	return rapid.Custom(func(t *rapid.T) List {
		l := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Position {
			return Position{Shard: rapid.Uint32Range(0, 70).Draw(t, "shard"), History: rapid.Uint64().Draw(t, "history"), Offset: rapid.Uint64().Draw(t, "offset")}
		}), 1, 64, func(p Position) uint32 { return p.Shard }).Draw(t, "list")
		slices.SortFunc(l, func(a, b Position) int { return int(a.Shard) - int(b.Shard) })
		return l
	})
}

func TestListRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := someList().Draw(t, "list")
		got, err := ParseList(l.String())
		if err != nil || !slices.Equal(got, l) {
			t.Fatalf("%v came back as %v, %v", l, got, err)
		}
		i := rapid.IntRange(0, len(l)-1).Draw(t, "i")
		if token := string(l[i].AppendAmong(nil, slices.Delete(slices.Clone(l), i, i+1))); token != l.String() {
			t.Fatalf("%v among the others is %s", l[i], token)
		}
		if p, ok := l.In(l[i].Shard); !ok || p != l[i] {
			t.Fatalf("in shard %d: %v %v", l[i].Shard, p, ok)
		}
		if _, ok := l.In(100); ok {
			t.Fatal("it is in a shard that it does not have")
		}
		p, err := Parse(l.String())
		if len(l) == 1 && (err != nil || p != l[0] || l.String() != p.String()) {
			t.Fatalf("one shard: %v %v", p, err)
		}
		if len(l) > 1 && !errors.Is(err, ErrSeveral) {
			t.Fatalf("several shards: %v", err)
		}
	})
}

func TestGoldenLists(t *testing.T) {
	for token, want := range goldenLists {
		if got := want.String(); got != token {
			t.Errorf("%+v is %s, want %s", want, got, token)
		}
		if got, err := ParseList(token); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %+v %v, want %+v", token, got, err, want)
		}
	}
}

func TestEveryTypoInAListIsFound(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+ "
	for token := range goldenLists {
		for i := range token {
			for _, c := range letters {
				if changed := token[:i] + string(c) + token[i+1:]; changed != token {
					mustRefuseList(t, changed)
				}
			}
			mustRefuseList(t, token[:i]+token[i+1:])
			mustRefuseList(t, token[:i])
		}
	}
	mustRefuseList(t, "")
	mustRefuseList(t, strings.Repeat("A", 1<<16))
}

func mustRefuseList(t *testing.T, token string) {
	t.Helper()
	if l, err := ParseList(token); err == nil {
		t.Errorf("%q was taken for %+v", token, l)
	}
}

// A list has one token: its shards ascend, and each number is as short as can be.
func TestOneTokenForEachList(t *testing.T) {
	one, two := Position{Shard: 1, History: 7, Offset: 3}, Position{Shard: 2, History: 8, Offset: 4}
	place := func(p Position) []byte { return p.appendPlace(nil) }
	for name, body := range map[string][]byte{
		"descending":    append(place(two), place(one)...),
		"a shard twice": append(place(one), place(one)...),
		"one too few":   place(one),
		"one too many":  append(append(place(one), place(two)...), place(Position{Shard: 3})...),
		"long":          append(append([]byte{0x81, 0x00}, place(one)[1:]...), place(two)...),
	} {
		if l, err := ParseList(string(seal(nil, append([]byte{version, 2}, body...)))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v %v", name, l, err)
		}
	}
	if _, err := ParseList(string(seal(nil, []byte{version, 0}))); !errors.Is(err, ErrMalformed) {
		t.Errorf("no shards: %v", err)
	}
}

func TestTheLongestListIsRead(t *testing.T) {
	var l List
	for i := range uint32(MaxShards) {
		l = append(l, Position{Shard: math.MaxUint32 - MaxShards + i, History: math.MaxUint64, Offset: math.MaxUint64})
	}
	if got, err := ParseList(l.String()); err != nil || !slices.Equal(got, l) {
		t.Fatal(err)
	}
}

func TestOneShardTakesLittleMemory(t *testing.T) {
	token := Position{Shard: 1, History: 0x0123456789abcdef, Offset: 123456789}.String()
	dst := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() {
		p, err := Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		dst = p.AppendAmong(dst[:0], nil)
	}); n > 1 { // the checksum makes its bytes escape
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseList(f *testing.F) {
	for token := range goldenLists {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		l, err := ParseList(token)
		if err == nil && l.String() != token {
			t.Fatalf("%q reads as %+v, whose token is %q", token, l, l)
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
			t.Fatal(err)
		}
	})
}
