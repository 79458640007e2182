package index

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchSegments is how many full segments the benchmarks read from: 10 are 2 million events.
var benchSegments = flag.Int("segments", 4, "ingested segments to benchmark reading with")

const (
	benchEvents  = 200_000 // of 256 bytes in 64 MiB
	benchStreams = 2_000_000
)

// history makes the events of a log whose keys are spread evenly over streams, in entries of 100.
type history struct {
	random    *rand.Rand
	streams   int
	revisions map[int]uint64
	offset    uint64
	entry     uint64
}

func newHistory(streams int) *history {
	return &history{random: rand.New(rand.NewPCG(1, 2)), streams: streams, revisions: map[int]uint64{}, entry: 1}
}

func streamKey(i int) []byte { return fmt.Appendf(nil, "customer-%09d", i) }

func (h *history) batch(n int) []Event {
	batch := make([]Event, n)
	for i := range batch {
		stream := h.random.IntN(h.streams)
		h.revisions[stream]++
		h.offset++
		key := streamKey(stream)
		id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.random.Uint64()), h.random.Uint64())
		batch[i] = Event{
			Offset: h.offset, Revision: h.revisions[stream], Topic: benchTopic, Key: key, Type: benchTypes[h.random.IntN(len(benchTypes))], ID: IDHash(benchTopic, key, id),
			Loc: Loc{Entry: h.entry, Off: uint32(40 + i*(330+h.random.IntN(3))), Size: uint32(320 + h.random.IntN(4))}, Time: int64(h.entry) * 512_345,
		}
	}
	h.entry++
	return batch
}

var (
	benchTopic = []byte("customers")
	benchTypes = [][]byte{[]byte("Registered"), []byte("Renamed"), []byte("Moved"), []byte("Blocked"), []byte("Released"), []byte("Left")}
)

// filled is an index of some full segments, and one in memory.
type filled struct {
	ix  *Index
	h   *history
	dir string
	ids []uint64 // some, of ingested events
}

func fill(b testing.TB, segments, streams int) *filled {
	f := &filled{dir: b.TempDir(), h: newHistory(streams)}
	f.open(b)
	var building, ingesting time.Duration
	var bytes int64
	for range segments {
		segment := f.segment(b, benchEvents)
		file := filepath.Join(f.dir, fmt.Sprintf("%d.idx", segment))
		began := cpuTime()
		built, err := f.ix.Build(segment, file)
		ok(b, err)
		building += cpuTime() - began
		began = cpuTime()
		ok(b, f.ix.Ingest(segment, file))
		ingesting += cpuTime() - began
		bytes += built.Bytes
	}
	f.segment(b, benchEvents/2)
	if n := int64(segments) * benchEvents; n > 0 {
		b.Logf("%d segments: %.1f bytes, %d cpu-ns to build, %d cpu-ns to ingest for each event", segments, float64(bytes)/float64(n),
			building.Nanoseconds()/n, ingesting.Nanoseconds()/n)
	}
	return f
}

func (f *filled) open(b testing.TB) {
	ix, err := Open(Options{Dir: filepath.Join(f.dir, "index"), BlockCacheBytes: 64 << 20, HeadsCacheBytes: 128 << 20})
	ok(b, err)
	f.ix = ix
}

func (f *filled) segment(b testing.TB, events int) uint64 {
	segment := f.h.entry
	f.ix.Begin(segment)
	for range events / 100 {
		batch := f.h.batch(100)
		f.ix.Add(batch)
		if events == benchEvents {
			f.ids = append(f.ids, batch[0].ID)
		}
	}
	f.ids = f.ids[max(0, len(f.ids)-20_000):]
	return segment
}

func ok(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

var shared = map[int]*filled{}

// sharedIndex is filled once for all benchmarks that only read.
func sharedIndex(b *testing.B, streams int) *filled {
	if shared[streams] == nil {
		dir, err := os.MkdirTemp("", "index-bench")
		ok(b, err)
		benchDirs = append(benchDirs, dir)
		shared[streams] = fill(inDir{b, dir}, *benchSegments, streams)
	}
	b.ResetTimer()
	reportCPU(b)
	return shared[streams]
}

// reportCPU adds the processor time of an operation to what a benchmark prints.
func reportCPU(b *testing.B) {
	began := cpuTime()
	b.Cleanup(func() { b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N), "cpu-ns/op") })
}

var benchDirs []string

// inDir is a test whose folder outlives it.
type inDir struct {
	testing.TB
	dir string
}

func (d inDir) TempDir() string { return d.dir }

// quickChecks is how many histories rapid tries unless told otherwise: a hundred take long.
const quickChecks = 36

func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "rapid.checks" })
	if !told {
		_ = flag.Set("rapid.checks", fmt.Sprint(quickChecks/underRace))
	}
	code := m.Run()
	for _, f := range shared {
		_ = f.ix.Close()
	}
	for _, dir := range benchDirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func BenchmarkAdd100(b *testing.B) {
	h := newHistory(benchStreams)
	var batches [][]Event
	for range benchEvents / 100 {
		batches = append(batches, h.batch(100))
	}
	t := newTable(1, 0, 0)
	b.ReportAllocs()
	b.ResetTimer()
	reportCPU(b)
	for i := range b.N {
		if i%len(batches) == 0 {
			t = newTable(1, benchEvents, benchEvents)
		}
		t.add(batches[i%len(batches)])
	}
}

func BenchmarkActiveHeadAbsent(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	for i := range b.N {
		if _, ok := f.ix.ActiveHead(benchTopic, streamKey(benchStreams+i)); ok {
			b.Fatal("found what is not there")
		}
	}
}

func BenchmarkActiveIDsAbsent(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	r := rand.New(rand.NewPCG(3, 4))
	var room [4]uint64
	for range b.N {
		f.ix.ActiveIDs(r.Uint64(), room[:0])
	}
}

func BenchmarkSealedIDsAbsent(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	r := rand.New(rand.NewPCG(3, 4))
	var room [4]uint64
	found := 0
	for range b.N {
		got, err := f.ix.SealedIDs(r.Uint64(), room[:0])
		ok(b, err)
		found += len(got)
	}
	b.ReportMetric(float64(found)/float64(b.N), "false/op")
}

func BenchmarkSealedIDsPresent(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	ids := f.ids
	for i := range b.N {
		got, err := f.ix.SealedIDs(ids[i*7919%len(ids)], nil)
		ok(b, err)
		if len(got) == 0 {
			b.Fatal("lost")
		}
	}
}

func BenchmarkSealedHead(b *testing.B) {
	run := func(name string, streams int, key func(i int) []byte) {
		b.Run(name, func(b *testing.B) {
			f := sharedIndex(b, streams)
			for i := range b.N {
				_, _, err := f.ix.SealedHead(benchTopic, key(i))
				ok(b, err)
			}
		})
	}
	run("absent", benchStreams, func(i int) []byte { return streamKey(benchStreams + i) })
	run("cached", benchStreams, func(i int) []byte { return streamKey(i % 1000) })
	r := rand.New(rand.NewPCG(3, 4))
	b.Run("cold", func(b *testing.B) {
		f := sharedIndex(b, benchStreams)
		for i := range b.N {
			if i%1000 == 0 {
				f.ix.heads.clear()
			}
			_, _, err := f.ix.SealedHead(benchTopic, streamKey(r.IntN(benchStreams)))
			ok(b, err)
		}
	})
}

// BenchmarkStream reads streams of about 10 events among all.
func BenchmarkStream10(b *testing.B) {
	streams := *benchSegments * benchEvents / 10
	f := sharedIndex(b, streams)
	r := rand.New(rand.NewPCG(3, 4))
	var room [64]Posting
	n := 0
	for range b.N {
		it := f.ix.Stream(benchTopic, streamKey(r.IntN(streams)), 0, false)
		for {
			got, err := it.Next(room[:])
			ok(b, err)
			if n += got; got == 0 {
				break
			}
		}
	}
	b.ReportMetric(float64(n)/float64(b.N), "events/op")
}

func BenchmarkLocate(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	r := rand.New(rand.NewPCG(3, 4))
	for range b.N {
		_, err := f.ix.Locate(1 + r.Uint64N(f.h.offset))
		ok(b, err)
	}
}

func BenchmarkTopicEvent(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	var room [256]Posting
	it := f.ix.Topic(benchTopic, 0, false)
	for n := 0; n < b.N; {
		got, err := it.Next(room[:])
		ok(b, err)
		if n += got; got == 0 {
			it = f.ix.Topic(benchTopic, 0, false)
		}
	}
}

func BenchmarkAtTime(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	r := rand.New(rand.NewPCG(3, 4))
	for range b.N {
		_, err := f.ix.AtTime(r.Int64N(int64(f.h.entry) * 512_345))
		ok(b, err)
	}
}

func BenchmarkOpen(b *testing.B) {
	f := sharedIndex(b, benchStreams)
	ok(b, f.ix.Close())
	b.ResetTimer()
	for range b.N {
		f.open(b)
		_, err := f.ix.SealedIDs(1, nil) // waits for the id window
		ok(b, err)
		b.StopTimer()
		ok(b, f.ix.Close())
		b.StartTimer()
	}
	b.StopTimer()
	f.open(b)
}

// BenchmarkSeal builds and ingests a full segment, over and over.
func BenchmarkSeal(b *testing.B) {
	f := fill(b, 0, benchStreams)
	segment := f.segment(b, benchEvents)
	f.segment(b, 100)
	t := f.ix.view.Load().table(segment)
	file := filepath.Join(f.dir, "full.idx")
	b.ResetTimer()
	reportCPU(b)
	for range b.N {
		f.ix.change(func(v *view) *view { return v.with(t) })
		_, err := f.ix.Build(segment, file)
		ok(b, err)
		ok(b, f.ix.Ingest(segment, file))
	}
	ok(b, f.ix.Close())
}
