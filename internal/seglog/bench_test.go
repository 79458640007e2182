package seglog

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gesta-db/gesta/internal/vfs"
)

// benchOptions are of a log on the real disk, as a node has it.
func benchOptions(b *testing.B) Options {
	return Options{FS: vfs.OS(), Dir: b.TempDir() + "/log", Shard: testShard, SegmentBytes: 64 << 20}
}

// batchEntry is an entry as a busy shard makes it: events of 256 bytes with their keys and ids, about 330 bytes each.
func batchEntry(index uint64, events int) Entry {
	payload := make([]byte, 330)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	e := Entry{Index: index, Term: 1}
	for range events {
		e.Data = AppendRecord(e.Data, testShard, index, 1, payload)
	}
	return e
}

// nullFile takes writes and syncs that cost nothing, to measure what Append costs beside them.
type nullFS struct{ vfs.FS }

type nullFile struct{ vfs.File }

func (f nullFS) Create(name string) (vfs.File, error) {
	in, err := f.FS.Create(name)
	return nullFile{in}, err
}

func (nullFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nullFile) SyncData() error                        { return nil }

func benchAppend(b *testing.B, o Options, events int) {
	rolled := make(chan bool, 1)
	o.Listener = &Listener{Rolled: func(uint64) {
		select {
		case rolled <- true:
		default:
		}
	}}
	l, _ := mustOpen(b, o)
	defer l.Close()
	defer close(rolled)
	go func() {
		for range rolled {
			_ = l.Prepare()
		}
	}()
	rolled <- true
	e := batchEntry(1, events)
	b.SetBytes(int64(len(e.Data)))
	b.ReportAllocs()
	for b.Loop() {
		e.Index = l.Last() + 1 // its records are sealed for another index, which Append does not look at
		if err := l.Append([]Entry{e}, e.Index-1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, events := range []int{1, 64, 256, 1000} {
		b.Run(fmt.Sprintf("disk/%d", events), func(b *testing.B) { benchAppend(b, benchOptions(b), events) })
	}
	for _, events := range []int{1, 64, 256, 1000} {
		b.Run(fmt.Sprintf("cpu/%d", events), func(b *testing.B) {
			o := benchOptions(b)
			o.FS = nullFS{o.FS}
			benchAppend(b, o, events)
		})
	}
}

// BenchmarkDisk is what the disk alone takes for the same: overwrite and sync in a file filled ahead.
func BenchmarkDisk(b *testing.B) {
	for _, size := range []int{4 << 10, 85 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			sp, err := makeSpare(vfs.OS(), b.TempDir()+"/disk")
			if err == nil {
				err = sp.grow(64 << 20)
			}
			if err != nil {
				b.Fatal(err)
			}
			buf, at := make([]byte, size), int64(0)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := sp.f.WriteAt(buf, at); err != nil {
					b.Fatal(err)
				}
				if err := sp.f.SyncData(); err != nil {
					b.Fatal(err)
				}
				if at += int64(size); at+int64(size) > sp.size {
					at = 0
				}
			}
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	b.SetBytes(fullBytes(64 << 20))
	dir := b.TempDir()
	for b.Loop() {
		sp, err := makeSpare(vfs.OS(), dir+"/spare")
		if err == nil {
			err = sp.grow(fullBytes(64 << 20))
		}
		if err != nil {
			b.Fatal(err)
		}
		sp.discard(vfs.OS())
	}
}

func BenchmarkMark(b *testing.B) {
	l, _ := mustOpen(b, benchOptions(b))
	defer l.Close()
	commit := uint64(0)
	for b.Loop() {
		commit++
		if err := l.Mark(commit); err != nil {
			b.Fatal(err)
		}
	}
}

// filled makes a log of n entries of so many events.
func filled(b *testing.B, n, events int, seal bool) *Log {
	o := benchOptions(b)
	l, _ := mustOpen(b, o)
	b.Cleanup(func() { _ = l.Close() })
	for range n {
		if err := l.Append([]Entry{batchEntry(l.Last()+1, events)}, 0); err != nil {
			b.Fatal(err)
		}
	}
	for _, s := range l.Segments() {
		if seal && s.Full && s.Last < l.Last() {
			if err := l.Seal(s.First); err != nil {
				b.Fatal(err)
			}
		}
	}
	return l
}

func BenchmarkScan(b *testing.B) {
	for _, events := range []int{16, 256} {
		for _, window := range []int{64 << 10, 256 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%d/%d", events, window), func(b *testing.B) {
				l := filled(b, 100_000/events, events, true)
				e, err := l.Entries(1, 2, 0)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(e[0].Data)))
				b.ReportAllocs()
				r := l.NewReader(window)
				i := uint64(0)
				for b.Loop() {
					if i++; i > l.Last() {
						i = 1
					}
					if _, err := r.Entry(i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	l := filled(b, 1000, 256, true)
	b.Run("scattered", func(b *testing.B) {
		b.ReportAllocs()
		r := l.NewReader(256 << 10)
		for b.Loop() {
			if _, _, err := r.Record(1+rand.Uint64N(l.Last()), rand.Uint32N(256)*(330+RecordHeader), 330); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sequential", func(b *testing.B) {
		b.ReportAllocs()
		r := l.NewReader(256 << 10)
		i := 0
		for b.Loop() {
			if _, _, err := r.Record(1+uint64(i/256)%l.Last(), uint32(i%256)*(330+RecordHeader), 330); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("single", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 1024)
		for b.Loop() {
			if _, _, err := l.ReadRecord(1+rand.Uint64N(l.Last()), rand.Uint32N(256)*(330+RecordHeader), 330, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	l := filled(b, 3000, 256, false)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(l.Bytes())
	for b.Loop() {
		l, _ := mustOpen(b, l.o)
		_ = l.Close()
	}
}

func BenchmarkVerifyRecords(b *testing.B) {
	e := batchEntry(1, 256)
	b.SetBytes(int64(len(e.Data)))
	for b.Loop() {
		if err := VerifyRecords(e.Data, testShard, 1); err != nil {
			b.Fatal(err)
		}
	}
}
