// Package http is the door for HTTP: health, readiness, version and metrics, for people, load balancers and Prometheus.
//
//	GET /health    200 while the process answers; says nothing about whether it can serve
//	GET /ready     200 when it serves everything, else 503; a JSON object with each check and why it fails
//	GET /version   the version and what it was built with
//	GET /metrics   Prometheus' text format, or OpenMetrics when asked for
//	GET /          a JSON object that names these
//
// It promises that errors are RFC 9457 problem documents with a code of the error table, mapped once, in problem.go. It knows
// nothing of other doors, and of metrics only the handler that it is given.
package http
