package peer

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

// largestText keeps an error's parts fit for a header.
const largestText = 4096

// toStatus puts an error on the wire, with its code, message and details.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		if _, ok := status.FromError(err); ok {
			return err // the transport's own
		}
	}
	e = errs.As(err)
	info := &errdetails.ErrorInfo{Reason: string(e.Code), Domain: domain, Metadata: map[string]string{}}
	for k, v := range e.Details {
		info.Metadata[sentence(k)] = sentence(v)
	}
	detailed, err := status.New(codes.Code(errs.RowOf(e.Code).GRPC), sentence(e.Message)).WithDetails(info)
	if err != nil {
		panic(fmt.Sprintf("ErrorInfo does not encode: %v", err)) // it holds nothing but valid strings
	}
	return detailed.Err()
}

// fromStatus gives the error that toStatus put on the wire; ok is false when the error is the transport's own.
func fromStatus(err error) (e *errs.Error, ok bool) {
	s, isStatus := status.FromError(err)
	if !isStatus {
		return nil, false
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return failure(info.GetReason(), s.Message(), info.GetMetadata()), true
		}
	}
	return nil, false
}

// failure is an error as a peer told it.
func failure(code, message string, details map[string]string) *errs.Error {
	e := &errs.Error{Code: errs.Code(code), Message: message}
	if len(details) > 0 {
		e.Details = details
	}
	if code == "" {
		e.Code = errs.Internal
	}
	return e
}

// broken gives what a peer said, or an error of code c for a connection that failed.
func broken(err error, c errs.Code, format string, args ...any) error {
	if e, ok := fromStatus(err); ok {
		return e
	}
	return errs.New(c, format+": %w", append(args, plain(err))...)
}

// plain is a transport's error without the wrapping of gRPC's text.
func plain(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}

// sentence makes any text fit for a protobuf string in a header: valid UTF-8 and not too long.
func sentence(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= largestText {
		return s
	}
	cut := largestText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
