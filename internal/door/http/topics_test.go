package http

import (
	"net/http"
	"slices"
	"testing"
)

func TestTopicsAreCreatedWhereTold(t *testing.T) {
	f := open(t)
	put := func(name, body string) answer {
		return f.do("PUT", "/v1/topics/"+name, body, "Content-Type", "application/json")
	}
	for name, body := range map[string]string{"plain": `{}`, "chosen": `{"partitions":1}`, "named": `{"shards":[1]}`} {
		a := put(name, body)
		if made := into[topic](t, a); a.StatusCode != http.StatusCreated || made.Name != name || made.Shard != 1 || !slices.Equal(made.Partitions, []uint32{1}) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if made := into[topic](t, put("with", `{"colocate":"plain"}`)); made.Shard != 1 {
		t.Errorf("%+v", made)
	}
	wantProblem(t, put("plain", `{}`), 409, "exists", "")
	wantProblem(t, put("other", `{"colocate":"nope"}`), 404, "not_found", "colocate")
	wantProblem(t, put("other", `{"colocate":"plain","partitions":2}`), 400, "invalid", "partitions")
	wantProblem(t, put("other", `{"partitions":1000}`), 400, "invalid", "partitions")
	wantProblem(t, put("other", `{"parts":2}`), 400, "invalid", "body")
	wantProblem(t, put("No", `{}`), 400, "invalid", "topic")
	wantProblem(t, f.do("PUT", "/v1/topics/other?x=1", `{}`), 400, "invalid", "x")
	wantProblem(t, f.do("PUT", "/v1/topics/other", `{}`), 415, "invalid", "Content-Type")
}

func TestOrderOfReads(t *testing.T) {
	f := open(t)
	f.must(t, "/v1/topics/a/events", `{"events":[{"type":"T"}]}`)
	for _, order := range []string{"shard", "recorded"} {
		if page, _ := f.page(t, "/v1/topics/a/events?order="+order); len(page.Events) != 1 {
			t.Errorf("%s: %+v", order, page)
		}
	}
	wantProblem(t, f.do("GET", "/v1/topics/a/events?order=time", ""), 400, "invalid", "order")
	wantProblem(t, f.do("GET", "/v1/topics/a/events?order=recorded&follow=true", "", "Accept", "text/event-stream"), 400, "invalid", "order")
}
