package crashfs

// Clone gives a second disk in the same state, with what is not synced and the same seed; open files stay with the first.
func (d *FS) Clone() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	rng := *d.rng
	twin := newFS(&rng)
	twin.capacity, twin.crashed = d.capacity, d.crashed
	c := cloning{disk: twin, nodes: map[*inode]*inode{}, changes: map[*change]*change{}, folders: map[*folder]*folder{}}
	twin.folders = nil
	twin.root = c.node(d.root)
	c.keepOrder(d.folders)
	return twin
}

type cloning struct {
	disk    *FS
	nodes   map[*inode]*inode
	changes map[*change]*change
	folders map[*folder]*folder
}

func (c *cloning) node(was *inode) *inode {
	if was == nil {
		return nil
	}
	if known := c.nodes[was]; known != nil {
		return known
	}
	is := &inode{links: was.links}
	c.nodes[was] = is
	if was.data != nil {
		is.data = was.data.clone()
		if is.links > 0 {
			c.disk.used += uint64(is.data.size)
		}
		return is
	}
	is.folder = c.folder(was.folder)
	return is
}

func (c *cloning) folder(was *folder) *folder {
	if known := c.folders[was]; known != nil {
		return known
	}
	is := &folder{entries: map[string]*inode{}, durable: map[string]*inode{}}
	c.folders[was] = is
	for name, node := range was.entries {
		is.entries[name] = c.node(node)
	}
	for name, node := range was.durable {
		is.durable[name] = c.node(node)
	}
	for _, p := range was.pending {
		is.pending = append(is.pending, c.change(p))
	}
	return is
}

func (c *cloning) change(was *change) *change {
	if was == nil || c.changes[was] != nil {
		return c.changes[was]
	}
	is := &change{done: was.done}
	c.changes[was] = is
	is.in = c.folder(was.in)
	is.needs = c.change(was.needs)
	for i, n := range was.names {
		is.names[i] = named{n.name, c.node(n.node)}
	}
	return is
}

// keepOrder lists the clones' folders in the order of the originals, which is the order of the draws.
func (c *cloning) keepOrder(folders []*folder) {
	for _, was := range folders {
		c.disk.folders = append(c.disk.folders, c.folder(was))
	}
}
