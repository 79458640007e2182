package crashfs

import "bytes"

const (
	pageBytes   = 4096
	sectorBytes = 512
)

// page is immutable once anything but its owner can see it; nil stands for a page of zeros.
type page struct {
	owner *owner
	bytes [pageBytes]byte
}

// owner is an identity: a page may be written in place only by who owns it. It is not empty, since pointers to empty values
// may be equal.
type owner struct{ _ byte }

var zeros [pageBytes]byte

// data is a file's bytes: as they are, and what is needed to go back to the last sync and to replay from there.
type data struct {
	pages      []*page // covers size
	size       int64
	owner      *owner        // changes at each sync, so that synced pages are copied before they are written
	synced     map[int]*page // pages changed since the last sync, as they were then
	syncedSize int64
	pending    []write
}

// write is a write or a truncation since the last sync.
type write struct {
	truncate bool
	off      int64 // a truncation's size
	length   int64
	bytes    []byte // nil when all are zero
}

func newData() *data { return &data{owner: new(owner), synced: map[int]*page{}} }

func pagesFor(size int64) int { return int((size + pageBytes - 1) / pageBytes) }

// sync makes what is there what a crash goes back to.
func (d *data) sync() {
	if len(d.pending) > 0 {
		d.settle()
	}
}

func (d *data) settle() {
	clear(d.synced)
	d.pending = nil
	d.syncedSize = d.size
	d.owner = new(owner)
}

func (d *data) readAt(b []byte, off int64) int {
	if off >= d.size {
		return 0
	}
	n := int(min(int64(len(b)), d.size-off))
	for rest := b[:n]; len(rest) > 0; {
		from := int(off % pageBytes)
		part := rest[:min(len(rest), pageBytes-from)]
		if p := d.pages[off/pageBytes]; p != nil {
			copy(part, p.bytes[from:])
		} else {
			clear(part)
		}
		rest, off = rest[len(part):], off+int64(len(part))
	}
	return n
}

// writeAt writes and remembers the write until the next sync.
func (d *data) writeAt(b []byte, off int64) {
	w := write{off: off, length: int64(len(b))}
	if !allZero(b) {
		w.bytes = bytes.Clone(b)
	}
	d.pending = append(d.pending, w)
	d.put(w, 0, w.length)
}

// truncate sets the size and remembers it until the next sync.
func (d *data) truncate(size int64) {
	w := write{truncate: true, off: size}
	d.pending = append(d.pending, w)
	d.resize(size)
}

// put applies the bytes [from, to) of w.
func (d *data) put(w write, from, to int64) {
	d.resize(max(d.size, w.off+to))
	for from < to {
		at := w.off + from
		in := int(at % pageBytes)
		n := min(to-from, int64(pageBytes-in))
		if w.bytes == nil {
			d.zeroPage(int(at/pageBytes), in, in+int(n))
		} else {
			copy(d.own(int(at / pageBytes)).bytes[in:], w.bytes[from:from+n])
		}
		from += n
	}
}

func (d *data) zeroPage(i, from, to int) {
	switch {
	case d.pages[i] == nil:
	case from == 0 && to == pageBytes:
		d.remember(i)
		d.pages[i] = nil
	default:
		clear(d.own(i).bytes[from:to])
	}
}

// own gives page i for writing.
func (d *data) own(i int) *page {
	p := d.pages[i]
	if p != nil && p.owner == d.owner {
		return p
	}
	d.remember(i)
	fresh := &page{owner: d.owner}
	if p != nil {
		fresh.bytes = p.bytes
	}
	d.pages[i] = fresh
	return fresh
}

// remember keeps page i as it was at the last sync, the first time it changes after it.
func (d *data) remember(i int) {
	if i >= pagesFor(d.syncedSize) {
		return
	}
	if _, known := d.synced[i]; !known {
		d.synced[i] = d.pages[i]
	}
}

func (d *data) resize(size int64) {
	n := pagesFor(size)
	for i := n; i < len(d.pages); i++ {
		d.remember(i)
	}
	if n <= len(d.pages) {
		clear(d.pages[n:])
		d.pages = d.pages[:n]
	} else {
		d.pages = append(d.pages, make([]*page, n-len(d.pages))...)
	}
	if size < d.size && size%pageBytes != 0 {
		d.zeroPage(n-1, int(size%pageBytes), pageBytes)
	}
	d.size = size
}

// flip turns over the lowest bit of one byte, now and in what a crash goes back to.
func (d *data) flip(off int64) {
	i, in := int(off/pageBytes), off%pageBytes
	if was, changed := d.synced[i]; changed {
		d.synced[i] = was.flipped(in)
	}
	d.pages[i] = d.pages[i].flipped(in)
}

func (p *page) flipped(in int64) *page {
	rotten := new(page)
	if p != nil {
		rotten.bytes = p.bytes
	}
	rotten.bytes[in] ^= 1
	return rotten
}

// clone shares all pages; neither side writes to them in place afterwards.
func (d *data) clone() *data {
	c := *d
	c.pages = append([]*page(nil), d.pages...)
	c.pending = append([]write(nil), d.pending...)
	c.synced = make(map[int]*page, len(d.synced))
	for i, p := range d.synced {
		c.synced[i] = p
	}
	c.owner, d.owner = new(owner), new(owner)
	return &c
}

// lastSynced is the file as it was at the last sync.
func (d *data) lastSynced() *data {
	n := newData()
	n.pages = make([]*page, pagesFor(d.syncedSize))
	copy(n.pages, d.pages)
	for i, p := range d.synced {
		n.pages[i] = p
	}
	n.size, n.syncedSize = d.syncedSize, d.syncedSize
	return n
}

func allZero(b []byte) bool {
	for len(b) > pageBytes {
		if !bytes.Equal(b[:pageBytes], zeros[:]) {
			return false
		}
		b = b[pageBytes:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
