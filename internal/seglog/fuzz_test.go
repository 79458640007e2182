package seglog

import (
	"bytes"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

func FuzzRecords(f *testing.F) {
	f.Add(entryFor(3, 1).Data)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 5})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		w, n := WalkRecords(data), 0
		var again []byte
		for w.Next() {
			again = append(again, data[w.Off():int(w.Off())+RecordHeader+len(w.Payload())]...)
			n++
		}
		if w.Err() == nil && !bytes.Equal(again, data) {
			t.Fatal("records do not make up the data")
		}
		if err := VerifyRecords(data, testShard, 3); err == nil && n > 0 && w.Err() != nil {
			t.Fatal("broken framing is verified")
		}
		if n > 0 && VerifyRecords(data, testShard, 3) == nil && VerifyRecords(data, testShard, 4) == nil {
			t.Fatal("records are good for two entries")
		}
	})
}

// Whatever stands in place of headers, entries and footer, a decoder says no, or gives what encodes to the same bytes.
func FuzzDecoders(f *testing.F) {
	h := header{version: Version, shard: testShard, first: 1, salt: 5, segmentBytes: minSegmentBytes, maxBatch: 8, size: 8192, sure: pageBytes}
	f.Add(h.encode())
	f.Add(seal{footer: 5000, size: 6000, sum: 1}.encode(&h))
	b := make([]byte, batchHeader)
	(&batch{kind: batchMark, seq: 1, first: 1, synced: pageBytes, size: 8192}).encode(b, &h, pageBytes)
	f.Add(b)
	e := entryFor(3, 1)
	digest, _ := e.digest(testShard)
	f.Add(e.appendTo(nil, testShard, digest))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, ok := decodeHeader(data); ok && got.version == Version && !bytes.Equal(got.encode(), data[:sectorBytes]) {
			t.Fatal("header")
		}
		if len(data) >= sealBytes {
			if s, sealed, ok := decodeSeal(data[:sealBytes], &h); ok && sealed && !bytes.Equal(s.encode(&h)[:36], data[:36]) {
				t.Fatal("seal")
			}
		}
		if got, ok := decodeBatch(data, &h, pageBytes); ok {
			again := make([]byte, batchHeader)
			if got.encode(again, &h, pageBytes); !bytes.Equal(again, data[:batchHeader]) {
				t.Fatal("batch")
			}
		}
		if got, ok := decodeEntryHeader(data, testShard, 3); ok {
			if !bytes.Equal(appendEntryHeader(nil, testShard, got), data[:EntryHeader]) {
				t.Fatal("entry header")
			}
			if n := EntryHeader + int(got.length); n <= len(data) {
				_, _ = got.open(data[EntryHeader:n], testShard)
			}
		}
	})
}

// A log whose file was overwritten anywhere with anything opens without it, or names it, and serves nothing false.
func FuzzDamagedFiles(f *testing.F) {
	disk := crashfs.New(1)
	l, _ := mustOpen(f, testOptions(disk))
	for len(l.Segments()) < 3 {
		mustAppend(f, l, 4, 1)
	}
	mustAppend(f, l, 4, 1)
	list := l.Segments()
	if err := l.Seal(1); err != nil {
		f.Fatal(err)
	}
	want, err := l.Entries(1, l.Last()+1, 1<<40)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(0), uint16(600), []byte{1, 2, 3})
	f.Add(byte(1), uint16(4096), make([]byte, 100))
	f.Add(byte(2), uint16(4100), []byte("BTCH"))
	f.Add(byte(2), uint16(9000), []byte{7})
	f.Fuzz(func(t *testing.T, which byte, at uint16, with []byte) {
		bad := disk.Clone()
		file, err := bad.Open("data/0001/" + list[which%3].Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(with, int64(at)); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(testOptions(bad), nil); err != nil {
			wantCode(t, err, errs.Unsupported)
		}
		l, rec, err := Open(testOptions(bad))
		if err != nil {
			return
		}
		if rec.Cut == nil && l.Last() != uint64(len(want)) && !isZero(with) {
			t.Fatalf("the log ends with %d in silence", l.Last())
		}
		for i := range min(l.Last(), uint64(len(want))) {
			if es, err := l.Entries(i+1, i+2, 0); err == nil && !sameEntry(es[0], want[i]) {
				t.Fatalf("entry %d is served false", i+1)
			}
		}
	})
}
