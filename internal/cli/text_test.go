package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestVisibleEscapesWhatATerminalWouldObey(t *testing.T) {
	for given, want := range map[string]string{
		"plain":              "plain",
		"日本語 ünï":            "日本語 ünï",
		"red \x1b[31m":       `red \x1b[31m`,
		"two\nlines\r\t":     `two\nlines\r\t`,
		"bell\a del\x7f":     `bell\x07 del\x7f`,
		"c1 \u009b31m":       `c1 \u009b31m`,
		"bidi \u202eabc":     `bidi \u202eabc`,
		"tag \U000e0041":     `tag \udb40\udc41`,
		"line\u2028end":      `line\u2028end`,
		"not utf-8 \xff\xc3": `not utf-8 \xff\xc3`,
	} {
		if got := visible(given); got != want {
			t.Errorf("visible(%q) = %q, want %q", given, got, want)
		}
	}
}

func FuzzVisibleIsSafeAndIdempotent(f *testing.F) {
	f.Add("a\x1b[2J")
	f.Add("\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) >= 0 {
			t.Errorf("visible(%q) = %q is not safe", s, got)
		}
		if visible(got) != got {
			t.Errorf("visible(%q) is escaped again", got)
		}
	})
}

func FuzzVisibleJSONKeepsTheValue(f *testing.F) {
	f.Add("a\u009bb\u202e\U000e0041")
	f.Fuzz(func(t *testing.T, s string) {
		line, err := json.Marshal(map[string]string{"k": s})
		if err != nil {
			t.Skip()
		}
		var before, after map[string]string
		if err := json.Unmarshal(line, &before); err != nil {
			t.Fatal(err)
		}
		safe := visibleJSON(line)
		if err := json.Unmarshal(safe, &after); err != nil {
			t.Fatalf("%q is no JSON any more: %v", safe, err)
		}
		if before["k"] != after["k"] {
			t.Errorf("%q became %q", before["k"], after["k"])
		}
		if strings.IndexFunc(string(safe), isHidden) >= 0 {
			t.Errorf("%q is not safe", safe)
		}
	})
}

func TestVisibleJSONEscapesC1InsideStrings(t *testing.T) {
	if got, want := string(visibleJSON([]byte("{\"k\":\"\u009b1m\"}"))), `{"k":"\u009b1m"}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCells(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "ä": 1, "a\u0308": 1, "日本": 4, "한글": 4, "😀": 2, "ｗｉｄｅ": 8, "…": 1, "─": 1} {
		if got := cells(text); got != want {
			t.Errorf("cells(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestCutKeepsTheWidth(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
		{"日本語", 1, "…"}, {"abc", 0, ""}, {"ééééé", 3, "éé…"}, {"", 0, ""},
	} {
		if got := cut(c.text, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
	}
}
