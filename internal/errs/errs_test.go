package errs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestEveryCodeHasOneRow(t *testing.T) {
	codes := []Code{Invalid, Unauthenticated, Forbidden, NotFound, Gone, Exists, Conflict, Rejected, TooLarge, Busy, NoSpace,
		Trimmed, NoLeader, Unavailable, UnknownOutcome, Corrupt, Unsupported, Internal}
	if len(Table()) != len(codes) {
		t.Fatalf("%d rows for %d codes", len(Table()), len(codes))
	}
	for i, c := range codes {
		row := RowOf(c)
		if row != Table()[i] {
			t.Errorf("%s: row %+v is not the %d-th", c, row, i)
		}
		if row.GRPC == 0 || row.GRPC > 16 || row.HTTP < 400 || row.HTTP > 599 || row.Exit == 0 || row.Meaning == "" || row.Remedy == "" || row.Retry == "" {
			t.Errorf("%s: an empty or odd row %+v", c, row)
		}
	}
}

func TestRowOfAnUnknownCodeIsInternalsUnderItsName(t *testing.T) {
	row := RowOf("from_the_future")
	if row.Code != "from_the_future" || row.Exit != RowOf(Internal).Exit || RowOf(Internal).Code != Internal {
		t.Fatalf("got %+v", row)
	}
}

func TestCodeSurvivesWrapping(t *testing.T) {
	err := fmt.Errorf("append: %w", New(Conflict, "expected %d", 3).With("actual", "4"))
	if CodeOf(err) != Conflict {
		t.Errorf("code %s", CodeOf(err))
	}
	e := As(err)
	if e.Message != "append: expected 3" || e.Details["actual"] != "4" {
		t.Errorf("got %+v", e)
	}
}

func TestCodeOfWhatHasNone(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, ""},
		{io.EOF, Internal},
		{context.Canceled, Unavailable},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), Unavailable},
		{New(UnknownOutcome, "gone: %w", context.Canceled), UnknownOutcome},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
	if As(nil) != nil {
		t.Error("an error made of nil")
	}
}

func TestNewKeepsWhatItWraps(t *testing.T) {
	if err := New(Corrupt, "read: %w", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("one cause is lost")
	}
	err := New(Corrupt, "read: %w, then %w", io.EOF, io.ErrClosedPipe)
	if !errors.Is(err, io.EOF) || !errors.Is(err, io.ErrClosedPipe) {
		t.Error("one of two causes is lost")
	}
	if New(Corrupt, "plain").Unwrap() != nil {
		t.Error("a cause out of nothing")
	}
}

func TestWithCopies(t *testing.T) {
	plain := New(Invalid, "no")
	one := plain.With("field", "a")
	two := one.With("limit", "b")
	if len(plain.Details) != 0 || len(one.Details) != 1 || len(two.Details) != 2 {
		t.Fatalf("got %v, %v, %v", plain.Details, one.Details, two.Details)
	}
}
