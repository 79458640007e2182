package demo

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"testing"
)

// fold reads the embedded history without a server: the table must come out of the events alone.
func fold(t *testing.T) map[string]File {
	t.Helper()
	zipped, size := History()
	if size == 0 {
		t.Fatal("the history is empty")
	}
	unzipped, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]File{}
	events := 0
	for lines := bufio.NewScanner(unzipped); lines.Scan(); events++ {
		var e struct {
			Type, Subject string
			Data          json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("line %d: %v", events+1, err)
		}
		next, err := files[e.Subject].Fold(e.Type, e.Data)
		if err != nil {
			t.Fatalf("line %d: %v", events+1, err)
		}
		files[e.Subject] = next
	}
	if events != Events {
		t.Errorf("the history has %d events, not %d", events, Events)
	}
	return files
}

func TestHistoryFoldsToTheExpectedTable(t *testing.T) {
	want, err := Expected()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != Streams {
		t.Errorf("the table has %d streams, not %d", len(want), Streams)
	}
	for _, d := range Compare(fold(t), want) {
		t.Error(d)
	}
}

func TestCompareFindsEveryKindOfDifference(t *testing.T) {
	want := map[string]File{"a": {Lines: 1, Changes: 1, Exists: true}, "b": {Lines: 2, Changes: 1, Exists: true}}
	got := map[string]File{"a": {Lines: 1, Changes: 1}, "c": {}}
	found := Compare(got, want)
	if len(found) != 3 {
		t.Fatalf("found %v", found)
	}
	if found[0].Path != "a" || found[0].Missing || found[0].Extra {
		t.Errorf("a differing file: %+v", found[0])
	}
	if found[1].Path != "b" || !found[1].Missing {
		t.Errorf("a missing file: %+v", found[1])
	}
	if found[2].Path != "c" || !found[2].Extra {
		t.Errorf("an extra file: %+v", found[2])
	}
}

func TestFoldRefusesOtherData(t *testing.T) {
	if _, err := (File{}).Fold("FileChanged", []byte("a sentence")); err == nil {
		t.Error("data that is no JSON was folded")
	}
}

func TestBusiest(t *testing.T) {
	files := map[string]File{"x": {Changes: 1}, "b": {Changes: 5}, "a": {Changes: 5}}
	got := Busiest(files, 2)
	if len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("busiest: %v", got)
	}
	if got := Busiest(files, 9); len(got) != 3 {
		t.Errorf("more than there are: %v", got)
	}
}
