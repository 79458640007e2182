package http

import (
	"embed"
	"net/http"
	"strings"
)

// The documentation: the OpenAPI document, written by hand, the same in JSON, made from it, and a page of ours that shows it.
//
//go:embed openapi.yaml openapi.json docs.html docs.js docs.css
var pages embed.FS

var pageTypes = map[string]string{
	"yaml": "application/yaml", "json": typeJSON, "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
}

// page serves one embedded file. Nothing from elsewhere is loaded or run by it.
func page(name string) handler {
	body, err := pages.ReadFile(name)
	if err != nil {
		panic(err) // it was not built into the program
	}
	_, kind, _ := strings.Cut(name, ".")
	return func(w http.ResponseWriter, _ *call) error {
		h := w.Header()
		h.Set("Content-Type", pageTypes[kind])
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) // what fails here is the connection
		return nil
	}
}
