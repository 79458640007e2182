package cli

import (
	"bytes"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	start := time.Unix(0, 0)
	p := &progress{verb: "importing", unit: "events", started: start, share: 0.25, done: 5000}
	got := p.line(start.Add(2 * time.Second))
	if want := "importing  ██████░░░░░░░░░░░░░░░░░░  25 %  5,000 events  2,500/s  0:06 left"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	p.share = -1
	if got, want := p.line(start.Add(time.Second)), "importing  5,000 events  5,000/s"; got != want {
		t.Errorf("without a size: got %q, want %q", got, want)
	}
	p.share = 1.5 // a file that grew
	if got := p.line(start.Add(time.Second)); cells(got) > 80 {
		t.Errorf("past the end: %q", got)
	}
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := startProgress(World{Err: &out, Width: 80}, "importing", "events")
	p.set(1, 0.5)
	p.finish()
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestProgressWipesItsLine(t *testing.T) {
	var out bytes.Buffer
	p := startProgress(World{Err: &out, Width: 40, ErrTerminal: true}, "importing", "events")
	p.set(1, 0.5)
	p.draw(p.started.Add(time.Second))
	p.finish()
	if !bytes.HasSuffix(out.Bytes(), []byte("\r\x1b[K")) {
		t.Errorf("left %q", out.String())
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 64 << 20: "64.0 MiB", 3 << 40: "3.0 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", 2*time.Hour + 3*time.Second: "2:00:03"} {
		if got := clockTime(d); got != want {
			t.Errorf("clockTime(%s) = %s", d, got)
		}
	}
	if got := count(1, "event") + ", " + count(2000, "event"); got != "1 event, 2,000 events" {
		t.Errorf("count: %s", got)
	}
}
