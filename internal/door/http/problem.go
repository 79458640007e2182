package http

import (
	"cmp"
	"encoding/json"
	"errors"
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
	Field   string            `json:"field,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

const problemType = "application/problem+json"

// statusError is an error for which HTTP has a status of its own, beside the table's.
type statusError struct {
	error
	status int
	title  string
}

func (e statusError) Unwrap() error { return e.error }

func as(status int, title string, err error) error { return statusError{err, status, title} }

// problemOf is the one place where an error of ours becomes HTTP's.
func problemOf(err error) problem {
	var own statusError
	e := errs.As(err)
	row := errs.RowOf(e.Code)
	p := problem{
		Type:  "https://github.com/gesta-db/gesta/blob/main/docs/reference/errors.md#" + string(e.Code),
		Title: row.Meaning, Status: row.HTTP, Detail: e.Message, Code: e.Code, Field: e.Details["field"], Details: e.Details,
	}
	if errors.As(err, &own) {
		p.Status, p.Title = own.status, own.title
	}
	return p
}

func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	if retry := errs.RowOf(p.Code).Retry; retry == errs.RetryLater || retry == errs.RetryYes {
		h.Set("Retry-After", "1")
	}
	if actual := cmp.Or(p.Details["actual_revision"], p.Details["actual_position"]); actual != "" && p.Code == errs.Conflict {
		h.Set("ETag", `"`+actual+`"`)
	}
	w.WriteHeader(p.Status)
	writeJSON(w, p)
}

// refuse says what is wrong with a field, a header or the body as a whole.
func refuse(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, format, args...).With("field", field)
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
