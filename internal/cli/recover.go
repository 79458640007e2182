package cli

import (
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/node"
	"github.com/gesta-db/gesta/internal/vfs"
)

type recoverCmd struct {
	Dir    string `arg:"" help:"The data folder of a node that is stopped."`
	Accept bool   `name:"accept-loss-of-acknowledged-events" help:"Say that you know: events that other nodes had acknowledged and this folder lacks are lost."`
}

// Help is the long form of gesta recover --help.
func (recoverCmd) Help() string {
	return `The last resort when most nodes of a cluster are lost for good, and the last step of restoring an older copy of a folder. The node becomes
the only one of its cluster, with what its folder holds:

- events that were acknowledged by others and are not in this folder are lost;
- every shard goes on with a new history: a position beyond what the folder holds is refused from then on, so that no reader skips
  what is written in place of what was lost;
- all other nodes are removed: with empty data folders they can join again.

Take the folder of the node whose log goes furthest (gesta check tells the last offset), and keep the others until you are content.`
}

func (c *recoverCmd) Run(a *app) error {
	if !c.Accept {
		return errs.New(errs.Invalid, "this may lose acknowledged events: read gesta recover --help, and pass --accept-loss-of-acknowledged-events").With("field", "accept-loss-of-acknowledged-events")
	}
	shards, err := node.Recover(vfs.OS(), c.Dir)
	if err != nil {
		return err
	}
	a.note("%s is prepared: %s; the next start of the node ends the recovery", c.Dir, count(uint64(len(shards)), "shard"))
	return nil
}
