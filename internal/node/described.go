package node

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metricDoc is a metric as docs/reference/metrics.md shows it.
type metricDoc struct {
	Name, Kind, Help string
	Labels           []string
}

// unit is what the metric's name says that its values are in.
func (d metricDoc) unit() string {
	name := strings.TrimSuffix(d.Name, "_total")
	for _, unit := range []string{"seconds", "bytes", "events", "entries", "segments"} {
		if strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return "number"
}

// described makes metrics and remembers what they are, so that the reference page is made from the code.
type described struct {
	to   prometheus.Registerer
	docs []metricDoc
}

func add[C prometheus.Collector](d *described, doc metricDoc, c C) C {
	d.docs = append(d.docs, doc)
	d.to.MustRegister(c)
	return c
}

func (d *described) counter(name, help string) prometheus.Counter {
	return add(d, metricDoc{name, "counter", help, nil}, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

func (d *described) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return add(d, metricDoc{name, "counter", help, labels}, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func (d *described) gauge(name, help string) prometheus.Gauge {
	return add(d, metricDoc{name, "gauge", help, nil}, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

func (d *described) gaugeFunc(name, help string, read func() float64) {
	add(d, metricDoc{name, "gauge", help, nil}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

func (d *described) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return add(d, metricDoc{name, "histogram", help, nil}, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
}

func (d *described) counterFunc(name, help string, read func() float64) {
	add(d, metricDoc{name, "counter", help, nil}, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// gaugeGroup are gauges that are read together, of one thing in one moment.
type gaugeGroup struct {
	descs []*prometheus.Desc
	read  func() []float64
}

// group adds gauges; read gives their values in the order of the docs, each with the label values.
func (d *described) group(docs []metricDoc, labels prometheus.Labels, read func() []float64) {
	g := &gaugeGroup{read: read}
	for _, doc := range docs {
		doc.Labels = slices.Sorted(maps.Keys(labels))
		doc.Kind = "gauge"
		g.descs = append(g.descs, prometheus.NewDesc(doc.Name, doc.Help, nil, labels))
		d.docs = append(d.docs, doc)
	}
	d.to.MustRegister(g)
}

// Describe is prometheus.Collector's.
func (g *gaugeGroup) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range g.descs {
		to <- desc
	}
}

// Collect is prometheus.Collector's.
func (g *gaugeGroup) Collect(to chan<- prometheus.Metric) {
	for i, v := range g.read() {
		to <- prometheus.MustNewConstMetric(g.descs[i], prometheus.GaugeValue, v)
	}
}

// shardGroup adds gauges of every shard there is, labelled with its number; read gives their values in the order of the docs.
func (d *described) shardGroup(docs []metricDoc, read func() map[uint32][]float64) {
	g := &shardGauge{read: read}
	for _, doc := range docs {
		doc.Labels, doc.Kind = []string{"shard"}, "gauge"
		g.descs = append(g.descs, prometheus.NewDesc(doc.Name, doc.Help, doc.Labels, nil))
		d.docs = append(d.docs, doc)
	}
	d.to.MustRegister(g)
}

// shardGauge are gauges of shards, which come while the node runs.
type shardGauge struct {
	descs []*prometheus.Desc
	read  func() map[uint32][]float64
}

// Describe is prometheus.Collector's.
func (g *shardGauge) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range g.descs {
		to <- desc
	}
}

// Collect is prometheus.Collector's.
func (g *shardGauge) Collect(to chan<- prometheus.Metric) {
	for number, values := range g.read() {
		label := strconv.FormatUint(uint64(number), 10)
		for i, v := range values {
			to <- prometheus.MustNewConstMetric(g.descs[i], prometheus.GaugeValue, v, label)
		}
	}
}
