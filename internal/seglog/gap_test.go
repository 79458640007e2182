package seglog

import (
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// TestGapsAreFilledFromAPeer damages or removes a segment in every way that keeps the log from opening, and fills it with the one of a
// replica that wrote other batches.
func TestGapsAreFilledFromAPeer(t *testing.T) {
	all := entriesFor(0, 150, 3)
	peer, made := crashfs.New(1), crashfs.New(2)
	list := sealedLog(t, testOptions(peer), all, 7)
	sealedLog(t, testOptions(made), all, 3)
	l, _ := mustOpen(t, testOptions(made))
	mustAppend(t, l, 40, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := func(i int) string { return filepath.Join("data/0001", list[i].Name) }
	flip := func(i int, at int64) func(*crashfs.FS) error {
		return func(d *crashfs.FS) error { return d.Flip(path(i), at) }
	}
	for name, damage := range map[string][]func(*crashfs.FS) error{
		"header":         {flip(1, 30)},
		"seal":           {flip(1, sealOffset+20)},
		"first":          {flip(0, 30)},
		"two in a row":   {flip(1, 30), flip(2, 30)},
		"two":            {flip(0, 30), flip(2, 30)},
		"missing":        {func(d *crashfs.FS) error { return d.Remove(path(1)) }},
		"missing first":  {func(d *crashfs.FS) error { return d.Remove(path(0)) }},
		"missing, after": {func(d *crashfs.FS) error { return d.Remove(path(1)) }, flip(2, 30)},
	} {
		disk := made.Clone()
		for _, d := range damage {
			if err := d(disk); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := Open(testOptions(disk))
		wantCode(t, err, errs.Corrupt)
		filled := 0
		for {
			gaps, err := Gaps(testOptions(disk))
			if err != nil {
				t.Fatal(err)
			}
			if len(gaps) == 0 {
				break
			}
			g := gaps[0]
			if g.Err == nil {
				t.Fatalf("%s: %+v", name, g)
			}
			carry(t, peer, disk, filepath.Join("data/0001", Name(g.First)), filepath.Join(incoming, Name(g.First)))
			wrong := g
			wrong.Term++
			wantCode(t, Fill(testOptions(disk), wrong, incoming), errs.Invalid)
			if err := Fill(testOptions(disk), g, incoming); err != nil {
				t.Fatal(err)
			}
			filled++
		}
		if filled != len(damage) {
			t.Errorf("%s: %d gaps filled, want %d", name, filled, len(damage))
		}
		l, rec := mustOpen(t, testOptions(disk))
		if rec.Cut != nil {
			t.Fatalf("%s: %+v", name, rec)
		}
		checkHolds(t, l, append(all[:150:150], entriesFor(150, 40, 3)...))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGapAtTheEnd is none that a sealed segment of a peer may fill: what the last segment held may have been acknowledged by this replica
// alone.
func TestGapAtTheEnd(t *testing.T) {
	disk, list, _, _ := threeKinds(t)
	if err := disk.Flip(filepath.Join("data/0001", list[len(list)-1].Name), 20); err != nil {
		t.Fatal(err)
	}
	_, err := Gaps(testOptions(disk))
	wantCode(t, err, errs.Corrupt)
}
