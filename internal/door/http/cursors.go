package http

import (
	"net/http"
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/jsonwalk"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// cursor is a cursor in answers.
type cursor struct {
	Name     string    `json:"name"`
	Position string    `json:"position"`
	Updated  time.Time `json:"updated"`
}

func cursorOf(c gateway.Cursor) cursor {
	return cursor{Name: c.Name, Position: c.Position, Updated: c.Updated.UTC()}
}

type cursorList struct {
	Cursors []cursor `json:"cursors"`
	Next    string   `json:"next,omitempty"`
}

func (d *Door) listCursors(w http.ResponseWriter, c *call) error {
	cursors, next, err := named(w, c, c.gate.ListCursors, cursorOf, func(c gateway.Cursor) string { return c.Name })
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, cursorList{cursors, next})
	return nil
}

func (d *Door) getCursor(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	found, err := c.gate.GetCursor(c.who, c.path[0])
	if err != nil {
		return err
	}
	respondCursor(w, http.StatusOK, found)
	return nil
}

// respondCursor tells a cursor; its position is the ETag too.
func respondCursor(w http.ResponseWriter, status int, c gateway.Cursor) {
	w.Header().Set("ETag", quotedTag(c.Position))
	respond(w, status, cursorOf(c))
}

func (d *Door) putCursor(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	inHeader, err := cursorCondition(c.Header)
	if err != nil {
		return err
	}
	to, expect, err := d.readMove(w, c)
	switch {
	case err != nil:
		return err
	case inHeader != nil && expect != nil:
		return refuse("expected_position", "give the condition once: as If-Match or If-None-Match, or as expected_position")
	case inHeader != nil:
		expect = inHeader
	}
	set, created, err := c.gate.SetCursor(c.Context(), c.who, c.path[0], to, expect)
	if inHeader != nil && errs.CodeOf(err) == errs.Conflict {
		return as(http.StatusPreconditionFailed, "the precondition failed", err)
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	respondCursor(w, status, set)
	return nil
}

// readMove reads where a cursor is to be, and where it is expected; expect is nil when nothing is.
func (d *Door) readMove(w http.ResponseWriter, c *call) (to string, expect *string, err error) {
	if err := encoded(c.Header); err != nil {
		return "", nil, err
	}
	if contentType := c.Header.Get("Content-Type"); mediaType(contentType) != typeJSON {
		return "", nil, as(http.StatusUnsupportedMediaType, "unsupported media type", refuse("Content-Type", "Content-Type is %.80q; a cursor's position is told in %s", contentType, typeJSON))
	}
	memory := newScratch()
	defer memory.free()
	done, err := d.readBody(w, c, memory)
	if err != nil {
		return "", nil, err
	}
	defer done()
	return parseMove(memory.in)
}

// parseMove reads {"position", "expected_position"}; the second may be left out or null.
func parseMove(body []byte) (to string, expect *string, err error) {
	if body, err = checkJSON(body); err != nil {
		return "", nil, err
	}
	w, ok := jsonwalk.Object(body)
	if !ok {
		return "", nil, refuse("body", "the body must be a JSON object")
	}
	given := map[string]*string{}
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		field := shown(name)
		_, twice := given[field]
		switch {
		case field != "position" && field != "expected_position":
			return "", nil, refuse(field, "%s is not a field here: see /docs for those that are", field)
		case twice:
			return "", nil, refuse(field, "%s comes twice", field)
		case isNull(value):
			given[field] = nil
		case !isString(value):
			return "", nil, refuse(field, "%s must be text", field)
		default:
			text := string(unquote(value))
			given[field] = &text
		}
	}
	if given["position"] == nil {
		return "", nil, refuse("position", "position is missing: give one that an append or a read has told")
	}
	return *given["position"], given["expected_position"], nil
}

func (d *Door) deleteCursor(w http.ResponseWriter, c *call) error {
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	switch condition, _, err := oneCondition(c.Header); {
	case err != nil:
		return err
	case condition != "":
		return refuse(condition, "a cursor is deleted wherever it is: leave out %s", condition)
	}
	if err := c.gate.DeleteCursor(c.Context(), c.who, c.path[0]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cursorCondition reads If-Match: "POSITION" (the cursor is there) and If-None-Match: * (there is no such cursor yet: an empty
// position).
func cursorCondition(h http.Header) (expect *string, err error) {
	name, value, err := oneCondition(h)
	switch {
	case err != nil || name == "":
		return nil, err
	case name == ifNoneMatch && value == "*":
		return new(string), nil
	case name == ifNoneMatch:
		return nil, refuse(name, "If-None-Match is %.80q; it takes only *, for a cursor that must not be there yet", value)
	}
	position, ok := unquotedTag(value)
	if !ok {
		return nil, refuse(name, `If-Match is %.80q; give one position in quotes, as the cursor's ETag tells it`, value)
	}
	return &position, nil
}

func quotedTag(position string) string { return `"` + position + `"` }

func unquotedTag(tag string) (position string, ok bool) {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return "", false
	}
	position = tag[1 : len(tag)-1]
	return position, !strings.Contains(position, `"`)
}
