package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/limits"
)

func text(f Field, at func(*Config) *string) Field {
	f.Get = func(c *Config) string { return *at(c) }
	f.Set = func(c *Config, s string) error { *at(c) = s; return nil }
	return f
}

func boolean(f Field, at func(*Config) *bool) Field {
	f.Kind = Bool
	f.Get = func(c *Config) string { return strconv.FormatBool(*at(c)) }
	f.Set = func(c *Config, s string) error {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		*at(c) = v
		return nil
	}
	return f
}

func duration(f Field, at func(*Config) *time.Duration) Field {
	f.Kind = Duration
	f.Get = func(c *Config) string { return at(c).String() }
	f.Set = func(c *Config, s string) error {
		v, err := parseDuration(s)
		if err == nil {
			*at(c) = time.Duration(v)
		}
		return err
	}
	return f
}

func size(f Field, at func(*Config) *int64) Field {
	f.Kind = Size
	f.Get = func(c *Config) string { return sizeText(*at(c)) }
	f.Set = func(c *Config, s string) error {
		v, err := parseSize(s)
		if err == nil {
			*at(c) = v
		}
		return err
	}
	return f
}

func count(f Field, at func(*Config) *int64) Field {
	f.Kind = Count
	f.Get = func(c *Config) string { return strconv.FormatInt(*at(c), 10) }
	f.Set = func(c *Config, s string) error {
		v, err := parseCount(s)
		if err == nil {
			*at(c) = v
		}
		return err
	}
	return f
}

func parseDuration(s string) (int64, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 15s or 1m30s", s)
	}
	return int64(d), nil
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", limits.GiB}, {"MiB", limits.MiB}, {"KiB", limits.KiB}, {"B", 1}, {"", 1}}

func parseSize(s string) (int64, error) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := parseCount(strings.TrimSpace(digits))
		if err != nil || n > math.MaxInt64/unit.bytes {
			break
		}
		return n * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size in bytes such as 65536, 64KiB, 256MiB or 1GiB", s)
}

func sizeText(n int64) string {
	for _, unit := range sizeUnits {
		if n >= unit.bytes && n%unit.bytes == 0 && unit.bytes > 1 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// roughSize writes a size for people, who need no bytes: 1.2 GiB.
func roughSize(n uint64) string {
	for _, unit := range sizeUnits {
		if n >= uint64(unit.bytes) && unit.bytes > 1 {
			return strconv.FormatFloat(float64(n)/float64(unit.bytes), 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatUint(n, 10) + " B"
}
