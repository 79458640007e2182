package cli

import (
	"strings"

	"github.com/gesta-db/gesta/client"
)

type topicsCmd struct {
	List     topicsListCmd     `cmd:"" help:"List the topics."`
	Describe topicsDescribeCmd `cmd:"" help:"Tell about one topic."`
	Counts   topicsCountsCmd   `cmd:"" help:"Tell how many events of a topic were recorded over time."`
	Create   topicsCreateCmd   `cmd:"" help:"Create a topic, which the first append would do too."`
	Delete   topicsDeleteCmd   `cmd:"" help:"Delete a topic that has no events."`
}

type topicsListCmd struct {
	remote `embed:""`
	output `embed:""`
	Prefix string `placeholder:"TEXT" help:"Only topics whose name begins with this."`
	Limit  amount `placeholder:"N" help:"At most N topics."`
}

type topicsDescribeCmd struct {
	remote `embed:""`
	output `embed:""`
	Topic  string `arg:"" help:"The topic's name."`
}

type topicsCreateCmd struct {
	remote     `embed:""`
	output     `embed:""`
	Shard      []uint32 `xor:"where" placeholder:"N" help:"On this shard (default 1); several, as 2,3,5, divide the keys among them."`
	Partitions uint32   `xor:"where" placeholder:"N" help:"On N shards, which the cluster chooses: those with the fewest topics."`
	Colocate   string   `xor:"where" placeholder:"TOPIC" help:"Where this topic is, so that streams of the same key share a shard."`
	Topic      string   `arg:"" help:"The new topic's name: a to z, 0 to 9, dot, dash and underscore."`
}

// Help is the long form of gesta topics create --help.
func (topicsCreateCmd) Help() string {
	return `Where a topic is never changes: one that may outgrow a single leader is divided from the start.

Examples:

    gesta topics create audit --shard 2
    gesta topics create orders --partitions 8
    gesta topics create invoices --colocate orders`
}

// where says where the topic is to be.
func (c *topicsCreateCmd) where() (where []client.TopicOption) {
	if len(c.Shard) > 0 {
		where = append(where, client.OnShards(c.Shard...))
	}
	if c.Partitions > 0 {
		where = append(where, client.Partitioned(c.Partitions))
	}
	if c.Colocate != "" {
		where = append(where, client.ColocatedWith(c.Colocate))
	}
	return where
}

type topicsDeleteCmd struct {
	remote `embed:""`
	output `embed:""`
	Topic  string `arg:"" help:"The topic's name."`
}

func (c *topicsListCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	l := newListing(a, c.output, uint64(c.Limit), "topics",
		column{title: "topic", min: 12}, column{title: "events", right: true}, column{title: "shards", right: true}, column{title: "created"})
	for t, err := range server.Topics(a.ctx, c.Prefix) {
		if err != nil {
			return err
		}
		if more, err := l.add(t, topicRow(t)...); !more || err != nil {
			return err
		}
	}
	return l.end("no topics yet; \"gesta append TOPIC/KEY TYPE\" creates one")
}

func topicRow(t client.Topic) []string {
	return []string{t.Name, thousands(t.Events), shardsText(t), timeText(t.Created)}
}

// shardsText lists the shards that a topic is on.
func shardsText(t client.Topic) string {
	if len(t.Partitions) == 0 {
		return number(uint64(t.Shard))
	}
	var list []string
	for _, n := range t.Partitions {
		list = append(list, number(uint64(n)))
	}
	return strings.Join(list, ",")
}

func (c *topicsDescribeCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	t, err := server.Topic(a.ctx, c.Topic)
	if err != nil {
		return a.topicHint(server, c.Topic, err)
	}
	return a.printTopic(c.output, t)
}

func (a *app) printTopic(o output, t client.Topic) error {
	if o.json() {
		return a.printJSON(t)
	}
	return a.facts(o, "topic", t.Name, "events", thousands(t.Events), "shards", shardsText(t), "created", timeText(t.Created))
}

func (c *topicsCreateCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	t, err := server.CreateTopic(a.ctx, c.Topic, c.where()...)
	if err != nil {
		return err
	}
	return a.printTopic(c.output, t)
}

func (c *topicsDeleteCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.DeleteTopic(a.ctx, c.Topic); err != nil {
		return a.topicHint(server, c.Topic, err)
	}
	if c.json() {
		return a.printJSON(deleted{c.Topic, true})
	}
	a.note("deleted topic %s", c.Topic)
	return nil
}

// deleted is what -o json prints.
type deleted struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
}

// mostSuggested bounds how many names are looked through for the one that was meant.
const mostSuggested = 10_000

// topicHint adds the topics that were probably meant to the error about one that does not exist.
func (a *app) topicHint(server *client.Client, topic string, err error) error {
	if client.CodeOf(err) != client.CodeNotFound {
		return err
	}
	var names []string
	for t, failed := range server.Topics(a.ctx, "") {
		if failed != nil || len(names) == mostSuggested {
			break
		}
		if t.Name == topic {
			return err // something else is missing
		}
		names = append(names, t.Name)
	}
	if near := nearest(topic, names); len(near) > 0 {
		return withHint(err, "did you mean "+strings.Join(near, " or ")+"?")
	}
	return withHint(err, `"gesta topics list" lists the topics`)
}

type streamsCmd struct {
	List streamsListCmd `cmd:"" help:"List the streams of a topic, in the order of their keys."`
}

type streamsListCmd struct {
	remote `embed:""`
	output `embed:""`
	Topic  string `arg:"" help:"The topic's name."`
	Prefix string `placeholder:"TEXT" help:"Only streams whose key begins with this."`
	Limit  amount `placeholder:"N" help:"At most N streams."`
}

// streamOf is what -o json prints.
type streamOf struct {
	Topic string `json:"topic"`
	client.Stream
}

func (c *streamsListCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	l := newListing(a, c.output, uint64(c.Limit), "streams",
		column{title: "key", min: 16}, column{title: "revision", right: true}, column{title: "offset", right: true}, column{title: "time"})
	for s, err := range server.Streams(a.ctx, c.Topic, c.Prefix) {
		if err != nil {
			return a.topicHint(server, c.Topic, err)
		}
		if more, err := l.add(streamOf{c.Topic, s}, s.Key, number(s.Revision), number(s.Offset), timeText(s.RecordedTime)); !more || err != nil {
			return err
		}
	}
	return l.end("no streams")
}
