package clock

import (
	"testing"
	"time"
)

func TestManualMovesOnlyByHand(t *testing.T) {
	start := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	m := NewManual(start)
	if !m.Now().Equal(start) {
		t.Fatalf("starts at %v", m.Now())
	}
	if got := m.Advance(time.Minute); !got.Equal(start.Add(time.Minute)) || !m.Now().Equal(got) {
		t.Fatalf("advanced to %v", got)
	}
	m.Set(start.Add(-time.Hour))
	if !m.Now().Equal(start.Add(-time.Hour)) {
		t.Fatalf("set to %v", m.Now())
	}
}

func TestSystemIsNow(t *testing.T) {
	before := time.Now()
	if got := System().Now(); got.Before(before) || got.After(time.Now()) {
		t.Fatalf("got %v", got)
	}
}
