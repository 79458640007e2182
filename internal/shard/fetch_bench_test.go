package shard

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// BenchmarkFetch brings a segment of 64 MiB from one folder of the machine's disk into another: read, written, synced, verified.
func BenchmarkFetch(b *testing.B) {
	from := b.TempDir()
	o := seglog.Options{FS: vfs.OS(), Dir: from, Shard: 1, SegmentBytes: 64 << 20}
	l, _, err := seglog.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	for len(l.Segments()) < 2 {
		var es []seglog.Entry
		for range 4 {
			i := l.Last() + 1 + uint64(len(es))
			var data []byte
			for range 256 {
				data = seglog.AppendRecord(data, 1, i, 1, make([]byte, 330))
			}
			es = append(es, seglog.Entry{Index: i, Term: 1, Data: data})
		}
		if err := l.Append(es, 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Seal(1); err != nil {
		b.Fatal(err)
	}
	m := Manifest{Shard: 1, Segments: []Piece{pieceOf(l.Segments()[0])}}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(m.Segments[0].Bytes)
	to := b.TempDir()
	for b.Loop() {
		if err := os.RemoveAll(filepath.Join(to, incomingDir)); err != nil {
			b.Fatal(err)
		}
		if err := Fetch(b.Context(), Fetching{FS: vfs.OS(), Dir: to, Manifest: m, Sources: []Source{folderSource(from)}}); err != nil {
			b.Fatal(err)
		}
	}
}
