package http

import (
	"net/http"

	"github.com/gesta-db/gesta/internal/gateway"
)

func (d *Door) index(w http.ResponseWriter, _ *call) error {
	respond(w, http.StatusOK, map[string]string{
		"health": "/health", "ready": "/ready", "version": "/version", "metrics": "/metrics", "status": "/v1/status", "topics": "/v1/topics",
		"cursors": "/v1/cursors", "cluster": "/v1/cluster", "shards": "/v1/shards",
		"documentation": "/docs", "openapi": "/openapi.yaml",
	})
	return nil
}

func (d *Door) health(w http.ResponseWriter, _ *call) error {
	respond(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readiness is the answer of /ready.
type readiness struct {
	Ready  bool            `json:"ready"`
	Checks []gateway.Check `json:"checks"`
}

func (d *Door) ready(w http.ResponseWriter, _ *call) error {
	ready, checks := d.o.Gateway.Ready()
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	respond(w, status, readiness{ready, checks})
	return nil
}

func (d *Door) version(w http.ResponseWriter, _ *call) error {
	respond(w, http.StatusOK, d.o.Version())
	return nil
}

func (d *Door) metrics(w http.ResponseWriter, c *call) error {
	d.o.Metrics.ServeHTTP(w, c.Request)
	return nil
}
