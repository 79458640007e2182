package otlp

import (
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
)

// Settings is what the environment asks for.
type Settings struct {
	Traces, Metrics bool
}

// Any tells whether anything is to be pushed.
func (s Settings) Any() bool { return s.Traces || s.Metrics }

const prefix = "OTEL_EXPORTER_OTLP_"

// FromEnv reads what is asked for. Errors are invalid and name the variable.
func FromEnv() (s Settings, err error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return s, nil
	}
	if s.Traces, err = wanted("TRACES"); err != nil {
		return s, err
	}
	s.Metrics, err = wanted("METRICS")
	return s, err
}

// wanted tells whether a signal is pushed.
func wanted(signal string) (bool, error) {
	name, endpoint := lookup(signal, "ENDPOINT")
	if endpoint == "" {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "", "otlp":
	default:
		return false, refuse("OTEL_"+signal+"_EXPORTER", "is %q; it must be otlp or none (metrics can also be scraped at /metrics)", exporter)
	}
	if u, err := url.Parse(endpoint); err != nil || u.Scheme == "" {
		return false, refuse(name, "is %q; write a URL such as http://127.0.0.1:4317, with https for TLS", endpoint)
	}
	return true, check(signal)
}

// check refuses what would else be passed over in silence.
func check(signal string) error {
	if name, protocol := lookup(signal, "PROTOCOL"); protocol != "" && protocol != "grpc" {
		return refuse(name, "is %q; only grpc is spoken here: leave it out or set it to grpc, and use the collector's gRPC port (mostly 4317)", protocol)
	}
	if name, compression := lookup(signal, "COMPRESSION"); !slices.Contains([]string{"", "none", "gzip"}, compression) {
		return refuse(name, "is %q; it must be none or gzip", compression)
	}
	for _, what := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		name, file := lookup(signal, what)
		if file == "" {
			continue
		}
		if _, err := os.ReadFile(file); err != nil {
			return refuse(name, "cannot be read: %w", err)
		}
	}
	return nil
}

// lookup gives the variable of one signal, or else that of all.
func lookup(signal, what string) (name, value string) {
	name = prefix + signal + "_" + what
	if value = strings.TrimSpace(os.Getenv(name)); value == "" {
		name = prefix + what
		value = strings.TrimSpace(os.Getenv(name))
	}
	return name, value
}

func refuse(name, format string, args ...any) error {
	return errs.New(errs.Invalid, "the environment variable "+name+" "+format, args...).With("field", name)
}
