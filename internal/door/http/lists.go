package http

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// topic is a topic in answers.
type topic struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Shard   uint32    `json:"shard"`
	// Partitions are all shards that it is on; Shard is the first of them.
	Partitions []uint32 `json:"partitions"`
	Events     uint64   `json:"events"`
}

func topicOf(t gateway.TopicInfo) topic {
	return topic{Name: t.Name, Created: t.Created.UTC(), Shard: t.Shard, Partitions: t.Shards(), Events: t.Events}
}

type topicList struct {
	Topics []topic `json:"topics"`
	Next   string  `json:"next,omitempty"`
}

func (d *Door) listTopics(w http.ResponseWriter, c *call) error {
	topics, next, err := named(w, c, c.gate.ListTopics, topicOf, func(t gateway.TopicInfo) string { return t.Name })
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, topicList{topics, next})
	return nil
}

// named gives a page of what has names, each as it is told, and the address of the next page, if there is one.
func named[T, Told any](w http.ResponseWriter, c *call, list func(who gateway.Caller, prefix, after string, limit uint32) ([]T, bool, error),
	tell func(T) Told, name func(T) string,
) (page []Told, address string, err error) {
	q, err := parseQuery(c.Request, "prefix", "after", "limit")
	if err != nil {
		return nil, "", err
	}
	limit, err := q.page(gateway.DefaultPage)
	if err != nil {
		return nil, "", err
	}
	found, more, err := list(c.who, q.text("prefix"), q.text("after"), uint32(limit))
	if err != nil {
		return nil, "", err
	}
	page = make([]Told, len(found))
	for i, one := range found {
		page[i] = tell(one)
	}
	if more {
		address = next(w, c, name(found[len(found)-1]))
	}
	return page, address, nil
}

// next is the address of the page after the last element of this one, also told as a Link.
func next(w http.ResponseWriter, c *call, after string) string {
	address := with(c.Request, "after", after)
	w.Header().Set("Link", "<"+address+`>; rel="next"`)
	return address
}

func (d *Door) describeTopic(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	info, err := c.gate.DescribeTopic(c.who, c.path[0])
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, topicOf(info))
	return nil
}

func (d *Door) createTopic(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	var wish struct {
		Shards     []uint32 `json:"shards"`
		Partitions uint16   `json:"partitions"`
		Colocate   string   `json:"colocate"`
	}
	if err := d.readWish(w, c, &wish); err != nil {
		return err
	}
	info, err := c.gate.CreateTopic(c.Context(), c.who, c.path[0], gateway.Layout{Shards: wish.Shards, Partitions: int(wish.Partitions), Colocate: wish.Colocate})
	if err != nil {
		return err
	}
	respond(w, http.StatusCreated, topicOf(info))
	return nil
}

// stream is a stream in answers.
type stream struct {
	Key          string    `json:"key"`
	Revision     uint64    `json:"revision"`
	Offset       uint64    `json:"offset"`
	RecordedTime time.Time `json:"recorded_time"`
	Events       string    `json:"events"`
}

type streamList struct {
	Streams []stream `json:"streams"`
	Next    string   `json:"next,omitempty"`
}

func (d *Door) listStreams(w http.ResponseWriter, c *call) error {
	q, err := parseQuery(c.Request, "prefix", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.page(gateway.DefaultPage)
	if err != nil {
		return err
	}
	for _, name := range []string{"prefix", "after"} {
		if err := event.CheckKey(q.text(name), c.gate.Limits()); err != nil {
			return refuse(name, "%s: %w", name, err)
		}
	}
	found, more, err := c.gate.ListStreams(c.who, c.path[0], q.text("prefix"), q.text("after"), q.has("after"), uint32(limit))
	if err != nil {
		return err
	}
	list := streamList{Streams: make([]stream, len(found))}
	for i, s := range found {
		list.Streams[i] = stream{Key: string(s.Key), Revision: s.Revision, Offset: s.Offset, RecordedTime: time.Unix(0, s.Time).UTC(),
			Events: streamPath([]byte(c.path[0]), s.Key)}
	}
	if more {
		list.Next = next(w, c, string(found[len(found)-1].Key))
	}
	respond(w, http.StatusOK, list)
	return nil
}

// status is the answer of /v1/status.
type status struct {
	NodeID         string        `json:"node_id"`
	ClusterID      string        `json:"cluster_id"`
	Version        string        `json:"version"`
	UptimeSeconds  float64       `json:"uptime_seconds"`
	Ready          bool          `json:"ready"`
	Reasons        []string      `json:"reasons"`
	DiskFreeBytes  uint64        `json:"disk_free_bytes"`
	DiskFloorBytes uint64        `json:"disk_floor_bytes"`
	Topics         int           `json:"topics"`
	Shards         []shardStatus `json:"shards"`
}

type shardStatus struct {
	Shard            uint32 `json:"shard"`
	History          string `json:"history"` // in hexadecimal: it is drawn, and too large for JavaScript's numbers
	Role             string `json:"role"`
	Leader           string `json:"leader"`
	Term             uint64 `json:"term"`
	LastIndex        uint64 `json:"last_index"`
	CommitIndex      uint64 `json:"commit_index"`
	AppliedIndex     uint64 `json:"applied_index"`
	LastOffset       uint64 `json:"last_offset"`
	Segments         uint64 `json:"segments"`
	UnsealedSegments uint64 `json:"unsealed_segments"`
	LogBytes         uint64 `json:"log_bytes"`
	IndexBytes       uint64 `json:"index_bytes"`
}

func (d *Door) status(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	s, err := c.gate.Status(c.who)
	if err != nil {
		return err
	}
	told := status{
		NodeID: s.NodeID, ClusterID: s.ClusterID, Version: s.Version, UptimeSeconds: s.Uptime.Seconds(), Ready: s.Ready,
		Reasons: append([]string{}, s.Reasons...), DiskFreeBytes: s.Disk.Free, DiskFloorBytes: s.Disk.Floor, Topics: s.Topics,
		Shards: make([]shardStatus, len(s.Shards)),
	}
	for i, one := range s.Shards {
		told.Shards[i] = shardOf(one)
	}
	respond(w, http.StatusOK, told)
	return nil
}

func shardOf(s gateway.ShardStatus) shardStatus {
	return shardStatus{
		Shard: s.Shard, History: strconv.FormatUint(s.History, 16), Role: s.Role, Leader: s.Leader, Term: s.Term,
		LastIndex: s.LastIndex, CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex, LastOffset: s.LastOffset,
		Segments: s.Segments, UnsealedSegments: s.UnsealedSegments, LogBytes: s.LogBytes, IndexBytes: s.IndexBytes,
	}
}
