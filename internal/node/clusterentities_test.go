package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/client"
)

type balance struct{ Sum int }

type deposit struct{ N int }

type deposited struct{ N int }

// account adds up.
func account() *client.Entity[balance, deposit, deposited] {
	return &client.Entity[balance, deposit, deposited]{
		Kind: "account",
		Decide: func(s balance, c deposit, _ *client.About) (client.Decision[deposited], error) {
			return client.Decision[deposited]{Events: []deposited{deposited(c)}, Reply: s.Sum + c.N}, nil
		},
		Fold:     func(s balance, e deposited) balance { s.Sum += e.N; return s },
		Commands: client.Commands[deposit]{"Deposit": deposit{}}, Events: client.Events[deposited]{"Deposited": {0: deposited{}}},
	}
}

func clientOf(t *testing.T, nodes ...*Node) *client.Client {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addr())
	}
	c, err := client.New(client.Options{Addrs: addrs, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// handler attaches to a node until the test ends, or stop is called.
func handler(t *testing.T, n *Node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := clientOf(t, n)
	var served sync.WaitGroup
	served.Go(func() {
		if err := c.Serve(ctx, client.Service{Name: "accounts", Kinds: []client.Kind{account()}}); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); served.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// deposits sends a command to each of some entities through a client, and gives the sum of the replies.
func deposits(t *testing.T, c *client.Client, round, entities int) {
	t.Helper()
	a := account()
	var all sync.WaitGroup
	for i := range entities {
		all.Go(func() {
			o, err := a.Send(within(t), c, fmt.Sprintf("a%d", i), deposit{1}, fmt.Sprintf("round-%d", round))
			if err != nil {
				t.Errorf("round %d, a%d: %v", round, i, err)
			} else if o.Revision != uint64(round) {
				t.Errorf("round %d, a%d: revision %d", round, i, o.Revision)
			}
		})
	}
	all.Wait()
}

// A handler on one node serves the cluster; with a second one the entities are spread; when the node of one is lost, they move.
func TestEntitiesOfACluster(t *testing.T) {
	c := newCrew(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.leader(1)
	handler(t, c.nodes["n1"])
	const entities = 20
	serving := func(node string, count int) func() bool {
		return func() bool {
			here := 0
			for i := range entities {
				if _, id := c.host(node).Owner("account", fmt.Sprintf("a%d", i)); id != 0 {
					here++
				}
			}
			return here == count
		}
	}
	c.until("all know of the handler", func() bool { return serving("n2", entities)() && serving("n3", entities)() })
	deposits(t, clientOf(t, c.nodes["n2"]), 1, entities)
	deposits(t, clientOf(t, c.nodes["n3"]), 2, entities)

	stop := handler(t, c.nodes["n3"])
	c.until("n3 has a share", func() bool {
		for i := range entities {
			if local, _ := c.host("n3").Owner("account", fmt.Sprintf("a%d", i)); local {
				return true
			}
		}
		return false
	})
	for round := 3; round < 6; round++ {
		deposits(t, clientOf(t, c.nodes["n2"]), round, entities)
	}
	state, err := clientOf(t, c.nodes["n2"]).State(within(t), "account", "a7")
	if err != nil || state.Revision != 5 {
		t.Errorf("state of a7: %+v %v", state, err)
	}

	stop() // it will not find n3 again
	c.drop("n3")
	deposits(t, clientOf(t, c.nodes["n2"]), 6, entities)
	deposits(t, clientOf(t, c.nodes["n1"]), 6, entities) // a repeat has no second effect
}
