// Package limits holds every limit of the product with its default, its range and its reason. Configuration, documentation
// and the checks at the doors are made from Table, so a limit is written down once.
//
// All sizes are bytes. What is over a limit is refused with too_large (or busy, for the queues) and the limit's name.
package limits

import (
	"fmt"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Sizes in bytes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

// Limits is one set of limits; Table gives each field's meaning. Start from Default.
type Limits struct {
	EventBytes       int
	CommitBytes      int
	CommitEvents     int
	CommitStreams    int
	CommitActions    int
	EntryBytes       int
	KeyBytes         int
	TopicBytes       int
	IDBytes          int
	TypeBytes        int
	MetadataEntries  int
	MetadataBytes    int
	Tags             int
	TagBytes         int
	StateBytes       int
	ReplyBytes       int
	SegmentBytes     int64
	UncommittedBytes int64
	InFlightBytes    int64
	Shards           int
	Topics           int
	HeadsCacheBytes  int64
	BlockCacheBytes  int64
	EntityCacheBytes int64
	IDWindowEvents   int64
	IDWindow         time.Duration
}

// What an entry holds beside a commit's own bytes: headers and numbers of each event's record, and the entry's own.
const (
	eventOverheadBytes = 64
	entryOverheadBytes = 64 * KiB
)

// Default gives every limit's default.
func Default() Limits {
	var l Limits
	for _, row := range Table() {
		row.Set(&l, row.Default)
	}
	return l
}

// LargestEntry is the most bytes one Raft entry can have: the largest commit, with topic and key written with every event.
func (l *Limits) LargestEntry() int64 {
	names := int64(l.CommitEvents) * int64(l.TopicBytes+l.KeyBytes+eventOverheadBytes)
	return max(int64(l.CommitBytes)+names, int64(l.EntryBytes)) + entryOverheadBytes
}

// Validate checks each limit's range and how they stand to each other; the error is invalid and names the limit.
func (l *Limits) Validate() error {
	for _, row := range Table() {
		if v := row.Get(l); v < row.Min || v > row.Max {
			return refuse(row.Name, "is %s; it must be between %s and %s", row.Text(v), row.Text(row.Min), row.Text(row.Max))
		}
	}
	return l.validateTogether()
}

func (l *Limits) validateTogether() error {
	switch {
	case l.EventBytes > l.CommitBytes:
		return refuse("event_bytes", "is %d, more than commit_bytes (%d): such an event could never be committed", l.EventBytes, l.CommitBytes)
	case l.StateBytes > l.CommitBytes:
		return refuse("state_bytes", "is %d, more than commit_bytes (%d): such a state could never be carried", l.StateBytes, l.CommitBytes)
	case l.SegmentBytes < 4*l.LargestEntry():
		return refuse("segment_bytes", "is %d, less than 4 × the largest entry (%d): raise it, or lower commit_bytes or commit_events", l.SegmentBytes, l.LargestEntry())
	case l.UncommittedBytes < l.LargestEntry():
		return refuse("uncommitted_bytes", "is %d, less than the largest entry (%d): it could never be proposed", l.UncommittedBytes, l.LargestEntry())
	case l.InFlightBytes < int64(l.CommitBytes):
		return refuse("in_flight_bytes", "is %d, less than commit_bytes (%d): such a commit could never be sent", l.InFlightBytes, l.CommitBytes)
	}
	return nil
}

func refuse(name, format string, args ...any) error {
	return errs.New(errs.Invalid, "limit "+name+" "+format, args...).With("field", name)
}

// Row describes one limit. Values are bytes, counts or, for a Duration, nanoseconds.
type Row struct {
	Name              string // as in the configuration
	What              string
	Unit              Unit
	Default, Min, Max int64
	Reason            string
	Get               func(*Limits) int64
	Set               func(*Limits, int64)
}

// Unit says what a limit counts.
type Unit string

// The units.
const (
	Bytes    Unit = "bytes"
	Count    Unit = "count"
	Duration Unit = "duration"
)

// Text writes a value of the row as its unit is read best: 64MiB, 4096, 24h0m0s.
func (r Row) Text(v int64) string {
	switch r.Unit {
	case Bytes:
		return byteText(v)
	case Duration:
		return time.Duration(v).String()
	}
	return fmt.Sprint(v)
}

func byteText(v int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if v >= unit.size && v%unit.size == 0 {
			return fmt.Sprintf("%d%s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dB", v)
}
