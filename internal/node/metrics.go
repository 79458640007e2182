package node

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
)

// metrics are what /metrics shows: counters and histograms that the packages' listeners feed, and gauges that are read when
// asked for (gauges.go). Labels have few values: codes of the error table, never topics or keys.
type metrics struct {
	registry *prometheus.Registry
	described

	appends       map[errs.Code]prometheus.Counter
	appendedOK    prometheus.Counter
	appendEvents  prometheus.Counter
	appendBytes   prometheus.Counter
	appendSeconds prometheus.Histogram

	reads       prometheus.Counter
	readsFailed map[errs.Code]prometheus.Counter
	readsActive prometheus.Gauge
	readEvents  prometheus.Counter
	readBytes   prometheus.Counter
	readSeconds prometheus.Histogram

	topicsCreated, topicsDeleted prometheus.Counter

	syncSeconds, writeBytes, writeEntries prometheus.Histogram
	prepareSeconds                        prometheus.Histogram
	rolled, sealed, truncated, cuts       prometheus.Counter
	damage                                prometheus.Counter
	poisoned                              prometheus.Gauge

	indexBuild, indexIngest prometheus.Histogram
	indexDiscarded          prometheus.Counter

	entity entityMetrics
}

// Buckets double. Latencies from a quarter of a millisecond, about the time of one sync of a fast disk, to 16 s, beyond the
// deadline of a call; sizes from 1 KiB to 4 MiB, the largest commit.
var (
	latencyBuckets = prometheus.ExponentialBuckets(0.00025, 2, 17)
	byteBuckets    = prometheus.ExponentialBuckets(1024, 2, 13)
	countBuckets   = prometheus.ExponentialBuckets(1, 2, 13)
)

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.described.to = m.registry
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gatewayMetrics()
	m.entityMetrics()
	m.logMetrics()
	m.indexMetrics()
	return m
}

func (m *metrics) gatewayMetrics() {
	calls := m.counterVec("gesta_appends_total", "Appends by how they ended: ok, or a code of the error table.", "code")
	m.appendedOK = calls.WithLabelValues("ok")
	m.appends = map[errs.Code]prometheus.Counter{}
	for _, row := range errs.Table() {
		m.appends[row.Code] = calls.WithLabelValues(string(row.Code))
	}
	m.appendEvents = m.counter("gesta_append_events_total", "Events of appends that ended well, repeats included.")
	m.appendBytes = m.counter("gesta_append_bytes_total", "Bytes of those events, as they are stored.")
	m.appendSeconds = m.histogram("gesta_append_seconds", "Time from an append's arrival to its outcome, in seconds.", latencyBuckets)
	m.reads = m.counter("gesta_reads_total", "Reads started.")
	failed := m.counterVec("gesta_reads_failed_total", "Reads that were refused or ended before their time, by code of the error table.", "code")
	m.readsFailed = map[errs.Code]prometheus.Counter{}
	for _, row := range errs.Table() {
		m.readsFailed[row.Code] = failed.WithLabelValues(string(row.Code))
	}
	m.readsActive = m.gauge("gesta_reads_active", "Reads under way, those that follow included.")
	m.readEvents = m.counter("gesta_read_events_total", "Events given to readers.")
	m.readBytes = m.counter("gesta_read_bytes_total", "Bytes of those events.")
	m.readSeconds = m.histogram("gesta_read_batch_seconds", "Time to find the next batch of a read that has not caught up, in seconds.", latencyBuckets)
	m.topicsCreated = m.counter("gesta_topics_created_total", "Topics created.")
	m.topicsDeleted = m.counter("gesta_topics_deleted_total", "Topics deleted.")
}

func (m *metrics) logMetrics() {
	m.syncSeconds = m.histogram("gesta_log_write_seconds", "Time of one write to the log with its sync (fdatasync), in seconds.", latencyBuckets)
	m.writeBytes = m.histogram("gesta_log_write_bytes", "Bytes of one write to the log.", byteBuckets)
	m.writeEntries = m.histogram("gesta_log_write_entries", "Raft entries of one write to the log; each holds one or many commits.", countBuckets)
	m.prepareSeconds = m.histogram("gesta_log_prepare_seconds", "Time to zero-fill the next segment file ahead, in seconds.", latencyBuckets)
	m.rolled = m.counter("gesta_log_segments_begun_total", "Segments that took their first write.")
	m.sealed = m.counter("gesta_log_segments_sealed_total", "Segments sealed.")
	m.truncated = m.counter("gesta_log_truncations_total", "Times that entries of a lost leader were dropped from the log's end.")
	m.cuts = m.counter("gesta_log_cuts_total", "Doubtful last writes that were cut at start, after a crash.")
	m.damage = m.counter("gesta_log_damage_total", "Damaged places that reads and appends met in the log, each once; the log names file and offset.")
	m.poisoned = m.gauge("gesta_log_failed", "1 when a write or sync has failed: nothing is written until the node is restarted.")
}

func (m *metrics) indexMetrics() {
	m.indexBuild = m.histogram("gesta_index_build_seconds", "Time to write a sealed segment's index table, in seconds.", latencyBuckets)
	m.indexIngest = m.histogram("gesta_index_ingest_seconds", "Time to take such a table into the index, in seconds.", latencyBuckets)
	m.indexDiscarded = m.counter("gesta_index_discarded_total", "Times that the index was unusable and was built anew.")
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

func (m *metrics) gatewayListener() *gateway.Listener {
	return &gateway.Listener{
		AppendDone:  m.appendDone,
		ReadStarted: func() { m.reads.Inc(); m.readsActive.Inc() },
		ReadEnded:   m.readsActive.Dec,
		ReadFailed:  func(err error) { m.readsFailed[errs.RowOf(errs.CodeOf(err)).Code].Inc() },
		ReadBatch: func(waited time.Duration, events, bytes int, live bool) {
			m.readEvents.Add(float64(events))
			m.readBytes.Add(float64(bytes))
			if !live {
				m.readSeconds.Observe(waited.Seconds())
			}
		},
		TopicCreated: func(string) { m.topicsCreated.Inc() },
		TopicDeleted: func(string) { m.topicsDeleted.Inc() },
	}
}

// appendDone is on the hot path: it runs once for each append.
func (m *metrics) appendDone(took time.Duration, events, bytes int, err error) {
	m.appendSeconds.Observe(took.Seconds())
	if err != nil {
		m.appends[errs.RowOf(errs.CodeOf(err)).Code].Inc()
		return
	}
	m.appendedOK.Inc()
	m.appendEvents.Add(float64(events))
	m.appendBytes.Add(float64(bytes))
}

func (m *metrics) logListener() *seglog.Listener {
	return &seglog.Listener{
		Synced: func(took time.Duration, bytes, entries int) {
			m.syncSeconds.Observe(took.Seconds())
			m.writeBytes.Observe(float64(bytes))
			m.writeEntries.Observe(float64(entries))
		},
		Rolled:    func(uint64) { m.rolled.Inc() },
		Prepared:  func(took time.Duration) { m.prepareSeconds.Observe(took.Seconds()) },
		Sealed:    func(uint64) { m.sealed.Inc() },
		Truncated: func(uint64) { m.truncated.Inc() },
		Cut:       func(seglog.Cut) { m.cuts.Inc() },
		Poisoned:  func(error) { m.poisoned.Set(1) },
	}
}

func (m *metrics) indexListener() *index.Listener {
	return &index.Listener{
		Discarded: func(string, error) { m.indexDiscarded.Inc() },
		Built:     func(_ index.Built, took time.Duration) { m.indexBuild.Observe(took.Seconds()) },
		Ingested:  func(_ index.SegmentMark, took time.Duration) { m.indexIngest.Observe(took.Seconds()) },
	}
}
