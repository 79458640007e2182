package shard

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Manifest lists the sealed segments of a shard, as a leader offers them to a replica that is too far behind for entries.
type Manifest struct {
	Cluster string
	Shard   uint32
	History uint64
	// Sender is the replica that offers, and whose files have these lengths.
	Sender uint64
	// Index and Term are of the last entry of the newest segment; Conf is the group's configuration as of it, which ConfIndex made.
	Index, Term uint64
	Conf        replica.Conf
	ConfIndex   uint64
	Segments    []Piece
}

// Piece is one segment of a manifest.
type Piece struct {
	First, Last uint64
	Bytes       int64
	Generation  uint64
	Digest      [32]byte
}

// A manifest on the wire and on disk:
//
//	magic u32 | version u32 | crc32c of what follows u32 | cluster length u32, bytes | shard u32 | history u64 | sender u64 | index u64 |
//	term u64 | configuration | configuration's index u64 | count u32 | first u64, last u64, bytes u64, generation u64, digest 32 bytes …
const (
	manifestMagic   = 0x4e414d47 // "GMAN"
	manifestVersion = 1
	manifestHeader  = 12
	pieceBytes      = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode gives the manifest's bytes.
func (m *Manifest) Encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, manifestMagic)
	b = le.AppendUint32(b, manifestVersion)
	b = le.AppendUint32(b, 0)
	b = append(le.AppendUint32(b, uint32(len(m.Cluster))), m.Cluster...)
	b = le.AppendUint32(b, m.Shard)
	for _, v := range []uint64{m.History, m.Sender, m.Index, m.Term} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint64(m.Conf.Append(b), m.ConfIndex)
	b = le.AppendUint32(b, uint32(len(m.Segments)))
	for i := range m.Segments {
		p := &m.Segments[i]
		for _, v := range []uint64{p.First, p.Last, uint64(p.Bytes), p.Generation} {
			b = le.AppendUint64(b, v)
		}
		b = append(b, p.Digest[:]...)
	}
	le.PutUint32(b[8:], crc32.Checksum(b[manifestHeader:], castagnoli))
	return b
}

// DecodeManifest takes a manifest from its bytes. Errors: errs.Corrupt, errs.Unsupported.
func DecodeManifest(b []byte) (Manifest, error) {
	le := binary.LittleEndian
	bad := errs.New(errs.Corrupt, "the list of a shard's segments is damaged")
	if len(b) < manifestHeader || le.Uint32(b) != manifestMagic {
		return Manifest{}, bad
	}
	if v := le.Uint32(b[4:]); v != manifestVersion {
		return Manifest{}, errs.New(errs.Unsupported, "the list of a shard's segments has version %d, this program knows %d: run the same release on every node", v, manifestVersion)
	}
	if le.Uint32(b[8:]) != crc32.Checksum(b[manifestHeader:], castagnoli) {
		return Manifest{}, bad
	}
	m, ok := decodeManifest(b[manifestHeader:])
	if !ok {
		return Manifest{}, bad
	}
	return m, nil
}

func decodeManifest(b []byte) (m Manifest, ok bool) {
	le := binary.LittleEndian
	if len(b) < 4 || uint64(len(b)-4) < uint64(le.Uint32(b))+36 {
		return m, false
	}
	n := le.Uint32(b)
	m.Cluster, b = string(b[4:4+n]), b[4+n:]
	m.Shard = le.Uint32(b)
	m.History, m.Sender, m.Index, m.Term = le.Uint64(b[4:]), le.Uint64(b[12:]), le.Uint64(b[20:]), le.Uint64(b[28:])
	if m.Conf, b, ok = replica.TakeConf(b[36:]); !ok || len(b) < 12 {
		return m, false
	}
	m.ConfIndex = le.Uint64(b)
	count := uint64(le.Uint32(b[8:]))
	if b = b[12:]; uint64(len(b)) != count*pieceBytes {
		return m, false
	}
	for ; len(b) > 0; b = b[pieceBytes:] {
		p := Piece{First: le.Uint64(b), Last: le.Uint64(b[8:]), Bytes: int64(le.Uint64(b[16:])), Generation: le.Uint64(b[24:])}
		copy(p.Digest[:], b[32:])
		m.Segments = append(m.Segments, p)
	}
	return m, m.inOrder()
}

// inOrder tells that the segments follow each other without a gap up to the index.
func (m *Manifest) inOrder() bool {
	if len(m.Segments) == 0 || m.ConfIndex > m.Index {
		return false
	}
	next := m.Segments[0].First
	for i := range m.Segments {
		if p := &m.Segments[i]; p.First != next || p.First == 0 || p.Last < p.First {
			return false
		}
		next = m.Segments[i].Last + 1
	}
	return next == m.Index+1
}

func (m *Manifest) firsts() (all []uint64) {
	for i := range m.Segments {
		all = append(all, m.Segments[i].First)
	}
	return all
}

// snapshot is what this replica offers as a leader: all its sealed segments. It is called by Raft, in the core's goroutine.
func (c *Core) snapshot() (replica.Snapshot, error) {
	m := Manifest{Cluster: c.cfg.Cluster, Shard: c.cfg.Number, History: c.settings.History, Sender: c.cfg.Replica}
	for _, s := range c.log.Segments() {
		if !s.Sealed {
			break
		}
		m.Segments = append(m.Segments, pieceOf(s))
		m.Index = s.Last
	}
	if len(m.Segments) == 0 {
		return replica.Snapshot{}, errs.New(errs.Unavailable, "no segment of shard %d is sealed yet", c.cfg.Number)
	}
	var err error
	if m.Term, err = c.log.Term(m.Index); err != nil {
		return replica.Snapshot{}, err
	}
	var ok bool
	if m.Conf, m.ConfIndex, ok = c.disk.ConfAt(m.Index); !ok {
		return replica.Snapshot{}, errs.New(errs.Unavailable, "who was in the group at entry %d is not known any more", m.Index)
	}
	return replica.Snapshot{Index: m.Index, Term: m.Term, Data: m.Encode()}, nil
}

func pieceOf(s seglog.Segment) Piece {
	return Piece{First: s.First, Last: s.Last, Bytes: s.Bytes, Generation: s.Generation, Digest: s.Digest}
}

// offered takes a leader's offer, if it is one for this shard.
func (c *Core) offered(s replica.Snapshot) {
	m, err := DecodeManifest(s.Data)
	switch {
	case err != nil:
	case m.Shard != c.cfg.Number || m.Index != s.Index || m.Term != s.Term:
		err = errs.New(errs.Invalid, "it is of shard %d, entry %d of term %d", m.Shard, m.Index, m.Term)
	case m.Cluster != c.cfg.Cluster:
		err = errs.New(errs.Invalid, "it is of cluster %s", m.Cluster)
	case c.settings.History != 0 && m.History != c.settings.History:
		err = errs.New(errs.Invalid, "it is of another history")
	}
	if err != nil {
		c.cfg.Logger.Error("a leader's offer of segments is refused", "replica", s.From, "error", err)
		return
	}
	c.out.Offer = &m
}
