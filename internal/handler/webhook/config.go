package webhook

import (
	"encoding/json"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// Config is one handler behind a URL.
type Config struct {
	URL           string
	Authorization string // the header's value; empty: none
	// InFlight is how many requests may be under way.
	InFlight int
	// Hello says what it serves, as a handler that attaches would say.
	Hello *gestav1.Hello
	// Timeout is how long a request may take.
	Timeout time.Duration
}

const (
	defaultInFlight = 64
	mostInFlight    = 1024
	defaultTimeout  = 10 * time.Second
	mostHandlers    = 64
)

// file is the form of a configuration.
type file struct {
	Handlers []struct {
		URL           string          `json:"url"`
		Authorization string          `json:"authorization"`
		InFlight      int             `json:"in_flight"`
		Timeout       string          `json:"timeout"`
		Service       string          `json:"service"`
		Build         string          `json:"build"`
		Kinds         json.RawMessage `json:"kinds"`
	} `json:"handlers"`
}

// Parse reads a configuration: {"handlers": [{"url", "authorization", "in_flight", "timeout", "service", "build", "kinds"}]}, with kinds
// as gesta.v1.EntityKind in JSON. Errors are invalid, and name the field.
func Parse(text []byte) ([]Config, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, errs.New(errs.Invalid, "the webhooks are not JSON of the form that is wanted: %w", err).With("field", "webhooks")
	}
	if len(f.Handlers) > mostHandlers {
		return nil, errs.New(errs.Invalid, "there are %d webhooks; at most %d", len(f.Handlers), mostHandlers).With("field", "handlers")
	}
	var all []Config
	for _, h := range f.Handlers {
		c := Config{URL: h.URL, Authorization: h.Authorization, InFlight: h.InFlight, Timeout: defaultTimeout}
		if c.InFlight == 0 {
			c.InFlight = defaultInFlight
		}
		if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errs.New(errs.Invalid, "the webhook %q is no URL of http or https", c.URL).With("field", "url")
		}
		if c.InFlight < 0 || c.InFlight > mostInFlight {
			return nil, errs.New(errs.Invalid, "in_flight is %d; it must be between 1 and %d", c.InFlight, mostInFlight).With("field", "in_flight")
		}
		if h.Timeout != "" {
			d, err := time.ParseDuration(h.Timeout)
			if err != nil || d <= 0 {
				return nil, errs.New(errs.Invalid, "timeout is %q; it must be a time like 10s", h.Timeout).With("field", "timeout")
			}
			c.Timeout = d
		}
		c.Hello = &gestav1.Hello{}
		if len(h.Kinds) > 0 {
			if err := protojson.Unmarshal([]byte(`{"kinds":`+string(h.Kinds)+`}`), c.Hello); err != nil {
				return nil, errs.New(errs.Invalid, "the kinds of webhook %s cannot be read: %w", c.URL, err).With("field", "kinds")
			}
		}
		c.Hello.Service, c.Hello.Build, c.Hello.Protocol, c.Hello.Credit = h.Service, h.Build, 1, uint32(c.InFlight)
		all = append(all, c)
	}
	return all, nil
}
