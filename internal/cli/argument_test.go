package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

func TestTarget(t *testing.T) {
	for given, want := range map[string]target{
		"orders":      {"orders", "", false},
		"orders/":     {"orders", "", true},
		"orders/42":   {"orders", "42", true},
		"files/a/b.c": {"files", "a/b.c", true},
	} {
		got, err := parseTarget(given)
		if err != nil || got != want || got.String() != given {
			t.Errorf("%q is %+v (%s), %v", given, got, got, err)
		}
	}
	for _, given := range []string{"", "/42"} {
		if _, err := parseTarget(given); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestContentType(t *testing.T) {
	for data, want := range map[string]string{
		"": "", `{"a":1}`: "application/json", "12": "application/json", `"x"`: "application/json",
		"{a:1}": "text/plain", "hello": "text/plain", "\xff\x00": "application/octet-stream",
	} {
		if got := contentTypeOf([]byte(data)); got != want {
			t.Errorf("%q is %s, want %s", data, got, want)
		}
	}
}

func TestReadData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{World: World{In: strings.NewReader("from a pipe")}}
	for argument, want := range map[string]string{"text": "text", "@" + file: "from a file", "-": "from a pipe"} {
		if got, err := a.readData(argument); err != nil || string(got) != want {
			t.Errorf("%s gives %q, %v", argument, got, err)
		}
	}
	if _, err := a.readData("@" + file + ".not"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a missing file: %v", err)
	}
	a.In = xs{}
	if _, err := a.readData("-"); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("an endless pipe: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	got, err := parseMetadata([]string{"actor=ann", "note=a=b,c;d", "empty="})
	if err != nil || got["actor"] != "ann" || got["note"] != "a=b,c;d" || len(got) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range [][]string{{"actor"}, {"=x"}, {"a=1", "a=2"}} {
		if _, err := parseMetadata(bad); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestKeyFrom(t *testing.T) {
	e := &client.Event{ID: "i", Type: "T", Source: "s", Metadata: map[string]string{"tenant": "acme"}, Data: []byte(`{"order":{"id":"o-1","n":7,"list":[]}}`)}
	for name, want := range map[string]string{
		"subject": "sub", "none": "", "source": "s", "type": "T", "id": "i", "tenant": "acme", "data.order.id": "o-1", "data.order.n": "7",
	} {
		key, err := parseKeyFrom(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key("sub", e); err != nil || got != want {
			t.Errorf("%s gives %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"missing", "data.order.list", "data.order", "data.no", "data.order.id.deeper"} {
		key, err := parseKeyFrom(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key("sub", e); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s gives %q, %v", name, got, err)
		}
	}
	if _, err := parseKeyFrom("data"); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("data: %v", err)
	}
}

func TestShellWord(t *testing.T) {
	for given, want := range map[string]string{"orders/42": "orders/42", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$x": "'$x'"} {
		if got := shellWord(given); got != want {
			t.Errorf("%q is %s, want %s", given, got, want)
		}
	}
}
