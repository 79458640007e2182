package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash cuts the power: it gives the disk as the seed has it found afterwards, and every later use of d fails. Called again on
// the same d, it gives another outcome of the same cut.
func (d *FS) Crash() *FS { return d.crash(new(seeded)) }

// CrashKeepSynced cuts the power with the least kept: only what was synced.
func (d *FS) CrashKeepSynced() *FS { return d.crash(fixed(false)) }

// CrashKeepAll is the end of the process alone: the machine lives on, and with it all that was written.
func (d *FS) CrashKeepAll() *FS { return d.crash(fixed(true)) }

// fate decides what becomes of what was not synced.
type fate interface {
	from(*rand.Rand)
	changes(n int) int             // of n changes of a folder, how many survive
	bytes(writes []write, d *data) // applies what survives of the writes
}

func (d *FS) crash(f fate) *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	f.from(rand.New(d.rng))
	kept := d.survivors(f)
	after := newFS(rand.NewPCG(d.rng.Uint64(), d.rng.Uint64()))
	after.capacity = d.capacity
	b := rebuild{disk: after, fate: f, kept: kept, nodes: map[*inode]*inode{}}
	b.folder(d.root.folder, after.root.folder)
	return after
}

// survivors draws how many of each folder's changes survive, then takes back those that need one that does not.
func (d *FS) survivors(f fate) map[*folder]int {
	kept := map[*folder]int{}
	for _, in := range d.folders {
		if len(in.pending) > 0 {
			kept[in] = f.changes(len(in.pending))
		}
	}
	for again := true; again; {
		again = false
		for _, in := range d.folders {
			if n := in.supported(kept); n < kept[in] {
				kept[in], again = n, true
			}
		}
	}
	return kept
}

// supported counts the folder's surviving changes up to the first that needs one that does not survive.
func (f *folder) supported(kept map[*folder]int) int {
	for i, c := range f.pending[:kept[f]] {
		if c.needs == nil || c.needs.done {
			continue
		}
		if at := slices.Index(c.needs.in.pending, c.needs); at >= kept[c.needs.in] {
			return i
		}
	}
	return kept[f]
}

// rebuild makes the tree that is found after a crash.
type rebuild struct {
	disk  *FS
	fate  fate
	kept  map[*folder]int
	nodes map[*inode]*inode
}

// folder fills a folder with what survived of it, in the order of names so that every draw is repeatable.
func (b *rebuild) folder(was, is *folder) {
	names := maps.Clone(was.durable)
	for _, c := range was.pending[:b.kept[was]] {
		c.apply(names)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := b.node(names[name])
		node.links++
		is.entries[name], is.durable[name] = node, node
	}
}

func (b *rebuild) node(was *inode) *inode {
	if known := b.nodes[was]; known != nil {
		return known
	}
	is := new(inode)
	b.nodes[was] = is
	if was.folder != nil {
		is.folder = b.disk.newFolder()
		b.folder(was.folder, is.folder)
		return is
	}
	is.data = was.data.lastSynced()
	b.fate.bytes(was.data.pending, is.data)
	is.data.settle()
	b.disk.used += uint64(is.data.size)
	return is
}

// fixed keeps everything or nothing.
type fixed bool

func (fixed) from(*rand.Rand) {}

func (all fixed) changes(n int) int {
	if all {
		return n
	}
	return 0
}

func (all fixed) bytes(writes []write, d *data) {
	if all {
		for _, w := range writes {
			w.whole(d)
		}
	}
}

// seeded draws.
type seeded struct{ rng *rand.Rand }

func (s *seeded) from(r *rand.Rand) { s.rng = r }

// changes keeps all or none more often than a part, since those are what the two ends of an operation look like.
func (s *seeded) changes(n int) int {
	switch s.rng.IntN(4) {
	case 0:
		return 0
	case 1:
		return n
	}
	return s.rng.IntN(n + 1)
}

func (s *seeded) bytes(writes []write, d *data) {
	if len(writes) == 0 {
		return
	}
	switch s.rng.IntN(4) {
	case 0:
	case 1:
		fixed(true).bytes(writes, d)
	default:
		s.some(writes, d)
	}
}

// some applies the writes between two truncations in any order, each whole, in part or not at all.
func (s *seeded) some(writes []write, d *data) {
	for len(writes) > 0 {
		n := slices.IndexFunc(writes, func(w write) bool { return w.truncate })
		if n == 0 {
			n = 1
		} else if n < 0 {
			n = len(writes)
		}
		for _, i := range s.rng.Perm(n) {
			s.one(writes[i], d)
		}
		writes = writes[n:]
	}
}

func (s *seeded) one(w write, d *data) {
	switch s.rng.IntN(3) {
	case 0:
	case 1:
		w.whole(d)
	default:
		s.torn(w, d)
	}
}

// torn keeps some sectors of the write: mostly a run from its start or to its end, at times any.
func (s *seeded) torn(w write, d *data) {
	if w.truncate {
		return
	}
	first := w.off / sectorBytes
	n := int((w.off+w.length-1)/sectorBytes-first) + 1
	switch cut := s.rng.IntN(n + 1); s.rng.IntN(3) {
	case 0:
		w.sectors(d, first, first+int64(cut))
	case 1:
		w.sectors(d, first+int64(cut), first+int64(n))
	default:
		s.scattered(w, d, first, n)
	}
}

// scattered keeps runs of sectors, each about as long as the next gap, so that large writes cost few draws.
func (s *seeded) scattered(w write, d *data, first int64, n int) {
	longest := max(1, n/8)
	for at, keep := 0, s.rng.IntN(2) == 0; at < n; keep = !keep {
		run := min(1+s.rng.IntN(longest), n-at)
		if keep {
			w.sectors(d, first+int64(at), first+int64(at+run))
		}
		at += run
	}
}

// whole applies all of w.
func (w write) whole(d *data) {
	if w.truncate {
		d.resize(w.off)
		return
	}
	d.put(w, 0, w.length)
}

// sectors applies the part of w that lies in the sectors [first, end) of the file.
func (w write) sectors(d *data, first, end int64) {
	from := max(first*sectorBytes-w.off, 0)
	to := min(end*sectorBytes-w.off, w.length)
	if from < to {
		d.put(w, from, to)
	}
}
