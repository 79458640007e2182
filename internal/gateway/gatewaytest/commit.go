package gatewaytest

import (
	"fmt"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
)

// Commit is a commit of one event without data for each stream; a stream is "topic/key".
func Commit(expect event.Expect, streams ...[2]string) *event.Commit {
	c := &event.Commit{}
	for _, s := range streams {
		e := eventwire.Event{ID: nextID(), Type: "Happened"}
		b := eventwire.AppendEvent(nil, &e)
		id, kind, err := eventwire.ViewEvent(b)
		if err != nil {
			panic(fmt.Sprintf("an encoding of ours does not decode: %v", err))
		}
		c.Streams = append(c.Streams, event.Append{Topic: []byte(s[0]), Key: []byte(s[1]), Expect: expect, Events: []event.Prepared{{ID: id, Type: kind, Bytes: b}}})
		c.Bytes += len(b)
	}
	return c
}
