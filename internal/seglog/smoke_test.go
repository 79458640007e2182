package seglog

import (
	"fmt"
	"testing"

	"github.com/gesta-db/gesta/internal/vfs"
)

func TestSmoke(t *testing.T) {
	o := Options{FS: vfs.OS(), Dir: t.TempDir() + "/log", Shard: 3, SegmentBytes: 4096}
	l, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 100; i++ {
		data := AppendRecord(nil, 3, i, 7, []byte(fmt.Sprintf("payload %d", i)))
		data = AppendRecord(data, 3, i, 8, make([]byte, i))
		if err := l.Append([]Entry{{Index: i, Term: 1 + i/10, Data: data}}, i-1); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			l.Mark(i)
		}
		if i == 70 {
			if err := l.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range l.Segments()[:2] {
		if err := l.Seal(s.First); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		es, err := l.Entries(1, l.Last()+1, 1<<30)
		if err != nil || len(es) != int(l.Last()) {
			t.Fatal(len(es), err)
		}
		r := l.NewReader(1 << 16)
		for i := uint64(1); i <= l.Last(); i++ {
			p := fmt.Sprintf("payload %d", i)
			k, b, err := l.ReadRecord(i, 0, uint32(len(p)), nil)
			if err != nil || k != 7 || string(b) != p {
				t.Fatal(k, b, err)
			}
			k, b, err = r.Record(i, 0, uint32(len(p)))
			if err != nil || k != 7 || string(b) != p {
				t.Fatal(k, b, err)
			}
			if e, err := r.Entry(i); err != nil || e.Index != i {
				t.Fatal(e, err)
			}
			if tm, err := l.Term(i); err != nil || tm != 1+i/10 {
				t.Fatal(i, tm, err)
			}
		}
	}
	check()
	t.Log(l.Segments())
	l.Close()
	l, rec, err = Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(rec, l.Last(), l.First(), l.Segments())
	check()
	l.tail.commit = 60
	if err := l.Truncate(85); err != nil {
		t.Fatal(err)
	}
	check()
	if err := l.Append([]Entry{{Index: 85, Term: 1 + 85/10, Data: AppendRecord(AppendRecord(nil, 3, 85, 7, []byte("payload 85")), 3, 85, 2, nil)}}, 3); err != nil {
		t.Fatal(err)
	}
	check()
	if err := l.Trim(50); err != nil {
		t.Fatal(err)
	}
	t.Log(l.First(), l.Segments())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, err = Open(o)
	t.Log(rec, err, l.First(), l.Last())
	// torn
	f := l.tail.file.f
	f.WriteAt([]byte("garbage"), l.tail.end+100)
	l.Close()
	l, rec, err = Open(o)
	t.Log(rec, rec.Cut, err)
	l.Close()
	l, rec, err = Open(o)
	t.Log(rec, rec.Cut, err)
}
