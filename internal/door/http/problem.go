package http

import (
	"encoding/json"
	"net/http"

	"github.com/gesta-db/gesta/internal/errs"
)

// problem is an RFC 9457 problem document.
type problem struct {
	Type    string            `json:"type"`
	Title   string            `json:"title"`
	Status  int               `json:"status"`
	Detail  string            `json:"detail"`
	Code    errs.Code         `json:"code"`
	Details map[string]string `json:"details,omitempty"`
}

// writeProblem is the one place where an error of ours becomes HTTP's.
func writeProblem(w http.ResponseWriter, err error) {
	e := errs.As(err)
	row := errs.RowOf(e.Code)
	writeProblemStatus(w, row.HTTP, e, row.Meaning)
}

func writeProblemStatus(w http.ResponseWriter, status int, e *errs.Error, title string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	writeJSON(w, problem{
		Type: "https://github.com/gesta-db/gesta/blob/main/docs/reference/errors.md#" + string(e.Code), Title: title,
		Status: status, Detail: e.Message, Code: e.Code, Details: e.Details,
	})
}

// respond writes v as JSON.
func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	writeJSON(w, v)
}

// writeJSON: what fails here is the connection, and nobody is left to tell.
func writeJSON(w http.ResponseWriter, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
