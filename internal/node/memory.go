package node

import (
	"os"
	"runtime/debug"

	"github.com/gesta-db/gesta/internal/limits"
)

const (
	// memoryBeside is what the caches leave out: what is in flight, the tables of segments that are not sealed, frames, the program.
	memoryBeside = 256 * limits.MiB
	// usualEntities is the entity cache that has room beside: it is charged for more than it takes. A larger one is added.
	usualEntities = 256 * limits.MiB
	// gcPercent lets garbage grow to twice what is live before it is collected: appends make much short-lived garbage on a small
	// heap, where the default would spend a tenth of the time on marking. Near the memory limit collections come sooner.
	gcPercent = 200
)

// memoryLimit is what the runtime aims to stay below.
func (c *Config) memoryLimit() int64 {
	if c.MemoryLimit != 0 {
		return c.MemoryLimit
	}
	return c.Limits.HeadsCacheBytes + c.Limits.BlockCacheBytes + memoryBeside + max(0, c.Limits.EntityCacheBytes-usualEntities)
}

// TuneMemory sets the Go runtime's memory limit and collection rate for the whole process: for a program that is a server and
// nothing else. GOMEMLIMIT and GOGC in the environment win.
func (c *Config) TuneMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.memoryLimit())
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
