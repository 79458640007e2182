package crashfs

import "io/fs"

// Flip turns over one bit of the byte at off, as rot does: it is in what is read now and after a crash.
func (d *FS) Flip(name string, off int64) error {
	return d.onFile("flip", name, func(b *data) error {
		if off < 0 || off >= b.size {
			return fs.ErrInvalid
		}
		b.flip(off)
		return nil
	})
}

// Bytes gives a copy of a file's bytes as they are read now.
func (d *FS) Bytes(name string) ([]byte, error) {
	var all []byte
	err := d.onFile("bytes", name, func(b *data) error {
		all = make([]byte, b.size)
		b.readAt(all, 0)
		return nil
	})
	return all, err
}

func (d *FS) onFile(op, name string, do func(*data) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, err := d.find(name)
	if err == nil && node.data == nil {
		err = fs.ErrInvalid
	}
	if err == nil {
		err = do(node.data)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}
