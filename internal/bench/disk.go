package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gesta-db/gesta/internal/vfs"
)

// DiskConfig says what to probe. Zero values take the defaults in brackets.
type DiskConfig struct {
	Dir       string        // the folder whose disk is meant [the working folder]
	FileBytes int64         // [64 MiB, a segment]
	Duration  time.Duration // of each of the two measurements [3s]
}

// DiskResult is what the disk does without a database: the bounds of what one can do on it.
type DiskResult struct {
	Seconds        float64 `json:"seconds"`
	SyncsPerSecond float64 `json:"syncs_per_second"` // fdatasync after overwriting 4 KiB of a zero-filled file
	Latency                // of overwriting and syncing
	FillMiBPerSec  float64 `json:"fill_write_mib_per_second"` // a file's size over the time of filling it with zeros, writing it, and syncing both
	FileBytes      int64   `json:"file_bytes"`
	Verified       bool    `json:"verified"` // what was written last was read back
}

const (
	page  = 4 << 10
	chunk = 1 << 20
)

// Disk measures with a file of its own in the folder, which it removes.
func Disk(ctx context.Context, cfg DiskConfig) (DiskResult, error) {
	cfg.Dir = or(cfg.Dir, ".")
	cfg.FileBytes = or(cfg.FileBytes, 64*mib)
	cfg.Duration = or(cfg.Duration, 3*time.Second)
	if cfg.FileBytes < chunk || cfg.FileBytes%chunk != 0 {
		return DiskResult{}, invalid("the file must be a multiple of 1 MiB, not %d bytes", cfg.FileBytes)
	}
	p := &probe{fs: vfs.OS(), name: filepath.Join(cfg.Dir, fmt.Sprintf(".gesta-bench-disk-%d", os.Getpid())), size: cfg.FileBytes}
	defer p.fs.Remove(p.name) // removed already when all went well
	res := DiskResult{FileBytes: cfg.FileBytes, Verified: true}
	if err := p.syncs(ctx, cfg.Duration, &res); err != nil {
		return res, fmt.Errorf("measuring syncs in %s: %w", cfg.Dir, err)
	}
	if err := p.fills(ctx, cfg.Duration, &res); err != nil {
		return res, fmt.Errorf("measuring writes in %s: %w", cfg.Dir, err)
	}
	return res, nil
}

type probe struct {
	fs   vfs.FS
	name string
	size int64
}

// with runs work on a fresh file of zeros that is on the disk.
func (p *probe) with(work func(vfs.File) error) (err error) {
	f, err := p.fs.Create(p.name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
		if e := p.fs.Remove(p.name); err == nil {
			err = e
		}
	}()
	if err := p.write(f, make([]byte, chunk)); err != nil {
		return err
	}
	return work(f)
}

// write fills the file with copies of b and syncs it.
func (p *probe) write(f vfs.File, b []byte) error {
	for at := int64(0); at < p.size; at += int64(len(b)) {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
	}
	return f.SyncData()
}

// syncs overwrites page after page, each followed by a sync.
func (p *probe) syncs(ctx context.Context, d time.Duration, res *DiskResult) error {
	return p.with(func(f vfs.File) error {
		var h histogram
		b, got := noise(page), make([]byte, page)
		began := time.Now()
		n, last := uint64(0), began
		for ; last.Sub(began) < d; n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			at := int64(n) * page % p.size
			if _, err := f.WriteAt(b, at); err != nil {
				return err
			}
			if err := f.SyncData(); err != nil {
				return err
			}
			now := time.Now()
			h.record(now.Sub(last))
			last = now
		}
		if _, err := f.ReadAt(got, int64(n-1)*page%p.size); err != nil {
			return err
		}
		res.Verified = res.Verified && string(got) == string(b)
		res.Seconds, res.SyncsPerSecond, res.Latency = last.Sub(began).Seconds(), perSecond(n, last.Sub(began)), h.latency()
		return nil
	})
}

// fills makes and overwrites files, as the log does with its segments.
func (p *probe) fills(ctx context.Context, d time.Duration, res *DiskResult) error {
	b := noise(chunk)
	began := time.Now()
	files := 0
	for ; files == 0 || time.Since(began) < d; files++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.with(func(f vfs.File) error { return p.write(f, b) }); err != nil {
			return err
		}
	}
	res.FillMiBPerSec = float64(files) * float64(p.size) / mib / time.Since(began).Seconds()
	return nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
