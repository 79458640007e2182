package index

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// noCompactions never lets Pebble compact: tables of two segments never overlap, so there is nothing to gain. It also spares the
// goroutine that would look for work ten times a second.
type noCompactions struct{}

func (noCompactions) Register(int, pebble.DBForCompaction) {}
func (noCompactions) Unregister()                          {}
func (noCompactions) UpdateGetAllowedWithoutPermission()   {}
func (noCompactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	return false, nil
}

// pebbleLog drops what Pebble says: what matters comes back as an error.
type pebbleLog struct{ ix *Index }

func (pebbleLog) Infof(string, ...interface{})  {}
func (pebbleLog) Errorf(string, ...interface{}) {}

// Fatalf is called when Pebble no longer knows what its manifest holds, and would have the process end. The index is derived: it
// goes on with what it has, takes nothing in any more, and begins anew at the next start.
func (l pebbleLog) Fatalf(format string, args ...interface{}) {
	l.ix.damage(fmt.Errorf(format, args...))
}

// guarded runs what writes the manifest. Pebble panics when a folder cannot be synced, since it then knows nothing of the disk; here
// that is an error, after which nothing is taken in any more.
func (ix *Index) guarded(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
			ix.damage(err)
		default:
			panic(r)
		}
	}()
	return f()
}
