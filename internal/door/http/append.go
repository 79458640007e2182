package http

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// scope says how much of what is appended the path names.
type scope uint8

const (
	scopeStream scope = iota
	scopeTopic
	scopeCommit
)

// allows gives the members that a body has beside the path.
func (s scope) allows() members {
	if s == scopeStream {
		return memberExpectation | memberEvents | memberCommandID | memberNoCreate
	}
	return memberKey | memberExpectation | memberEvents | memberCommandID | memberNoCreate
}

// The content types with a meaning of their own; a body of any other is data.
const (
	typeJSON       = "application/json"
	typeCloudEvent = "application/cloudevents+json"
	typeCloudBatch = "application/cloudevents-batch+json"
)

// form is how a body says what to append.
type form uint8

const (
	formOwn form = iota
	formStructured
	formBatch
	formBinary
)

// appendRequest is a request to append, on its way from a body to the wire encoding of gesta.v1.AppendRequest.
type appendRequest struct {
	*call
	scope     scope
	form      form
	condition condition // of the headers
	command   []byte
	noCreate  bool
	out       []byte
	open      int // where the stream that is written began

	// Where the reading is, for naming fields; -1: not in a stream, or event.
	stream, event int
	// places are the CloudEvents of each stream, for naming them by their place in the request.
	places [][]keyed
}

func (d *Door) appendStream(w http.ResponseWriter, c *call) error { return d.append(w, c, scopeStream) }
func (d *Door) appendTopic(w http.ResponseWriter, c *call) error  { return d.append(w, c, scopeTopic) }
func (d *Door) appendCommit(w http.ResponseWriter, c *call) error { return d.append(w, c, scopeCommit) }

func (d *Door) append(w http.ResponseWriter, c *call, s scope) error {
	memory := newScratch()
	defer memory.free()
	q := appendRequest{call: c, scope: s, out: memory.out[:0], event: -1}
	if s == scopeCommit {
		q.stream = -1
	}
	done, err := d.readBody(w, c, memory)
	if err != nil {
		return err
	}
	defer done()
	commit, err := q.decode(memory.in)
	memory.out = q.out
	if err != nil {
		return q.renamed(err)
	}
	outcome, created, err := c.gate.Append(c.Context(), c.who, commit)
	if err != nil {
		if q.condition.header && errs.CodeOf(err) == errs.Conflict {
			return as(http.StatusPreconditionFailed, "the precondition failed", err)
		}
		return err
	}
	memory.out = answerAppend(w, memory.out[:0], commit, &outcome, created)
	return nil
}

// decode makes the commit: from the body to the wire encoding, and from there as every door does.
func (q *appendRequest) decode(body []byte) (*event.Commit, error) {
	if err := q.headers(); err != nil {
		return nil, err
	}
	if err := q.read(body); err != nil {
		return nil, err
	}
	if len(q.command) > 0 {
		q.out = appendField(q.out, tagCommandID, q.command)
	}
	if q.noCreate {
		q.out = appendNumber(q.out, tagNoCreate, 1)
	}
	return event.DecodeTraced(q.out, q.gate.Limits(), rand.Text, q.Header.Get("Traceparent"))
}

func (q *appendRequest) headers() (err error) {
	if q.condition, err = headerCondition(q.Header); err != nil {
		return err
	}
	if q.scope == scopeCommit && q.condition.given {
		return refuse("If-Match", "a condition in a header is about one stream: put each stream's expectation into the body")
	}
	if q.URL.RawQuery != "" {
		values, err := parseQuery(q.Request, "no_create")
		if err != nil {
			return err
		}
		if q.noCreate, err = values.boolean("no_create", false); err != nil {
			return err
		}
	}
	q.form, err = q.formOf()
	if err == nil && len(q.Header["Idempotency-Key"]) > 0 {
		err = q.setIdempotencyKey()
	}
	return err
}

// formOf tells from the headers how to read the body.
func (q *appendRequest) formOf() (form, error) {
	f := formBinary
	switch contentType := q.Header.Get("Content-Type"); mediaType(contentType) {
	case typeCloudEvent:
		f = formStructured
	case typeCloudBatch:
		f = formBatch
	case typeJSON:
		if _, isData := q.Header["Ce-Type"]; !isData {
			f = formOwn
		}
	}
	if err := encoded(q.Header); err != nil {
		return f, err
	}
	if q.scope == scopeCommit && f != formOwn {
		return f, as(http.StatusUnsupportedMediaType, "unsupported media type", refuse("Content-Type", "Content-Type is %.80q; a commit is %s", q.Header.Get("Content-Type"), typeJSON))
	}
	return f, nil
}

// encoded refuses bodies that are not sent as they are.
func encoded(h http.Header) error {
	encoding := h.Get("Content-Encoding")
	if encoding == "" || encoding == "identity" {
		return nil
	}
	return as(http.StatusUnsupportedMediaType, "unsupported media type", refuse("Content-Encoding", "Content-Encoding is %.40q; send the body as it is", encoding))
}

func (q *appendRequest) setIdempotencyKey() error {
	key, err := idempotencyKey(q.Header)
	if err != nil {
		return err
	}
	return q.setCommand("Idempotency-Key", []byte(key))
}

func (q *appendRequest) setCommand(field string, id []byte) error {
	if len(q.command) > 0 && string(q.command) != string(id) {
		return refuse(field, "Idempotency-Key and command_id differ: give one of them")
	}
	q.command = id
	return nil
}

func (q *appendRequest) read(body []byte) error {
	if q.form == formBinary {
		return q.binary(body, q.Header)
	}
	body, err := checkJSON(body)
	if err != nil {
		return err
	}
	switch q.form {
	case formStructured:
		return q.structured(body)
	case formBatch:
		return q.batch(body)
	default:
		return q.ownRequest(body)
	}
}

// openStream begins a stream with what path and headers say of it.
func (q *appendRequest) openStream() {
	q.out, q.open = openMessage(q.out, tagStreams)
	if q.scope == scopeCommit {
		return
	}
	q.out = append(protowire.AppendVarint(append(q.out, tagTopic), uint64(len(q.path[0]))), q.path[0]...)
	if q.scope == scopeStream {
		q.out = append(protowire.AppendVarint(append(q.out, tagKey), uint64(len(q.path[1]))), q.path[1]...)
	}
	q.out = q.condition.append(q.out)
}

func (q *appendRequest) closeStream() { q.out = closeMessage(q.out, q.open) }

// at names a field of where the reading is, as package event does.
func (q *appendRequest) at(name string) string {
	var path string
	if q.stream >= 0 {
		path = "streams[" + strconv.Itoa(q.stream) + "]"
	}
	if q.event >= 0 {
		path += ".events[" + strconv.Itoa(q.event) + "]"
	}
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "." + name
}

// renamed makes an error about a field of gesta.v1.AppendRequest one about that of the body.
func (q *appendRequest) renamed(err error) error {
	e := errs.As(err)
	field := e.Details["field"]
	name := q.nameOf(field)
	if name == field || q.form == formOwn && q.scope == scopeCommit {
		return err
	}
	told := e.With("field", name)
	if rest, named := strings.CutPrefix(e.Message, field); named {
		told.Message = name + rest
	}
	return told
}

func (q *appendRequest) nameOf(field string) string {
	rest, inStream := strings.CutPrefix(field, "streams[")
	if !inStream {
		if field == "streams" && q.scope != scopeCommit {
			return "body"
		}
		return field
	}
	number, rest, _ := strings.Cut(rest, "]")
	stream, _ := strconv.Atoi(number)
	name := strings.TrimPrefix(rest, ".")
	if q.form == formOwn {
		return orBody(name)
	}
	return q.cloudName(stream, name)
}

// cloudName names a stream's field by the CloudEvent that it is of.
func (q *appendRequest) cloudName(stream int, name string) string {
	var eventAt int
	if _, err := fmt.Sscanf(name, "events[%d]", &eventAt); err == nil {
		_, name, _ = strings.Cut(name, "]")
		name = strings.TrimPrefix(name, ".")
	}
	if stream >= len(q.places) || eventAt >= len(q.places[stream]) {
		return orBody(name)
	}
	at := q.places[stream][eventAt].place
	if attr, ok := cloudAttributes[name]; ok && (name != "key" || q.scope == scopeTopic) {
		name = attr
	}
	switch {
	case q.form == formBatch && name != "topic" && name != "key":
		return place(at, name)
	case q.form == formBinary && name == "datacontenttype":
		return "Content-Type"
	case q.form == formBinary && (name == "data" || name == ""):
		return "body"
	case q.form == formBinary && name != "topic" && name != "key":
		return "Ce-" + strings.ToUpper(name[:1]) + name[1:]
	}
	return orBody(name)
}

var cloudAttributes = map[string]string{"content_type": "datacontenttype", "schema_version": "gestaschemaversion", "key": "subject"}

// place names an attribute of a batch's event.
func place(i int, name string) string {
	field := "[" + strconv.Itoa(i) + "]"
	if name != "" {
		field += "." + name
	}
	return field
}

func orBody(name string) string {
	if name == "" {
		return "body"
	}
	return name
}

var jsonHeader = []string{typeJSON}

// answerAppend tells where the commit is. It gives back dst.
func answerAppend(w http.ResponseWriter, dst []byte, commit *event.Commit, o *event.Outcome, created []string) []byte {
	dst = append(dst, `{"streams":[`...)
	for i := range commit.Streams {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendOutcome(dst, &commit.Streams[i], &o.Streams[i])
	}
	dst = append(dst, `],"position":"`...)
	dst = o.Position.Append(dst)
	dst = strconv.AppendBool(append(dst, `","repeated":`...), o.Repeated)
	for i, name := range created {
		if i == 0 {
			dst = append(dst, `,"created_topics":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, name)
	}
	if len(created) > 0 {
		dst = append(dst, ']')
	}
	dst = append(dst, "}\n"...)
	h := w.Header()
	h["Content-Type"] = jsonHeader
	status := http.StatusCreated
	if o.Repeated {
		status = http.StatusOK
	}
	if len(commit.Streams) == 1 {
		s := &o.Streams[0]
		h["Etag"] = []string{etag(s.LastRevision)}
		h["Location"] = []string{streamPath(commit.Streams[0].Topic, commit.Streams[0].Key) + "?from=" + strconv.FormatUint(s.FirstRevision, 10)}
	}
	w.WriteHeader(status)
	_, _ = w.Write(dst) // what fails here is the connection
	return dst
}

func streamPath(topic, key []byte) string {
	escaped := url.PathEscape(string(key))
	if escaped == "." || escaped == ".." {
		escaped = strings.ReplaceAll(escaped, ".", "%2E") // else clients would take it for a step in the path
	}
	return "/v1/streams/" + string(topic) + "/" + escaped + "/events"
}

func appendOutcome(dst []byte, s *event.Append, o *event.StreamOutcome) []byte {
	dst = appendQuoted(append(dst, `{"topic":`...), string(s.Topic))
	dst = appendQuoted(append(dst, `,"key":`...), string(s.Key))
	dst = strconv.AppendUint(append(dst, `,"first_revision":`...), o.FirstRevision, 10)
	dst = strconv.AppendUint(append(dst, `,"last_revision":`...), o.LastRevision, 10)
	dst = strconv.AppendUint(append(dst, `,"first_offset":`...), o.FirstOffset, 10)
	dst = strconv.AppendUint(append(dst, `,"last_offset":`...), o.LastOffset, 10)
	return append(dst, '}')
}
