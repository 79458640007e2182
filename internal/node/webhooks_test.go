package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// hookServer is the other side of a webhook: it counts.
func hookServer(t *testing.T, busy *atomic.Int32) *httptest.Server {
	type data struct{ By, N int }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Revision uint64
			State    *struct{ Data data }
			Events   []struct{ Data data }
			Commands []struct {
				Name string
				Data data
			}
			WantState bool `json:"want_state"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if busy.Add(-1) >= 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		n := 0
		if q.State != nil {
			n = q.State.Data.N
		}
		for _, e := range q.Events {
			n += e.Data.By
		}
		state := func() map[string]any {
			return map[string]any{"type": "count", "version": 1, "data": map[string]int{"N": n}}
		}
		decisions := []any{}
		for _, c := range q.Commands {
			switch c.Name {
			case "Add":
				n += c.Data.By
				decisions = append(decisions, map[string]any{
					"events": []any{map[string]any{"type": "Added", "data": map[string]int{"By": c.Data.By}}}, "reply": map[string]any{"data": n}, "state": state(),
				})
			case "Refuse":
				w.WriteHeader(http.StatusUnprocessableEntity)
				fmt.Fprint(w, `{"code":"never","message":"no","details":{"why":"so"}}`)
				return
			default:
				http.Error(w, "what?", http.StatusTeapot)
				return
			}
		}
		answer := map[string]any{"decisions": decisions}
		if q.WantState {
			answer["state"] = state()
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

// A handler behind a URL decides as one that attaches does.
func TestWebhook(t *testing.T) {
	var busy atomic.Int32
	hook := hookServer(t, &busy)
	file := filepath.Join(t.TempDir(), "webhooks.json")
	text := fmt.Sprintf(`{"handlers":[{"url":%q,"authorization":"Bearer secret","service":"hook","timeout":"5s","kinds":[{"name":"count","commands":[{"name":"Add"},{"name":"Refuse"},{"name":"Break"}],"events":[{"name":"Added"}],"state":{"name":"count","version":1},"snapshots":{"every":2}}]}]}`, hook.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := testConfig(t, t.TempDir())
	c.Webhooks = file
	n := start(t, c)
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	entities := gestav1.NewEntitiesClient(conn)
	send := func(command, data, id string) (*gestav1.ExecuteResponse, error) {
		return entities.Execute(t.Context(), &gestav1.ExecuteRequest{Kind: "count", Key: "k", Command: command, Id: id, Payload: &gestav1.Payload{Data: []byte(data)}})
	}
	for i, want := range []string{"2", "4", "6", "8", "10"} {
		if i == 3 {
			busy.Store(2) // 503 asks for the command again
		}
		r, err := send("Add", `{"By":2}`, fmt.Sprint("c", i))
		if err != nil || string(r.GetReply().GetData()) != want || r.GetRevision() != uint64(i)+1 {
			t.Fatalf("%v %v", r, err)
		}
	}
	if r, err := send("Add", `{"By":2}`, "c0"); err != nil || !r.GetRepeated() || string(r.GetReply().GetData()) != "2" {
		t.Errorf("%v %v", r, err)
	}
	if _, err := send("Refuse", "{}", ""); status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
	if _, err := send("Break", "{}", ""); status.Code(err) != codes.Internal {
		t.Error(err)
	}
	s, err := entities.State(t.Context(), &gestav1.StateRequest{Kind: "count", Key: "k", Moment: &gestav1.StateRequest_Revision{Revision: 3}})
	if err != nil || string(s.GetState().GetData()) != `{"N":6}` {
		t.Errorf("%v %v", s, err)
	}
}

func TestWebhooksAreChecked(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "{", "no URL": `{"handlers":[{"url":"there"}]}`, "bad timeout": `{"handlers":[{"url":"http://h","timeout":"soon"}]}`,
		"bad kinds": `{"handlers":[{"url":"http://h","kinds":[{"nam":"x"}]}]}`, "too many": `{"handlers":[{"url":"http://h","in_flight":5000}]}`,
	} {
		file := filepath.Join(t.TempDir(), "webhooks.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Config{Webhooks: file}
		if _, err := c.readWebhooks(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	c := Config{Webhooks: "nowhere.json"}
	if _, err := c.readWebhooks(); err == nil {
		t.Error("a file that is not there is taken")
	}
}
