package replica

import (
	"log/slog"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// silent is a machine that folds nothing.
type silent struct{ applied uint64 }

func (s *silent) Apply(e Entry)                  { s.applied = e.Index }
func (*silent) RoleChanged(uint64, Role, uint64) {}
func (*silent) Confirmed(n, index uint64)        {}
func config(d *Disk, id uint64) Config {
	return Config{ID: id, Disk: d, ElectionTicks: 10, HeartbeatTicks: 1, EntryBytes: 1 << 20, UncommittedBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
}

// TestDamageEndsTheReplica damages what is not applied yet while the log is open: Raft, which would end the process, does not get to.
func TestDamageEndsTheReplica(t *testing.T) {
	disk := crashfs.New(1)
	d := openDisk(t, disk)
	for i := range uint64(5) {
		w := write(i+1, 1, 100)
		w.commit = 0 // found to be committed only by the next leader
		if err := d.Store([]*Write{w}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(config(d, 1), &silent{})
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Flip("log/00000000000000000001.seg", 4096+64+32+40); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		out, more := r.Ready()
		if out.Damage != nil {
			if errs.CodeOf(out.Damage) != errs.Corrupt {
				t.Fatal(out.Damage)
			}
			if _, _, err := r.Propose([]byte{}); err == nil {
				t.Fatal("a damaged replica takes proposals")
			}
			r.Tick()
			if out, more := r.Ready(); out.Damage == nil || more {
				t.Fatal("it forgets its damage")
			}
			_ = d.Close()
			return
		}
		if out.Write != nil {
			if err := d.Store([]*Write{out.Write}); err != nil {
				t.Fatal(err)
			}
			r.Wrote(out.Write)
		}
		if !more {
			r.Tick()
		}
	}
	t.Fatal("the damage was not met")
}

// TestOfferThatIsNotNeeded has the offered entry: nothing is handed out, and the leader is told.
func TestOfferThatIsNotNeeded(t *testing.T) {
	disk := crashfs.New(1)
	d, err := OpenDisk(seglog.Options{FS: disk, Dir: "log", Shard: 1, SegmentBytes: 4 << 10}, []uint64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range uint64(5) {
		w := write(i+1, 1, 100)
		w.commit = 0
		if err := d.Store([]*Write{w}); err != nil {
			t.Fatal(err)
		}
	}
	m := &silent{}
	r, err := Open(config(d, 1), m)
	if err != nil {
		t.Fatal(err)
	}
	offer := func(term, index uint64) (offers []Snapshot, said *pb.Message) {
		r.Step(&pb.Message{
			Type: pb.MsgSnap.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(4)),
			Snapshot: &pb.Snapshot{Data: []byte("data"), Metadata: &pb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: &pb.ConfState{}}},
		})
		for {
			out, more := r.Ready()
			if !more {
				return offers, said
			}
			offers = append(offers, out.Offers...)
			if out.Write != nil {
				if err := d.Store([]*Write{out.Write}); err != nil {
					t.Fatal(err)
				}
				for _, m := range append(out.Messages, r.Wrote(out.Write)...) {
					if m.GetType() == pb.MsgAppResp {
						said = m
					}
				}
			}
		}
	}
	if got, said := offer(1, 4); len(got) != 0 || said.GetIndex() != 4 || said.GetReject() || m.applied != 4 {
		t.Fatalf("%d offers, %v, applied %d", len(got), said, m.applied)
	}
	if got, said := offer(1, 3); len(got) != 0 || said.GetIndex() != 4 {
		t.Fatalf("what is committed already: %d offers, %v", len(got), said)
	}
	for _, end := range [][2]uint64{{2, 5}, {3, 9}} { // another entry, and one beyond the end
		got, said := offer(end[0], end[1])
		if len(got) != 1 || got[0].Index != end[1] || got[0].From != 2 || string(got[0].Data) != "data" || !said.GetReject() {
			t.Fatalf("%d offers, %v", len(got), said)
		}
	}
	if s := r.Status(); s.Last != 5 || s.Commit != 4 {
		t.Fatalf("its log was touched: %+v", s)
	}
}
