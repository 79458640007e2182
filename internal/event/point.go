package event

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
)

// PointKind is a way to say where a read starts.
type PointKind uint8

// The ways. The zero value is Start.
const (
	// Start is before the first event that is kept.
	Start PointKind = iota
	// End is after the newest event.
	End
	// Number is a revision of a stream, or an offset of a shard.
	Number
	// AtPosition continues after a position (backwards: at it).
	AtPosition
	// AtID is the event of a stream that has this id.
	AtID
	// AtTime is the first event recorded at or after a time (backwards: the last one recorded at or before it).
	AtTime
	// Ago is AtTime, that long before the server's present time.
	Ago
)

// Point is a starting point as it was asked for; the shard resolves it. Only the field that Kind names has a meaning.
type Point struct {
	Kind     PointKind
	Number   uint64
	Position position.Position
	// Others are the places in further shards of a position in several; Position's is the lowest number.
	Others position.List
	ID     []byte
	// Time is in UTC, between the years 1677 and 2262: all that fits into nanoseconds.
	Time time.Time
	// Ago is not negative.
	Ago time.Duration
}

// grammar is told with every refusal.
const grammar = "use start, end, a number, pos:TOKEN, id:EVENTID, time:2006-01-02T15:04:05Z, time:2006-01-02 (UTC), or -2h"

// ParsePoint reads a starting point:
//
//	start | end | N | pos:TOKEN | id:EVENTID | time:RFC3339 | time:YYYY-MM-DD (UTC) | -2h
//
// Durations are Go's (ns, us, ms, s, m, h), with days before them: -7d, -1d12h. Nothing means start, or end when reading
// backwards. The error is invalid, or unsupported for a position of a newer version; its detail "field" is "from".
func ParsePoint(s string, backwards bool) (Point, error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch {
	case s == "" && backwards, s == "end":
		return Point{Kind: End}, nil
	case s == "", s == "start":
		return Point{Kind: Start}, nil
	case strings.HasPrefix(s, "-"):
		return parseAgo(s)
	case kind == "pos":
		return parsePosition(rest)
	case kind == "id":
		return parseID(rest)
	case kind == "time":
		return parseTime(rest)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return Point{}, refusePoint(s, grammar)
	}
	return Point{Kind: Number, Number: n}, nil
}

func refusePoint(s, why string) error {
	return errs.New(errs.Invalid, "%.100q is no starting point: %s", s, why).With("field", "from")
}

func parsePosition(token string) (Point, error) {
	p, others, err := parseToken(token)
	switch {
	case errors.Is(err, position.ErrVersion):
		return Point{}, errs.New(errs.Unsupported, "%w", err).With("field", "from")
	case err != nil:
		return Point{}, errs.New(errs.Invalid, "%w", err).With("field", "from")
	}
	return Point{Kind: AtPosition, Position: p, Others: others}, nil
}

// parseToken reads a position of any number of shards; that of one takes no memory.
func parseToken(token string) (position.Position, position.List, error) {
	p, err := position.Parse(token)
	if !errors.Is(err, position.ErrSeveral) {
		return p, nil, err
	}
	l, err := position.ParseList(token)
	if err != nil {
		return p, nil, err
	}
	return l[0], l[1:], nil
}

// Place is the point's position in all of its shards.
func (p *Point) Place() position.List {
	return append(position.List{p.Position}, p.Others...)
}

func parseID(id string) (Point, error) {
	if id == "" || !utf8.ValidString(id) {
		return Point{}, refusePoint("id:"+id, "the id is empty or not valid UTF-8")
	}
	return Point{Kind: AtID, ID: []byte(id)}, nil
}

func parseTime(s string) (Point, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return Point{Kind: AtTime, Time: withinNanos(t.UTC())}, nil
		}
	}
	return Point{}, refusePoint("time:"+s, "give the time as 2006-01-02T15:04:05Z (or with an offset, +02:00) or as 2006-01-02 (UTC)")
}

// withinNanos moves a time that nanoseconds since 1970 cannot hold to the nearest one they can: no event is beyond.
func withinNanos(t time.Time) time.Time {
	first, last := time.Unix(0, math.MinInt64+1).UTC(), time.Unix(0, math.MaxInt64-1).UTC()
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// day is without summer time: times here are UTC.
const day = 24 * time.Hour

// parseAgo reads -2h, -7d, -1d12h.
func parseAgo(s string) (Point, error) {
	days, rest, hasDays := strings.Cut(s[1:], "d")
	var ago time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return Point{}, refusePoint(s, grammar)
		}
		ago = time.Duration(n) * day
	} else {
		rest = s[1:]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > math.MaxInt64-ago || rest[0] == '+' {
			return Point{}, refusePoint(s, grammar)
		}
		ago += d
	}
	if s == "-" {
		return Point{}, refusePoint(s, grammar)
	}
	return Point{Kind: Ago, Ago: ago}, nil
}

// String writes the point as ParsePoint reads it.
func (p Point) String() string {
	switch p.Kind {
	case End:
		return "end"
	case Number:
		return strconv.FormatUint(p.Number, 10)
	case AtPosition:
		return "pos:" + string(p.Position.AppendAmong(nil, p.Others))
	case AtID:
		return "id:" + string(p.ID)
	case AtTime:
		return "time:" + p.Time.Format(time.RFC3339Nano)
	case Ago:
		return "-" + p.Ago.String()
	}
	return "start"
}
