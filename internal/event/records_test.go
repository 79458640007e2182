package event

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/internal/errs"
)

func goldenCommand() Command {
	c := Command{Topic: []byte("orders"), Key: []byte("o"), ID: []byte("cmd"), Events: []uint32{1, 300}}
	for i := range c.Digest {
		c.Digest[i] = byte(i)
	}
	return c
}

func goldenSettings() Settings {
	return Settings{
		Cluster: []byte("c1"), Shard: 1, History: 0x0123456789abcdef, SegmentBytes: 64 << 20, IDWindowEvents: 10_000_000,
		IDWindow: 24 * time.Hour, LimitsVersion: 7,
	}
}

func goldenReply() Payload {
	return Payload{ContentType: "application/json", Type: "R", Data: []byte("{}")}
}

func goldenCarried() Carried {
	return Carried{Topic: []byte("orders"), Key: []byte("o"), Revision: 300, State: State{Version: 3, Payload: Payload{ContentType: "b", Type: "S", Data: []byte{1, 2, 3}}}}
}

// TestGoldenRecords holds the bytes of format 1: they are in logs and must be read for ever.
func TestGoldenRecords(t *testing.T) {
	prelude := Prelude{Term: 2, FirstOffset: 300, Events: 5, Recorded: 0x0102030405060708}
	mustHex(t, AppendPrelude(nil, &prelude), "01"+"0200000000000000"+"2c01000000000000"+"05000000"+"0807060504030201")
	if p, err := DecodePrelude(AppendPrelude(nil, &prelude)); err != nil || p != prelude {
		t.Errorf("%+v %v", p, err)
	}
	if n := len(AppendPrelude(nil, &prelude)); n != PreludeSize {
		t.Errorf("a prelude has %d bytes, not %d", n, PreludeSize)
	}
	command := goldenCommand()
	mustHex(t, AppendCommand(nil, &command), "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"+
		"066f7264657273"+"016f"+"03636d64"+"02"+"01"+"ac02")
	if c, err := DecodeCommand(AppendCommand(nil, &command)); err != nil || cmp.Diff(command, c) != "" {
		t.Errorf("%+v %v", c, err)
	}
	reply := goldenReply()
	mustHex(t, AppendReply(nil, &reply), "01"+"106170706c69636174696f6e2f6a736f6e"+"01"+"52"+"027b7d")
	if r, err := DecodeReply(AppendReply(nil, &reply)); err != nil || cmp.Diff(reply, r) != "" {
		t.Errorf("%+v %v", r, err)
	}
	state := goldenCarried()
	mustHex(t, AppendCarried(nil, &state), "01"+"2c01000000000000"+"03000000"+"066f7264657273"+"016f"+"0162"+"0153"+"03"+"010203")
	if c, err := DecodeCarried(AppendCarried(nil, &state)); err != nil || cmp.Diff(state, c) != "" {
		t.Errorf("%+v %v", c, err)
	}
	settings := goldenSettings()
	mustHex(t, AppendSettings(nil, &settings), "01"+"01000000"+"efcdab8967452301"+"0000000400000000"+"8096980000000000"+
		"00004f91944e0000"+"07000000"+"026331")
	if s, err := DecodeSettings(AppendSettings(nil, &settings)); err != nil || cmp.Diff(settings, s) != "" {
		t.Errorf("%+v %v", s, err)
	}
}

func mustHex(t *testing.T, got []byte, want string) {
	t.Helper()
	if s := hex.EncodeToString(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	part := rapid.SliceOfN(rapid.Byte(), 0, 300)
	rapid.Check(t, func(t *rapid.T) {
		p := Prelude{rapid.Uint64().Draw(t, "term"), rapid.Uint64().Draw(t, "offset"), rapid.Uint32().Draw(t, "events"), rapid.Int64().Draw(t, "time")}
		if got, err := DecodePrelude(AppendPrelude(nil, &p)); err != nil || got != p {
			t.Fatalf("%+v %v", got, err)
		}
		c := Command{Topic: part.Draw(t, "topic"), Key: part.Draw(t, "key"), ID: part.Draw(t, "id"), Events: rapid.SliceOf(rapid.Uint32()).Draw(t, "counts")}
		copy(c.Digest[:], part.Draw(t, "digest"))
		if got, err := DecodeCommand(AppendCommand(nil, &c)); err != nil || cmp.Diff(c, got, cmpopts.EquateEmpty()) != "" {
			t.Fatalf("%+v %v", got, err)
		}
		s := Settings{
			part.Draw(t, "cluster"), rapid.Uint32().Draw(t, "shard"), rapid.Uint64().Draw(t, "history"), rapid.Int64().Draw(t, "segment"),
			rapid.Uint64().Draw(t, "window"), time.Duration(rapid.Int64().Draw(t, "duration")), rapid.Uint32().Draw(t, "limits"),
		}
		if got, err := DecodeSettings(AppendSettings(nil, &s)); err != nil || cmp.Diff(s, got, cmpopts.EquateEmpty()) != "" {
			t.Fatalf("%+v %v", got, err)
		}
	})
}

func TestDamagedRecords(t *testing.T) {
	prelude, command, settings, reply, state := Prelude{Term: 1}, goldenCommand(), goldenSettings(), goldenReply(), goldenCarried()
	for name, c := range map[string]struct {
		payload []byte
		decode  func([]byte) error
	}{
		"prelude":  {AppendPrelude(nil, &prelude), func(b []byte) error { _, err := DecodePrelude(b); return err }},
		"command":  {AppendCommand(nil, &command), func(b []byte) error { _, err := DecodeCommand(b); return err }},
		"settings": {AppendSettings(nil, &settings), func(b []byte) error { _, err := DecodeSettings(b); return err }},
		"reply":    {AppendReply(nil, &reply), func(b []byte) error { _, err := DecodeReply(b); return err }},
		"state":    {AppendCarried(nil, &state), func(b []byte) error { _, err := DecodeCarried(b); return err }},
	} {
		for n := range c.payload {
			if code := errs.CodeOf(c.decode(c.payload[:n])); code != errs.Corrupt {
				t.Errorf("%s cut at %d: %q", name, n, code)
			}
		}
		if code := errs.CodeOf(c.decode(append(bytes.Clone(c.payload), 0))); code != errs.Corrupt {
			t.Errorf("%s with a byte more: %q", name, code)
		}
		newer := bytes.Clone(c.payload)
		if newer[0] = 2; errs.CodeOf(c.decode(newer)) != errs.Unsupported {
			t.Errorf("%s of a newer format: %v", name, c.decode(newer))
		}
		if newer[0] = 0; errs.CodeOf(c.decode(newer)) != errs.Corrupt {
			t.Errorf("%s of format 0: %v", name, c.decode(newer))
		}
	}
}

func TestKinds(t *testing.T) {
	for k, want := range map[Kind]string{KindPrelude: "prelude", KindEvent | EndOfCommit: "event", KindCommand: "command", KindSettings | EndOfCommit: "settings", KindReply: "reply", KindState: "state", 6 | EndOfCommit: "kind 6"} {
		if k.String() != want || k.Ends() != (k > 0x80) || k.Base() > 9 {
			t.Errorf("%d: %s %v %d", uint8(k), k, k.Ends(), k.Base())
		}
	}
}

// FuzzRecords: any bytes are refused with a code or read as something that is written and read as the same again.
func FuzzRecords(f *testing.F) {
	prelude, command, settings, reply, state := Prelude{Term: 2, FirstOffset: 3, Events: 4, Recorded: 5}, goldenCommand(), goldenSettings(), goldenReply(), goldenCarried()
	f.Add(AppendPrelude(nil, &prelude))
	f.Add(AppendCommand(nil, &command))
	f.Add(AppendSettings(nil, &settings))
	f.Add(AppendReply(nil, &reply))
	f.Add(AppendCarried(nil, &state))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePrelude(b); mustCode(t, err) && !bytes.Equal(AppendPrelude(nil, &p), b) {
			t.Fatalf("%x reads as %+v", b, p)
		}
		if c, err := DecodeCommand(b); mustCode(t, err) {
			if again, err := DecodeCommand(AppendCommand(nil, &c)); err != nil || cmp.Diff(c, again) != "" {
				t.Fatalf("%+v came back as %+v, %v", c, again, err)
			}
		}
		if s, err := DecodeSettings(b); mustCode(t, err) {
			if again, err := DecodeSettings(AppendSettings(nil, &s)); err != nil || cmp.Diff(s, again, cmpopts.EquateEmpty()) != "" {
				t.Fatalf("%+v came back as %+v, %v", s, again, err)
			}
		}
		if p, err := DecodeReply(b); mustCode(t, err) {
			if again, err := DecodeReply(AppendReply(nil, &p)); err != nil || cmp.Diff(p, again, cmpopts.EquateEmpty()) != "" {
				t.Fatalf("%+v came back as %+v, %v", p, again, err)
			}
		}
		if c, err := DecodeCarried(b); mustCode(t, err) {
			if again, err := DecodeCarried(AppendCarried(nil, &c)); err != nil || cmp.Diff(c, again, cmpopts.EquateEmpty()) != "" {
				t.Fatalf("%+v came back as %+v, %v", c, again, err)
			}
		}
	})
}

func mustCode(t *testing.T, err error) (ok bool) {
	t.Helper()
	if code := errs.CodeOf(err); err != nil && code != errs.Corrupt && code != errs.Unsupported {
		t.Fatalf("%s: %v", code, err)
	}
	return err == nil
}

func BenchmarkAppendPrelude(b *testing.B) {
	p := Prelude{Term: 2, FirstOffset: 3, Events: 4, Recorded: 5}
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendPrelude(dst[:0], &p)
	}
}

// TestRequestDigestStays holds the digest that is stored with commands.
func TestRequestDigestStays(t *testing.T) {
	d := RequestDigest("withdraw", &Payload{ContentType: "application/json", Type: "W", Data: []byte("{}")})
	mustHex(t, d[:], "c61b9df4071aeae8bc14481be87cf5bff0d8f229a98f3636842df78fb797d400")
}
