package grpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gesta-db/gesta/internal/errs"
)

// unary wraps every call with generated code: it is traced, fields this version does not know are refused, errors
// are mapped.
func (d *Door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	m, ok := req.(proto.Message)
	if !ok || m.ProtoReflect().Descriptor().ParentFile().Package() != "gesta.v1" {
		resp, err = handle(ctx, req)
		return resp, toStatus(err)
	}
	ctx, span := d.serve(ctx, info.FullMethod)
	if err = checkKnown(m.ProtoReflect(), ""); err == nil {
		resp, err = handle(ctx, req)
	}
	span.End(err)
	return resp, toStatus(err)
}

// checkKnown refuses fields of a newer version: to leave out a condition or a filter in silence would be a wrong answer.
func checkKnown(m protoreflect.Message, path string) error {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		return errUnknownField(path)
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() == nil || f.IsMap() {
			return true
		}
		name := path + string(f.Name())
		if !f.IsList() {
			err = checkKnown(v.Message(), name+".")
			return err == nil
		}
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = checkKnown(v.List().Get(i).Message(), fmt.Sprintf("%s[%d].", name, i))
		}
		return err == nil
	})
	return err
}

func errUnknownField(path string) error {
	where := "the request"
	if path != "" {
		where = path[:len(path)-1]
	}
	return errs.New(errs.Unsupported, "%s has a field that this version does not know; use a newer server", where).With("field", path)
}
