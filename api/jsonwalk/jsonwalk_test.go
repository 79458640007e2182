package jsonwalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

func TestObject(t *testing.T) {
	w, ok := Object([]byte(`{"a" : 1, "b\n":"}\"", "a":[{"x":","}, 2] ,"c": {"d":null}, "e":-1.5e3}`))
	if !ok {
		t.Fatal("it is an object")
	}
	var got []string
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		got = append(got, fmt.Sprintf("%s=%s", name, value))
	}
	if want := `[a=1 b\n="}\"" a=[{"x":","}, 2] c={"d":null} e=-1.5e3]`; fmt.Sprint(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestList(t *testing.T) {
	w, ok := List([]byte("[ 1,\t\"]\" , [2,[3]],{},true\n]"))
	if !ok {
		t.Fatal("it is a list")
	}
	var got []string
	for value, ok := w.Next(); ok; value, ok = w.Next() {
		got = append(got, string(value))
	}
	if want := `[1 "]" [2,[3]] {} true]`; fmt.Sprint(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOthers(t *testing.T) {
	for _, v := range []string{"", "1", `"{"`, "null"} {
		if _, ok := Object([]byte(v)); ok {
			t.Errorf("%q is no object", v)
		}
		if _, ok := List([]byte(v)); ok {
			t.Errorf("%q is no list", v)
		}
	}
	for _, v := range []string{"{}", "{ }"} {
		if w, ok := Object([]byte(v)); !ok {
			t.Errorf("%q is an object", v)
		} else if _, _, more := w.Next(); more {
			t.Errorf("%q has a member", v)
		}
	}
}

// FuzzObject: what is valid is walked as encoding/json reads it.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\""}],"c":" "}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if b = bytes.TrimSpace(b); !json.Valid(b) {
			return
		}
		w, ok := Object(b)
		if !ok {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(b, &want); err != nil {
			t.Skip("valid, and yet not read by encoding/json: ", err)
		}
		got := map[string]json.RawMessage{}
		for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
			var text string
			if err := json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &text); err != nil {
				t.Fatal(err)
			}
			got[text] = value
		}
		if len(got) != len(want) {
			t.Fatalf("%q has %d members, want %d", b, len(got), len(want))
		}
		for name, value := range want {
			if !bytes.Equal(got[name], value) {
				t.Fatalf("%q in %q is %q, want %q", name, b, got[name], value)
			}
		}
	})
}
