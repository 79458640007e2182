package meta

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	snapshotName   = "snapshot"
	snapshotTemp   = "snapshot.tmp"
	snapshotMagic  = 0x54454d47 // "GMET"
	snapshotFormat = 1
	snapshotHeader = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saveSnapshot makes a state durable in place of the one before.
func saveSnapshot(fsys vfs.FS, dir string, s *state) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, snapshotTemp)
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(fsys, temp, encodeSnapshot(body)); err != nil {
		return err
	}
	if err := fsys.Rename(temp, filepath.Join(dir, snapshotName)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func encodeSnapshot(body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, snapshotMagic)
	b = binary.LittleEndian.AppendUint32(b, snapshotFormat)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, snapshotSum(b, body))
	return append(b, body...)
}

func writeFile(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.SyncData()
}

// loadSnapshot gives the newest snapshot; an empty state when there was none yet.
func loadSnapshot(fsys vfs.FS, dir string) (*state, error) {
	name := filepath.Join(dir, snapshotName)
	b, err := readFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return nil, err
	}
	return decodeSnapshot(name, b)
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

// snapshotSum covers what stands before the sum, and the state.
func snapshotSum(head, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}

func decodeSnapshot(name string, b []byte) (*state, error) {
	body, err := snapshotBody(name, b)
	if err != nil {
		return nil, err
	}
	s := newState()
	if err := json.Unmarshal(body, s); err != nil || s.Topics == nil {
		return nil, damagedSnapshot(name)
	}
	return s, nil
}

func damagedSnapshot(name string) error {
	return errs.New(errs.Corrupt, "%s is damaged: restore it from a backup, or take a replica's", name).With("file", name).With("offset", "0")
}

// snapshotBody is what a file's header and checksum stand for.
func snapshotBody(name string, b []byte) ([]byte, error) {
	if len(b) < snapshotHeader || binary.LittleEndian.Uint32(b) != snapshotMagic {
		return nil, damagedSnapshot(name)
	}
	body := b[snapshotHeader:]
	if uint32(len(body)) != binary.LittleEndian.Uint32(b[8:]) || snapshotSum(b[:12], body) != binary.LittleEndian.Uint32(b[12:]) {
		return nil, damagedSnapshot(name)
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != snapshotFormat {
		return nil, errs.New(errs.Unsupported, "%s has format %d, this version knows %d: run the version that wrote it, or a newer one", name, v, snapshotFormat)
	}
	return body, nil
}
