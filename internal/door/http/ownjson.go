package http

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/jsonwalk"
	"github.com/gesta-db/gesta/internal/errs"
)

// ownRequest reads the door's own JSON and appends its streams to q.wire. The body of a commit is
//
//	{"streams": [{"topic", "key", "expectation", "events"}], "command_id", "no_create"}
//
// that of an append to a topic or stream has the members of its one stream in place of "streams", without those that are in the
// path.
func (q *appendRequest) ownRequest(body []byte) error {
	w, ok := jsonwalk.Object(body)
	if !ok {
		return refuse("body", "the body must be a JSON object")
	}
	if q.scope == scopeCommit {
		return q.ownCommit(w)
	}
	q.openStream()
	if err := q.ownStream(w, q.scope.allows()); err != nil {
		return err
	}
	q.closeStream()
	return nil
}

func (q *appendRequest) ownCommit(w jsonwalk.Members) error {
	seen := members(0)
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		m := memberOf(unquoteName(name)) & (memberStreams | memberCommandID | memberNoCreate)
		if err := q.admit(&seen, m, name); err != nil {
			return err
		}
		if isNull(value) {
			continue
		}
		if m != memberStreams {
			if err := q.ownOption(m, value); err != nil {
				return err
			}
			continue
		}
		if err := q.ownStreams(value); err != nil {
			return err
		}
	}
	return nil
}

func (q *appendRequest) ownStreams(v []byte) error {
	list, ok := jsonwalk.List(v)
	if !ok {
		return refuse("streams", "streams must be a list")
	}
	for q.stream = 0; ; q.stream++ {
		one, ok := list.Next()
		if !ok {
			q.stream = -1
			return nil
		}
		w, ok := jsonwalk.Object(one)
		if !ok {
			return q.refuse("", "must be an object")
		}
		q.openStream()
		if err := q.ownStream(w, memberTopic|memberKey|memberExpectation|memberEvents); err != nil {
			return err
		}
		q.closeStream()
	}
}

// ownStream reads the members of one stream, and of the request where they stand beside them.
func (q *appendRequest) ownStream(w jsonwalk.Members, allowed members) error {
	seen := members(0)
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		m := memberOf(unquoteName(name)) & allowed
		if err := q.admit(&seen, m, name); err != nil {
			return err
		}
		if isNull(value) {
			continue
		}
		if err := q.ownMember(m, value); err != nil {
			return err
		}
	}
	return nil
}

func (q *appendRequest) ownMember(m members, value []byte) error {
	switch m {
	case memberTopic:
		return q.ownText(tagTopic, "topic", value)
	case memberKey:
		return q.ownText(tagKey, "key", value)
	case memberExpectation:
		x, ok := parseExpectation(value)
		if !ok {
			return q.refuse("expectation", `is %.60s; use a revision, "any", "none" or "exists"`, value)
		}
		if q.condition.given {
			return q.refuse("expectation", "is given beside If-Match or If-None-Match: give one of them")
		}
		q.out = x.append(q.out)
		return nil
	case memberEvents:
		return q.ownEvents(value)
	}
	return q.ownOption(m, value)
}

// ownOption reads what concerns the whole request.
func (q *appendRequest) ownOption(m members, value []byte) error {
	if m == memberCommandID {
		if !isString(value) {
			return refuse("command_id", "command_id must be a string")
		}
		return q.setCommand("command_id", unquote(value))
	}
	create, err := strconv.ParseBool(string(value))
	if err != nil || len(value) < len("true") {
		return refuse("no_create", "no_create must be true or false")
	}
	q.noCreate = q.noCreate || create
	return nil
}

func (q *appendRequest) ownText(tag byte, name string, value []byte) error {
	if !isString(value) {
		return q.refuse(name, "must be a string, not %.60s", value)
	}
	q.out = appendField(q.out, tag, unquote(value))
	return nil
}

func (q *appendRequest) ownEvents(v []byte) error {
	list, ok := jsonwalk.List(v)
	if !ok {
		return q.refuse("events", "must be a list")
	}
	for q.event = 0; ; q.event++ {
		one, ok := list.Next()
		if !ok {
			q.event = -1
			return nil
		}
		w, ok := jsonwalk.Object(one)
		if !ok {
			return q.refuse("", "must be an object")
		}
		var start int
		q.out, start = openMessage(q.out, tagEvents)
		if err := q.ownEvent(w); err != nil {
			return err
		}
		q.out = closeMessage(q.out, start)
	}
}

func (q *appendRequest) ownEvent(w jsonwalk.Members) error {
	var data, contentType []byte
	seen := members(0)
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		m := memberOf(unquoteName(name)) & membersOfEvent
		if err := q.admit(&seen, m, name); err != nil {
			return err
		}
		if m == memberData {
			data = value
			continue
		}
		if isNull(value) {
			seen &^= m
			continue
		}
		if m == memberContentType && isString(value) {
			contentType = unquote(value)
		}
		if err := q.ownEventMember(m, value); err != nil {
			return err
		}
	}
	if seen&(memberData|memberDataBase64) == memberData|memberDataBase64 {
		return q.refuse("data_base64", "is given beside data: give one of them")
	}
	if data != nil {
		q.out = appendField(q.out, tagData, dataBytes(data, contentType))
	}
	return nil
}

// dataBytes gives what the member data means: its bytes as they stand in the body, or the text of a string whose content type
// says that it is not JSON.
func dataBytes(data, contentType []byte) []byte {
	if isString(data) && !isJSONType(string(contentType)) {
		return unquote(data)
	}
	return data
}

// isJSONType tells whether a content type says that data is JSON; none says so by default.
func isJSONType(contentType string) bool {
	if contentType == "" {
		return true
	}
	media := mediaType(contentType)
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func (q *appendRequest) ownEventMember(m members, v []byte) error {
	switch m {
	case memberID:
		return q.ownText(tagID, "id", v)
	case memberType:
		return q.ownText(tagType, "type", v)
	case memberContentType:
		return q.ownText(tagContentType, "content_type", v)
	case memberSource:
		return q.ownText(tagSource, "source", v)
	case memberSchemaVersion:
		version, err := strconv.ParseUint(string(v), 10, 32)
		if err != nil {
			return q.refuse("schema_version", "is %.40s; it must be a whole number from 0 to 4294967295", v)
		}
		q.out = appendNumber(q.out, tagSchemaVersion, version)
		return nil
	case memberTime:
		return q.ownTime(v)
	case memberMetadata:
		return q.ownMetadata(v)
	case memberTags:
		return q.ownTags(v)
	}
	return q.ownBase64(v)
}

func (q *appendRequest) ownTime(v []byte) error {
	if !isString(v) {
		return q.refuse("time", "must be a string like 2006-01-02T15:04:05Z")
	}
	t, err := time.Parse(time.RFC3339Nano, string(unquote(v)))
	if err != nil {
		return q.refuse("time", "is %.60s; it must be RFC 3339, like 2006-01-02T15:04:05Z", v)
	}
	q.out = appendTimestamp(q.out, t)
	return nil
}

func (q *appendRequest) ownBase64(v []byte) error {
	if !isString(v) {
		return q.refuse("data_base64", "must be a string")
	}
	var start int
	q.out, start = openMessage(q.out, tagData)
	out, err := base64.StdEncoding.AppendDecode(q.out, unquote(v))
	if err != nil {
		return q.refuse("data_base64", "is not base64 (the standard alphabet, with padding): %w", err)
	}
	q.out = closeMessage(out, start)
	return nil
}

func (q *appendRequest) ownMetadata(v []byte) error {
	w, ok := jsonwalk.Object(v)
	if !ok {
		return q.refuse("metadata", "must be an object of strings")
	}
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		if !isString(value) {
			return q.refuse("metadata", "has the entry %.80q that is not a string", name)
		}
		q.out = appendPair(q.out, unquoteName(name), unquote(value))
	}
	return nil
}

func (q *appendRequest) ownTags(v []byte) error {
	list, ok := jsonwalk.List(v)
	if !ok {
		return q.refuse("tags", "must be a list of strings")
	}
	for i := 0; ; i++ {
		tag, ok := list.Next()
		if !ok {
			return nil
		}
		if !isString(tag) {
			return q.refuse("tags["+strconv.Itoa(i)+"]", "must be a string")
		}
		q.out = appendField(q.out, tagTag, unquote(tag))
	}
}

// members is a set of the names that bodies have.
type members uint32

const (
	memberStreams members = 1 << iota
	memberCommandID
	memberNoCreate
	memberTopic
	memberKey
	memberExpectation
	memberEvents
	memberID
	memberType
	memberSchemaVersion
	memberContentType
	memberData
	memberDataBase64
	memberTime
	memberSource
	memberMetadata
	memberTags

	membersOfEvent = memberID | memberType | memberSchemaVersion | memberContentType | memberData | memberDataBase64 | memberTime |
		memberSource | memberMetadata | memberTags
)

func memberOf(name []byte) members {
	switch string(name) {
	case "streams":
		return memberStreams
	case "command_id":
		return memberCommandID
	case "no_create":
		return memberNoCreate
	case "topic":
		return memberTopic
	case "key":
		return memberKey
	case "expectation":
		return memberExpectation
	case "events":
		return memberEvents
	case "id":
		return memberID
	case "type":
		return memberType
	case "schema_version":
		return memberSchemaVersion
	case "content_type":
		return memberContentType
	case "data":
		return memberData
	case "data_base64":
		return memberDataBase64
	case "time":
		return memberTime
	case "source":
		return memberSource
	case "metadata":
		return memberMetadata
	case "tags":
		return memberTags
	}
	return 0
}

// admit refuses a member that does not belong there (m is 0), or comes twice.
func (q *appendRequest) admit(seen *members, m members, name []byte) error {
	switch {
	case m == 0:
		return q.refuse(shown(name), "is not a field here: see /docs for those that are")
	case *seen&m != 0:
		return q.refuse(shown(name), "comes twice")
	}
	*seen |= m
	return nil
}

// shown is a name from a body as it may stand in an error.
func shown(name []byte) string {
	const most = 80
	name = unquoteName(name)
	return strings.ToValidUTF8(string(name[:min(len(name), most)]), "")
}

// refuse names the field at which the reading is, as package event does.
func (q *appendRequest) refuse(name, format string, args ...any) error {
	field := q.at(name)
	return errs.New(errs.Invalid, "%s "+format, append([]any{field}, args...)...).With("field", field)
}
