package node

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/vfs"
)

// lookEvery is how often the disk and the node's readiness are looked at: see the reason of disk_floor.
const lookEvery = 500 * time.Millisecond

// diskWatch refuses appends while the volume is below its floor.
type diskWatch struct {
	fs     vfs.FS
	dir    string
	floor  uint64
	gate   *gateway.Gateway
	low    func(*errs.Error) // hands over what is led here, and refuses what stays; nil: the gate refuses
	log    *slog.Logger
	last   atomic.Pointer[gateway.Disk]
	below  bool
	failed bool
}

// look looks once. To go up again there must be a sixteenth more than the floor, so that the node does not waver at it.
func (w *diskWatch) look() {
	free, err := w.fs.Free(w.dir)
	if err != nil {
		if !w.failed {
			w.log.Warn("free disk space cannot be told; appends go on until the disk is full", "error", err)
		}
		w.failed = true
		return
	}
	w.failed = false
	d := gateway.Disk{Free: free, Floor: w.floor}
	w.last.Store(&d)
	w.gate.SetDisk(d)
	switch {
	case free < w.floor:
		w.refuse(free)
	case w.below && free >= w.floor+w.floor/16:
		w.below = false
		w.tell(nil)
		w.log.Info("there is disk space again; appends are taken", "free", roughSize(free))
	}
}

func (w *diskWatch) refuse(free uint64) {
	w.tell(errs.New(errs.NoSpace, "only %d MiB are free on the volume of %s, less than disk_floor (%d MiB): free some space; appends go on by themselves then", free>>20, w.dir, w.floor>>20).With("dir", w.dir))
	if !w.below {
		w.log.Error("the disk is nearly full; appends are refused until there is space", "free", roughSize(free), "floor", sizeText(int64(w.floor)))
	}
	w.below = true
}

func (w *diskWatch) tell(why *errs.Error) {
	if w.low != nil {
		w.low(why)
		return
	}
	w.gate.Refuse(why)
}

func (w *diskWatch) disk() gateway.Disk {
	if d := w.last.Load(); d != nil {
		return *d
	}
	return gateway.Disk{Floor: w.floor}
}
