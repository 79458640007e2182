package crashfs

import (
	"io/fs"
	"time"
)

// inode is a file or a folder; names point to it.
type inode struct {
	folder *folder
	data   *data
	links  int
}

func newFile() *inode { return &inode{data: newData(), links: 1} }

// folder holds names as they are, as they were at the last sync, and what was done in between.
type folder struct {
	entries map[string]*inode
	durable map[string]*inode
	pending []*change
}

// change is one atomic change of a folder: what each name then means, nil for none.
type change struct {
	in    *folder
	names [2]named // a rename has two
	// needs is the change in another folder without which this one never survives: a file moved between folders is not
	// taken from the one before it is in the other.
	needs *change
	done  bool // durable
}

type named struct {
	name string
	node *inode
}

func (d *FS) newFolder() *folder {
	f := &folder{entries: map[string]*inode{}, durable: map[string]*inode{}}
	d.folders = append(d.folders, f)
	return f
}

func (f *folder) set(name string, node *inode) *change {
	return f.do(&change{names: [2]named{{name, node}}})
}

func (f *folder) unset(name string) *change { return f.set(name, nil) }

// move gives node the name y in b and takes x in a from it.
func move(a *folder, x string, b *folder, y string, node *inode) {
	if a == b {
		a.do(&change{names: [2]named{{y, node}, {x, nil}}})
		return
	}
	put := b.set(y, node)
	a.do(&change{names: [2]named{{x, nil}}, needs: put})
}

func (f *folder) do(c *change) *change {
	c.in = f
	c.apply(f.entries)
	f.pending = append(f.pending, c)
	return c
}

func (c *change) apply(to map[string]*inode) {
	for _, n := range c.names {
		switch {
		case n.name == "":
		case n.node == nil:
			delete(to, n.name)
		default:
			to[n.name] = n.node
		}
	}
}

// sync makes all changes durable.
func (f *folder) sync() { f.keep(len(f.pending)) }

// keep makes the first n changes durable, and what they need elsewhere.
func (f *folder) keep(n int) {
	kept := f.pending[:n]
	f.pending = f.pending[n:]
	for _, c := range kept {
		if c.needs != nil && !c.needs.done {
			c.needs.in.keepThrough(c.needs)
		}
		c.apply(f.durable)
		c.done = true
	}
}

func (f *folder) keepThrough(c *change) {
	for i, p := range f.pending {
		if p == c {
			f.keep(i + 1)
			return
		}
	}
}

type info struct {
	name   string
	size   int64
	folder bool
}

func (n *inode) info(name string) fs.FileInfo {
	if n.folder != nil {
		return info{name: name, folder: true}
	}
	return info{name: name, size: n.data.size}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) IsDir() bool        { return i.folder }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o750
	}
	return 0o640
}
