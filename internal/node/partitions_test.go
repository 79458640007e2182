package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/api/partition"
	"github.com/gesta-db/gesta/client"
)

// addShards makes shards until there are n, and waits until each has a leader.
func (c *crew) addShards(name string, n, factor int) {
	c.t.Helper()
	c.until("nodes that can take a shard", func() bool { return c.host(name).Meta().Size() >= factor && len(c.host(name).Meta().Shards()) > 0 })
	for len(c.host(name).Meta().Shards()) < n {
		if _, err := c.host(name).AddShard(within(c.t), factor); err != nil {
			c.t.Fatal(err)
		}
	}
	for number := range n {
		c.leader(uint32(number) + 1)
	}
}

func appendTo(t *testing.T, c *client.Client, topic, key string, i int) client.Result {
	t.Helper()
	r, err := c.Append(within(t), client.Append{Topic: topic, Key: key, Events: []client.Event{{Type: "happened", Data: fmt.Appendf(nil, "%d", i)}}})
	if err != nil {
		t.Fatalf("append to %s/%s: %v", topic, key, err)
	}
	return r
}

// readAll reads a topic to its end, and a new read begins at every position that every-th event leaves.
func readAll(t *testing.T, c *client.Client, topic string, every int, o client.ReadOptions) (events []*client.Recorded, shards []uint32) {
	t.Helper()
	for {
		r := c.Read(within(t), client.TopicScope(topic), o)
		n := 0
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) {
				_ = r.Close()
				return events, shards
			}
			if err != nil {
				t.Fatal(err)
			}
			events, shards = append(events, client.Clone(e)), append(shards, r.Shard())
			if n++; n == every {
				break
			}
		}
		o.From = "pos:" + r.Position()
		_ = r.Close()
	}
}

// TestPartitions holds that a topic over four shards is read whole, each shard in its order and no event twice, however often the
// reader goes on from its position.
func TestPartitions(t *testing.T) {
	c := newCrew(t)
	c.config("n1")
	c.start("n1")
	c.addShards("n1", 4, 1)
	log := talk(t, c.nodes["n1"])
	made, err := log.CreateTopic(within(t), "orders", client.Partitioned(4))
	if err != nil || !slices.Equal(made.Partitions, []uint32{1, 2, 3, 4}) || made.Shard != 1 {
		t.Fatalf("%+v %v", made, err)
	}
	const keys, each = 12, 5
	for i := range keys * each {
		appendTo(t, log, "orders", fmt.Sprintf("k%d", i%keys), i)
	}
	for _, o := range []client.ReadOptions{{}, {Backwards: true}, {ByTime: true}, {Backwards: true, ByTime: true}, {Where: "true"}} {
		for _, every := range []int{1000, 1, 3} {
			checkWhole(t, log, every, o, keys, each)
		}
	}
	if info, err := log.Topic(within(t), "orders"); err != nil || info.Events != keys*each {
		t.Errorf("%+v %v", info, err)
	}
	var list []string
	for s, err := range log.Streams(within(t), "orders", "") {
		if err != nil || s.Revision != each {
			t.Fatalf("%+v %v", s, err)
		}
		list = append(list, s.Key)
	}
	if len(list) != keys || !slices.IsSorted(list) {
		t.Errorf("streams %v", list)
	}
	checkRefusals(t, log)
	checkFollow(t, log, keys*each)
}

func checkWhole(t *testing.T, log *client.Client, every int, o client.ReadOptions, keys, each int) {
	t.Helper()
	events, shards := readAll(t, log, "orders", every, o)
	last, seen := map[uint32]uint64{}, map[string]int{}
	for i, e := range events {
		if want := uint32(partition.Of([]byte(e.Key), 4)) + 1; shards[i] != want {
			t.Fatalf("%s is of shard %d, want %d", e.Key, shards[i], want)
		}
		was, begun := last[shards[i]]
		if begun && (e.Offset > was) == o.Backwards {
			t.Fatalf("%+v, every %d: shard %d gives offset %d after %d", o, every, shards[i], e.Offset, was)
		}
		last[shards[i]] = e.Offset
		seen[e.Key]++
		if o.ByTime && every > len(events) && i > 0 && e.RecordedTime.After(events[i-1].RecordedTime) == o.Backwards && !e.RecordedTime.Equal(events[i-1].RecordedTime) {
			t.Fatalf("%+v: %v after %v", o, e.RecordedTime, events[i-1].RecordedTime)
		}
	}
	if len(events) != keys*each || len(seen) != keys {
		t.Fatalf("%+v, every %d: %d events of %d keys", o, every, len(events), len(seen))
	}
}

func checkRefusals(t *testing.T, log *client.Client) {
	t.Helper()
	ctx := within(t)
	a, b := "k0", ""
	for i := 1; b == ""; i++ {
		if k := fmt.Sprintf("k%d", i); partition.Of([]byte(k), 4) != partition.Of([]byte(a), 4) {
			b = k
		}
	}
	event := []client.Event{{Type: "happened"}}
	_, err := log.Commit(ctx, []client.Append{{Topic: "orders", Key: a, Events: event}, {Topic: "orders", Key: b, Events: event}})
	if client.CodeOf(err) != client.CodeInvalid || !strings.Contains(fmt.Sprint(err), "in shard") {
		t.Errorf("two shards: %v", err)
	}
	if _, err = log.Append(ctx, client.Append{Topic: "orders", Events: event}); client.CodeOf(err) != client.CodeInvalid {
		t.Errorf("without a key: %v", err)
	}
	if _, err = log.CreateTopic(ctx, "invoices", client.ColocatedWith("orders")); err != nil {
		t.Error(err)
	}
	if _, err = log.Commit(ctx, []client.Append{{Topic: "orders", Key: "both", Events: event}, {Topic: "invoices", Key: "both", Events: event}}); err != nil {
		t.Errorf("one key of two topics that lie together: %v", err)
	}
	one := appendTo(t, log, "orders", "both", 0)
	r := log.Read(ctx, client.TopicScope("orders"), client.ReadOptions{From: "pos:" + one.Position})
	if _, err = r.Next(); client.CodeOf(err) != client.CodeInvalid || !strings.Contains(fmt.Sprint(err), "1, 2, 3 and 4") {
		t.Errorf("a position of one shard: %v", err)
	}
	if err = log.DeleteTopic(ctx, "invoices"); client.CodeOf(err) != client.CodeConflict {
		t.Errorf("deleting: %v", err)
	}
}

// checkFollow reads what there is and what comes, and is told once that it has caught up.
func checkFollow(t *testing.T, log *client.Client, there int) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	lives := 0
	r := log.Read(ctx, client.TopicScope("orders"), client.ReadOptions{Follow: true, OnLive: func() {
		lives++
		for i := range 8 {
			appendTo(t, log, "orders", fmt.Sprintf("k%d", i), i)
		}
	}})
	defer r.Close()
	for range there + 2 + 8 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if lives != 1 {
		t.Errorf("told %d times that it has caught up", lives)
	}
}

// Four shards on three nodes: their leaders are spread, and when a node is lost all is there.
func TestShardsOfThreeNodes(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.addShards("n1", 4, 3)
	log := talk(t, c.nodes["n1"])
	if _, err := log.CreateTopic(within(t), "orders", client.Partitioned(4)); err != nil {
		t.Fatal(err)
	}
	c.until("leaders on all nodes", func() bool {
		leads := map[string]bool{}
		for number := range uint32(4) {
			leads[c.leader(number+1)] = true
		}
		return len(leads) == 3
	})
	for i := range 24 {
		appendTo(t, log, "orders", fmt.Sprintf("k%d", i), i)
	}
	lost := c.leader(2)
	c.drop(lost)
	for name := range c.nodes {
		other := talk(t, c.nodes[name])
		for i := range 24 {
			appendTo(t, other, "orders", fmt.Sprintf("k%d", i), i)
		}
	}
	for name := range c.nodes {
		events, _ := readAll(t, talk(t, c.nodes[name]), "orders", 7, client.ReadOptions{})
		if len(events) != 72 {
			t.Errorf("%s reads %d events, want 72", name, len(events))
		}
	}
}

// talk gives a client of a node.
func talk(t *testing.T, n *Node) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{n.Addr()}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
