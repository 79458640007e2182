package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 250, "how many seeds to play")
	first = flag.Uint64("seed", 1, "the first seed")
	soak  = flag.Duration("soak", 0, "how long TestSoak plays all worlds, from ever new seeds")
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
			replay(t, Config{Seed: seed, Nodes: 3, Steps: *steps, Join: seed%3 == 0}, err, play)
		}
		total.add(s)
	}
	t.Logf("%d seeds: %+v", *seeds, total)
	if total.Acked == 0 || total.Conflicts == 0 || total.Repeated == 0 || total.Crashes == 0 || total.Elections < *seeds || total.Sealed == 0 || total.Cuts == 0 || total.Rotten == 0 || total.Refused == 0 || total.Broken == 0 || total.Installed == 0 || total.Repaired == 0 || total.Mended == 0 || total.Salvaged == 0 || total.Changes == 0 {
		t.Fatalf("the runs did not meet what they are about: %+v", total)
	}
}

func play(cfg Config) error {
	_, err := Run(cfg)
	return err
}

// TestMembers plays groups whose members change all the time.
func TestMembers(t *testing.T) {
	var total Stats
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		cfg := Config{Seed: seed, Nodes: 3, Steps: *steps, Members: true}
		s, err := Run(cfg)
		if err != nil {
			replay(t, cfg, err, play)
		}
		total.add(s)
	}
	t.Logf("%d seeds: %+v", *seeds, total)
	if total.Acked == 0 || total.Elections < *seeds || total.Removed == 0 || total.Lost == 0 || total.Transfers == 0 || total.Installed == 0 || total.Cuts == 0 {
		t.Fatalf("the runs did not meet what they are about: %+v", total)
	}
}

// TestSoak plays all worlds as long as it is told.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("it is played by make soak")
	}
	from, began := uint64(time.Now().UnixMicro()), time.Now()
	seed := from
	for ; time.Since(began) < *soak; seed++ {
		for _, cfg := range []Config{{Nodes: 3, Join: seed%3 == 0}, {Nodes: 3, Members: true}, {Nodes: 1}} {
			cfg.Seed, cfg.Steps = seed, *steps
			if err := play(cfg); err != nil {
				replay(t, cfg, err, play)
			}
		}
		cfg := Config{Seed: seed, Nodes: 3, Steps: *steps}
		if err := playMeta(cfg); err != nil {
			replay(t, cfg, err, playMeta)
		}
	}
	t.Logf("seeds %d to %d, each in four worlds: nothing found", from, seed-1)
}

func playMeta(cfg Config) error {
	_, err := RunMeta(cfg)
	return err
}

// TestMeta plays the meta group: changes from every node, forwarded to the one that leads.
func TestMeta(t *testing.T) {
	var total MetaStats
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		cfg := Config{Seed: seed, Nodes: 3, Steps: *steps}
		s, err := RunMeta(cfg)
		if err != nil {
			replay(t, cfg, err, playMeta)
		}
		total.add(s)
	}
	t.Logf("%d seeds: %+v", *seeds, total)
	if total.Acked == 0 || total.Refused == 0 || total.Unknown == 0 || total.Forwarded == 0 || total.AnswersLost == 0 || total.Crashes == 0 || total.Installed == 0 || total.Whole < *seeds/2 {
		t.Fatalf("the runs did not meet what they are about: %+v", total)
	}
}

func (s *MetaStats) add(o MetaStats) {
	s.Acked += o.Acked
	s.Refused += o.Refused
	s.Unknown += o.Unknown
	s.Forwarded += o.Forwarded
	s.AnswersLost += o.AnswersLost
	s.Crashes += o.Crashes
	s.Elections += o.Elections
	s.Installed += o.Installed
	s.Whole += o.Whole
}

// replay plays a failing run again, and shows how it ended.
func replay(t *testing.T, cfg Config, err error, play func(Config) error) {
	t.Helper()
	var trace bytes.Buffer
	cfg.Trace = &trace
	again := play(cfg)
	name := fmt.Sprintf("%s/seed-%d.trace", os.TempDir(), cfg.Seed)
	_ = os.WriteFile(name, trace.Bytes(), 0o600)
	tail := trace.Bytes()
	cfg.Trace = nil
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

// TestFailedMembers does the same for groups whose members change.
func TestFailedMembers(t *testing.T) {
	for seed, found := range map[uint64]string{
		76:  "a learner that knew of one voter had no doubt of what it had lost, and its leader sent it a commit beyond its log",
		280: "the only voter came back and answered a learner's question before it knew what was committed",
		556: "after eight changes in one segment nobody who was far behind could be offered anything",
	} {
		if err := play(Config{Seed: seed, Nodes: 3, Steps: 8000, Members: true}); err != nil {
			t.Errorf("%s: %v", found, err)
		}
	}
	if err := playMeta(Config{Seed: 26, Nodes: 3, Steps: 8000}); err != nil {
		t.Errorf("a replica whose snapshot was ahead of its log said that it had applied less than its state held: %v", err)
	}
}
