package http

import (
	"net/http"
	"slices"
	"strings"
)

// What a page of an allowed origin may send beyond what browsers always allow, and see.
const (
	corsHeaders = "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, traceparent, " +
		"Ce-Id, Ce-Source, Ce-Specversion, Ce-Subject, Ce-Time, Ce-Type"
	corsExposed = "ETag, Gesta-Offset, Gesta-Position, Gesta-Recorded-Time, Gesta-Resolved-Offset, Gesta-Revision, Link, Location, Retry-After"
	corsMaxAge  = "7200" // the most that browsers keep
)

// cors answers a browser's question whether a page may call, and marks answers that its page may see. It tells whether the
// request was such a question. There are no cookies here, so credentials are never allowed.
func (d *Door) cors(w http.ResponseWriter, r *http.Request, found *route) (answered bool) {
	origins := d.o.Settings.CORSOrigins
	if len(origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(origins, origin) && !slices.Contains(origins, "*") {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" || found == nil {
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(found.methods(), ", "))
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
