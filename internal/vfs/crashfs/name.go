package crashfs

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// parts splits a name; a leading slash or volume means the same root as none.
func parts(name string) []string {
	clean := filepath.ToSlash(filepath.Clean(name))
	return strings.FieldsFunc(clean, func(r rune) bool { return r == '/' })
}

func (d *FS) parent(name string) (*folder, string, error) {
	all := parts(name)
	if len(all) == 0 || name == "." {
		return nil, "", fs.ErrInvalid
	}
	last := len(all) - 1
	node, err := d.walk(all[:last])
	if err != nil {
		return nil, "", err
	}
	if node.folder == nil {
		return nil, "", syscall.ENOTDIR
	}
	return node.folder, all[last], nil
}

func (d *FS) find(name string) (*inode, error) {
	all := parts(name)
	if filepath.Clean(name) == "." {
		all = nil
	}
	return d.walk(all)
}

func (d *FS) findFolder(name string) (*folder, error) {
	node, err := d.find(name)
	if err != nil {
		return nil, err
	}
	if node.folder == nil {
		return nil, syscall.ENOTDIR
	}
	return node.folder, nil
}

func (d *FS) walk(names []string) (*inode, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	at := d.root
	for _, part := range names {
		if at.folder == nil {
			return nil, syscall.ENOTDIR
		}
		if at = at.folder.entries[part]; at == nil {
			return nil, fs.ErrNotExist
		}
	}
	return at, nil
}
