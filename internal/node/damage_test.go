package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

// TestDamageIsToldOnce lets many reads meet the same two damaged places: each is in the log and in the count once.
func TestDamageIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics()
	l := shardListener(slog.New(slog.NewTextHandler(&out, nil)), m)
	for i := range 10 {
		l.Damaged(fmt.Errorf("read: %w", errs.New(errs.Corrupt, "damaged").With("file", "a.seg").With("offset", fmt.Sprint(i%2))))
	}
	l.Damaged(errors.New("damage without a place"))
	if n := strings.Count(out.String(), "level=ERROR"); n != 3 || !strings.Contains(out.String(), "file=a.seg offset=1") {
		t.Fatalf("%d lines:\n%s", n, out.String())
	}
	page := httptest.NewRecorder()
	m.handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(page.Body.String(), "\ngesta_log_damage_total 3\n") {
		t.Fatal("the count is not 3")
	}
}
