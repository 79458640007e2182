package replica

import (
	"github.com/gesta-db/gesta/internal/seglog"
)

// Alone makes a replica, whose folder nobody has open, the only member of its group, with the log that it has. This is no step of Raft: what
// other members had beyond that log is lost even if it was acknowledged, and should they still run, they are another group with the same
// entries. It is the last resort when most of a group is lost for good.
func Alone(o seglog.Options, id uint64) error {
	d, err := OpenDisk(o, []uint64{id})
	if err != nil {
		return err
	}
	st := d.State.Load()
	// Changes of the configuration in the log are over, whether or not they were committed.
	st.Conf, st.ConfIndex, st.Past = Conf{Voters: []uint64{id}}, d.Log.Last(), nil
	st.Doubt, st.DoubtTerm = 0, 0
	if err := d.State.Save(st); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}
