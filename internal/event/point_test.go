package event

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
)

func TestParsePoint(t *testing.T) {
	place := position.Position{Shard: 1, History: 2, Offset: 3}
	for s, want := range map[string]Point{
		"":                                 {Kind: Start},
		"start":                            {Kind: Start},
		"end":                              {Kind: End},
		"0":                                {Kind: Number},
		"42":                               {Kind: Number, Number: 42},
		"18446744073709551615":             {Kind: Number, Number: math.MaxUint64},
		"pos:" + place.String():            {Kind: AtPosition, Position: place},
		"id:a:b/c ü":                       {Kind: AtID, ID: []byte("a:b/c ü")},
		"time:2024-02-29":                  {Kind: AtTime, Time: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		"time:2024-02-29T12:00:00Z":        {Kind: AtTime, Time: time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)},
		"time:2024-02-29T12:00:00.5+02:00": {Kind: AtTime, Time: time.Date(2024, 2, 29, 10, 0, 0, 5e8, time.UTC)},
		"time:9999-12-31":                  {Kind: AtTime, Time: time.Unix(0, math.MaxInt64-1).UTC()},
		"time:0001-01-01":                  {Kind: AtTime, Time: time.Unix(0, math.MinInt64+1).UTC()},
		"-2h":                              {Kind: Ago, Ago: 2 * time.Hour},
		"-1h30m":                           {Kind: Ago, Ago: 90 * time.Minute},
		"-7d":                              {Kind: Ago, Ago: 168 * time.Hour},
		"-1d12h":                           {Kind: Ago, Ago: 36 * time.Hour},
		"-0s":                              {Kind: Ago},
	} {
		got, err := ParsePoint(s, false)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%q: %+v %v", s, got, err)
			continue
		}
		if again, err := ParsePoint(got.String(), false); err != nil || cmp.Diff(got, again) != "" {
			t.Errorf("%q is written %q and read as %+v, %v", s, got, again, err)
		}
	}
	if p, err := ParsePoint("", true); err != nil || p.Kind != End {
		t.Errorf("nothing backwards: %+v %v", p, err)
	}
	if p, err := ParsePoint("start", true); err != nil || p.Kind != Start {
		t.Errorf("start backwards: %+v %v", p, err)
	}
}

func TestParsePointRefuses(t *testing.T) {
	good := position.Position{Shard: 1}.String()
	for _, s := range []string{
		"now", "Start", "+5", "5.0", "-5", "18446744073709551616", "0x10", " 1", "pos", "pos:", "pos:abc", "pos:" + good[1:], "id:", "id:\xff",
		"time:", "time:yesterday", "time:2024-02-30", "time:2024-02-29T25:00:00Z", "time:2024-02-29 12:00:00Z", "-", "-h", "--2h", "-+2h",
		"-2x", "-d", "-999999999999d", "-106751d1000h", "-1d-2h", "-9223372036854775808ns", "topic:x", strings.Repeat("9", 1<<16),
	} {
		p, err := ParsePoint(s, false)
		if e := errs.As(err); err == nil || e.Code != errs.Invalid || e.Details["field"] != "from" || len(e.Message) > 1000 {
			t.Errorf("%.40q: %+v %v", s, p, err)
		}
	}
}

func FuzzParsePoint(f *testing.F) {
	for _, s := range []string{"start", "end", "7", "pos:" + position.Position{Shard: 1}.String(), "id:x", "time:2024-02-29", "time:2024-02-29T12:00:00.5+02:00", "-2h", "-1d2h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePoint(s, false)
		if err != nil {
			if code := errs.CodeOf(err); code != errs.Invalid && code != errs.Unsupported {
				t.Fatalf("%s: %v", code, err)
			}
			return
		}
		if again, err := ParsePoint(p.String(), false); err != nil || cmp.Diff(p, again) != "" {
			t.Fatalf("%q is written %q and read as %+v, %v", s, p, again, err)
		}
	})
}
