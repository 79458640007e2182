package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"reflect"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	typeJSON     = "application/json"
	typeProtobuf = "application/protobuf"
	typeBytes    = "application/octet-stream"
)

// form is how values of one Go type are written and read.
type form struct {
	typ     reflect.Type // of the values
	elem    reflect.Type // what a pointer points to; else typ
	how     notation
	content string
	message protoreflect.MessageDescriptor // of a Protobuf message
}

type notation uint8

const (
	asJSON notation = iota
	asProtobuf
	asBytes
)

var (
	messageType = reflect.TypeFor[proto.Message]()
	rawJSONType = reflect.TypeFor[json.RawMessage]()
)

// formOf tells how values of a type are written; an interface type has no form.
func formOf(t reflect.Type) (form, error) {
	if t == nil || t.Kind() == reflect.Interface {
		return form{}, fmt.Errorf("it is nil or an interface: give a value of the type to read")
	}
	f := form{typ: t, elem: t, content: typeJSON}
	if t.Kind() == reflect.Pointer {
		f.elem = t.Elem()
	}
	switch {
	case t.Implements(messageType):
		f.how, f.content = asProtobuf, typeProtobuf
		f.message = reflect.Zero(t).Interface().(proto.Message).ProtoReflect().Descriptor()
	case t == rawJSONType:
		f.how = asBytes
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		f.how, f.content = asBytes, typeBytes
	case reflect.PointerTo(t).Implements(messageType):
		return f, fmt.Errorf("%v is a Protobuf message: give a pointer to it", t)
	}
	return f, nil
}

// name is the Protobuf message's full name, or "".
func (f *form) name() string {
	if f.message == nil {
		return ""
	}
	return string(f.message.FullName())
}

// append writes a value, which has the form's type.
func (f *form) append(dst []byte, v any) ([]byte, error) {
	switch f.how {
	case asProtobuf:
		return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, v.(proto.Message))
	case asBytes:
		return append(dst, reflect.ValueOf(v).Bytes()...), nil
	}
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

// read reads a value. The value shares no memory with data. Without data it is the type's zero, or a pointer to one.
func (f *form) read(contentType string, data []byte) (any, error) {
	if f.how == asBytes {
		return reflect.ValueOf(bytes.Clone(data)).Convert(f.typ).Interface(), nil
	}
	into := reflect.New(f.elem)
	err := f.fill(contentType, data, into.Interface())
	if err != nil {
		return nil, err
	}
	if f.typ != f.elem {
		return into.Interface(), nil
	}
	return into.Elem().Interface(), nil
}

func (f *form) fill(contentType string, data []byte, into any) error {
	isJSON := contentType == typeJSON || contentType == "" || jsonLike(contentType)
	if f.how == asProtobuf {
		if isJSON && len(data) > 0 {
			return protojson.Unmarshal(data, into.(proto.Message))
		}
		return proto.Unmarshal(data, into.(proto.Message))
	}
	if !isJSON {
		return fmt.Errorf("the content type is %s, where JSON is read", contentType)
	}
	if len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}

// jsonLike tells whether a content type other than the usual one is JSON's.
func jsonLike(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == typeJSON || strings.HasSuffix(media, "+json"))
}
