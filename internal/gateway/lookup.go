package gateway

import (
	"context"
	"time"
)

// refreshWait bounds how long a look-up without a context waits for what other nodes have changed.
const refreshWait = 2 * time.Second

// topic looks a topic up. One that is not known here may have been made through another node a moment ago: before that is denied, what
// was changed anywhere before the question is waited for.
func (g *Gateway) topic(ctx context.Context, name []byte) (Topic, bool) {
	t, ok := g.topics.Topic(name)
	if ok || g.topics.Refresh(ctx) != nil {
		return t, ok
	}
	return g.topics.Topic(name)
}

// topicSoon is topic for who has no context.
func (g *Gateway) topicSoon(name []byte) (Topic, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), refreshWait)
	defer cancel()
	return g.topic(ctx, name)
}
