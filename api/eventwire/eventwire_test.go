package eventwire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

// TestGoldenBytes holds the encoding that is on disks: these bytes must decode, and be written again, for ever.
func TestGoldenBytes(t *testing.T) {
	const golden = "0a37" + "0a02" + "6531" + "1206" + "506c61636564" + "1802" + "2a027b7d" + "3206" + "08b09edaaf06" +
		"3a02" + "2f73" + "420e" + "0a0561" + "63746f72" + "1205" + "416e6e6965" + "4a01" + "78" + "4a01" + "79" + "4a01" + "7a" +
		"10ac02" + "1807" + "2206" + "6f7264657273" + "2a02" + "6f37" + "3115cd5b0700000000"
	want, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	e := Event{
		ID: "e1", Type: "Placed", SchemaVersion: 2, Data: []byte("{}"), Time: time.Unix(1710657328, 0), Source: "/s",
		Metadata: map[string]string{"actor": "Annie"}, Tags: []string{"x", "y", "z"},
	}
	got := AppendRecorded(nil, AppendEvent(nil, &e), 300, 7, []byte("orders"), []byte("o7"), 123456789)
	if !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
	var r Recorded
	if err := DecodeRecorded(want, &r); err != nil || r.Metadata["actor"] != "Annie" || r.Offset != 300 || r.RecordedTime.UnixNano() != 123456789 {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestDecodingCopies(t *testing.T) {
	e := Event{ID: "id", Type: "T", Data: []byte("data")}
	b := AppendRecorded(nil, AppendEvent(nil, &e), 1, 1, []byte("t"), []byte("k"), 1)
	var r Recorded
	if err := DecodeRecorded(b, &r); err != nil {
		t.Fatal(err)
	}
	clear(b)
	r.Data = append(r.Data, "more"...)
	if r.ID != "id" || r.Type != "T" || r.Topic != "t" || r.Key != "k" || string(r.Data) != "datamore" {
		t.Fatalf("%+v", r)
	}
}

func TestEveryCutIsMalformed(t *testing.T) {
	e := samples()[2]
	event := AppendEvent(nil, &e)
	b := AppendRecorded(nil, event, 300, 7, []byte("orders"), []byte("o7"), 123456789)
	for n := len(event) + 2; n < len(b); n++ {
		var r Recorded
		var v View
		if err := DecodeRecorded(b[:n], &r); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if err := ViewRecorded(b[:n], &v); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for n := 1; n <= len(event)+1; n++ {
		if err := DecodeRecorded(b[:n], new(Recorded)); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestViewRefusesWhatDoesNotAscend(t *testing.T) {
	for name, b := range map[string][]byte{
		"twice":     {0x10, 1, 0x10, 2},
		"backwards": {0x18, 1, 0x10, 2},
		"cut tag":   {0x80},
		"cut event": {0x0a, 3, 0x0a, 9, 1},
	} {
		if err := ViewRecorded(b, new(View)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hot is an event like those of the benchmarks: 256 bytes of data, an id, a type.
func hot() (event, recorded []byte) {
	e := Event{ID: "0190f5c2-7d3e-7c40-8000-0123456789ab", Type: "OrderPlaced", Data: bytes.Repeat([]byte("x"), 256)}
	event = AppendEvent(nil, &e)
	return event, AppendRecorded(nil, event, 123456, 3, []byte("orders"), []byte("order-000123456"), 1700000000123456789)
}

func TestAllocations(t *testing.T) {
	event, recorded := hot()
	dst := make([]byte, 0, 1024)
	topic, key := []byte("orders"), []byte("order-000123456")
	full := samples()[2]
	var r Recorded
	var v View
	for _, c := range []struct {
		name string
		want float64
		do   func()
	}{
		{"AppendRecorded", 0, func() { dst = AppendRecorded(dst[:0], event, 123456, 3, topic, key, 1700000000123456789) }},
		{"AppendEvent", 0, func() { dst = AppendEvent(dst[:0], &full) }},
		{"ViewRecorded", 0, func() { _ = ViewRecorded(recorded, &v) }},
		{"AliasRecorded", 0, func() { _ = AliasRecorded(recorded, &r) }},
		{"DecodeRecorded", 1, func() { _ = DecodeRecorded(recorded, &r) }},
	} {
		if got := testing.AllocsPerRun(100, c.do); got != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
}

func BenchmarkAppendRecorded(b *testing.B) {
	event, recorded := hot()
	dst := make([]byte, 0, 2*len(recorded))
	topic, key := []byte("orders"), []byte("order-000123456")
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendRecorded(dst[:0], event, 123456, 3, topic, key, 1700000000123456789)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	e := Event{ID: "0190f5c2-7d3e-7c40-8000-0123456789ab", Type: "OrderPlaced", Data: bytes.Repeat([]byte("x"), 256)}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEvent(dst[:0], &e)
	}
}

func BenchmarkDecodeRecorded(b *testing.B) {
	_, recorded := hot()
	var r Recorded
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeRecorded(recorded, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAliasRecorded(b *testing.B) {
	_, recorded := hot()
	var r Recorded
	b.ReportAllocs()
	for b.Loop() {
		if err := AliasRecorded(recorded, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkViewRecorded(b *testing.B) {
	_, recorded := hot()
	var v View
	b.ReportAllocs()
	for b.Loop() {
		if err := ViewRecorded(recorded, &v); err != nil {
			b.Fatal(err)
		}
	}
}
