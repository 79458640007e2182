package entitytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/client"
)

type bag struct {
	Items  map[string]int `json:"items"`
	hidden int
}

type put struct {
	Name string `json:"name"`
}

type was struct {
	Name string `json:"name"`
	note string
}

func entity(decide func(*bag, put, *client.About) (client.Decision[was], error)) *client.Entity[*bag, put, was] {
	return &client.Entity[*bag, put, was]{
		Kind: "bag", Decide: decide,
		New: func() *bag { return &bag{Items: map[string]int{}} },
		Fold: func(b *bag, e was) *bag {
			b.Items[e.Name]++
			b.hidden++
			b.Items["noted"] += len(e.note)
			return b
		},
		Commands: client.Commands[put]{"Put": put{}}, Events: client.Events[was]{"Was": {0: was{}}},
	}
}

func sound(b *bag, c put, _ *client.About) (client.Decision[was], error) {
	switch {
	case c.Name == "":
		return client.Decision[was]{}, client.Reject("nameless", "a name is needed")
	case c.Name == "later":
		return client.Decision[was]{}, client.RetryAfter(1, "not now")
	case c.Name == "end":
		return client.Decision[was]{Delete: true}, nil
	}
	return client.Decision[was]{Events: []was{{Name: c.Name}}, Reply: b.Items[c.Name]}, nil
}

func TestSound(t *testing.T) {
	c := For(t, entity(sound)).Given(was{Name: "a"})
	c.When(put{Name: "a"}).Then(was{Name: "a"}).Replies(1).State(&bag{Items: map[string]int{"a": 2, "noted": 0}, hidden: 2}).
		And().When(put{Name: "a"}).Replies(2)
	c.When(put{}).Rejects("nameless")
	c.When(put{Name: "later"}).Retries()
	c.When(put{Name: "end"}).Deletes().And().When(put{Name: "a"}).Replies(0)
	c.Asked(client.About{Key: "k"}).When(put{Name: "b"}).Then(was{Name: "b"})
}

// failing takes what a test would be told.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, values ...any) {
	f.said = fmt.Sprintf(format, values...)
	panic(f)
}

func (f *failing) Fatal(values ...any) {
	f.said = fmt.Sprint(values...)
	panic(f)
}

func TestUnsound(t *testing.T) {
	calls := 0
	accept := func(events ...was) (client.Decision[was], error) { return client.Decision[was]{Events: events}, nil }
	for want, decide := range map[string]func(*bag, put, *client.About) (client.Decision[was], error){
		"Decide changes the state": func(b *bag, _ put, _ *client.About) (client.Decision[was], error) {
			b.Items["x"]++
			return accept()
		},
		"Decide is not deterministic": func(*bag, put, *client.About) (client.Decision[was], error) {
			calls++
			return accept(was{Name: fmt.Sprint(calls)})
		},
		"read from the log": func(b *bag, _ put, _ *client.About) (client.Decision[was], error) {
			return accept(was{Name: fmt.Sprint(b.Items["noted"])})
		},
		"read from a snapshot": func(b *bag, _ put, _ *client.About) (client.Decision[was], error) {
			return accept(was{Name: fmt.Sprint(b.hidden)})
		},
		"Decide panicked: oh": func(*bag, put, *client.About) (client.Decision[was], error) { panic("oh") },
	} {
		told := caught(func(t testing.TB) { For(t, entity(decide)).Given(was{"a", "note"}).When(put{Name: "b"}) })
		if !strings.Contains(told, want) {
			t.Errorf("told is %q, not %q", told, want)
		}
	}
}

func TestExpectations(t *testing.T) {
	for i, wrong := range []func(*Answer[*bag, put, was]){
		func(a *Answer[*bag, put, was]) { a.Then() },
		func(a *Answer[*bag, put, was]) { a.Then(was{Name: "c"}) },
		func(a *Answer[*bag, put, was]) { a.Replies(7) },
		func(a *Answer[*bag, put, was]) { a.Rejects("nameless") },
		func(a *Answer[*bag, put, was]) { a.Retries() },
		func(a *Answer[*bag, put, was]) { a.Deletes() },
		func(a *Answer[*bag, put, was]) { a.State(&bag{}) },
	} {
		if told := caught(func(t testing.TB) { wrong(For(t, entity(sound)).When(put{Name: "b"})) }); told == "" {
			t.Errorf("expectation %d holds", i)
		}
	}
}

// caught gives what a test is told that fails; "" when it does not.
func caught(test func(testing.TB)) (said string) {
	f := &failing{}
	defer func() {
		if v := recover(); v != nil && v != any(f) {
			panic(v)
		}
		said = f.said
	}()
	test(f)
	return ""
}
