package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// figures has three rounds on a disk of 1,000 syncs a second, in the last of which everything takes twice as long.
func figures() *Figures {
	f := &Figures{Settings: Settings{Rounds: 3, Streams: 200_000}, BinaryBytes: 20 << 20}
	f.Systems = []System{{Name: Gesta, Title: "Gesta", Syncs: true}, {Name: "etcd", Title: "etcd", Syncs: true}, {Name: "jetstream", Title: "JetStream, default"}}
	for round, pace := range []float64{1, 1, 0.5} {
		f.Disk = append(f.Disk, Disk{Round: round, Syncs: 900 * pace, Fill: 400 * pace}, Disk{Round: round, Syncs: 1100 * pace, Fill: 400 * pace})
		f.Memory = append(f.Memory, Memory{Round: round, Idle: 30 << 20, After: 90 << 20})
		add := func(system, work string, rate float64) {
			f.Samples = append(f.Samples, Sample{Round: round, System: system, Work: work, Rate: rate * pace, P99: 10 / pace, Acknowledged: 5, Kept: 5, Verified: true})
		}
		add(Gesta, Append256, 17_000)
		add(Gesta, Append1024, 20_000)
		add(Gesta, Append64, 9_000)
		add(Gesta, AppendBatch, 190_000)
		add("etcd", Append64, 2_000)
	}
	return f
}

func bar(t *testing.T, f *Figures, wants string) Bar {
	t.Helper()
	for _, b := range f.Bars() {
		if b.Work+": "+b.Wants == wants {
			return b
		}
	}
	t.Fatalf("no bar %q", wants)
	return Bar{}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	b := bar(t, figures(), "single appends, 256 callers: ≥ 16 × the disk's fdatasync/s")
	if b.Ratio.Min != 17 || b.Ratio.Max != 17 || !b.Met {
		t.Errorf("ratio %+v met %v on a disk that slows down with the server", b.Ratio, b.Met)
	}
	if b.Figure.Min != 8_500 || b.Figure.Median != 17_000 {
		t.Errorf("figure %+v", b.Figure)
	}
}

func TestMissedAndUnknownBars(t *testing.T) {
	f := figures()
	if b := bar(t, f, "single appends, 1,024 callers: ≥ 1.3 × the figure at 256"); b.Met || b.verdict() != "**missed**" {
		t.Errorf("20,000 is not 1.3 × 17,000: %+v", b)
	}
	if b := bar(t, f, "single appends, 256 callers: ≥ 6 × etcd's"); b.Known || b.verdict() != "not measured" {
		t.Errorf("etcd was not measured with 256 callers: %+v", b)
	}
	if b := bar(t, f, "single appends, 256 callers: p99: ≤ 12 ms"); !b.Met || b.Figure.Max != 20 {
		t.Errorf("the median of 10, 10 and 20 ms is within 12: %+v", b)
	}
}

// 200 thousand events of 256 bytes are 48.8 MiB: half of 80 MiB/s is less.
func TestBatchBarFollowsTheDisk(t *testing.T) {
	f := figures()
	if b := f.batches(); b.Met {
		t.Errorf("190,000 is below 200,000: %+v", b)
	}
	for i := range f.Disk {
		f.Disk[i].Fill = 80
	}
	if b := f.batches(); !b.Met || !strings.Contains(b.Wants, "163,840") {
		t.Errorf("half of 80 MiB/s is 163,840 events/s: %+v", b)
	}
}

func TestPageKeepsWhatIsWrittenByHand(t *testing.T) {
	f := figures()
	page := f.Page("# Benchmarks\n\nBefore.\n")
	page = f.Page(page + "\nAfter, by hand.\n")
	if strings.Count(page, pageBegin) != 1 || strings.Count(page, pageEnd) != 1 {
		t.Errorf("the block is not there once:\n%s", page)
	}
	if !strings.HasPrefix(page, "# Benchmarks\n\nBefore.\n") || !strings.HasSuffix(page, "\nAfter, by hand.\n") {
		t.Errorf("the hand-written parts changed:\n%s", page)
	}
}

func TestPageTellsLoss(t *testing.T) {
	f := figures()
	f.Samples[0].Kept, f.Samples[0].Verified = 4, false
	if page := f.Page(""); !strings.Contains(page, "acknowledged 5, kept 4") || strings.Contains(page, "none was missing") {
		t.Errorf("a lost event is not told:\n%s", page)
	}
}

func TestChartIsXML(t *testing.T) {
	f := figures()
	f.Systems[1].Title = "<etcd & co>"
	d := xml.NewDecoder(strings.NewReader(f.Chart()))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEncodeIsWhole(t *testing.T) {
	f := figures()
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got Figures
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if len(got.Samples) != len(f.Samples) || len(got.Disk) != len(f.Disk) || len(got.Memory) != 3 || got.Samples[3].Work != f.Samples[3].Work {
		t.Errorf("read back %d samples, %d probes", len(got.Samples), len(got.Disk))
	}
}

func TestGrouped(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(v); got != want {
			t.Errorf("%v is %q", v, got)
		}
	}
}
