package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gesta-db/gesta/internal/errs"
)

// VerifyTable holds every block of an index table against its checksum: one beside a segment, or one in an index's folder. FS is where
// the file is; nil means the real file system. Damage is Corrupt and names the file.
func VerifyTable(fs vfs.FS, file string) error {
	if fs == nil {
		fs = vfs.Default
	}
	f, err := fs.Open(file)
	if err != nil {
		return err
	}
	if err := verifyBlocks(f); err != nil {
		return errs.New(errs.Corrupt, "the index table %s is damaged (%v): delete the index folder and this file; the next start builds them anew", file, err).
			With("file", file).With("offset", "0")
	}
	return nil
}

// verifyBlocks closes the file. What reads tables may panic over what no checksum covers.
func verifyBlocks(f vfs.File) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, readerOptions())
	if err != nil {
		return err // and the file is closed
	}
	defer r.Close()
	return r.ValidateBlockChecksums()
}
