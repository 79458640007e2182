// Package jsonwalk goes through JSON where it lies: members of objects and elements of lists are found without being decoded, so that
// a value keeps the bytes its writer wrote, a name that comes twice is seen twice, and nothing is allocated.
//
// What is walked must be known to be valid JSON, without white space around it, as json.Valid and bytes.TrimSpace leave it: then
// finding the ends of its parts needs no checks. Anything else may panic.
package jsonwalk

// Members goes through the members of an object.
type Members struct {
	doc []byte
	at  int
}

// Object begins at an object; ok is false when v is something else.
func Object(v []byte) (w Members, ok bool) {
	if len(v) == 0 || v[0] != '{' {
		return w, false
	}
	return Members{doc: v, at: skipSpace(v, 1)}, true
}

// Next gives a member's name, without its quotes but with its escapes, and its value.
func (w *Members) Next() (name, value []byte, ok bool) {
	if w.doc[w.at] == '}' {
		return nil, nil, false
	}
	end := endOfValue(w.doc, w.at)
	name = w.doc[w.at+1 : end-1]
	from := skipSpace(w.doc, skipSpace(w.doc, end)+1) // behind the colon
	end = endOfValue(w.doc, from)
	value = w.doc[from:end]
	if w.at = skipSpace(w.doc, end); w.doc[w.at] == ',' {
		w.at = skipSpace(w.doc, w.at+1)
	}
	return name, value, true
}

// Elements goes through the elements of a list.
type Elements struct {
	doc []byte
	at  int
}

// List begins at a list; ok is false when v is something else.
func List(v []byte) (w Elements, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return w, false
	}
	return Elements{doc: v, at: skipSpace(v, 1)}, true
}

// Next gives an element.
func (w *Elements) Next() (value []byte, ok bool) {
	if w.doc[w.at] == ']' {
		return nil, false
	}
	end := endOfValue(w.doc, w.at)
	value = w.doc[w.at:end]
	if w.at = skipSpace(w.doc, end); w.doc[w.at] == ',' {
		w.at = skipSpace(w.doc, w.at+1)
	}
	return value, true
}

func skipSpace(doc []byte, i int) int {
	for doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r' {
		i++
	}
	return i
}

// endOfValue gives the end of the value at i, which stands in an object or list.
func endOfValue(doc []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch doc[i] {
		case '"':
			i = closingQuote(doc, i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1 + depth // a number is ended by the bracket around it, which is not its own
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
}

func closingQuote(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i
}
