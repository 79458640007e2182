// Package cloudevents reads and writes events as CloudEvents 1.0 in JSON (structured mode), one a line: what import and
// export speak.
//
// What it promises. ParseJSON of what MarshalJSON wrote gives the same event, byte for byte: same id, content type, data,
// metadata and all, so that what was exported can be imported over itself and changes nothing. Data is never reformatted:
// JSON data stands in the line exactly as its producer wrote it when it has no line breaks, and any other data is carried
// exactly as text or in base64.
//
// How an event becomes a CloudEvent:
//
//	key             subject; left out when empty
//	id, type, time  the same; time is RFC 3339 in UTC with as many digits of the second as it needs
//	source          source; an event without one gets "urn:gesta:unstated", since the attribute is required
//	content type    datacontenttype
//	data            data, when it is JSON, or text of a content type that is not JSON; else data_base64
//	metadata        attributes of the same name; correlation_id is correlationid and causation_id is causationid; entries
//	                whose names cannot be attributes travel together in gestametadata, a JSON object in a string
//	schema version  gestaschemaversion, a number
//	tags            gestatags, a JSON list in a string
//	topic, revision, offset, recorded time
//	                gestatopic, gestarevision, gestaoffset, gestarecorded: written for readers, passed over by ParseJSON,
//	                since a log gives its own
//
// In the other direction an attribute that is not in this table becomes metadata of its name, as text.
//
// It does not know limits or the rules of names; the server checks those.
package cloudevents

import "slices"

// unstated stands for an event without source.
const unstated = "urn:gesta:unstated"

// The attributes with a meaning of their own.
const (
	attrSpecVersion   = "specversion"
	attrID            = "id"
	attrSource        = "source"
	attrType          = "type"
	attrSubject       = "subject"
	attrTime          = "time"
	attrContentType   = "datacontenttype"
	attrData          = "data"
	attrDataBase64    = "data_base64"
	attrSchemaVersion = "gestaschemaversion"
	attrTags          = "gestatags"
	attrMetadata      = "gestametadata"
	attrTopic         = "gestatopic"
	attrRevision      = "gestarevision"
	attrOffset        = "gestaoffset"
	attrRecorded      = "gestarecorded"
)

var reserved = []string{
	attrSpecVersion, attrID, attrSource, attrType, attrSubject, attrTime, attrContentType, attrData, attrDataBase64,
	attrSchemaVersion, attrTags, attrMetadata, attrTopic, attrRevision, attrOffset, attrRecorded,
}

// attribute gives the attribute that carries a metadata entry; ok is false when none can.
func attribute(name string) (attr string, ok bool) {
	switch name {
	case "correlation_id":
		return "correlationid", true
	case "causation_id":
		return "causationid", true
	case "correlationid", "causationid", "":
		return "", false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	return name, !slices.Contains(reserved, name)
}

// metadataName is the other way around.
func metadataName(attr string) string {
	switch attr {
	case "correlationid":
		return "correlation_id"
	case "causationid":
		return "causation_id"
	}
	return attr
}

// isJSON tells whether a content type says that data is JSON; none says so by default.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media := mediaType(contentType)
	return media == "application/json" || media == "text/json" || len(media) > len("+json") && media[len(media)-len("+json"):] == "+json"
}
