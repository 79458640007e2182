package http

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/jsonwalk"
)

// keyed is a CloudEvent with its subject, which is the key, and its place in the request.
type keyed struct {
	key   string
	event eventwire.Event
	place int
}

// structured reads a body that is one CloudEvent in JSON.
func (q *appendRequest) structured(body []byte) error {
	if len(body) == 0 || body[0] != '{' {
		return refuse("body", "the body must be one CloudEvent: a JSON object")
	}
	one, err := parseCloudEvent(body, "body")
	if err != nil {
		return err
	}
	return q.cloudEvents([]keyed{one})
}

// batch reads a body that is a list of CloudEvents in JSON: one commit.
func (q *appendRequest) batch(body []byte) error {
	list, ok := jsonwalk.List(body)
	if !ok {
		return refuse("body", "the body must be a batch of CloudEvents: a JSON list")
	}
	var events []keyed
	for {
		v, ok := list.Next()
		if !ok {
			break
		}
		field := place(len(events), "")
		if v[0] != '{' {
			return refuse(field, "%s must be a CloudEvent: a JSON object", field)
		}
		one, err := parseCloudEvent(v, field)
		if err != nil {
			return err
		}
		one.place = len(events)
		events = append(events, one)
	}
	return q.cloudEvents(events)
}

func parseCloudEvent(v []byte, field string) (one keyed, err error) {
	if one.key, one.event, err = cloudevents.ParseJSON(v); err != nil {
		return one, refuse(field, "%s is no CloudEvent 1.0: %w", field, err)
	}
	return one, nil
}

// cloudEvents puts events with one subject together, in their order: each subject is a stream of the commit.
func (q *appendRequest) cloudEvents(events []keyed) error {
	var streams [][]keyed
	of := map[string]int{}
	for _, e := range events {
		if q.scope == scopeStream {
			if e.key != "" && e.key != q.path[1] {
				field := "subject"
				if q.form == formBatch {
					field = place(e.place, field)
				}
				return refuse(field, "the subject is %.100q and the path's key is %.100q: leave the subject out, or post to /v1/topics/%s/events", e.key, q.path[1], q.path[0])
			}
			e.key = ""
		}
		i, known := of[e.key]
		if !known {
			i = len(streams)
			of[e.key], streams = i, append(streams, nil)
		}
		streams[i] = append(streams[i], e)
	}
	if len(streams) == 0 {
		return refuse("body", "the body has no event: append at least one")
	}
	if len(streams) > 1 && q.condition.header {
		return refuse("If-Match", "a condition in a header is about one stream, and these events have %d subjects: use /v1/commits", len(streams))
	}
	q.places = streams
	for _, stream := range streams {
		q.cloudStream(stream)
	}
	return nil
}

func (q *appendRequest) cloudStream(events []keyed) {
	q.openStream()
	if q.scope == scopeTopic {
		q.out = appendField(q.out, tagKey, []byte(events[0].key))
	}
	for i := range events {
		var start int
		q.out, start = openMessage(q.out, tagEvents)
		q.out = eventwire.AppendEvent(q.out, &events[i].event)
		q.out = closeMessage(q.out, start)
	}
	q.closeStream()
}

// binary reads a body that is an event's data, with the event's attributes in headers Ce-*: a CloudEvent in binary mode. Of the
// attributes only the type must be there.
func (q *appendRequest) binary(body []byte, h http.Header) error {
	if h.Get("Ce-Type") == "" {
		return refuse("Ce-Type", "there is no header Ce-Type: with Content-Type %.80q the body is an event's data, and Ce-Type names what happened; for the fields in JSON send Content-Type: application/json", h.Get("Content-Type"))
	}
	line, err := attributes(h)
	if err != nil {
		return err
	}
	one, err := parseCloudEvent(line, "Ce-*")
	if err != nil {
		return err
	}
	if len(body) > 0 {
		one.event.Data = body
	}
	return q.cloudEvents([]keyed{one})
}

// attributes makes the CloudEvent without data of which the headers tell.
func attributes(h http.Header) ([]byte, error) {
	line := []byte(`{"specversion":"1.0"`)
	if h.Get("Ce-Source") == "" {
		line = append(line, `,"source":"urn:gesta:unstated"`...) // what package cloudevents takes for none
	}
	if contentType := h.Get("Content-Type"); contentType != "" {
		line = appendQuoted(append(line, `,"datacontenttype":`...), contentType)
	}
	for name, values := range h {
		attr, isAttribute := strings.CutPrefix(name, "Ce-")
		attr = strings.ToLower(attr)
		switch {
		case !isAttribute:
			continue
		case len(values) > 1:
			return nil, refuse(name, "the header %.80q comes twice", name)
		case attr == "specversion" && values[0] != "1.0":
			return nil, refuse(name, "Ce-Specversion is %.40q; only 1.0 is read", values[0])
		case attr == "specversion" || attr == "source" && values[0] == "":
			continue
		case slices.Contains([]string{"data", "data_base64", "datacontenttype"}, attr):
			return nil, refuse(name, "the header %s is none of CloudEvents: the data is the body, its type Content-Type", name)
		}
		value, err := url.PathUnescape(values[0])
		if err != nil {
			return nil, refuse(name, "the header %.80q has a %% that is no encoding of a byte", name)
		}
		line = appendQuoted(append(appendQuoted(append(line, ','), attr), ':'), value)
	}
	return append(line, '}'), nil
}
