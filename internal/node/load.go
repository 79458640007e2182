package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gesta-db/gesta/internal/errs"
)

// Sources is where settings come from, weakest first: the defaults, the file, the environment, the flags.
type Sources struct {
	File  string            // path of a YAML file; empty: none
	Env   []string          // as os.Environ gives it
	Flags map[string]string // by flag name without dashes: "drain-timeout"
}

// otherEnv are names that begin with GESTA_ and are no settings of a server: they belong to the clients' commands.
var otherEnv = []string{"GESTA_ADDR", "GESTA_CONFIG", "GESTA_DEV_GRPC", "GESTA_DEV_HTTP", "GESTA_DEV_PEER", "GESTA_TLS_CA", "GESTA_TOKEN"}

// LoadConfig merges the sources over the defaults and validates the result. Unknown keys, names and flags are refused; the
// error is invalid, says where (file and line, or the name), and what was perhaps meant.
func LoadConfig(s Sources) (Config, error) {
	c := DefaultConfig()
	if s.File != "" {
		if err := c.readFile(s.File); err != nil {
			return c, err
		}
	}
	if err := c.readEnv(s.Env); err != nil {
		return c, err
	}
	if err := c.readFlags(s.Flags); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func (c *Config) readFile(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(errs.NotFound, "the configuration file %s does not exist", path).With("file", path)
	case err != nil:
		return errs.New(errs.Invalid, "the configuration file cannot be read: %w", err).With("file", path)
	}
	return c.readYAML(path, text)
}

func (c *Config) readYAML(path string, text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return errs.New(errs.Invalid, "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: ")).With("file", path)
	}
	if len(doc.Content) == 0 {
		return nil // an empty file: the defaults
	}
	r := fileReader{config: c, path: path, seen: map[string]int{}}
	return r.mapping("", doc.Content[0])
}

type fileReader struct {
	config *Config
	path   string
	seen   map[string]int // setting → line
}

func (r *fileReader) refuse(line int, format string, args ...any) error {
	return errs.New(errs.Invalid, "%s:%d: %w", r.path, line, fmt.Errorf(format, args...)).With("file", r.path).With("line", fmt.Sprint(line))
}

func (r *fileReader) mapping(prefix string, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return r.refuse(n.Line, "%s must be a mapping of settings", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := r.entry(prefix+n.Content[i].Value, n.Content[i], n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *fileReader) entry(name string, key, value *yaml.Node) error {
	if isGroup(name) {
		return r.mapping(name+".", value)
	}
	f, ok := FieldOf(name)
	if !ok {
		return r.refuse(key.Line, "unknown setting %q%s", name, didYouMean(name, fileNames()))
	}
	if line, twice := r.seen[name]; twice {
		return r.refuse(key.Line, "%s is set a second time (first in line %d)", name, line)
	}
	r.seen[name] = key.Line
	if value.Kind != yaml.ScalarNode {
		return r.refuse(value.Line, "%s must be a single value (%s)", name, f.Kind)
	}
	if err := f.Set(r.config, value.Value); err != nil {
		return r.refuse(value.Line, "%s: %w", name, err)
	}
	return nil
}

// isGroup tells whether settings nest below name.
func isGroup(name string) bool {
	return slices.ContainsFunc(Fields(), func(f Field) bool { return strings.HasPrefix(f.Name, name+".") })
}

func (c *Config) readEnv(environ []string) error {
	byEnv := map[string]Field{}
	for _, f := range Fields() {
		byEnv[f.Env()] = f
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "GESTA_") || slices.Contains(otherEnv, name) {
			continue
		}
		f, ok := byEnv[name]
		if !ok {
			return errs.New(errs.Invalid, "unknown environment variable %s%s", name, didYouMean(name, envNames())).With("field", name)
		}
		if err := f.Set(c, value); err != nil {
			return errs.New(errs.Invalid, "environment variable %s: %w", name, err).With("field", f.Name)
		}
	}
	return nil
}

func (c *Config) readFlags(flags map[string]string) error {
	for name, value := range flags {
		i := slices.IndexFunc(Fields(), func(f Field) bool { return f.Flag() == name })
		if i < 0 {
			return errs.New(errs.Invalid, "unknown flag --%s%s", name, didYouMean(name, flagNames())).With("field", name)
		}
		f := Fields()[i]
		if err := f.Set(c, value); err != nil {
			return errs.New(errs.Invalid, "--%s: %w", name, err).With("field", f.Name)
		}
	}
	return nil
}
