package replica

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// TestStateSurvivesEveryCrash stops a save at each of its operations and cuts the power: what opens is the state before or the
// one being saved, and the one being saved once Save has returned.
func TestStateSurvivesEveryCrash(t *testing.T) {
	for seed := range uint64(40) {
		for stop := 1; ; stop++ {
			disk := crashfs.New(seed)
			faults := faultfs.New(disk)
			if err := errors.Join(faults.MkdirAll("d"), faults.SyncDir(".")); err != nil {
				t.Fatal(err)
			}
			s, err := openState(faults, "d/hardstate", true, []uint64{1, 2, 3})
			if err != nil {
				t.Fatal(err)
			}
			before := HardState{Term: 4, Vote: 2, Conf: Conf{Voters: []uint64{1, 2, 3}}}
			if err := s.Save(before); err != nil {
				t.Fatal(err)
			}
			after := HardState{Term: 5, Vote: 1, Doubt: 77, Conf: Conf{Voters: []uint64{1, 2}}}
			faults.FailNth(stop)
			saveErr := s.Save(after)
			got, err := openState(disk.Crash(), "d/hardstate", false, nil)
			if err != nil {
				t.Fatalf("seed %d, stop %d: %v", seed, stop, err)
			}
			now := got.Load()
			if saveErr == nil && !cmp.Equal(now, after) {
				t.Fatalf("seed %d, stop %d: saved %+v, found %+v", seed, stop, after, now)
			}
			if !cmp.Equal(now, after) && !cmp.Equal(now, before) {
				t.Fatalf("seed %d, stop %d: found %+v, which was never saved", seed, stop, now)
			}
			if saveErr == nil {
				break
			}
		}
	}
}

// TestStateOneCopyIsEnough flips every byte of one copy, then of both.
func TestStateOneCopyIsEnough(t *testing.T) {
	want := HardState{Term: 9, Vote: 3, Conf: Conf{Voters: []uint64{3}}}
	for offset := range int64(100) {
		disk := crashfs.New(1)
		s, err := openState(disk, "hardstate", true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
		if err := disk.Flip("hardstate", offset); err != nil {
			t.Fatal(err)
		}
		got, err := openState(disk, "hardstate", false, nil)
		if err != nil || !cmp.Equal(got.Load(), want) {
			t.Fatalf("offset %d: %+v, %v", offset, got, err)
		}
	}
	disk := crashfs.New(1)
	s, _ := openState(disk, "hardstate", true, nil)
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{30, slotBytes + 30} {
		if err := disk.Flip("hardstate", offset); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openState(disk, "hardstate", false, nil); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("two damaged copies: %v, want corrupt", err)
	}
}

// TestStateMissingBesideALog holds that a replica never comes back without its vote.
func TestStateMissingBesideALog(t *testing.T) {
	if _, err := openState(crashfs.New(1), "hardstate", false, []uint64{1}); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("%v, want corrupt", err)
	}
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Uint64(), 0, 9)
		h := HardState{
			Term: rapid.Uint64().Draw(t, "term"), Vote: rapid.Uint64().Draw(t, "vote"), Doubt: rapid.Uint64().Draw(t, "doubt"), ConfIndex: rapid.Uint64().Draw(t, "conf"),
			Conf: Conf{Voters: ids.Draw(t, "voters"), Learners: ids.Draw(t, "learners"), AutoLeave: rapid.Bool().Draw(t, "auto")},
		}
		seq := rapid.Uint64().Draw(t, "seq")
		gotSeq, got, err := decodeSlot(encodeSlot(seq, h))
		if err != nil || gotSeq != seq || got.Term != h.Term || got.Doubt != h.Doubt || len(got.Conf.Voters) != len(h.Conf.Voters) || len(got.Conf.Learners) != len(h.Conf.Learners) {
			t.Fatalf("%+v became %+v (%v)", h, got, err)
		}
	})
}

func FuzzDecodeSlot(f *testing.F) {
	f.Add(encodeSlot(3, HardState{Term: 1, Conf: Conf{Voters: []uint64{1, 2}}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, h, err := decodeSlot(b)
		if err != nil {
			return
		}
		if s, again, err := decodeSlot(encodeSlot(seq, h)); err != nil || s != seq || !cmp.Equal(again, h) {
			t.Fatalf("%+v does not survive being written again: %+v, %v", h, again, err)
		}
	})
}

// TestStateOfFormat1 opens what the first release wrote.
func TestStateOfFormat1(t *testing.T) {
	want := HardState{Term: 3, Vote: 2, ConfIndex: 4, Conf: Conf{Voters: []uint64{1, 2}}}
	b := encodeSlot(9, want)
	n := len(encodeState(want)) - 4 // it had no past configurations
	binary.LittleEndian.PutUint32(b[4:], 1)
	binary.LittleEndian.PutUint32(b[16:], uint32(n))
	binary.LittleEndian.PutUint32(b[20:], slotSum(b, n))
	if seq, h, err := decodeSlot(b); err != nil || seq != 9 || !cmp.Equal(h, want) {
		t.Fatalf("%+v, %v", h, err)
	}
}

// TestPastConfigurations holds which of them are kept, and that they always fit.
func TestPastConfigurations(t *testing.T) {
	h := HardState{Conf: Conf{Voters: []uint64{1}}}
	for i := uint64(1); i <= 5; i++ {
		h.change(Conf{Voters: []uint64{1, i + 1}}, 10*i, 25)
	}
	for at, want := range map[uint64]uint64{20: 20, 29: 20, 30: 30, 49: 40, 50: 50, 99: 50} {
		if _, got, ok := h.ConfAt(at); !ok || got != want {
			t.Fatalf("at %d: %d, %v, want %d", at, got, ok, want)
		}
	}
	if _, _, ok := h.ConfAt(19); ok {
		t.Fatal("what is below the newest sealed segment is not kept")
	}
	for i := range uint64(100) {
		h.change(Conf{Voters: make([]uint64, 60)}, 100+i, 0)
	}
	if _, got, err := decodeSlot(encodeSlot(1, h)); err != nil || !cmp.Equal(got, h) || len(h.Past) == 0 {
		t.Fatalf("%d past configurations, %v", len(h.Past), err)
	}
}

// TestManyChangesInOneSegment holds that the configuration of the newest sealed segment stays known, whatever comes before the next.
func TestManyChangesInOneSegment(t *testing.T) {
	h := HardState{Conf: Conf{Voters: []uint64{1}}}
	voters := func(i uint64) Conf { return Conf{Voters: []uint64{1, i}} }
	const sealed = 12
	for i := uint64(10); i < 100; i++ {
		h.change(voters(i), i, sealed)
		for at := uint64(sealed); at <= i; at++ {
			if c, index, ok := h.ConfAt(at); ok && (index != at || !cmp.Equal(c, voters(at))) {
				t.Fatalf("after the change at %d, the configuration at %d is told as %v of %d", i, at, c, index)
			}
		}
		if _, _, ok := h.ConfAt(sealed); i > sealed && !ok || len(h.Past) > maxPast {
			t.Fatalf("after the change at %d, the configuration at %d is known: %v; %d are kept", i, sealed, ok, len(h.Past))
		}
	}
	if _, _, ok := h.ConfAt(96); !ok {
		t.Fatal("the newest are not known")
	}
}
