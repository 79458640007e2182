package peer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

func nameOf(names chan<- string) func(context.Context, Peer, string, []byte) ([]byte, error) {
	return func(_ context.Context, from Peer, _ string, _ []byte) ([]byte, error) {
		names <- from.Name
		return nil, nil
	}
}

func TestCallsAreAnswered(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.call = func(ctx context.Context, from Peer, method string, body []byte) ([]byte, error) {
		if from.Node != "n1" || from.Incarnation != 1 || !from.Addressed || from.Caller != "ann" || from.Cluster != "c" || from.Addr == "" {
			t.Errorf("from %+v", from)
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the deadline was not passed on")
		}
		return append([]byte(method+" "), body...), nil
	}
	got, err := a.Call(WithCaller(within(t), "ann"), 2, "echo", []byte("hello"))
	if err != nil || string(got) != "echo hello" {
		t.Fatalf("%q %v", got, err)
	}
}

func TestErrorsOfCallsKeepTheirCode(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	for _, row := range errs.Table() {
		b.h.call = func(context.Context, Peer, string, []byte) ([]byte, error) {
			return nil, errs.New(row.Code, "what %s means", row.Code).With("field", "x").With("odd", "\xff")
		}
		_, err := a.Call(within(t), 2, "m", nil)
		if e := wantCode(t, err, row.Code); e.Message != "what "+string(row.Code)+" means" || e.Details["field"] != "x" || e.Details["odd"] != "\uFFFD" {
			t.Errorf("%+v", e)
		}
	}
	b.h.call = func(context.Context, Peer, string, []byte) ([]byte, error) { return nil, errors.New("plain") }
	_, err := a.Call(within(t), 2, "m", nil)
	if e := wantCode(t, err, errs.Internal); e.Message != "plain" {
		t.Errorf("%+v", e)
	}
	b.h.call = func(context.Context, Peer, string, []byte) ([]byte, error) { return make([]byte, largestBody+1), nil }
	_, err = a.Call(within(t), 2, "m", nil)
	wantCode(t, err, errs.TooLarge)
	_, err = a.Call(within(t), 2, "m", make([]byte, largestBody+1))
	wantCode(t, err, errs.TooLarge)
}

func TestCallsTellWhetherTheyMayHaveBeenDone(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	_, err := a.Call(within(t), 9, "m", nil)
	wantCode(t, err, errs.Unavailable)
	began := make(chan struct{}, 2)
	b.h.call = func(ctx context.Context, _ Peer, _ string, _ []byte) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error, 1)
	go func() {
		_, err := a.Call(ctx, 2, "m", nil)
		ended <- err
	}()
	receive(t, began)
	cancel()
	wantCode(t, receive(t, ended), errs.UnknownOutcome)
	go func() {
		_, err := a.Call(within(t), 2, "m", nil)
		ended <- err
	}()
	receive(t, began)
	b.kill(t)
	wantCode(t, receive(t, ended), errs.UnknownOutcome)
	_, err = a.Call(within(t), 2, "m", nil) // nobody listens any more
	wantCode(t, err, errs.Unavailable)
}

func TestCallsByAddressNeedNoCluster(t *testing.T) {
	t.Parallel()
	known := newBook()
	cluster := func(id string) func(*Options) { return func(o *Options) { o.Self.Cluster = id } }
	a, b, c := start(t, known, 1, "", cluster("")), start(t, known, 2, "", cluster("c")), start(t, known, 3, "", cluster("d"))
	b.h.call = func(_ context.Context, from Peer, _ string, _ []byte) ([]byte, error) {
		if from.Addressed {
			t.Error("addressed to nobody in particular")
		}
		return []byte(from.Cluster + "!"), nil
	}
	got, err := a.CallAddr(within(t), b.addr, "probe", nil)
	if err != nil || string(got) != "!" {
		t.Fatalf("%q %v", got, err)
	}
	_, err = c.CallAddr(within(t), b.addr, "probe", nil)
	wantCode(t, err, errs.Forbidden)
	a.SetCluster("c")
	if got, err = a.CallAddr(within(t), b.addr, "probe", nil); err != nil || string(got) != "c!" {
		t.Fatalf("%q %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = a.CallAddr(ctx, "127.0.0.1:1", "probe", nil)
	wantCode(t, err, errs.Unavailable)
}
