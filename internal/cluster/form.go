package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
)

// askTimeout bounds one question to one node while the cluster forms; askAgain is the rest between two rounds.
const (
	askTimeout = 2 * time.Second
	askAgain   = 300 * time.Millisecond
	// tellEvery is how often a node that waits says for whom.
	tellEvery = 5 * time.Second
)

// presence is what a node answers to probe: who it is, and what its folder belongs to.
type presence struct {
	Node     string   `json:"node"`
	Replica  uint64   `json:"replica"`
	Cluster  string   `json:"cluster,omitempty"`
	Founders []uint64 `json:"founders,omitempty"`
	// Initial are the names of the initial members, sorted, as this node was told them.
	Initial []string `json:"initial,omitempty"`
	// Members are addresses that it knows, by replica.
	Members map[uint64]string `json:"members,omitempty"`
}

// form finds out which cluster the folder belongs to.
func (h *Host) form(ctx context.Context) error {
	f := h.o.Forming
	switch {
	case h.id.Cluster != "":
		return nil
	case len(f.Initial) > 0:
		return h.found(ctx)
	case f.Join != nil:
		return h.join(ctx, f.Join)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails: it ends the program rather
	return h.adopt(hex.EncodeToString(id), []uint64{h.id.Replica})
}

// adopt makes the folder belong to a cluster, durably.
func (h *Host) adopt(cluster string, founders []uint64) error {
	if err := h.o.Keep(cluster, founders); err != nil {
		return fmt.Errorf("keep the cluster's id: %w", err)
	}
	h.mu.Lock()
	h.id.Cluster, h.id.Founders = cluster, founders
	h.mu.Unlock()
	h.o.Transport.SetCluster(cluster)
	h.o.Logger.Info("the data folder belongs to a cluster now", "cluster", cluster, "founders", len(founders))
	return nil
}

// found founds a cluster together with the other initial members, or finds it founded.
func (h *Host) found(ctx context.Context) error {
	told := time.Time{}
	for {
		missing, err := h.foundRound(ctx)
		if err != nil || h.identity().Cluster != "" {
			return err
		}
		if now := h.o.Clock.Now(); now.Sub(told) >= tellEvery {
			told = now
			h.o.Logger.Info("waiting for the other initial members", "missing", missing)
		}
		select {
		case <-ctx.Done():
			return errs.New(errs.Unavailable, "the initial members %v did not answer: start them, or check their addresses in --initial-members (%w)", missing, ctx.Err())
		case <-time.After(askAgain):
		}
	}
}

// foundRound asks every initial member once. It founds when all of them are new.
func (h *Host) foundRound(ctx context.Context) (missing []string, err error) {
	self := h.presence()
	all := map[string]uint64{self.Node: self.Replica}
	for _, s := range h.o.Forming.Initial {
		if s.Node == self.Node {
			continue
		}
		p, err := h.probe(ctx, s.Addr)
		if err != nil {
			missing = append(missing, s.Node)
			continue
		}
		if err := h.checkPresence(s, &p); err != nil {
			return nil, err
		}
		if p.Cluster != "" {
			return nil, h.meet(ctx, s, &p)
		}
		all[p.Node] = p.Replica
	}
	if len(missing) > 0 {
		return missing, nil
	}
	cluster, founders := foundersOf(all)
	return nil, h.adopt(cluster, founders)
}

// checkPresence refuses what can never become one cluster.
func (h *Host) checkPresence(s Seed, p *presence) error {
	switch {
	case p.Node != s.Node:
		return errs.New(errs.Invalid, "--initial-members says that node %s is at %s, and node %s answers there: give every node the same list, with each one's own --node-id", s.Node, s.Addr, p.Node).With("field", "initial_members")
	case p.Replica == h.id.Replica:
		return errs.New(errs.Invalid, "node %s at %s has the same data folder's identity as this node: start each with an empty folder of its own", s.Node, s.Addr).With("field", "data")
	case p.Cluster == "" && !slices.Equal(p.Initial, h.initial()):
		return errs.New(errs.Invalid, "node %s was started with --initial-members %v, this one with %v: give every node the same list", s.Node, p.Initial, h.initial()).With("field", "initial_members")
	}
	return nil
}

// meet handles an initial member that belongs to a cluster already: with this folder among its founders, or before its time.
func (h *Host) meet(ctx context.Context, s Seed, p *presence) error {
	if slices.Contains(p.Founders, h.id.Replica) {
		return h.adopt(p.Cluster, p.Founders)
	}
	h.o.Logger.Info("the initial members have founded their cluster without this data folder; asking to be taken in", "at", s.Addr, "cluster", p.Cluster)
	return h.join(ctx, func(context.Context) ([]string, error) { return []string{s.Addr}, nil })
}

// foundersOf computes what all founders compute alike.
func foundersOf(all map[string]uint64) (cluster string, founders []uint64) {
	sum := sha256.New()
	for _, id := range all {
		founders = append(founders, id)
	}
	slices.Sort(founders)
	for _, id := range founders {
		fmt.Fprintf(sum, "%016x\n", id)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), founders
}

func (h *Host) initial() []string {
	var names []string
	for _, s := range h.o.Forming.Initial {
		names = append(names, s.Node)
	}
	slices.Sort(names)
	return names
}

func (h *Host) probe(ctx context.Context, addr string) (p presence, err error) {
	err = h.callAddr(ctx, addr, methodProbe, h.presence(), &p)
	if err == nil {
		h.learn(p.Replica, addr)
		for id, a := range p.Members {
			h.learn(id, a)
		}
	}
	return p, err
}

// joining is a node's wish to be a member, and joined the answer.
type joining struct {
	Member meta.Member `json:"member"`
	// Cluster is what the folder belongs to; empty for a new one.
	Cluster string `json:"cluster,omitempty"`
}

type joined struct {
	Cluster  string            `json:"cluster"`
	Founders []uint64          `json:"founders"`
	Members  map[uint64]string `json:"members"`
}

// join asks nodes of a cluster to be taken in, until one has done it.
func (h *Host) join(ctx context.Context, seeds func(context.Context) ([]string, error)) error {
	told := time.Time{}
	for {
		done, why := h.joinRound(ctx, seeds)
		if done || permanent(why) {
			return why
		}
		if now := h.o.Clock.Now(); now.Sub(told) >= tellEvery {
			told = now
			h.o.Logger.Info("not taken into the cluster yet; trying on", "reason", why)
		}
		select {
		case <-ctx.Done():
			return errs.New(errs.Unavailable, "no node of the cluster took this one in: check --join, and that the cluster has a leader (%w)", cmp.Or(why, ctx.Err()))
		case <-time.After(askAgain):
		}
	}
}

// permanent tells that asking again is no use.
func permanent(err error) bool {
	switch errs.CodeOf(err) {
	case errs.Exists, errs.Unsupported, errs.Invalid, errs.Forbidden, errs.Unauthenticated:
		return true
	}
	return false
}

func (h *Host) joinRound(ctx context.Context, seeds func(context.Context) ([]string, error)) (done bool, why error) {
	addrs, err := seeds(ctx)
	if err != nil {
		return false, err
	}
	why = errs.New(errs.Unavailable, "no address of a node to join is known")
	for _, addr := range addrs {
		if addr == h.o.Self.Peer {
			continue
		}
		var got joined
		if why = h.callAddr(ctx, addr, methodJoin, joining{Member: h.o.Self}, &got); why != nil {
			if permanent(why) {
				return false, why
			}
			continue
		}
		for id, a := range got.Members {
			h.learn(id, a)
		}
		return true, h.adopt(got.Cluster, got.Founders)
	}
	return false, why
}

func (h *Host) callAddr(ctx context.Context, addr, method string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	got, err := h.o.Transport.CallAddr(ctx, addr, method, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(got, answer)
}
