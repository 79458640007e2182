package gateway

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Page sizes of lists.
const (
	DefaultPage = 1_000
	LargestPage = 10_000
)

// TopicInfo is a topic and how much is in it.
type TopicInfo struct {
	Topic
	Events uint64
}

func errUnknownTopic(name string) *errs.Error {
	return errs.New(errs.NotFound, "there is no topic %s", name).With("topic", name)
}

// CreateTopic makes a topic where the layout says; one that is there already is exists.
func (g *Gateway) CreateTopic(ctx context.Context, who Caller, name string, l Layout) (TopicInfo, error) {
	if err := g.manage(who, name); err != nil {
		return TopicInfo{}, err
	}
	if err := g.checkLayout(l); err != nil {
		return TopicInfo{}, err
	}
	created, err := g.ensureTopic(ctx, name, l, false)
	switch {
	case err != nil:
		return TopicInfo{}, err
	case !created:
		return TopicInfo{}, errs.New(errs.Exists, "there is a topic %s already", name).With("topic", name)
	}
	t, ok := g.topics.Topic([]byte(name))
	if !ok {
		return TopicInfo{}, errUnknownTopic(name) // it was deleted at once
	}
	return TopicInfo{Topic: t}, nil // it has no events that anybody was told of
}

// checkLayout refuses what the meta group need not be asked about.
func (g *Gateway) checkLayout(l Layout) error {
	parts := 0
	for _, given := range []bool{len(l.Shards) > 0, l.Partitions != 0, l.Colocate != ""} {
		if given {
			parts++
		}
	}
	switch {
	case parts > 1:
		return errs.New(errs.Invalid, "say once where the topic shall lie: by shards, by partitions or by colocate").With("field", "partitions")
	case l.Partitions < 0 || l.Partitions > g.limits.Shards || len(l.Shards) > g.limits.Shards:
		return errs.New(errs.Invalid, "a topic has 1 to %d partitions", g.limits.Shards).With("field", "partitions")
	case l.Colocate != "":
		return event.CheckTopic(l.Colocate)
	}
	return nil
}

// ensureTopic makes a topic unless there is one. Of several at once one makes it and the others find it.
func (g *Gateway) ensureTopic(ctx context.Context, name string, l Layout, noCreate bool) (created bool, err error) {
	if err := g.names.lock(ctx, name); err != nil {
		return false, err
	}
	defer g.names.unlock(name)
	find := g.topics.Topic
	if noCreate {
		find = func(name []byte) (Topic, bool) { return g.topic(ctx, name) }
	}
	if _, ok := find([]byte(name)); ok {
		return false, nil
	}
	if noCreate {
		return false, errs.New(errs.NotFound, "there is no topic %s; create it with: gesta topics create %s", name, name).With("topic", name)
	}
	created, err = g.topics.EnsureTopic(ctx, name, l)
	if created && g.listener.TopicCreated != nil {
		g.listener.TopicCreated(name)
	}
	return created, err
}

// manage checks what creating and deleting have in common.
func (g *Gateway) manage(who Caller, name string) error {
	if err := g.admitAppend(); err != nil {
		return err
	}
	if err := g.auth.Authorize(who, ActManage, []byte(name)); err != nil {
		return err
	}
	return event.CheckTopic(name)
}

// DescribeTopic tells of one topic.
func (g *Gateway) DescribeTopic(who Caller, name string) (TopicInfo, error) {
	if err := g.auth.Authorize(who, ActInspect, []byte(name)); err != nil {
		return TopicInfo{}, err
	}
	if err := event.CheckTopic(name); err != nil {
		return TopicInfo{}, err
	}
	return g.describe([]byte(name))
}

func (g *Gateway) describe(name []byte) (TopicInfo, error) {
	t, ok := g.topicSoon(name)
	if !ok {
		return TopicInfo{}, errUnknownTopic(string(name))
	}
	events, err := g.topicEvents(&t)
	return TopicInfo{Topic: t, Events: events}, err
}

// topicEvents counts a topic's events in all of its shards.
func (g *Gateway) topicEvents(t *Topic) (sum uint64, err error) {
	name := []byte(t.Name)
	for _, number := range t.Shards() {
		s, err := g.shard(number)
		if err != nil {
			return 0, err
		}
		n, err := s.TopicEvents(name)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// ListTopics lists topics in the order of their names: those with the prefix, after a name. A limit of 0 is DefaultPage.
func (g *Gateway) ListTopics(who Caller, prefix, after string, limit uint32) (topics []TopicInfo, more bool, err error) {
	if err := g.auth.Authorize(who, ActInspect, nil); err != nil {
		return nil, false, err
	}
	n, err := page(limit)
	if err != nil {
		return nil, false, err
	}
	found, more := g.topics.Topics(prefix, after, n)
	for _, t := range found {
		events, err := g.topicEvents(&t)
		if err != nil {
			return nil, false, err
		}
		topics = append(topics, TopicInfo{Topic: t, Events: events})
	}
	return topics, more, nil
}

func page(limit uint32) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit > LargestPage:
		return 0, errs.New(errs.TooLarge, "limit is %d; a page has at most %d", limit, LargestPage).With("field", "limit")
	}
	return int(limit), nil
}

// ListStreams lists a topic's streams in the byte order of their keys.
func (g *Gateway) ListStreams(who Caller, topic, prefix, after string, hasAfter bool, limit uint32) ([]event.StreamHead, bool, error) {
	if err := g.auth.Authorize(who, ActInspect, []byte(topic)); err != nil {
		return nil, false, err
	}
	if err := event.CheckTopic(topic); err != nil {
		return nil, false, err
	}
	n, err := page(limit)
	if err != nil {
		return nil, false, err
	}
	t, ok := g.topicSoon([]byte(topic))
	if !ok {
		return nil, false, errUnknownTopic(topic)
	}
	return g.streams(&t, []byte(prefix), []byte(after), hasAfter, n)
}

// streams merges the lists of a topic's shards: no key is in two. What is behind the end of a list that has more is left for the next
// page: that list may have something before it.
func (g *Gateway) streams(t *Topic, prefix, after []byte, hasAfter bool, limit int) (all []event.StreamHead, more bool, err error) {
	var cut []byte
	for _, number := range t.Shards() {
		s, err := g.shard(number)
		if err != nil {
			return nil, false, err
		}
		list, hasMore, err := s.Streams([]byte(t.Name), prefix, after, hasAfter, limit)
		if err != nil {
			return nil, false, err
		}
		if hasMore && len(list) > 0 {
			if end := list[len(list)-1].Key; !more || bytes.Compare(end, cut) < 0 {
				cut = end
			}
		}
		more = more || hasMore
		all = append(all, list...)
	}
	if len(t.Partitions) == 0 {
		return all, more, nil
	}
	slices.SortFunc(all, func(a, b event.StreamHead) int { return bytes.Compare(a.Key, b.Key) })
	n := len(all)
	if more {
		n, _ = slices.BinarySearchFunc(all, cut, func(s event.StreamHead, cut []byte) int { return bytes.Compare(s.Key, cut) })
		n++ // cut itself is whole
	}
	n = min(n, limit)
	return all[:n], more || n < len(all), nil
}

// DeleteTopic deletes a topic that has no events; any other is conflict. Appends to it that come meanwhile wait, and then make
// it again.
func (g *Gateway) DeleteTopic(ctx context.Context, who Caller, name string) error {
	if err := g.manage(who, name); err != nil {
		return err
	}
	if err := g.names.lock(ctx, name); err != nil {
		return err
	}
	defer g.names.unlock(name)
	t, ok := g.topic(ctx, []byte(name))
	if !ok {
		return errUnknownTopic(name)
	}
	if err := g.settle(ctx, &t); err != nil {
		return err
	}
	if err := g.checkEmpty(&t); err != nil {
		return err
	}
	err := g.topics.DeleteTopic(ctx, name)
	if err == nil && g.listener.TopicDeleted != nil {
		g.listener.TopicDeleted(name)
	}
	return err
}

// settle waits until every append that may have seen the topic before its name was locked has an outcome, and then, since an
// outcome may be that nobody knows, until what was proposed before is applied.
func (g *Gateway) settle(ctx context.Context, t *Topic) error {
	before := g.newStretch()
	if err := before.land(ctx); err != nil {
		return errs.New(errs.Unavailable, "appends are still under way; topic %s was not deleted: %w", t.Name, err)
	}
	g.forgetStretch(before)
	for _, number := range t.Shards() {
		s, err := g.shard(number)
		if err != nil {
			return err
		}
		if _, _, err := s.Head(ctx, []byte(t.Name), nil); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gateway) newStretch() (before *flight) {
	g.order.Lock()
	defer g.order.Unlock()
	before = g.under
	g.under = newFlight(before)
	return before
}

// forgetStretch lets go of a stretch that has landed, unless a later deletion waits for it too and will.
func (g *Gateway) forgetStretch(landed *flight) {
	g.order.Lock()
	defer g.order.Unlock()
	if g.under.before == landed {
		g.under.before = nil
	}
}

// checkEmpty refuses a topic that has events in any of its shards.
func (g *Gateway) checkEmpty(t *Topic) error {
	events, err := g.topicEvents(t)
	if err != nil || events == 0 {
		return err
	}
	return errs.New(errs.Conflict, "topic %s has %d events; only an empty topic can be deleted", t.Name, events).With("topic", t.Name).With("events", fmt.Sprint(events))
}
