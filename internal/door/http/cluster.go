package http

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// clusterInfo is the answer of /v1/cluster.
type clusterInfo struct {
	ClusterID string        `json:"cluster_id"`
	NodeID    string        `json:"node_id"`
	Feature   uint32        `json:"feature"`
	Nodes     []clusterNode `json:"nodes"`
}

type clusterNode struct {
	NodeID             string           `json:"node_id"`
	Zone               string           `json:"zone"`
	Version            string           `json:"version"`
	GRPC               string           `json:"grpc_address"`
	HTTP               string           `json:"http_address"`
	Peer               string           `json:"peer_address"`
	State              string           `json:"state"`
	Reasons            []string         `json:"reasons"`
	Joined             time.Time        `json:"joined"`
	Started            *time.Time       `json:"started"`
	Heard              *time.Time       `json:"heard"`
	Connected          bool             `json:"connected"`
	RoundTripSeconds   float64          `json:"round_trip_seconds"`
	ClockOffsetSeconds float64          `json:"clock_offset_seconds"`
	DiskFreeBytes      uint64           `json:"disk_free_bytes"`
	DiskFloorBytes     uint64           `json:"disk_floor_bytes"`
	MemoryBytes        uint64           `json:"memory_bytes"`
	Replicas           []clusterReplica `json:"replicas"`
}

type clusterReplica struct {
	Shard   uint32 `json:"shard"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied_index"`
	Lag     uint64 `json:"lag_entries"`
	Stopped string `json:"stopped,omitempty"`
	Leader  string `json:"leader"`
}

func nodeOf(n gateway.ClusterNode) clusterNode {
	told := clusterNode{
		NodeID: n.Node, Zone: n.Zone, Version: n.Version, GRPC: n.GRPC, HTTP: n.HTTP, Peer: n.Peer, State: n.State, Reasons: append([]string{}, n.Reasons...),
		Joined: n.Joined.UTC(), Started: momentOf(n.Started), Heard: momentOf(n.Heard), Connected: n.Connected,
		RoundTripSeconds: n.RoundTrip.Seconds(), ClockOffsetSeconds: n.ClockOffset.Seconds(),
		DiskFreeBytes: n.Disk.Free, DiskFloorBytes: n.Disk.Floor, MemoryBytes: n.MemoryBytes, Replicas: make([]clusterReplica, len(n.Replicas)),
	}
	for i, r := range n.Replicas {
		told.Replicas[i] = clusterReplica(r)
	}
	return told
}

// momentOf is nil for no moment.
func momentOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (d *Door) cluster(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	s, err := c.gate.ClusterStatus(c.who)
	if err != nil {
		return err
	}
	told := clusterInfo{ClusterID: s.ClusterID, NodeID: s.NodeID, Feature: s.Feature, Nodes: make([]clusterNode, len(s.Nodes))}
	for i, n := range s.Nodes {
		told.Nodes[i] = nodeOf(n)
	}
	respond(w, http.StatusOK, told)
	return nil
}

func (d *Door) clusterNode(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	n, err := c.gate.ClusterNode(c.who, c.path[0])
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, nodeOf(n))
	return nil
}

func (d *Door) removeNode(w http.ResponseWriter, c *call) error {
	return done(w, c, func() error { return c.gate.RemoveNode(c.Context(), c.who, c.path[0]) })
}

func (d *Door) drainNode(w http.ResponseWriter, c *call) error {
	return done(w, c, func() error { return c.gate.DrainNode(c.Context(), c.who, c.path[0], true) })
}

func (d *Door) undrainNode(w http.ResponseWriter, c *call) error {
	return done(w, c, func() error { return c.gate.DrainNode(c.Context(), c.who, c.path[0], false) })
}

// done answers a change that has nothing to tell.
func done(w http.ResponseWriter, c *call, change func() error) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// shardPlace is a shard in answers.
type shardPlace struct {
	Shard     uint32    `json:"shard"`
	Factor    int       `json:"factor"`
	Leader    string    `json:"leader"`
	Preferred string    `json:"preferred_leader"`
	Nodes     []string  `json:"node_ids"`
	Created   time.Time `json:"created"`
}

func placeOf(s gateway.ShardPlace) shardPlace {
	return shardPlace{Shard: s.Shard, Factor: s.Factor, Leader: s.Leader, Preferred: s.Preferred, Nodes: append([]string{}, s.Nodes...), Created: s.Created.UTC()}
}

type shardPlaces struct {
	Shards []shardPlace `json:"shards"`
}

func (d *Door) listShards(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	found, err := c.gate.ShardPlaces(c.who)
	if err != nil {
		return err
	}
	told := shardPlaces{make([]shardPlace, len(found))}
	for i, s := range found {
		told.Shards[i] = placeOf(s)
	}
	respond(w, http.StatusOK, told)
	return nil
}

func (d *Door) addShard(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	var wish struct {
		Factor uint32 `json:"factor"`
	}
	if err := d.readWish(w, c, &wish); err != nil {
		return err
	}
	s, err := c.gate.AddShard(c.Context(), c.who, wish.Factor)
	if err != nil {
		return err
	}
	respond(w, http.StatusCreated, placeOf(s))
	return nil
}

func (d *Door) transferShard(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	n, err := strconv.ParseUint(c.path[0], 10, 32)
	if err != nil {
		return refuse("shard", "%.80q is no shard's number", c.path[0])
	}
	var wish struct {
		Node string `json:"node_id"`
	}
	if err := d.readWish(w, c, &wish); err != nil {
		return err
	}
	return done(w, c, func() error { return c.gate.TransferShard(c.Context(), c.who, uint32(n), wish.Node) })
}

// readWish reads a small JSON object into v; what v does not know is refused.
func (d *Door) readWish(w http.ResponseWriter, c *call, v any) error {
	if err := encoded(c.Header); err != nil {
		return err
	}
	if contentType := c.Header.Get("Content-Type"); mediaType(contentType) != typeJSON {
		return as(http.StatusUnsupportedMediaType, "unsupported media type", refuse("Content-Type", "Content-Type is %.80q; it must be %s", contentType, typeJSON))
	}
	memory := newScratch()
	defer memory.free()
	free, err := d.readBody(w, c, memory)
	if err != nil {
		return err
	}
	defer free()
	body, err := checkJSON(memory.in)
	if err != nil {
		return err
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		return errs.New(errs.Invalid, "the body is not what is asked for here: %w; see /docs", err).With("field", "body")
	}
	return nil
}
