package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

func TestIdentityGoesRound(t *testing.T) {
	for range 20 {
		i := newIdentity("")
		i.ClusterID, i.Founders = "c1", []uint64{i.Incarnation, 7}
		got, err := decodeIdentity("node.yaml", i.encode())
		if err != nil || !reflect.DeepEqual(got, i) {
			t.Fatalf("%+v %v, want %+v", got, err, i)
		}
	}
}

// Any changed byte of the file is found, but for one that makes it a newer format's, which is refused too.
func TestADamagedIdentityIsFound(t *testing.T) {
	whole := newIdentity("").encode()
	for at := range whole {
		for _, flip := range []byte{1, 0x20} {
			b := append([]byte(nil), whole...)
			b[at] ^= flip
			_, err := decodeIdentity("node.yaml", b)
			if code := errs.CodeOf(err); code != errs.Corrupt && code != errs.Unsupported {
				t.Fatalf("byte %d flipped by %x: %v\n%s", at, flip, err, b)
			}
		}
	}
	for n := range whole[:len(whole)-1] { // without its last newline it is whole
		if _, err := decodeIdentity("node.yaml", whole[:n]); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestAFolderOfANewerFormat(t *testing.T) {
	dir := t.TempDir()
	text := "format: 2\nwhatever: [1, 2]\n"
	if err := os.WriteFile(filepath.Join(dir, identityName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openFolder(vfs.OS(), dir, "")
	if errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "newer version") {
		t.Fatal(err)
	}
}

func TestFoldersThatAreNotOurs(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		code errs.Code
	}{
		"something else": {"holiday.jpg", errs.Invalid},
		"no identity":    {"shards", errs.Corrupt},
		"a fresh volume": {"lost+found", ""},
		"half made":      {identityTemp, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := openFolder(vfs.OS(), dir, "")
			if errs.CodeOf(err) != c.code {
				t.Fatal(err)
			}
			if err == nil {
				if err := f.close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			if names, _ := vfs.OS().List(dir); len(names) != 1 {
				t.Errorf("the folder was touched: %v", names)
			}
		})
	}
}

func TestAFolderThatIsAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(vfs.OS(), name, ""); errs.CodeOf(err) != errs.Invalid || errs.As(err).Details["field"] != "data" {
		t.Fatal(err)
	}
}

// Wherever the power goes while a folder is made, the next start makes it or finds it whole; once it was made it stays.
func TestPowerCutsWhileAFolderIsMade(t *testing.T) {
	for n := 1; ; n++ {
		for seed := range uint64(8) {
			disk := crashfs.New(seed)
			faults := faultfs.New(disk)
			faults.FailNth(n)
			f, err := openFolder(faults, "data", "")
			if err == nil && seed == 0 && faults.Count() < n {
				return // there was no n-th operation
			}
			var made *Identity
			if err == nil {
				made = &f.identity
			}
			again, err := openFolder(disk.Crash(), "data", "")
			if err != nil {
				t.Fatalf("operation %d, seed %d: %v", n, seed, err)
			}
			if made != nil && !reflect.DeepEqual(again.identity, *made) {
				t.Fatalf("operation %d, seed %d: %s became %s", n, seed, made.NodeID, again.identity.NodeID)
			}
		}
	}
}
