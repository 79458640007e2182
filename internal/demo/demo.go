// Package demo holds a real history to try Gesta with, and what it must fold to.
//
// The history is the first-parent history of a public repository, as CloudEvents, no names, no contents: 10,246 events in commit
// order, one stream for each of 763 files (the subject is the file's path), of the types FileCreated, FileChanged and
// FileDeleted, whose data is {commit, added, removed}, the last two in lines. Four events carry a time earlier than the event
// before them: real histories do. The expected table was computed from git and checked against the files themselves.
//
// It knows neither client nor server: who has read the streams back folds them here and compares.
package demo

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What the history holds.
const (
	Events  = 10246
	Streams = 763
)

//go:embed history.ndjson.gz
var history []byte

//go:embed expected.json.gz
var expected []byte

// History gives the events as gzipped NDJSON, one CloudEvent a line, and their size in bytes.
func History() (io.Reader, int64) { return bytes.NewReader(history), int64(len(history)) }

// File is the state of one file after some of its events.
type File struct {
	Lines   int64 `json:"lines"`   // added less removed
	Changes int64 `json:"changes"` // events
	Exists  bool  `json:"exists"`  // the newest event is not FileDeleted
}

// Fold gives the state after one more event of the file.
func (f File) Fold(eventType string, data []byte) (File, error) {
	var change struct{ Added, Removed int64 }
	if err := json.Unmarshal(data, &change); err != nil {
		return f, fmt.Errorf("the data of a %s: %w", eventType, err)
	}
	return File{
		Lines:   f.Lines + change.Added - change.Removed,
		Changes: f.Changes + 1,
		Exists:  eventType != "FileDeleted",
	}, nil
}

// Expected gives the state that each file must have after its last event.
func Expected() (map[string]File, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(expected))
	if err != nil {
		return nil, fmt.Errorf("the expected table: %w", err)
	}
	table := make(map[string]File, Streams)
	if err := json.NewDecoder(unzipped).Decode(&table); err != nil {
		return nil, fmt.Errorf("the expected table: %w", err)
	}
	return table, nil
}

// Difference is a file whose state is not the expected one.
type Difference struct {
	Path           string
	Got, Want      File
	Missing, Extra bool
}

// String says in one sentence what differs.
func (d Difference) String() string {
	switch {
	case d.Missing:
		return fmt.Sprintf("%s has no events", d.Path)
	case d.Extra:
		return fmt.Sprintf("%s is not in the expected table", d.Path)
	}
	return fmt.Sprintf("%s folds to %+v, expected is %+v", d.Path, d.Got, d.Want)
}

// Compare gives every difference between two tables, in the order of the paths.
func Compare(got, want map[string]File) []Difference {
	var found []Difference
	for path, w := range want {
		if g, ok := got[path]; !ok {
			found = append(found, Difference{Path: path, Want: w, Missing: true})
		} else if g != w {
			found = append(found, Difference{Path: path, Got: g, Want: w})
		}
	}
	for path, g := range got {
		if _, ok := want[path]; !ok {
			found = append(found, Difference{Path: path, Got: g, Extra: true})
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return found
}

// Busiest gives the n files with the most changes, the busiest first.
func Busiest(files map[string]File, n int) []string {
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int {
		if d := files[b].Changes - files[a].Changes; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	return paths[:min(n, len(paths))]
}
