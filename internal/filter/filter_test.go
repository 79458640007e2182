package filter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
)

var language = New()

// recorded encodes an event as the log keeps it.
func recorded(e eventwire.Recorded) []byte {
	return eventwire.AppendRecorded(nil, eventwire.AppendEvent(nil, &e.Event), e.Offset, e.Revision, []byte(e.Topic), []byte(e.Key), e.RecordedTime.UnixNano())
}

func order() eventwire.Recorded {
	return eventwire.Recorded{
		Event: eventwire.Event{
			ID: "e-1", Type: "OrderPlaced", SchemaVersion: 2, ContentType: "application/json", Source: "/shop", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Data:     []byte(`{"total": 120.5, "paid": true, "customer": {"name": "Ada", "account": 9007199254740993}, "items": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}], "note": null, "big": 18446744073709551615}`),
			Metadata: map[string]string{"actor": "ada", "traceparent": "00-x"}, Tags: []string{"eu", "vip"},
		},
		Offset: 42, Revision: 7, Topic: "orders", Key: "o-7", RecordedTime: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
	}
}

func match(t testing.TB, text string, e eventwire.Recorded) (bool, error) {
	t.Helper()
	x, err := language.Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if x.String() != text {
		t.Errorf("%s became %s", text, x)
	}
	b := recorded(e)
	var v eventwire.View
	if err := eventwire.ViewRecorded(b, &v); err != nil {
		t.Fatal(err)
	}
	return x.Match(b, &v)
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		`type == "OrderPlaced"`: true, `type == "X"`: false, `type != "X"`: true, `id == "e-1"`: true, `topic == "orders" && key == "o-7"`: true,
		`key.startsWith("o-")`: true, `key.matches("^o-[0-9]+$")`: true, `key.matches("^p")`: false, `matches(key, "7")`: true, `key.size() == 3`: true,
		`revision == 7 && offset == 42`: true, `offset > 41.5`: true, `schema_version == 2`: true, `source == "/shop"`: true,
		`content_type == "application/json"`:        true,
		`time == timestamp("2026-01-02T03:04:05Z")`: true, `time < recorded`: true, `recorded - time == duration("1s")`: true, `time.getFullYear() == 2026`: true,
		`"eu" in tags`: true, `"us" in tags`: false, `tags.exists(t, t.startsWith("v"))`: true, `size(tags) == 2`: true,
		`metadata.actor == "ada"`: true, `metadata["actor"] == "ada"`: true, `has(metadata.actor)`: true, `has(metadata.nobody)`: false,
		`data.total > 100`: true, `data.total > 100.0`: true, `data.total > 121`: false, `data.total * 2.0 == 241.0`: true, `data.paid`: true, `!data.paid`: false,
		`data.customer.name == "Ada"`: true, `data.items.exists(i, i.sku == "b" && i.n == 1)`: true, `data.items[0].n == 2`: true, `data.items.size() == 2`: true,
		`data.items.map(i, i.n) == [2, 1]`: true, `data.items.filter(i, i.n > 1).size() == 1`: true, `data.items.all(i, i.n > 0)`: true,
		`data.note == null`: true, `has(data.note)`: true, `has(data.total) && has(data.customer.name)`: true, `has(data.nothing)`: false,
		// A failure does not match, whichever way it is asked, unless the other side decides.
		`data.nothing == 1`: false, `data.nothing != 1`: false, `!(data.nothing == 1)`: false, `data.total == "120.5"`: false, `data.total > "1"`: false,
		`data.nothing == 1 || data.paid`: true, `data.nothing == 1 && data.paid`: false, `data.total`: false, `data.items[9].n == 1`: false, `1 / (revision - 7) == 1`: false,
		// Long numbers stay exact.
		`data.customer.account == 9007199254740993`: true, `data.customer.account == 9007199254740992`: false, `data.big == 18446744073709551615u`: true,
		`data.customer.account > 9007199254740992`: true,
		`true`: true, `false`: false, `type in ["OrderPlaced", "OrderPaid"]`: true, `data.items.exists_one(i, i.sku == "a")`: true,
		`{"a": 1}["a"] == 1`: true, `string(revision) == "7"`: true, `key == 'o-7' ? data.paid : false`: true, `type(data.total) == double`: true,
	} {
		got, err := match(t, text, order())
		if err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestPayloads(t *testing.T) {
	for _, c := range []struct {
		contentType, data, text string
		want                    bool
	}{
		{"", `{"a":1}`, `data.a == 1`, true},
		{"", `not json`, `data == null`, true},
		{"", ``, `data == null`, true},
		{"text/plain", `{"a":1}`, `data == null`, true},
		{"application/json; charset=utf-8", `{"a":1}`, `data.a == 1`, true},
		{"application/vnd.x+json", `{"a":1}`, `data.a == 1`, true},
		{"application/json", `{"a":1} {"a":2}`, `data == null`, true},
		{"application/json", `{"a":12345678901234567890} {}`, `data == null`, true},
		{"application/json", `{"a":`, `has(data.a)`, false},
		{"application/json", `[1,2,3]`, `data[1] == 2`, true},
		{"application/json", `"text"`, `data == "text"`, true},
		{"application/json", `5`, `data == 5`, true},
		{"application/json", `{"a":1e400}`, `data == null`, true},
		{"application/json", `{"a":0.12345678901234567}`, `data.a < 0.2`, true},
		{"application/json", `{"a":-9223372036854775808}`, `data.a == -9223372036854775808`, true},
		{"application/json", `{"a":9223372036854775807}`, `data.a == 9223372036854775807 && data.a != 9223372036854775806`, true},
	} {
		e := order()
		e.ContentType, e.Data = c.contentType, []byte(c.data)
		if got, err := match(t, c.text, e); err != nil || got != c.want {
			t.Errorf("%q %s: %s: %v %v", c.contentType, c.data, c.text, got, err)
		}
	}
}

func TestWithoutTime(t *testing.T) {
	e := order()
	e.Time = time.Time{}
	for text, want := range map[string]bool{`time == null`: true, `time < recorded`: false, `time < recorded || true`: true} {
		if got, err := match(t, text, e); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "leave it out",
		" \n":                             "leave it out",
		"type ==":                         "line 1, column 8",
		"type == \"a\" &&\n  foo":         "line 2, column 3 of the expression: undeclared reference to 'foo'",
		"total > 5":                       "there are id, type",
		"type == 5":                       "column 6 of the expression: found no matching overload",
		"type":                            "gives a value of type string; it must be true or false",
		"revision + 1":                    "must be true or false",
		"tags.exists(t, t == 1)":          "no matching overload",
		"key.matches(data.re)":            "must be written out in quotes",
		"key.matches(\"(\")":              "missing closing )",
		"key.matches(\"a{900}b{900}\")":   "exceeds the limit",
		"time > timestamp(\"yesterday\")": "invalid timestamp",
		"data.a.all(a, a.all(b, b.all(c, c.all(d, d))))":    "nesting",
		strings.Repeat("(", 200) + strings.Repeat(")", 1):   "line 1",
		strings.Repeat("[", 200) + strings.Repeat("]", 200): "line 1",
		"\xff":       "",
		"foo()":      "undeclared reference",
		"type.size(": "column",
	} {
		_, err := language.Compile(text)
		if errs.CodeOf(err) != errs.Invalid || errs.As(err).Details["field"] != "where" || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	if _, err := language.Compile(strings.Repeat("true && ", 1000) + "true"); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("a long one: %v", err)
	}
}

// hostile are expressions and payloads that try to cost more than they should.
func hostile() map[string]struct{ text, data string } {
	list := "[" + strings.Repeat("0,", 250_000) + "0]"
	long := strings.Repeat("a", 500_000)
	both := fmt.Sprintf(`{"l": %s, "s": %q}`, list, long)
	words := `{"l": [` + strings.Repeat(`"aaaaaaaaaaaaaaaa",`, 25_000) + `"b"], "s": "` + long + `"}`
	doubling := strings.Repeat(".map(x, x"+strings.Repeat(" + x", 40)+")", 3)
	return map[string]struct{ text, data string }{
		"square":               {`data.l.all(a, data.l.all(b, a == b))`, both},
		"cube":                 {`data.l.all(a, data.l.all(b, data.l.all(c, a + b + c == 0.0)))`, both},
		"lists that double":    {`[[1]]` + doubling + `.size() == 7`, `{}`},
		"walk of what doubles": {`[[1]].map(x, x` + strings.Repeat(" + x", 60) + `).all(x, x.all(y, y == 1))`, `{}`},
		"texts that double":    {`["aa"]` + doubling + `.size() == 7`, `{}`},
		"equality in a loop":   {`data.l.all(x, data == data)`, both},
		"sizes in a loop":      {`data.l.all(x, size(data.s) > 0)`, both},
		"conversion in a loop": {`data.l.all(x, bytes(data.s) != b"x")`, both},
		"zones in a loop":      {`data.l.all(x, time.getHours("Europe/Berlin") >= 0)`, both},
		"contains in a loop":   {`data.l.all(x, data.s.contains("b") == false)`, both},
		"index in a loop":      {`data.l.all(x, has({"a": 1}.a) && !(data.s in {"a": 1}))`, both},
		"long keys in a loop":  {`data.l.all(x, {"a": 1, data.s: 2}[data.s] == 2)`, both},
		"long key of a map":    {`[{"a": 1, data.s: 2}].all(m, [data.s].all(s, data.l.all(x, m[s] == 2)))`, both},
		"in a list in a loop":  {`data.l.all(x, !(1 in data.l))`, both},
		"list in lists":        {`data.l.all(x, !(data in [data.l, data.l, data.l]))`, both},
		"regex on a long text": {`data.s.matches("(a*)*(a|b)*c")`, both},
		"regex in a loop":      {`data.l.all(x, x.matches("(a+)+$"))`, words},
		"words in a loop":      {`data.l.all(x, data.l.exists(y, y == x))`, words},
		"maps made":            {`data.l.map(x, {"a": x}).map(x, {"b": x}).size() == 1`, both},
		"a deep payload":       {`data == data`, strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)},
	}
}

// TestHostile: whatever is written, and whatever the events hold, an evaluation ends soon, and says so when it was cut off.
func TestHostile(t *testing.T) {
	for name, c := range hostile() {
		e := order()
		e.Data = []byte(c.data)
		began := time.Now()
		got, err := match(t, c.text, e)
		took := time.Since(began)
		if err != nil && errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
		if took > 3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		t.Logf("%-22s %-8v %v %v", name, took.Round(time.Millisecond/10), got, errs.CodeOf(err))
	}
}

// TestHostileText: what is only written to be parsed slowly is refused soon too.
func TestHostileText(t *testing.T) {
	for name, text := range map[string]string{
		"parentheses":  strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000),
		"brackets":     strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + " == []",
		"conditionals": strings.Repeat("true ? true : ", 290) + "true",
		"ors":          strings.Repeat("id == '' || ", 330) + "true",
		"braces":       strings.Repeat("{1:", 1300),
		"dots":         "data" + strings.Repeat(".a", 2000),
		"garbage":      strings.Repeat("@ # ", 1000),
		"minus":        strings.Repeat("-", 4000) + "1",
		"loops":        strings.Repeat("data.all(x, x) && ", 220) + "true",
		"calls":        strings.Repeat("f(", 2000),
	} {
		began := time.Now()
		_, err := language.Compile(text)
		took := time.Since(began)
		t.Logf("%-14s %-8v %.80v", name, took.Round(time.Millisecond/10), err)
		if took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if c := errs.CodeOf(err); err != nil && c != errs.Invalid && c != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStopped: what was cut off names the limit and the event.
func TestStopped(t *testing.T) {
	e := order()
	e.Data = []byte(`{"l": [` + strings.Repeat("1,", 2000) + `1]}`)
	_, err := match(t, `data.l.all(a, data.l.all(b, a == b))`, e)
	told := errs.As(err)
	if err == nil || told.Code != errs.TooLarge || told.Details["limit"] != "where_steps" || !strings.Contains(err.Error(), "offset 42") {
		t.Fatal(err)
	}
}

// TestDecodesWhatIsUsed: broken parts that nobody looks at do no harm, and those that are looked at are told.
func TestDecodesWhatIsUsed(t *testing.T) {
	v := eventwire.View{Event: []byte{0xff}, ID: []byte("1"), Type: []byte("T"), Offset: 3}
	for text, broken := range map[string]bool{`type == "T"`: false, `type == "X" && data.a == 1`: false, `size(tags) == 0`: true} {
		x, err := language.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = x.Match(nil, &v); (errs.CodeOf(err) == errs.Corrupt) != broken {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestKeepsNothing: the memory of an event may change when Match has returned.
func TestKeepsNothing(t *testing.T) {
	x, err := language.Compile(`data.a == "x" && key == "k" && "t" in tags && metadata.m == "1"`)
	if err != nil {
		t.Fatal(err)
	}
	var v eventwire.View
	for range 3 {
		b := recorded(eventwire.Recorded{Event: eventwire.Event{ID: "1", Type: "T", Data: []byte(`{"a":"x"}`), Tags: []string{"t"}, Metadata: map[string]string{"m": "1"}}, Offset: 1, Revision: 1, Topic: "o", Key: "k"})
		if err := eventwire.ViewRecorded(b, &v); err != nil {
			t.Fatal(err)
		}
		if ok, err := x.Match(b, &v); !ok || err != nil {
			t.Fatal(ok, err)
		}
		clear(b)
	}
	if x.vars.view != nil || x.vars.event.Data != nil || x.vars.data != nil {
		t.Error("the event is kept")
	}
}

// FuzzCompile: whatever is written either does not compile, with a code, or ends when it is evaluated, without a failure of ours.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{`type == "a" && data.total > 100`, `data.items.exists(i, i.n > 1)`, `tags.map(t, t + t).size() > 1`, `key.matches("a+")`, `{"a": [1u, b"x"]}`, `time.getHours("UTC") == 1`} {
		f.Add(text, `{"total": 120, "items": [{"n": 2}]}`)
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		x, err := language.Compile(text)
		if err != nil {
			if c := errs.CodeOf(err); c != errs.Invalid && c != errs.TooLarge {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		e := order()
		e.Data = []byte(data)
		b := recorded(e)
		var v eventwire.View
		if err := eventwire.ViewRecorded(b, &v); err != nil {
			t.Fatal(err)
		}
		first, err := x.Match(b, &v)
		if err != nil && errs.CodeOf(err) != errs.TooLarge {
			t.Fatalf("%q: %v", text, err)
		}
		if again, _ := x.Match(b, &v); err == nil && again != first {
			t.Fatalf("%q: %v, then %v", text, first, again)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := language.Compile(`type == "OrderPlaced" && data.total > 100`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for name, text := range map[string]string{
		"envelope": `type == "OrderPaid" && key.startsWith("o-")`,
		"tags":     `"us" in tags`,
		"payload":  `data.total > 1000`,
		"late":     `type == "OrderPaid" && data.total > 1000`,
		"loop":     `data.items.exists(i, i.sku == "z")`,
	} {
		b.Run(name, func(b *testing.B) {
			x, err := language.Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			encoded := recorded(order())
			var v eventwire.View
			if err := eventwire.ViewRecorded(encoded, &v); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := x.Match(encoded, &v); ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
