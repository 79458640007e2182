package seglog

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// model is a log beside the simplest thing that behaves like one: a slice.
type model struct {
	disk   *crashfs.FS
	l      *Log
	have   []Entry
	first  uint64
	term   uint64
	commit uint64
	sealed uint64 // last index of what was sealed
}

// A log does what a slice does, whatever is done in whatever order, over closes, kills and power cuts.
func TestLogIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{disk: crashfs.New(rapid.Uint64().Draw(t, "seed")), first: 1, term: 1}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"mark":     m.mark,
			"prepare":  func(t *rapid.T) { m.ok(t, m.l.Prepare()) },
			"truncate": m.truncate,
			"seal":     m.seal,
			"trim":     m.trim,
			"close":    func(t *rapid.T) { m.ok(t, m.l.Close()); m.open(t) },
			"kill":     m.open,
			"power":    func(t *rapid.T) { m.disk = m.disk.Crash(); m.open(t) },
			"":         m.check,
		})
	})
}

func (m *model) ok(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) last() uint64 { return m.first - 1 + uint64(len(m.have)) }

func (m *model) open(t *rapid.T) {
	l, rec, err := Open(testOptions(m.disk))
	m.ok(t, err)
	if rec.Cut != nil || rec.Doubt != 0 {
		t.Fatalf("a cut of what is durable: %+v", rec.Cut)
	}
	if rec.Commit > l.Last() {
		t.Fatalf("commit %d of %d", rec.Commit, l.Last())
	}
	m.l = l
}

func (m *model) append(t *rapid.T) {
	m.term += rapid.Uint64Range(0, 1).Draw(t, "newer")
	more := entriesFor(m.last(), rapid.IntRange(1, 40).Draw(t, "n"), m.term)
	m.ok(t, m.l.Append(more, m.commit))
	m.have = append(m.have, more...)
}

func (m *model) mark(t *rapid.T) {
	m.commit = rapid.Uint64Range(m.commit, m.last()).Draw(t, "commit")
	m.ok(t, m.l.Mark(m.commit))
}

func (m *model) truncate(t *rapid.T) {
	low := max(m.commit, m.sealed, m.first-1) + 1
	if low > m.last() {
		return
	}
	from := rapid.Uint64Range(low, m.last()).Draw(t, "from")
	m.ok(t, m.l.Truncate(from))
	m.have = slices.Clone(m.have[:from-m.first])
	m.term++
}

func (m *model) seal(t *rapid.T) {
	for _, s := range m.l.Segments() {
		if s.Full && !s.Sealed && s.Last <= m.commit && s.Last < m.last() {
			err := m.l.Seal(s.First)
			if segs := m.l.Segments(); err != nil && s.First == segs[len(segs)-1].First {
				continue // the last one, of which a truncation has taken what came after
			}
			m.ok(t, err)
			m.sealed = max(m.sealed, s.Last)
		}
	}
}

func (m *model) trim(t *rapid.T) {
	if m.commit < m.first {
		return
	}
	m.ok(t, m.l.Trim(rapid.Uint64Range(m.first, m.commit).Draw(t, "before")))
	m.have = slices.Clone(m.have[m.l.First()-m.first:])
	m.first = m.l.First()
}

func (m *model) check(t *rapid.T) {
	if m.l.First() != m.first || m.l.Last() != m.last() {
		t.Fatalf("the log goes from %d to %d, the model from %d to %d", m.l.First(), m.l.Last(), m.first, m.last())
	}
	// All of it would take too long each time: some of it, anywhere.
	if len(m.have) > 0 {
		i := rapid.IntRange(0, len(m.have)-1).Draw(t, "read")
		m.ok(t, readsAs(m.l, m.l.NewReader(256), m.have[i]))
		hi := min(i+rapid.IntRange(1, 30).Draw(t, "n"), len(m.have))
		got, err := m.l.Entries(m.first+uint64(i), m.first+uint64(hi), rapid.Uint64Range(0, 5000).Draw(t, "bytes"))
		if err != nil || len(got) == 0 || !slices.EqualFunc(got, m.have[i:i+len(got)], sameEntry) {
			t.Fatalf("entries from %d: %v", i, err)
		}
	}
	r, err := Verify(testOptions(m.disk), nil)
	if err != nil || len(r.Damages) > 0 || r.Entries != uint64(len(m.have)) {
		t.Fatalf("%d entries, %d found: %v %v", len(m.have), r.Entries, r.Damages, err)
	}
}
