package node

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	identityName = "node.yaml"
	identityTemp = "node.yaml.new"
	// FormatVersion is the data folder's; it only goes up.
	FormatVersion = 1
)

// Identity is who the node is: what node.yaml holds.
type Identity struct {
	Format int `yaml:"format"`
	// NodeID names the node to people and in status.
	NodeID string `yaml:"node_id"`
	// Incarnation is drawn when the folder is made and is the replica's number in every Raft group: a folder that was lost and made
	// anew is another replica, never one that forgot its votes.
	Incarnation uint64 `yaml:"-"`
	// ClusterID is empty while the folder belongs to no cluster.
	ClusterID string `yaml:"cluster_id"`
	// Founders are the replicas that founded the cluster: the first voters of the meta group.
	Founders []uint64 `yaml:"-"`
}

// identityFile is node.yaml's form. Check is the CRC32C of the lines before it.
type identityFile struct {
	Identity    `yaml:",inline"`
	Incarnation string   `yaml:"incarnation"`
	Founders    []string `yaml:"founders,flow"`
	Check       string   `yaml:"check"`
}

// newIdentity draws who a new folder is. Without a name it gets one.
func newIdentity(nodeID string) Identity {
	var raw [8]byte
	for binary.BigEndian.Uint64(raw[:]) == 0 { // Raft knows no replica 0
		mustRead(raw[:])
	}
	return Identity{Format: FormatVersion, NodeID: cmp.Or(nodeID, "n-"+hex.EncodeToString(raw[:4])), Incarnation: binary.BigEndian.Uint64(raw[:])}
}

// mustRead: crypto/rand ends the program rather than fail.
func mustRead(b []byte) { _, _ = rand.Read(b) }

func (i Identity) encode() []byte {
	body := fmt.Sprintf("# Who this node is. Made once, with the data folder; do not edit or copy it to another node.\nformat: %d\nnode_id: %s\nincarnation: %q\ncluster_id: %q\nfounders: [%s]\n",
		i.Format, i.NodeID, strconv.FormatUint(i.Incarnation, 16), i.ClusterID, strings.Join(quoteAll(i.Founders), ", "))
	return fmt.Appendf(nil, "%scheck: %q\n", body, checkOf(body))
}

func quoteAll(ids []uint64) (list []string) {
	for _, id := range ids {
		list = append(list, strconv.Quote(strconv.FormatUint(id, 16)))
	}
	return list
}

func checkOf(body string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

// decodeIdentity reads node.yaml's text. The format comes first: a newer one may have changed everything else.
func decodeIdentity(name string, text []byte) (Identity, error) {
	var f identityFile
	if err := yaml.Unmarshal(text, &f); err != nil {
		return Identity{}, damagedIdentity(name, "it does not parse")
	}
	if f.Format > FormatVersion {
		return Identity{}, errs.New(errs.Unsupported, "the data folder was written by a newer version of gesta (%s says format %d, this version knows %d): use that version or a newer one", name, f.Format, FormatVersion).With("file", name)
	}
	body, _, _ := strings.Cut(string(text), "check:")
	incarnation, err := strconv.ParseUint(f.Incarnation, 16, 64)
	if err != nil || incarnation == 0 || f.Format < 1 || f.NodeID == "" || f.Check != checkOf(body) {
		return Identity{}, damagedIdentity(name, "its check does not match")
	}
	f.Identity.Incarnation = incarnation
	for _, text := range f.Founders {
		id, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return Identity{}, damagedIdentity(name, "its founders do not parse")
		}
		f.Identity.Founders = append(f.Identity.Founders, id)
	}
	return f.Identity, nil
}

func damagedIdentity(name, why string) error {
	return errs.New(errs.Corrupt, "%s is damaged (%s): restore it from a backup of the folder", name, why).With("file", name)
}

func readIdentity(fsys vfs.FS, dir string) (Identity, error) {
	name := filepath.Join(dir, identityName)
	f, err := fsys.Open(name)
	if err != nil {
		return Identity{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return Identity{}, err
	}
	text := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(text, 0); err != nil && err != io.EOF {
		return Identity{}, fmt.Errorf("read %s: %w", name, err)
	}
	return decodeIdentity(name, text)
}

// CheckIdentity tells what is wrong with a data folder's node.yaml: corrupt when it is missing or damaged, unsupported when a newer
// version wrote the folder.
func CheckIdentity(fsys vfs.FS, dir string) error {
	_, err := readIdentity(fsys, dir)
	if isNotExist(err) {
		return damagedIdentity(filepath.Join(dir, identityName), "it is missing")
	}
	return err
}

// writeIdentity makes node.yaml whole or not at all: see the package document.
func writeIdentity(fsys vfs.FS, dir string, i Identity) error {
	temp := filepath.Join(dir, identityTemp)
	if err := fsys.Remove(temp); err != nil && !isNotExist(err) {
		return err
	}
	if err := writeFile(fsys, temp, i.encode()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, filepath.Join(dir, identityName)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func writeFile(fsys vfs.FS, name string, b []byte) (err error) {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.SyncData()
}
