package conformance

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

//go:embed scripts/*.txt
var scripts embed.FS

// Script is frames to send, and results to expect.
type Script struct {
	Name  string
	steps []step
}

type step struct {
	line   int
	kind   stepKind
	frame  *gestav1.ServerFrame
	task   uint64
	want   map[string]any
	credit uint64
}

type stepKind uint8

const (
	stepSend stepKind = iota
	stepExpect
	stepCredit
	stepDrain
	stepEnd
)

// Scripts are those for the kind "account", in the order in which they are best read.
func Scripts() ([]Script, error) {
	files, err := fs.Glob(scripts, "scripts/*.txt")
	if err != nil {
		return nil, err
	}
	var all []Script
	for _, name := range files {
		text, err := scripts.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s, err := Parse(strings.TrimSuffix(path.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Parse reads a script. The error names the line.
func Parse(name, text string) (Script, error) {
	s := Script{Name: name}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		st, err := parseStep(line)
		if err != nil {
			return s, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		st.line = i + 1
		s.steps = append(s.steps, st)
	}
	if n := len(s.steps); n == 0 || s.steps[n-1].kind < stepDrain {
		s.steps = append(s.steps, step{kind: stepEnd})
	}
	return s, nil
}

func parseStep(line string) (st step, err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case ">":
		st.frame, err = parseFrame(rest)
	case "<":
		st.kind = stepExpect
		if err = json.Unmarshal([]byte(rest), &st.want); err == nil {
			id, ok := st.want["task_id"].(float64)
			if st.task = uint64(id); !ok {
				err = fmt.Errorf("a result needs its task_id")
			}
		}
	case "credit":
		st.kind = stepCredit
		st.credit, err = strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
	case "drain":
		st.kind = stepDrain
	case "end":
		st.kind = stepEnd
	default:
		err = fmt.Errorf("%.20q begins no line of a script", word)
	}
	return st, err
}

func parseFrame(text string) (*gestav1.ServerFrame, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // 64 bits
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if err := toBytes(v); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	frame := &gestav1.ServerFrame{}
	return frame, protojson.Unmarshal(plain, frame)
}

// toBytes writes what is at "data" as protojson wants bytes.
func toBytes(v any) error {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			if err := toBytes(one); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, one := range v {
			if name != "data" {
				if err := toBytes(one); err != nil {
					return err
				}
				continue
			}
			if raw, ok := one.(map[string]any); ok && len(raw) == 1 && raw["base64"] != nil {
				v[name] = raw["base64"]
				continue
			}
			data, err := json.Marshal(one)
			if err != nil {
				return err
			}
			v[name] = base64.StdEncoding.EncodeToString(data)
		}
	}
	return nil
}

// fromBytes is the opposite: bytes that are JSON are shown as that.
func fromBytes(v any) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			fromBytes(one)
		}
	case map[string]any:
		for name, one := range v {
			text, isText := one.(string)
			if name != "data" || !isText {
				fromBytes(one)
				continue
			}
			var inner any
			if data, err := base64.StdEncoding.DecodeString(text); err == nil && json.Unmarshal(data, &inner) == nil {
				v[name] = inner
			} else {
				v[name] = map[string]any{"base64": text}
			}
		}
	}
}
