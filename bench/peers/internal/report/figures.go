// Package report turns raw figures into bars that are met or missed, a page and a chart. It measures nothing.
package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The works of Gesta that the bars name.
const (
	Append1      = "append-1"
	Append64     = "append-64"
	Append256    = "append-256"
	Append1024   = "append-1024"
	AppendExpect = "append-256-expect"
	AppendBatch  = "append-batch-1000"
	AppendHTTP   = "append-http-64"
	ReadShard    = "read-shard"
	LoadStreams  = "load-streams"
)

// Gesta is the name of the product among the systems.
const Gesta = "gesta"

// Figures are everything that one execution measured.
type Figures struct {
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"` // that everything took
	Settings Settings  `json:"settings"`
	Machine  Machine   `json:"machine"`
	Versions []Version `json:"versions"`
	Systems  []System  `json:"systems"`

	BinaryBytes int64    `json:"binary_bytes"`
	Skipped     []string `json:"skipped,omitempty"` // what was not measured, and why

	Memory  []Memory `json:"memory"`
	Disk    []Disk   `json:"disk"`
	Samples []Sample `json:"samples"`

	Sections []*Section `json:"sections"` // beside the single node
}

// Read takes figures that were written before, whose sections stay until they are measured again. Without any, everything is empty.
func Read(b []byte) (*Figures, error) {
	f := &Figures{}
	if len(b) == 0 {
		return f, nil
	}
	return f, json.Unmarshal(b, f)
}

// Settings are what the execution was told.
type Settings struct {
	Command string  `json:"command"`
	Rounds  int     `json:"rounds"`
	Warmup  float64 `json:"warmup_seconds"`
	Measure float64 `json:"measured_seconds"`
	Streams int     `json:"load_streams"`
	Quick   bool    `json:"quick,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Memory     int64   `json:"memory_bytes"`
	Kernel     string  `json:"kernel"`
	FileSystem string  `json:"file_system"`
	LoadBefore float64 `json:"load_average_before"` // of the last minute
}

// Version is one program's.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// System is something that appends were measured of.
type System struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Durability string `json:"durability"`
	Syncs      bool   `json:"syncs_before_ack"`
}

// Memory is what the server holds, in bytes resident.
type Memory struct {
	Round int   `json:"round"`
	Idle  int64 `json:"idle_bytes"`  // fresh, without a client
	After int64 `json:"after_bytes"` // after that round's appends with 64 callers
}

// Disk is one probe of the disk.
type Disk struct {
	Round int             `json:"round"`
	Syncs float64         `json:"syncs_per_second"`
	Fill  float64         `json:"fill_write_mib_per_second"`
	Raw   json.RawMessage `json:"raw"`
}

// Sample is one measurement.
type Sample struct {
	Round   int     `json:"round"`
	System  string  `json:"system"`
	Work    string  `json:"work"`
	Callers int     `json:"callers,omitempty"`
	Rate    float64 `json:"per_second"` // events, or streams loaded
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`

	Acknowledged uint64 `json:"acknowledged,omitempty"`
	Kept         uint64 `json:"kept,omitempty"`
	Verified     bool   `json:"verified"` // everything acknowledged was found again

	Use Use             `json:"use"`
	Raw json.RawMessage `json:"raw,omitempty"` // what gesta bench printed
}

// Use is what was used in the measured time.
type Use struct {
	ServerCores float64 `json:"server_cores"`
	ClientCores float64 `json:"client_cores"`
	Writes      float64 `json:"log_writes_per_second,omitempty"`
	WriteMs     float64 `json:"log_write_ms,omitempty"` // mean of a write with its sync
}

// Encode writes the figures as JSON with one sample a line, so that versions of the file can be compared.
func (f *Figures) Encode() ([]byte, error) {
	head := *f
	head.Memory, head.Disk, head.Samples, head.Sections = nil, nil, nil, nil
	b, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return nil, err
	}
	for _, list := range []struct {
		name string
		rows []any
	}{{"memory", rows(f.Memory)}, {"disk", rows(f.Disk)}, {"samples", rows(f.Samples)}} {
		if b, err = fillIn(b, list.name, list.rows, "    "); err != nil {
			return nil, err
		}
	}
	all := make([]string, len(f.Sections))
	for i, s := range f.Sections {
		part, err := s.encode()
		if err != nil {
			return nil, err
		}
		all[i] = string(part)
	}
	text := "[]"
	if len(all) > 0 {
		text = "[\n    " + strings.Join(all, ",\n    ") + "\n  ]"
	}
	b = bytes.Replace(b, []byte(`"sections": null`), []byte(`"sections": `+text), 1)
	return append(b, '\n'), nil
}

func rows[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}

// Stat is the least, the middle and the most of a figure over the rounds.
type Stat struct {
	Min, Median, Max float64
	N                int
}

func stat(v []float64) Stat {
	if len(v) == 0 {
		return Stat{}
	}
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Stat{Min: v[0], Median: median, Max: v[len(v)-1], N: len(v)}
}

// per gives a figure of each round: work of a system.
func (f *Figures) per(system, work string, figure func(Sample) float64) map[int]float64 {
	all := map[int]float64{}
	for _, s := range f.Samples {
		if s.System == system && s.Work == work {
			all[s.Round] = figure(s)
		}
	}
	return all
}

func rate(s Sample) float64 { return s.Rate }
func p99(s Sample) float64  { return s.P99 }

func (f *Figures) rates(system, work string) map[int]float64 { return f.per(system, work, rate) }

// syncs gives the disk's syncs a second in each round, the mean of its probes.
func (f *Figures) syncs() map[int]float64 { return f.probes(func(d Disk) float64 { return d.Syncs }) }

// fills gives the disk's rate of filling and writing in each round, in MiB/s.
func (f *Figures) fills() map[int]float64 { return f.probes(func(d Disk) float64 { return d.Fill }) }

func (f *Figures) probes(figure func(Disk) float64) map[int]float64 {
	total, n := map[int]float64{}, map[int]float64{}
	for _, d := range f.Disk {
		total[d.Round] += figure(d)
		n[d.Round]++
	}
	for round := range total {
		total[round] /= n[round]
	}
	return total
}

// over gives the ratio of two figures of the same round.
func over(a, b map[int]float64) map[int]float64 {
	all := map[int]float64{}
	for round, v := range a {
		if b[round] > 0 {
			all[round] = v / b[round]
		}
	}
	return all
}

func statOf(m map[int]float64) Stat {
	v := make([]float64, 0, len(m))
	for _, x := range m {
		v = append(v, x)
	}
	return stat(v)
}
