package http

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// call is a request on its way through the door.
type call struct {
	*http.Request
	gate *gateway.Gateway // nil where the route does not need it
	who  gateway.Caller
	path [mostParams]string // the path's parameters, in the pattern's order, decoded
}

// handler answers a call, or gives the error to answer with.
type handler func(w http.ResponseWriter, c *call) error

// route is a path and what it takes. The router is our own since keys hold any text: it never cleans a path, so that a key may be
// empty, "..", or have slashes (as %2F) in it.
type route struct {
	pattern string
	parts   []string
	get     handler
	head    handler
	post    handler
	put     handler
	del     handler
	log     bool // needs the gateway
}

const (
	mostParts  = 6
	mostParams = 3
)

func (d *Door) table() []route {
	plain := func(pattern string, get handler) route { return route{pattern: pattern, get: get, head: get} }
	routes := []route{
		{pattern: "/v1/streams/{topic}/{key}/events", get: d.readStream, head: d.headStream, post: d.appendStream, log: true},
		{pattern: "/v1/topics/{topic}/events", get: d.readTopic, post: d.appendTopic, log: true},
		{pattern: "/v1/entities/{kind}/{key}/commands/{command}", post: d.execute, log: true},
		{pattern: "/v1/entities/{kind}/{key}/state", get: d.entityState, log: true},
		{pattern: "/v1/entities/{kind}/{key}/events", get: d.readStream, log: true},
		{pattern: "/v1/entities/{kind}/{key}", del: d.deleteEntity, log: true},
		{pattern: "/v1/commits", post: d.appendCommit, log: true},
		{pattern: "/v1/shards/{shard}/events", get: d.readShard, log: true},
		{pattern: "/v1/topics", get: d.listTopics, head: d.listTopics, log: true},
		{pattern: "/v1/topics/{topic}", get: d.describeTopic, head: d.describeTopic, put: d.createTopic, log: true},
		{pattern: "/v1/topics/{topic}/streams", get: d.listStreams, head: d.listStreams, log: true},
		{pattern: "/v1/topics/{topic}/counts", get: d.countTopic, head: d.countTopic, log: true},
		{pattern: "/v1/cursors", get: d.listCursors, head: d.listCursors, log: true},
		{pattern: "/v1/cursors/{name}", get: d.getCursor, head: d.getCursor, put: d.putCursor, del: d.deleteCursor, log: true},
		{pattern: "/v1/cluster", get: d.cluster, head: d.cluster, log: true},
		{pattern: "/v1/cluster/nodes/{node}", get: d.clusterNode, head: d.clusterNode, del: d.removeNode, log: true},
		{pattern: "/v1/cluster/nodes/{node}/drain", post: d.drainNode, log: true},
		{pattern: "/v1/cluster/nodes/{node}/undrain", post: d.undrainNode, log: true},
		{pattern: "/v1/shards", get: d.listShards, head: d.listShards, post: d.addShard, log: true},
		{pattern: "/v1/shards/{shard}/transfer", post: d.transferShard, log: true},
		{pattern: "/v1/status", get: d.status, head: d.status, log: true},
		plain("/", d.index), plain("/health", d.health), plain("/ready", d.ready), plain("/version", d.version), plain("/metrics", d.metrics),
		plain("/openapi.yaml", page("openapi.yaml")), plain("/openapi.json", page("openapi.json")),
		plain("/docs", page("docs.html")), plain("/docs.js", page("docs.js")), plain("/docs.css", page("docs.css")),
	}
	for i := range routes {
		routes[i].parts = strings.Split(routes[i].pattern[1:], "/")
	}
	return routes
}

// ServeHTTP finds the route and answers, also where there is none.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{Request: r, who: callerOf(r)}
	if grpcCall(r) {
		writeProblem(w, errs.New(errs.Invalid, "this is the HTTP port, and the call is gRPC: use the gRPC address (by default port 7070)"))
		return
	}
	found := d.find(&c)
	if d.cors(w, r, found) {
		return
	}
	if err := d.answer(w, &c, found); err != nil {
		writeProblem(w, err)
	}
}

func (d *Door) answer(w http.ResponseWriter, c *call, found *route) error {
	if found == nil {
		return errs.New(errs.NotFound, "there is nothing at %.200q; see / for what there is", c.URL.Path)
	}
	handle := found.handler(c.Method)
	if handle == nil {
		allowed := strings.Join(found.methods(), ", ")
		w.Header().Set("Allow", allowed)
		if c.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return as(http.StatusMethodNotAllowed, "method not allowed", errs.New(errs.Invalid, "%s does not take %.20q; it takes %s", found.pattern, c.Method, allowed))
	}
	if found.log {
		if c.gate = d.gate.Load(); c.gate == nil {
			return errs.New(errs.Unavailable, "the node is opening its log; try again, and see /ready").With("reason", "starting")
		}
		return d.serve(w, c, found, handle)
	}
	return handle(w, c)
}

func grpcCall(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// find gives the route of a call's path and sets its parameters. The path is cut before its parts are decoded.
func (d *Door) find(c *call) *route {
	raw, encoded := c.URL.RawPath, true
	if raw == "" {
		raw, encoded = c.URL.Path, false // nothing in it was encoded in a way that matters to cutting
	}
	if raw == "" || raw[0] != '/' {
		return nil
	}
	var room [mostParts]string
	parts, ok := cut(raw[1:], room[:0])
	if !ok {
		return nil
	}
	for i := range d.routes {
		if d.routes[i].match(parts, encoded, &c.path) {
			return &d.routes[i]
		}
	}
	return nil
}

func cut(path string, parts []string) ([]string, bool) {
	for {
		part, rest, more := strings.Cut(path, "/")
		parts = append(parts, part)
		if !more {
			return parts, true
		}
		if len(parts) == mostParts {
			return parts, false
		}
		path = rest
	}
}

func (r *route) match(parts []string, encoded bool, params *[mostParams]string) bool {
	if len(parts) != len(r.parts) {
		return false
	}
	n := 0
	for i, want := range r.parts {
		if len(want) == 0 || want[0] != '{' {
			if parts[i] != want {
				return false
			}
			continue
		}
		value := parts[i]
		if encoded {
			decoded, err := url.PathUnescape(value)
			if err != nil {
				return false
			}
			value = decoded
		}
		params[n] = value
		n++
	}
	return true
}

func (r *route) handler(method string) handler {
	switch method {
	case http.MethodGet:
		return r.get
	case http.MethodHead:
		return r.head
	case http.MethodPost:
		return r.post
	case http.MethodPut:
		return r.put
	case http.MethodDelete:
		return r.del
	}
	return nil
}

func (r *route) methods() (allowed []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if r.handler(m) != nil {
			allowed = append(allowed, m)
		}
	}
	return allowed
}

func callerOf(r *http.Request) gateway.Caller {
	who := gateway.Caller{Addr: r.RemoteAddr}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		who.Name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return who
}
