package cli

import (
	"context"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/gesta-db/gesta/internal/node"
)

type serveCmd struct {
	Config string `env:"GESTA_CONFIG" placeholder:"FILE" help:"A YAML file of settings; environment and flags win over it."`

	kong.Plugins // a flag for each setting of the node
}

// Help is the long form of gesta serve --help.
func (serveCmd) Help() string {
	return `Every setting can stand in the file, in the environment (GESTA_… in capitals) or as a flag. Ctrl-C or SIGTERM finishes what is
under way, within --drain-timeout; a second one stops at once.`
}

// serveFlags makes a struct with one field for each setting of the node, which knows their names, defaults and help.
func serveFlags() kong.Plugins {
	settings := node.Fields()
	fields := make([]reflect.StructField, len(settings))
	for i, s := range settings {
		fields[i] = flagField(i, s)
	}
	return kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}
}

// flagField is a pointer, so that what was not given is told apart from what was given empty.
func flagField(i int, s node.Field) reflect.StructField {
	kind := reflect.TypeFor[*string]()
	if s.Kind == node.Bool {
		kind = reflect.TypeFor[*bool]()
	}
	tag := `name:"` + s.Flag() + `" help:"` + tagText(sentence(s.Help+defaultText(s))) + `" placeholder:"` + tagText(strings.ToUpper(string(s.Kind))) + `"`
	if strings.HasPrefix(s.Name, "limits.") {
		tag += ` group:"limits"`
	}
	return reflect.StructField{Name: "F" + number(uint64(i)), Type: kind, Tag: reflect.StructTag(tag)}
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimPrefix(s, "limit: ")
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

func defaultText(s node.Field) string {
	if s.Default == "" || s.Kind == node.Bool {
		return ""
	}
	return " (default " + s.Default + ")"
}

// tagText quotes text for a struct tag, and keeps it from being taken for a variable.
func tagText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$").Replace(s)
}

// given are the flags that stand on the command line.
func (c *serveCmd) given() map[string]string {
	flags := map[string]string{}
	v := reflect.ValueOf(c.Plugins[0]).Elem()
	for i, s := range node.Fields() {
		switch p := v.Field(i).Interface().(type) {
		case *string:
			if p != nil {
				flags[s.Flag()] = *p
			}
		case *bool:
			if p != nil && *p {
				flags[s.Flag()] = "true"
			} else if p != nil {
				flags[s.Flag()] = "false"
			}
		}
	}
	return flags
}

func (c *serveCmd) Run(a *app) error {
	config, err := node.LoadConfig(node.Sources{File: c.Config, Env: a.Environ, Flags: c.given()})
	if err != nil {
		return err
	}
	// The node takes the signals itself, so that a second one finds nobody else who would wait.
	return node.Run(context.WithoutCancel(a.ctx), config, node.WithVersion(a.Version), node.WithLogger(config.NewLogger(a.Err)))
}
