package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// The layout of a data folder.
const (
	ShardsDir = "shards"
	IndexDir  = "index"
	MetaDir   = "meta"
	LockFile  = "lock"
)

// ShardDir names the folder of a shard, of its log or of its index.
func ShardDir(dir, kind string, number uint32) string {
	return filepath.Join(dir, kind, fmt.Sprintf("%04d", number))
}

// Finding is one thing that is wrong.
type Finding struct {
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Message string `json:"message"`
	// Doubtful is what a node settles at its next start: the one last batch that a power cut may have torn, which it cuts, and says so;
	// or an install of segments that was interrupted.
	Doubtful bool `json:"doubtful,omitempty"`
}

// Shard is what one shard holds.
type Shard struct {
	Number      uint32 `json:"shard"`
	Segments    int    `json:"segments"`
	Sealed      int    `json:"sealed"`
	Entries     uint64 `json:"entries"`
	Events      uint64 `json:"events"`
	Streams     int    `json:"streams"`
	FirstOffset uint64 `json:"first_offset"`
	LastOffset  uint64 `json:"last_offset"`
	Bytes       int64  `json:"bytes"`
	// Indexed counts the events whose place in the index was compared; the rest is in memory while a node runs.
	Indexed uint64 `json:"indexed"`
}

// Report is what a data folder holds, and what is wrong with it.
type Report struct {
	Dir      string    `json:"dir"`
	Shards   []Shard   `json:"shards"`
	Topics   int       `json:"topics"`
	Findings []Finding `json:"findings"`
}

// Sound tells that nothing is damaged; a doubtful last batch is not damage.
func (r *Report) Sound() bool {
	for _, f := range r.Findings {
		if !f.Doubtful {
			return false
		}
	}
	return true
}

// Options say what to check.
type Options struct {
	FS  vfs.FS
	Dir string
	// Progress hears how many bytes of a shard's log were read; it may be nil.
	Progress func(shard uint32, bytes int64)
}

// Check reads a data folder. The error tells that it could not be read at all; damage is in the report.
func Check(o Options) (Report, error) {
	r := Report{Dir: o.Dir, Findings: []Finding{}}
	names, err := o.FS.List(filepath.Join(o.Dir, ShardsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return r, errs.New(errs.NotFound, "%s is not a data folder: it has no folder %q; give the folder that gesta serve --data names", o.Dir, ShardsDir)
	}
	if err != nil {
		return r, err
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, LockFile))
	if err != nil {
		return r, errs.New(errs.Unavailable, "%s is in use: stop the node first, or check a copy (%w)", o.Dir, err)
	}
	defer lock.Close()
	shards := 0
	for _, name := range names {
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue
		}
		shards++
		c := newChecker(o, &r, uint32(number))
		if err := c.check(); err != nil {
			return r, err
		}
	}
	if dir := filepath.Join(o.Dir, ShardsDir); shards == 0 {
		r.Findings = append(r.Findings, Finding{File: dir, Message: "there is no shard in this folder: restore it from a backup"})
	}
	return r, r.meta(o)
}

// meta checks the meta group's folder.
func (r *Report) meta(o Options) error {
	dir := filepath.Join(o.Dir, MetaDir)
	n, damages, err := meta.Verify(o.FS, dir)
	r.Topics = n
	r.damages(damages)
	r.add(err, dir)
	r.add(replica.VerifyState(o.FS, dir), dir)
	return nil
}

func (r *Report) damages(ds []seglog.Damage) {
	for _, d := range ds {
		r.Findings = append(r.Findings, Finding{File: d.File, Offset: d.Offset, Message: d.Reason, Doubtful: d.Doubtful})
	}
}

// add turns an error into a finding about the file that it names, or about the folder.
func (r *Report) add(err error, dir string) {
	if err == nil {
		return
	}
	e := errs.As(err)
	offset, _ := strconv.ParseInt(e.Details["offset"], 10, 64)
	r.Findings = append(r.Findings, Finding{File: cmp.Or(e.Details["file"], dir), Offset: offset, Message: e.Message})
}
