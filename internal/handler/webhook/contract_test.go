package webhook

import (
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gesta-db/gesta/internal/entity"
)

// What is described is what is sent and read: the same names.
func TestContract(t *testing.T) {
	text, err := os.ReadFile("../../../docs/reference/webhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"Data": payload{}, "Request": request{}, "State": state{}, "Recorded": recorded{}, "Command": command{}, "Answer": answer{}, "Decision": decision{},
		"Event": emitted{}, "Reply": reply{}, "Rejection": rejection{}, "Retry": retry{},
	} {
		var names []string
		for f := range fieldsOf(reflect.TypeOf(v)) {
			names = append(names, f)
		}
		slices.Sort(names)
		if described := slices.Sorted(maps.Keys(doc.Components.Schemas[name].Properties)); !slices.Equal(names, described) {
			t.Errorf("%s: %v are described, %v is what there is", name, described, names)
		}
	}
}

// fieldsOf yields the JSON names of a struct's own fields.
func fieldsOf(s reflect.Type) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range s.NumField() {
			name, _, _ := strings.Cut(s.Field(i).Tag.Get("json"), ",")
			if name != "" && !yield(name) {
				return
			}
		}
	}
}

func TestStatuses(t *testing.T) {
	task := &entity.Task{ID: 7, Commands: []*entity.Command{{}, {}}}
	for _, c := range []struct {
		status  int
		text    string
		verdict entity.Verdict
		failed  bool
	}{
		{200, `{"decisions":[{"events":[{"type":"A"}]},{}]}`, entity.Accepted, false},
		{200, `{"decisions":[{"reject":{"code":"c"}},{"failure":"f"}]}`, entity.Rejected, false},
		{200, `{"decisions":[{"failure":"f"},{}]}`, entity.Failed, false},
		{200, `{`, 0, true},
		{422, `{"code":"c","message":"m"}`, entity.Rejected, false},
		{422, `{}`, 0, true},
		{503, ``, entity.Later, false},
		{429, ``, entity.Later, false},
		{500, `oops`, 0, true},
		{301, ``, 0, true},
	} {
		r := understand(task, &http.Response{StatusCode: c.status, Header: http.Header{}}, []byte(c.text))
		if r.TaskID != 7 || r.Failed != c.failed || !c.failed && (len(r.Decisions) != 2 || r.Decisions[0].Verdict != c.verdict) || r.Kept {
			t.Errorf("%d %s: %+v", c.status, c.text, r)
		}
	}
	if r := understand(&entity.Task{WantState: true}, &http.Response{StatusCode: 503, Header: http.Header{}}, nil); !r.Failed {
		t.Errorf("%+v", r)
	}
}
