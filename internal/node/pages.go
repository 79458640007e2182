package node

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gesta-db/gesta/internal/errs"
)

// The pages of docs/reference that are made from the code; a test holds them to it.
//
//go:generate go test -run TestReferencePages -update .
var pages = map[string]func() string{
	"configuration.md": configurationPage,
	"metrics.md":       metricsPage,
	"errors.md":        errorsPage,
}

const generatedNote = "<!-- Made from the code by `go generate ./internal/node`; do not edit. -->\n\n"

func configurationPage() string {
	var b strings.Builder
	b.WriteString(generatedNote + `# Configuration

Every setting of ` + "`gesta serve`" + ` has a default, and can be set in a YAML file (` + "`--config FILE`, or `GESTA_CONFIG`" + `), in the environment, or by a
flag. A flag wins over the environment, the environment over the file, the file over the default. Unknown names are refused.
What is in force is printed at start.

` + "```yaml" + `
# gesta.yaml: a setting whose name has a dot nests
data: /var/lib/gesta
grpc: 10.0.0.5:7070
tls:
  cert: /etc/gesta/cert.pem
  key: /etc/gesta/key.pem
limits:
  event_bytes: 2MiB
` + "```" + `

Sizes are bytes, or a number with KiB, MiB, GiB or TiB; durations are written 15s, 1m30s or 24h.

## The server

`)
	for _, f := range serverFields() {
		fieldSection(&b, f)
	}
	b.WriteString("## Limits\n\nWhat is over a limit is refused with [too_large](errors.md#too_large), or with [busy](errors.md#busy) where a queue is full.\n\n")
	for _, f := range limitFields() {
		fieldSection(&b, f)
	}
	return strings.TrimSpace(b.String()) + "\n"
}

func fieldSection(b *strings.Builder, f Field) {
	fmt.Fprintf(b, "### %s\n\n%s.\n\n", f.Name, capital(strings.TrimPrefix(f.Help, "limit: ")))
	fmt.Fprintf(b, "- default: %s\n- flag: `--%s`, environment: `%s`\n", quoted(f.Default), f.Flag(), f.Env())
	if f.Range != "" {
		fmt.Fprintf(b, "- %s: %s\n", f.Kind, f.Range)
	} else {
		fmt.Fprintf(b, "- kind: %s\n", f.Kind)
	}
	if f.Reason != "" {
		fmt.Fprintf(b, "- reason: %s\n", f.Reason)
	}
	b.WriteString("\n")
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return "`" + s + "`"
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func metricsPage() string {
	m := newMetrics()
	m.gauges(gaugeSources{})
	var b strings.Builder
	b.WriteString(generatedNote + `# Metrics

` + "`GET /metrics`" + ` on the HTTP address gives these in Prometheus' text format, with Go's runtime (` + "`go_*`" + `) and the process (` + "`process_*`" + `)
beside them. Counters count since the start. A histogram has the series ` + "`_bucket`, `_sum` and `_count`" + `. Durations are in seconds, sizes in
bytes. Nothing is labelled by topic or key: there may be millions.

They are also pushed, under the same names, when [OpenTelemetry's variables](telemetry.md) ask for it.

| metric | kind | unit | labels | what |
|---|---|---|---|---|
`)
	for _, d := range m.docs {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, d.unit(), strings.Join(d.Labels, ", "), d.Help)
	}
	return b.String()
}

func errorsPage() string {
	var b strings.Builder
	b.WriteString(generatedNote + `# Errors

Every failure has one of these codes, whichever way it comes. By gRPC it is the ` + "`reason`" + ` of a ` + "`google.rpc.ErrorInfo`" + ` whose domain is
` + "`gesta`" + `; its metadata has details such as ` + "`field`, `limit`, `actual`, `file` or `offset`" + `. By HTTP it is the ` + "`code`" + ` of a problem document
(RFC 9457). The command line prints it and ends with the exit code. A write that fails without a code (the connection broke) must be
taken for ` + "[unknown_outcome](#unknown_outcome)" + `.

| code | gRPC | HTTP | exit | retry |
|---|---|---|---|---|
`)
	for _, r := range errs.Table() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %d | %s |\n", r.Code, r.Code, codes.Code(r.GRPC), r.HTTP, r.Exit, r.Retry)
	}
	for _, r := range errs.Table() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\nWhat to do: %s. Retry: %s.\n", r.Code, capital(r.Meaning), r.Remedy, r.Retry)
	}
	return b.String()
}
