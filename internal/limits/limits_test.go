package limits

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestDefaultsAreValidAndWithinRange(t *testing.T) {
	l := Default()
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
}

// Every field is in the table once, under a name of its own, with a reason.
func TestTableCoversEveryField(t *testing.T) {
	rows := Table()
	if fields := reflect.TypeFor[Limits]().NumField(); len(rows) != fields {
		t.Fatalf("%d rows for %d fields", len(rows), fields)
	}
	names := map[string]bool{}
	var l Limits
	for i, row := range rows {
		if names[row.Name] || row.Reason == "" || row.What == "" || row.Unit == "" || row.Min > row.Default || row.Default > row.Max {
			t.Errorf("odd row %+v", row)
		}
		names[row.Name] = true
		row.Set(&l, int64(i)+1)
	}
	for i, row := range rows {
		if row.Get(&l) != int64(i)+1 {
			t.Errorf("%s shares its field with another row", row.Name)
		}
	}
}

func TestValidateRefusesEveryFieldOutOfRange(t *testing.T) {
	for _, row := range Table() {
		for _, v := range []int64{row.Min - 1, row.Max + 1} {
			l := Default()
			row.Set(&l, v)
			refused(t, l.Validate(), row.Name)
		}
	}
}

func TestValidateRefusesWhatContradicts(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"event_bytes":       func(l *Limits) { l.EventBytes = l.CommitBytes + 1 },
		"state_bytes":       func(l *Limits) { l.StateBytes = l.CommitBytes + 1 },
		"segment_bytes":     func(l *Limits) { l.SegmentBytes = 4*l.LargestEntry() - 1 },
		"uncommitted_bytes": func(l *Limits) { l.UncommittedBytes = l.LargestEntry() - 1 },
		"in_flight_bytes":   func(l *Limits) { l.InFlightBytes = int64(l.CommitBytes) - 1 },
	} {
		l := Default()
		change(&l)
		refused(t, l.Validate(), name)
	}
}

func refused(t *testing.T, err error, name string) {
	t.Helper()
	if errs.CodeOf(err) != errs.Invalid || errs.As(err).Details["field"] != name || !strings.Contains(err.Error(), name) {
		t.Errorf("%s: got %v", name, err)
	}
}

func TestText(t *testing.T) {
	rows := map[string]Row{}
	for _, row := range Table() {
		rows[row.Name] = row
	}
	for name, want := range map[string]string{"segment_bytes": "64MiB", "key_bytes": "1KiB", "topic_bytes": "128B", "commit_events": "4096", "id_window": "24h0m0s"} {
		if got := rows[name].Text(rows[name].Default); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
