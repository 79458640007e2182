package crashfs

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a file as plain bytes: what is read now, and for every byte all that it may be after a crash.
type model struct {
	now    []byte
	synced []byte
	may    map[int][]byte // values written since the last sync
}

func (m *model) write(b []byte, off int) {
	if need := off + len(b) - len(m.now); need > 0 {
		m.now = append(m.now, make([]byte, need)...)
	}
	copy(m.now[off:], b)
	for i, c := range b {
		m.may[off+i] = append(m.may[off+i], c)
	}
}

func (m *model) sync() {
	m.synced = slices.Clone(m.now)
	clear(m.may)
}

// Reads are what was written; after a crash, every byte is what some write since the last sync, or the sync, left there.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := New(rapid.Uint64().Draw(t, "seed"))
		f, err := d.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		m := &model{may: map[int][]byte{}}
		steps := rapid.IntRange(1, 30).Draw(t, "steps")
		for range steps {
			switch rapid.SampledFrom([]string{"write", "write", "write", "zeros", "sync", "crash"}).Draw(t, "op") {
			case "write":
				b := slices.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(1, 6000).Draw(t, "len"))
				step(t, f, m, b, rapid.IntRange(0, 20000).Draw(t, "off"))
			case "zeros":
				step(t, f, m, make([]byte, rapid.IntRange(1, 9000).Draw(t, "len")), rapid.IntRange(0, 20000).Draw(t, "off"))
			case "sync":
				if err := f.SyncData(); err != nil {
					t.Fatal(err)
				}
				m.sync()
			case "crash":
				d = d.Crash()
				if f, err = d.Open("a"); err != nil {
					t.Fatal(err)
				}
				m.now = allowed(t, d, m)
				m.sync()
			}
			if got, err := d.Bytes("a"); err != nil || string(got) != string(m.now) {
				t.Fatalf("reads other bytes than were written (%d, want %d): %v", len(got), len(m.now), err)
			}
		}
	})
}

func step(t *rapid.T, f interface {
	WriteAt([]byte, int64) (int, error)
}, m *model, b []byte, off int) {
	if _, err := f.WriteAt(b, int64(off)); err != nil {
		t.Fatal(err)
	}
	m.write(b, off)
}

// allowed gives the bytes found after a crash, having checked each.
func allowed(t *rapid.T, d *FS, m *model) []byte {
	found, err := d.Bytes("a")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < len(m.synced) {
		t.Fatalf("%d bytes left of %d synced", len(found), len(m.synced))
	}
	for i, c := range found {
		was := byte(0)
		if i < len(m.synced) {
			was = m.synced[i]
		}
		if c != was && !slices.Contains(m.may[i], c) {
			t.Fatalf("byte %d is %d: neither synced nor written", i, c)
		}
	}
	return found
}
