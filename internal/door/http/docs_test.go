package http

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// example is a command of the documentation and what it says comes out.
type example struct{ command, output string }

// examples gives those of a page: lines that begin with "$ " in blocks for the console, and the lines behind each.
func examples(t *testing.T, file string) (list []example) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.HasPrefix(line, "```console")
		case inside && isCommand:
			list = append(list, example{command: strings.TrimSpace(command)})
		case inside:
			list[len(list)-1].output += line
		}
	}
	return list
}

// matches tells whether got is what the page says, where … stands for anything.
func (e example) matches(got string) bool {
	want := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(e.output)), "…", "(?s:.*?)")
	if open := strings.HasSuffix(want, "(?s:.*?)"); open {
		want = strings.TrimSuffix(want, "(?s:.*?)")
	} else {
		want += "$"
	}
	return regexp.MustCompile("^" + want).MatchString(strings.TrimSpace(got))
}

// words cuts a command as a shell does.
func words(command string) (list []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(command, -1) {
		list = append(list, m[1]+m[2])
	}
	return list
}

// curl runs a command as curl would, for the options that the page uses.
func curl(t *testing.T, address, command string) (*http.Request, string) {
	t.Helper()
	args := words(command)
	method, body, headers, query, include := "GET", "", http.Header{}, url.Values{}, false
	var target string
	for i := 1; i < len(args); i++ {
		switch args[i] {
		case "-N":
		case "-i":
			include = true
		case "-I":
			method, include = "HEAD", true
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ": ")
			headers.Add(name, value)
		case "-d":
			i++
			body = args[i]
			if method == "GET" {
				method = "POST"
			}
		case "-G":
			method = "GET"
		case "--data-urlencode":
			i++
			name, value, _ := strings.Cut(args[i], "=")
			query.Add(name, value)
		case "-X":
			i++
			method = args[i]
		default:
			target = args[i]
		}
	}
	if args[0] != "curl" || !strings.HasPrefix(target, "localhost:7080/") {
		t.Fatalf("cannot run %s", command)
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address+strings.TrimPrefix(target, "localhost:7080"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = headers
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !include {
		return r, string(got)
	}
	return r, head(resp) + string(got)
}

func head(resp *http.Response) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", resp.Proto, resp.Status)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, resp.Header.Get(name))
	}
	return b.String() + "\n"
}

// Every example of the page does what it says, and every route and method has one. In commands POSITION stands for the position
// that was told last.
func TestDocumentedExamples(t *testing.T) {
	f := open(t)
	address := f.listen(t)
	without, position := map[string]bool{}, ""
	for _, r := range f.door.routes {
		if strings.HasPrefix(r.pattern, "/docs") || strings.HasPrefix(r.pattern, "/openapi") {
			continue
		}
		for _, m := range r.methods() {
			if m != http.MethodHead || r.get == nil {
				without[m+" "+r.pattern] = true
			}
		}
	}
	for _, e := range examples(t, "../../../docs/reference/http.md") {
		r, got := curl(t, address, strings.ReplaceAll(e.command, "POSITION", position))
		if !e.matches(got) {
			t.Errorf("%s\ngives\n%s\nand the page says\n%s", e.command, got, e.output)
		}
		delete(without, r.Method+" "+f.pattern(r))
		if told := regexp.MustCompile(`"position": ?"([^"]+)"`).FindStringSubmatch(got); told != nil {
			position = told[1]
		}
	}
	if len(without) > 0 {
		t.Errorf("no example of %v", slices.Sorted(maps.Keys(without)))
	}
}
