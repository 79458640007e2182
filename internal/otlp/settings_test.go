package otlp

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

// only sets these variables of OpenTelemetry and no others.
func only(t *testing.T, set map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

func TestWhatTheEnvironmentAsksFor(t *testing.T) {
	const at = "http://127.0.0.1:4317"
	for name, c := range map[string]struct {
		set  map[string]string
		want Settings
	}{
		"nothing":   {nil, Settings{}},
		"all":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at}, Settings{true, true}},
		"traces":    {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": at}, Settings{Traces: true}},
		"metrics":   {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": at, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Settings{Metrics: true}},
		"but none":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_METRICS_EXPORTER": "none"}, Settings{Traces: true}},
		"disabled":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_SDK_DISABLED": "true"}, Settings{}},
		"no matter": {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, Settings{}},
	} {
		t.Run(name, func(t *testing.T) {
			only(t, c.set)
			if got, err := FromEnv(); err != nil || got != c.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL":            "http/protobuf",
		"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL":    "http/json",
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION":  "zstd",
		"OTEL_EXPORTER_OTLP_CERTIFICATE":         filepath.Join(t.TempDir(), "none.pem"),
		"OTEL_TRACES_EXPORTER":                   "zipkin",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT":    "127.0.0.1:4317",
		"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY":   filepath.Join(t.TempDir(), "none.pem"),
		"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			only(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", name: value})
			_, err := FromEnv()
			if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), name) || errs.As(err).Details["field"] != name {
				t.Errorf("%v", err)
			}
		})
	}
	only(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "no equals sign"})
	if _, err := Start(t.Context(), Options{Settings: Settings{Traces: true}}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("%v", err)
	}
}

func TestFailuresAreLoggedOnceAMinute(t *testing.T) {
	var out strings.Builder
	c := complaints{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 5 {
		c.Handle(errors.New("no collector"))
	}
	if n := strings.Count(out.String(), "no collector"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	c.until.Store(0)
	c.Handle(errors.New("still no collector"))
	if !strings.Contains(out.String(), "still no collector") {
		t.Error("a minute later it is not logged")
	}
}

func TestNothingIsStartedUnasked(t *testing.T) {
	p, err := Start(t.Context(), Options{})
	if err != nil || p.Tracer() != nil || p.Close(t.Context()) != nil {
		t.Fatal(err)
	}
}
