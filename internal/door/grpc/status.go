package grpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gesta-db/gesta/internal/errs"
)

// domain says whose reasons the codes are.
const domain = "gesta"

// largestMessage keeps a status below the 8 KiB of headers that some clients accept.
const largestMessage = 2048

// toStatus is the one place where an error of ours becomes gRPC's.
func toStatus(err error) error {
	var e *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return statusOf(errs.As(err))
	case isStatus(err):
		return err // of the health or reflection service, or of the transport
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return statusOf(errs.As(err))
}

func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

func statusOf(e *errs.Error) error {
	plain := status.New(codes.Code(errs.RowOf(e.Code).GRPC), sentence(e.Message))
	info := &errdetails.ErrorInfo{Reason: string(e.Code), Domain: domain, Metadata: map[string]string{}}
	for k, v := range e.Details {
		info.Metadata[sentence(k)] = sentence(v)
	}
	detailed, err := plain.WithDetails(info)
	if err != nil {
		panic(fmt.Sprintf("ErrorInfo does not encode: %v", err)) // it holds nothing but valid strings
	}
	return detailed.Err()
}

// sentence makes any text fit for a protobuf string in a header: valid UTF-8 and not too long.
func sentence(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= largestMessage {
		return s
	}
	cut := largestMessage
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
