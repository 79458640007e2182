package node

import (
	"net/url"
	"strings"
	"time"

	httpdoor "github.com/gesta-db/gesta/internal/door/http"
)

const (
	leastHTTPTimeout = 100 * time.Millisecond
	mostHTTPTimeout  = time.Hour
	httpTimeoutRange = "100ms to 1h"
)

// HTTPConfig is what the HTTP listener is told beside its address.
type HTTPConfig struct {
	HeaderTimeout time.Duration // for a request's headers to come
	BodyTimeout   time.Duration // for a request's body to come
	AnswerTimeout time.Duration // for an answer to be made and taken; each piece of one that goes on
	IdleTimeout   time.Duration // between requests
	Heartbeat     time.Duration // of server-sent events
	CORSOrigins   string        // with commas between
}

func (h HTTPConfig) settings() httpdoor.Settings {
	return httpdoor.Settings{
		HeaderTimeout: h.HeaderTimeout, ReadTimeout: h.BodyTimeout, WriteTimeout: h.AnswerTimeout, IdleTimeout: h.IdleTimeout,
		Heartbeat: h.Heartbeat, CORSOrigins: splitList(h.CORSOrigins),
	}
}

// httpTimeouts are the settings of the HTTP listener that are durations.
func httpTimeouts() []Field {
	d := httpdoor.DefaultSettings()
	one := func(name string, otherwise time.Duration, help, reason string, at func(*Config) *time.Duration) Field {
		return duration(Field{Name: name, Default: otherwise.String(), Range: httpTimeoutRange, Help: help, Reason: reason}, at)
	}
	return []Field{
		one("http_header_timeout", d.HeaderTimeout, "how long the headers of an HTTP request may take to come", "",
			func(c *Config) *time.Duration { return &c.Web.HeaderTimeout }),
		one("http_body_timeout", d.ReadTimeout, "how long the body of an HTTP request may take to come", "",
			func(c *Config) *time.Duration { return &c.Web.BodyTimeout }),
		one("http_answer_timeout", d.WriteTimeout, "how long an HTTP answer may take to be made and taken; each piece of one that goes on",
			"appends wait 10 s for their outcome", func(c *Config) *time.Duration { return &c.Web.AnswerTimeout }),
		one("http_idle_timeout", d.IdleTimeout, "how long an HTTP connection may stay without a request", "",
			func(c *Config) *time.Duration { return &c.Web.IdleTimeout }),
		one("http_heartbeat", d.Heartbeat, "how often a stream of server-sent events says that it is there while nothing happens",
			"proxies mostly cut off what is silent for 30 s or a minute", func(c *Config) *time.Duration { return &c.Web.Heartbeat }),
	}
}

// httpFields are the settings of the HTTP listener beside its address.
func httpFields() []Field {
	origins := text(Field{Name: "cors_origins", Kind: Text, Range: "origins like https://example.org, with commas between; * is every one",
		Help:   "whose pages may call the HTTP API from a browser",
		Reason: "none, so that a page on the internet cannot reach a server on the reader's own machine"},
		func(c *Config) *string { return &c.Web.CORSOrigins })
	return append(httpTimeouts(), origins)
}

func splitList(s string) (list []string) {
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

func (c *Config) checkHTTP() error {
	for _, f := range httpTimeouts() {
		if d, err := time.ParseDuration(f.Get(c)); err != nil || d < leastHTTPTimeout || d > mostHTTPTimeout {
			return refuse(f.Name, "is %s; it must be %s", f.Get(c), strings.Replace(httpTimeoutRange, "100ms", "from 100ms", 1))
		}
	}
	for _, origin := range splitList(c.Web.CORSOrigins) {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			return refuse("cors_origins", "has %q; an origin is a scheme and a host, and a port if it is not the usual one, like https://example.org", origin)
		}
	}
	return nil
}
