package shard

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Installing is a change of many files, so it begins with a note, the file install: what the folder is to hold. Before the note has its
// name, the folder is as it was; from then on only what the note says can become of it, and whoever opens the folder does that first.
// Every step can be done again. The note goes last.
//
//	crc32c of what follows u32 | doubt u64 | manifest
const (
	noteName = "install"
	noteTemp = "install.tmp"
)

// Install makes the folder of a shard that is not open hold what a manifest lists, fetched before; false when its log has all of that
// already, and nothing was changed. The index, which is derived, is brought up to it by the next open. Errors: errs.Corrupt when the
// log that is there does not open (see Mend, then try again); errs.Unavailable when a segment was not fetched; those of the disk.
//
// What the log had beyond the manifest is dropped with the rest. It lacks the manifest's last entry, which is committed, so nothing
// after the place where the two part was ever committed, nor can be: see package replica.
func Install(cfg Config, fsys vfs.FS, dir string, voters []uint64, m Manifest) (bool, error) {
	if err := finishInstall(cfg, fsys, dir); err != nil {
		return false, err
	}
	held, doubt, err := holds(cfg, fsys, dir, voters, m)
	if err != nil || held {
		return false, err
	}
	f := Fetching{FS: fsys, Dir: dir, Manifest: m}
	in := filepath.Join(dir, incomingDir)
	kept, brought := map[string]bool{}, []string{}
	for i := range m.Segments {
		p := &m.Segments[i]
		if f.has(in, p) {
			brought = append(brought, filepath.Base(IndexFile(dir, p.First)))
			continue
		}
		if !f.has(dir, p) {
			return false, errs.New(errs.Unavailable, "segment %s is not there; fetch it again", seglog.Name(p.First))
		}
		kept[filepath.Base(IndexFile(dir, p.First))] = true
	}
	if err := changeTables(fsys, dir, kept, brought); err != nil {
		return false, err
	}
	if err := writeNote(fsys, dir, doubt, m); err != nil {
		return false, err
	}
	return true, finishInstall(cfg, fsys, dir)
}

// holds asks the log as it is now, which went on since the leader offered.
func holds(cfg Config, fsys vfs.FS, dir string, voters []uint64, m Manifest) (held bool, doubt uint64, err error) {
	disk, err := replica.OpenDisk(logOptions(cfg, fsys, dir, nil), voters)
	if err != nil {
		return false, 0, err
	}
	held, doubt = disk.Holds(m.Index, m.Term), disk.Doubt()
	return held, doubt, disk.Close()
}

// changeTables takes away the index tables beside segments that go, or are exchanged, and puts those in place that came with segments. The
// next open takes them in, or builds those that are missing or damaged. It may come before the note: a segment of this log that has
// another's table beside it holds the same when it is sealed, and gets a table of its own when it is sealed later.
func changeTables(fsys vfs.FS, dir string, kept map[string]bool, brought []string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return storing(err, dir)
	}
	for _, name := range names {
		if strings.HasSuffix(name, tableExt) && !kept[name] {
			if err := fsys.Remove(filepath.Join(dir, name)); err != nil {
				return storing(err, dir)
			}
		}
	}
	for _, name := range brought {
		err := fsys.Rename(filepath.Join(dir, incomingDir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storing(err, dir)
		}
	}
	return storing(fsys.SyncDir(dir), dir)
}

func writeNote(fsys vfs.FS, dir string, doubt uint64, m Manifest) error {
	b := binary.LittleEndian.AppendUint64(make([]byte, 4), doubt)
	b = append(b, m.Encode()...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	temp, path := filepath.Join(dir, noteTemp), filepath.Join(dir, noteName)
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storing(err, temp)
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return storing(err, temp)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.SyncData()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return storing(err, temp)
	}
	return storing(errors.Join(fsys.Rename(temp, path), fsys.SyncDir(dir)), path)
}

func readNote(fsys vfs.FS, dir string) (doubt uint64, m Manifest, noted bool, err error) {
	path := filepath.Join(dir, noteName)
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, m, false, nil
	}
	if err != nil {
		return 0, m, false, storing(err, path)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, m, false, storing(err, path)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return 0, m, false, storing(err, path)
	}
	if len(b) < 12 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return 0, m, false, errs.New(errs.Corrupt, "%s is damaged: what the folder is to hold is not known; replace the replica", path).With("file", path).With("offset", "0")
	}
	m, err = DecodeManifest(b[12:])
	return binary.LittleEndian.Uint64(b[4:]), m, err == nil, err
}

// Installing tells that a folder is on its way from one log to another, and by which note: the next Open ends it.
func Installing(fsys vfs.FS, dir string) (note string, ok bool) {
	note = filepath.Join(dir, noteName)
	_, err := fsys.Stat(note)
	return note, err == nil
}

// finishInstall does what the note says, if there is one. It comes first whenever a folder is opened.
func finishInstall(cfg Config, fsys vfs.FS, dir string) error {
	doubt, m, noted, err := readNote(fsys, dir)
	if err != nil {
		return err
	}
	in := filepath.Join(dir, incomingDir)
	if !noted {
		return dropUseless(cfg, fsys, dir, in)
	}
	err = replica.Install(logOptions(cfg, fsys, dir, nil), replica.Installation{
		Assembly: seglog.Assembly{Segments: m.firsts(), From: in, Index: m.Index, Term: m.Term, Doubt: doubt},
		Conf:     m.Conf, ConfIndex: m.ConfIndex,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(fsys.Remove(filepath.Join(dir, noteName)), fsys.SyncDir(dir)); err != nil {
		return storing(err, dir)
	}
	return storing(fsys.RemoveAll(in), in) // what a crash leaves of it, the next Fetch removes
}

// dropUseless removes what was fetched for an offer that was never installed, once the log has sealed the same segments itself.
func dropUseless(cfg Config, fsys vfs.FS, dir, in string) error {
	names, err := fsys.List(in)
	if err != nil {
		return nil // there is nothing
	}
	for _, name := range names {
		number, _, _ := strings.Cut(name, ".")
		first, ok := seglog.ParseName(number + ".seg")
		if !ok {
			continue
		}
		if _, err := seglog.Describe(logOptions(cfg, fsys, dir, nil), first); err != nil {
			continue
		}
		if err := fsys.Remove(filepath.Join(in, name)); err != nil {
			return storing(err, in)
		}
	}
	return nil
}
