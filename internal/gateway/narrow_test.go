package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// asked is a shard that tells what was asked of it.
type asked struct {
	*gatewaytest.Shard
	specs chan event.ReadSpec
}

func (a asked) Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	a.specs <- spec
	return a.Shard.Read(ctx, spec)
}

// A shard that is elsewhere needs a condition's text.
func TestConditionsKeepTheirText(t *testing.T) {
	s, l := asked{gatewaytest.NewShard(), make(chan event.ReadSpec, 1)}, limits.Default()
	g := gateway.New(gateway.Options{Shards: gatewaytest.Only(s), Topics: gatewaytest.NewTopics("a"), Limits: &l})
	spec := event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a")}
	if err := g.Narrow(&spec, gateway.Filter{Where: "revision > 1"}); err != nil {
		t.Fatal(err)
	}
	r, err := g.Read(t.Context(), nobody, 1, spec)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := fmt.Sprint(receive(t, s.specs).Where); got != "revision > 1" {
		t.Error(got)
	}
}

func TestNarrow(t *testing.T) {
	f := open(t, gateway.Options{})
	var spec event.ReadSpec
	err := f.Narrow(&spec, gateway.Filter{Types: []string{"A", "B"}, KeyPrefix: "k", Tags: []string{"x"}, Where: `revision > 1`})
	if err != nil || len(spec.Types) != 2 || string(spec.KeyPrefix) != "k" || len(spec.Tags) != 1 || spec.Where == nil {
		t.Fatalf("%+v %v", spec, err)
	}
	spec = event.ReadSpec{}
	if err := f.Narrow(&spec, gateway.Filter{}); err != nil || spec.Types != nil || spec.Tags != nil || spec.KeyPrefix != nil || spec.Where != nil {
		t.Fatalf("nothing became %+v, %v", spec, err)
	}
	for field, c := range map[string]struct {
		filter gateway.Filter
		code   errs.Code
	}{
		"types":      {gateway.Filter{Types: make([]string, 257)}, errs.TooLarge},
		"tags":       {gateway.Filter{Tags: []string{"a", ""}}, errs.Invalid},
		"key_prefix": {gateway.Filter{KeyPrefix: "\xff"}, errs.Invalid},
		"where":      {gateway.Filter{Where: strings.Repeat(" ", 5000) + "true"}, errs.TooLarge},
	} {
		if err := f.Narrow(&spec, c.filter); errs.CodeOf(err) != c.code || errs.As(err).Details["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// A condition that matches nothing is not held against events that nobody waits for any more, and failures are told.
func TestAConditionEndsWithItsCall(t *testing.T) {
	var failed []error
	f := open(t, gateway.Options{Listener: &gateway.Listener{ReadFailed: func(err error) { failed = append(failed, err) }}}, "a")
	if _, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"})); err != nil {
		t.Fatal(err)
	}
	spec := event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a")}
	if err := f.Narrow(&spec, gateway.Filter{Where: "false"}); err != nil {
		t.Fatal(err)
	}
	r, err := f.Read(t.Context(), nobody, 1, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) || len(failed) != 0 {
		t.Fatalf("%v, told %v", err, failed)
	}
	again, err := f.Read(t.Context(), nobody, 1, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := f.Read(t.Context(), nobody, 2, event.ReadSpec{Scope: event.ScopeAll}); errs.CodeOf(err) != errs.NotFound || len(failed) != 1 {
		t.Fatalf("%v, told %v", err, failed)
	}
}
