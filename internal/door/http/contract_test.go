package http

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gesta-db/gesta/internal/errs"
)

// The contract is openapi.yaml. Every response that a test of this package gets by fixture.do is held against it, and every
// body that the door accepted; when all tests run, every response that it lists must have been seen.

type contract struct {
	doc  map[string]any
	mu   sync.Mutex
	seen map[string]bool
}

var theContract = sync.OnceValue(func() *contract {
	text, err := pages.ReadFile("openapi.yaml")
	if err != nil {
		panic(err)
	}
	c := &contract{seen: map[string]bool{}}
	if err := yaml.Unmarshal(text, &c.doc); err != nil {
		panic(err)
	}
	c.doc = jsonLike(c.doc).(map[string]any)
	return c
})

// jsonLike turns what YAML gives into what JSON would: numbers are float64.
func jsonLike(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

// at walks down the document; nil when there is no such thing. References are followed.
func (c *contract) at(from any, path ...string) any {
	for _, name := range path {
		m, ok := c.deref(from).(map[string]any)
		if !ok {
			return nil
		}
		from = m[name]
	}
	return c.deref(from)
}

func (c *contract) deref(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	return c.at(c.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// check holds a response, and the body of the request if it was taken, against the contract. An empty string is fine.
func (c *contract) check(pattern, method, contentType, body string, binary bool, a answer) string {
	operation := c.at(c.doc, "paths", pattern, strings.ToLower(method))
	if operation == nil {
		if a.StatusCode == 404 || a.StatusCode == 405 || a.StatusCode == 204 || a.StatusCode == 400 {
			return ""
		}
		return fmt.Sprintf("%s %s is not described, and answers %d", method, pattern, a.StatusCode)
	}
	status := fmt.Sprint(a.StatusCode)
	response := c.at(operation, "responses", status)
	if response == nil {
		if status, response = "default", c.at(operation, "responses", "default"); response == nil {
			return fmt.Sprintf("%s %s answers %d, which is not described", method, pattern, a.StatusCode)
		}
	}
	c.mu.Lock()
	c.seen[method+" "+pattern+" "+status] = true
	c.mu.Unlock()
	if why := c.checkHeaders(response, a); why != "" {
		return fmt.Sprintf("%s %s: %d: %s", method, pattern, a.StatusCode, why)
	}
	if why := c.checkBody(response, method, a); why != "" {
		return fmt.Sprintf("%s %s: %d: %s: %.300s", method, pattern, a.StatusCode, why, a.body)
	}
	if a.StatusCode/100 == 2 && !binary {
		if schema := c.at(operation, "requestBody", "content", mediaType(contentType), "schema"); schema != nil {
			if why := c.json(schema, body); why != "" {
				return fmt.Sprintf("%s %s took a body that is not described: %s: %.300s", method, pattern, why, body)
			}
		}
	}
	return ""
}

func (c *contract) checkHeaders(response any, a answer) string {
	described, _ := c.at(response, "headers").(map[string]any)
	for _, name := range []string{"ETag", "Link", "Location", "Retry-After", "Gesta-Position", "Gesta-Revision", "Gesta-Offset", "Gesta-Recorded-Time", "Gesta-Resolved-Offset"} {
		value, header := a.Header.Get(name), c.deref(described[name])
		switch {
		case header == nil && value != "" && name != "Retry-After":
			return "the header " + name + " is not described"
		case header == nil:
		case value == "" && c.at(header, "required") == true:
			return "the header " + name + " is missing"
		case value != "":
			if why := c.valid(c.at(header, "schema"), value); why != "" {
				return "the header " + name + " " + why
			}
		}
	}
	return ""
}

func (c *contract) checkBody(response any, method string, a answer) string {
	content, _ := c.at(response, "content").(map[string]any)
	media := mediaType(a.Header.Get("Content-Type"))
	switch {
	case method == http.MethodHead || content == nil && a.body == "":
		return ""
	case content[media] == nil:
		return "the content type " + media + " is not described"
	}
	schema := c.at(content, media, "schema")
	if schema == nil || media == typeLines || media == typeStream {
		return ""
	}
	return c.json(schema, a.body)
}

func (c *contract) json(schema any, text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err.Error()
	}
	return c.valid(schema, v)
}

// valid holds a value against a schema of the subset that the document uses; a word that is not known here is an error.
func (c *contract) valid(schema, v any) string {
	rules, _ := c.deref(schema).(map[string]any)
	for _, word := range sortedNames(rules) {
		if why := c.rule(word, rules, v); why != "" {
			return why
		}
	}
	return ""
}

func sortedNames(m map[string]any) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (c *contract) rule(word string, rules map[string]any, v any) string {
	rule := rules[word]
	object, _ := v.(map[string]any)
	list, _ := v.([]any)
	switch word {
	case "description", "properties":
		return c.properties(word, rules, object)
	case "type":
		return wantTrue(typeMatches(rule, v), "%v is not of type %v", v, rule)
	case "const":
		return wantTrue(rule == v, "%v is not %v", v, rule)
	case "enum":
		return wantTrue(slices.Contains(rule.([]any), v), "%v is none of %v", v, rule)
	case "pattern":
		text, isText := v.(string)
		return wantTrue(!isText || regexp.MustCompile(rule.(string)).MatchString(text), "%q does not match %v", v, rule)
	case "format":
		text, isText := v.(string)
		_, err := time.Parse(time.RFC3339Nano, text)
		return wantTrue(!isText || err == nil, "%v is no %v", v, rule)
	case "minimum":
		n, isNumber := v.(float64)
		return wantTrue(!isNumber || n >= rule.(float64), "%v is below %v", v, rule)
	case "maximum":
		n, isNumber := v.(float64)
		return wantTrue(!isNumber || n <= rule.(float64), "%v is above %v", v, rule)
	case "minItems":
		return wantTrue(list == nil || len(list) >= int(rule.(float64)), "a list of %d is too short", len(list))
	case "items":
		for i, one := range list {
			if why := c.valid(rule, one); why != "" {
				return fmt.Sprintf("[%d]: %s", i, why)
			}
		}
		return ""
	case "required":
		for _, name := range rule.([]any) {
			if _, there := object[name.(string)]; object != nil && !there {
				return fmt.Sprintf("%v is missing", name)
			}
		}
		return ""
	case "additionalProperties":
		return c.additional(rule, rules, object)
	case "oneOf":
		return c.oneOf(rule.([]any), v)
	}
	return "the test does not know the word " + word
}

func wantTrue(ok bool, format string, args ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (c *contract) properties(word string, rules map[string]any, object map[string]any) string {
	properties, _ := rules["properties"].(map[string]any)
	if word == "description" {
		return ""
	}
	for _, name := range sortedNames(properties) {
		if v, there := object[name]; there {
			if why := c.valid(properties[name], v); why != "" {
				return name + ": " + why
			}
		}
	}
	return ""
}

func (c *contract) additional(rule any, rules, object map[string]any) string {
	properties, _ := rules["properties"].(map[string]any)
	for _, name := range sortedNames(object) {
		if _, described := properties[name]; described {
			continue
		}
		if rule == false {
			return name + " is not described"
		}
		if why := c.valid(rule, object[name]); why != "" {
			return name + ": " + why
		}
	}
	return ""
}

func (c *contract) oneOf(choices []any, v any) string {
	var whys []string
	for _, one := range choices {
		if why := c.valid(one, v); why != "" {
			whys = append(whys, why)
		}
	}
	return wantTrue(len(whys) == len(choices)-1, "%d of %d choices fail: %v", len(whys), len(choices), whys)
}

func typeMatches(rule, v any) bool {
	if several, ok := rule.([]any); ok {
		return slices.ContainsFunc(several, func(one any) bool { return typeMatches(one, v) })
	}
	switch v := v.(type) {
	case nil:
		return rule == "null"
	case bool:
		return rule == "boolean"
	case float64:
		return rule == "number" || rule == "integer" && v == float64(int64(v))
	case string:
		return rule == "string"
	case []any:
		return rule == "array"
	default:
		return rule == "object"
	}
}

// missing gives the responses that are described and were never seen.
func (c *contract) missing() (unseen []string) {
	for pattern, item := range c.at(c.doc, "paths").(map[string]any) {
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			for status := range c.at(item, method, "responses").(map[string]any) {
				if name := strings.ToUpper(method) + " " + pattern + " " + status; status != "default" && !c.seen[name] {
					unseen = append(unseen, name)
				}
			}
		}
	}
	sort.Strings(unseen)
	return unseen
}

// whole runs the tests, and then, if all ran and were fine, looks for responses that none of them got.
type whole struct{ *testing.M }

func (w whole) Run() int {
	code := w.M.Run()
	only := ""
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.bench", "test.list"} {
		only += flag.Lookup(name).Value.String()
	}
	if code != 0 || only != "" {
		return code
	}
	if unseen := theContract().missing(); len(unseen) > 0 {
		fmt.Fprintf(os.Stderr, "openapi.yaml describes responses that no test gets:\n  %s\n", strings.Join(unseen, "\n  "))
		return 1
	}
	return 0
}

func TestRoutesAndContractAreTheSame(t *testing.T) {
	var routes, described []string
	for _, r := range open(t).door.routes {
		for _, m := range r.methods() {
			routes = append(routes, m+" "+r.pattern)
		}
	}
	c := theContract()
	for pattern, item := range c.at(c.doc, "paths").(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+pattern)
			}
		}
	}
	sort.Strings(routes)
	sort.Strings(described)
	if !slices.Equal(routes, described) {
		t.Errorf("routes:    %v\ndescribed: %v", routes, described)
	}
}

// The parameters that a route takes are those that are described.
func TestParametersAreDescribed(t *testing.T) {
	f, c := open(t, "a"), theContract()
	for pattern, item := range c.at(c.doc, "paths").(map[string]any) {
		path := strings.NewReplacer("{topic}", "a", "{key}", "k", "{shard}", "1", "{name}", "c", "{node}", "n1", "{kind}", "a", "{command}", "Do").Replace(pattern)
		for method := range item.(map[string]any) {
			if method == "parameters" || !strings.HasPrefix(pattern, "/v1/") || method == "head" {
				continue
			}
			var names []string
			list, _ := c.at(item, method, "parameters").([]any)
			for _, one := range list {
				if c.at(one, "in") == "query" {
					names = append(names, c.at(one, "name").(string))
				}
			}
			a := f.do(strings.ToUpper(method), path+"?no-such=1", "{}", "Content-Type", "application/json")
			p := wantProblem(t, a, 400, "invalid", "no-such")
			if want := "there are: " + cmp.Or(strings.Join(names, ", "), "none"); !strings.HasSuffix(p.Detail, want) {
				t.Errorf("%s %s: %s; described: %s", method, pattern, p.Detail, want)
			}
		}
	}
}

func TestContractKnowsEveryCode(t *testing.T) {
	c := theContract()
	var codes []any
	for _, row := range errs.Table() {
		codes = append(codes, string(row.Code))
	}
	if described := c.at(c.doc, "components", "schemas", "Problem", "properties", "code", "enum").([]any); !slices.Equal(described, codes) {
		t.Errorf("described %v, want %v", described, codes)
	}
}

var update = flag.Bool("update", false, "write openapi.json anew from openapi.yaml")

// openapi.json is openapi.yaml in JSON.
func TestJSONIsTheSame(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(theContract().doc); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := pages.ReadFile("openapi.json"); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("openapi.json is not openapi.yaml: run go test ./internal/door/http -run TestJSONIsTheSame -update")
	}
}

// A small check that the check can fail.
func TestContractFindsFaults(t *testing.T) {
	c := theContract()
	schema := c.at(c.doc, "components", "schemas", "Outcome")
	good := `{"streams":[{"topic":"a","key":"","first_revision":1,"last_revision":1,"first_offset":1,"last_offset":1}],"position":"AQ","repeated":false}`
	if why := c.json(schema, good); why != "" {
		t.Error(why)
	}
	for _, change := range [][2]string{
		{`"position":"AQ",`, ""}, {`"AQ"`, "1"}, {`"AQ"`, `"?"`}, {"false", "0"}, {`"first_offset":1`, `"first_offset":0`}, {`"key":""`, `"key":null`}, {`"topic"`, `"tropic"`},
	} {
		if why := c.json(schema, strings.Replace(good, change[0], change[1], 1)); why == "" {
			t.Errorf("%s for %s passes", change[1], change[0])
		}
	}
	expectation := c.at(c.doc, "components", "schemas", "Expectation")
	if c.json(expectation, `"maybe"`) == "" || c.json(expectation, "-1") == "" || c.json(expectation, "5") != "" {
		t.Error("expectations are not checked")
	}
}
