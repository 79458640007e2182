package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var (
	seeds = flag.Int("seeds", 250, "how many seeds to play")
	first = flag.Uint64("seed", 1, "the first seed")
	steps = flag.Int("steps", 8000, "how many actions the hostile part of a run has")
)

// TestSeeds plays many runs of three nodes. A failing seed is played again with its trace on the test's output:
//
//	go test ./internal/sim -run TestSeeds -seed N -seeds 1
func TestSeeds(t *testing.T) {
	var total Stats
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		s, err := Run(Config{Seed: seed, Nodes: 3, Steps: *steps, Join: seed%3 == 0})
		if err != nil {
			var trace bytes.Buffer
			_, again := Run(Config{Seed: seed, Nodes: 3, Steps: *steps, Join: seed%3 == 0, Trace: &trace})
			_ = os.WriteFile(fmt.Sprintf("%s/seed-%d.trace", os.TempDir(), seed), trace.Bytes(), 0o600)
			tail := trace.Bytes()
			t.Fatalf("%v\nagain: %v\n…%s", err, again, tail[max(0, len(tail)-4000):])
		}
		total.add(s)
	}
	t.Logf("%d seeds: %+v", *seeds, total)
	if total.Acked == 0 || total.Conflicts == 0 || total.Repeated == 0 || total.Crashes == 0 || total.Elections < *seeds || total.Sealed == 0 || total.Cuts == 0 || total.Rotten == 0 || total.Refused == 0 || total.Broken == 0 || total.Installed == 0 || total.Repaired == 0 || total.Mended == 0 || total.Salvaged == 0 || total.Changes == 0 {
		t.Fatalf("the runs did not meet what they are about: %+v", total)
	}
}

// TestMembers plays groups whose members change all the time.
func TestMembers(t *testing.T) {
	var total Stats
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		cfg := Config{Seed: seed, Nodes: 3, Steps: *steps, Members: true}
		s, err := Run(cfg)
		if err != nil {
			replay(t, cfg, err)
		}
		total.add(s)
	}
	t.Logf("%d seeds: %+v", *seeds, total)
	if total.Acked == 0 || total.Elections < *seeds || total.Removed == 0 || total.Lost == 0 || total.Transfers == 0 || total.Installed == 0 || total.Cuts == 0 {
		t.Fatalf("the runs did not meet what they are about: %+v", total)
	}
}

// replay plays a failing run again, and shows how it ended.
func replay(t *testing.T, cfg Config, err error) {
	t.Helper()
	var trace bytes.Buffer
	cfg.Trace = &trace
	_, again := Run(cfg)
	name := fmt.Sprintf("%s/seed-%d.trace", os.TempDir(), cfg.Seed)
	_ = os.WriteFile(name, trace.Bytes(), 0o600)
	tail := trace.Bytes()
	t.Fatalf("%+v\n%v\nagain: %v\n…%s\nthe whole trace is in %s", cfg, err, again, tail[max(0, len(tail)-4000):], name)
}

// TestOneNode plays a group of one, where every crash may tear the last batch.
func TestOneNode(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*seeds)/3; seed++ {
		if _, err := Run(Config{Seed: seed, Nodes: 1, Steps: *steps}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSameSeedSameRun holds that a failing seed can be replayed.
func TestSameSeedSameRun(t *testing.T) {
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if _, err := Run(Config{Seed: 42, Nodes: 3, Steps: *steps, Trace: w}); err != nil {
			t.Fatal(err)
		}
	}
	if a.Len() == 0 || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatal("two runs of one seed differ")
	}
}

func (s *Stats) add(o Stats) {
	s.Acked += o.Acked
	s.Repeated += o.Repeated
	s.Conflicts += o.Conflicts
	s.Unknown += o.Unknown
	s.Crashes += o.Crashes
	s.Elections += o.Elections
	s.Cuts += o.Cuts
	s.Sealed += o.Sealed
	s.Rotten += o.Rotten
	s.Refused += o.Refused
	s.Broken += o.Broken
	s.Shipped += o.Shipped
	s.Installed += o.Installed
	s.Bitten += o.Bitten
	s.Met += o.Met
	s.Repaired += o.Repaired
	s.Mended += o.Mended
	s.Salvaged += o.Salvaged
	s.Changes += o.Changes
	s.Transfers += o.Transfers
	s.Removed += o.Removed
	s.Lost += o.Lost
}

// TestFailedSeeds plays seeds that once broke a promise, each with what it had found.
func TestFailedSeeds(t *testing.T) {
	for seed, found := range map[uint64]string{
		2:     "a leader counted on entries that a follower had cut, and sent it a commit beyond its log",
		10463: "two doubtful followers asked their leader so often to hand over that it never missed its quorum",
		124:   "a doubtful voter elected a log that was long enough and of an older term than what it had lost",
		46598: "a leader that came back proposed at an index where it had proposed before, and was told the old proposal's fate",
		22955: "a conflict was answered that had been judged on an entry which the group then refused",
	} {
		if _, err := Run(Config{Seed: seed, Nodes: 3, Steps: 8000}); err != nil {
			t.Errorf("%s: %v", found, err)
		}
	}
}
