package report

import "fmt"

// Bar is a figure beside what it must reach.
type Bar struct {
	Work   string
	Figure Stat
	Unit   string
	Wants  string // the bar, in words
	Than   string // what a ratio is of; "" when the figure itself is compared
	Ratio  Stat
	Met    bool
	Known  bool // both sides were measured
}

// Bars compares the figures with what the product promises itself. Ratios are formed within each round, from figures that were
// taken minutes apart at most, and the median of them is compared: a disk that changes its pace changes both sides.
func (f *Figures) Bars() []Bar {
	syncs := f.syncs()
	return []Bar{
		f.ratio("single appends, 256 callers", Append256, 16, "the disk's fdatasync/s", syncs),
		f.latency("single appends, 256 callers: p99", Append256, 12),
		f.ratio("single appends, 1,024 callers", Append1024, 1.3, "the figure at 256", f.rates(Gesta, Append256)),
		f.ratio("single appends, 64 callers", Append64, 9, "the disk's fdatasync/s", syncs),
		f.ratio("single appends, 1 caller", Append1, 0.4, "the disk's fdatasync/s", syncs),
		f.ratio("expecting the exact revision, 256 callers", AppendExpect, 0.9, "the figure without", f.rates(Gesta, Append256)),
		f.batches(),
		f.least("one reader, whole shard", ReadShard, 1_000_000),
		f.latency(fmt.Sprintf("load a stream of 10 among %s events: p99", grouped(float64(f.Settings.Streams*10))), LoadStreams, 1),
		f.memory(),
		f.binary(),
		f.ratio("single appends, 64 callers", Append64, 4, "etcd's", f.rates("etcd", Append64)),
		f.ratio("single appends, 256 callers", Append256, 6, "etcd's", f.rates("etcd", Append256)),
		f.ratio("single appends, 256 callers", Append256, 0.8, "JetStream's default, which does not sync", f.rates("jetstream", Append256)),
		f.least("appends by HTTP/JSON, keep-alive, 64 callers", AppendHTTP, 15_000),
	}
}

func (f *Figures) ratio(work, name string, least float64, than string, of map[int]float64) Bar {
	b := Bar{Work: work, Unit: "events/s", Than: than, Wants: fmt.Sprintf("≥ %v × %s", least, than)}
	b.Figure, b.Ratio = statOf(f.rates(Gesta, name)), statOf(over(f.rates(Gesta, name), of))
	b.Known = b.Ratio.N > 0
	b.Met = b.Known && b.Ratio.Median >= least
	return b
}

func (f *Figures) least(work, name string, least float64) Bar {
	b := Bar{Work: work, Unit: "events/s", Wants: "≥ " + grouped(least), Figure: statOf(f.rates(Gesta, name))}
	b.Known = b.Figure.N > 0
	b.Met = b.Known && b.Figure.Median >= least
	return b
}

func (f *Figures) latency(work, name string, most float64) Bar {
	b := Bar{Work: work, Unit: "ms", Wants: fmt.Sprintf("≤ %v ms", most), Figure: statOf(f.per(Gesta, name, p99))}
	b.Known = b.Figure.N > 0
	b.Met = b.Known && b.Figure.Median <= most
	return b
}

// eventBytes is the payload that every append has.
const eventBytes = 256

// batches must reach 200 thousand a second, or half of what the disk can take where that is less.
func (f *Figures) batches() Bar {
	const most = 200_000
	wants := map[int]float64{}
	for round, mib := range f.fills() {
		wants[round] = min(most, mib*(1<<20)/eventBytes/2)
	}
	b := Bar{Work: "batches of 1,000, 8 in flight", Unit: "events/s", Figure: statOf(f.rates(Gesta, AppendBatch))}
	b.Wants = fmt.Sprintf("≥ %s (the lower of 200,000 and half the disk's zero-fill-plus-write rate)", grouped(statOf(wants).Median))
	ratio := statOf(over(f.rates(Gesta, AppendBatch), wants))
	b.Known = ratio.N > 0
	b.Met = b.Known && ratio.Median >= 1
	return b
}

const mib = 1 << 20

func (f *Figures) memory() Bar {
	v := make([]float64, len(f.Memory))
	for i, m := range f.Memory {
		v[i] = float64(m.Idle) / mib
	}
	s := stat(v)
	return Bar{Work: "idle server, resident memory", Unit: "MiB", Wants: "≤ 64 MiB", Figure: s, Known: s.Median > 0, Met: s.Median > 0 && s.Median <= 64}
}

func (f *Figures) binary() Bar {
	s := stat([]float64{float64(f.BinaryBytes) / mib})
	return Bar{Work: "binary", Unit: "MiB", Wants: "≤ 40 MiB", Figure: s, Known: true, Met: s.Median <= 40}
}
