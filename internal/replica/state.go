package replica

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	stateName  = "hardstate"
	stateMagic = 0x54535447 // "GTST"
	// stateFormat 2 added the past configurations; format 1 is read as having none.
	stateFormat = 2
	// slotBytes is a sector of any disk, so that the two copies share none.
	slotBytes = 4096
)

// Conf is who is in the group.
type Conf struct {
	Voters, Learners, VotersOutgoing, LearnersNext []uint64
	AutoLeave                                      bool
}

// HardState is what must survive beside the log.
type HardState struct {
	Term, Vote uint64
	// Doubt is the highest index that a cut batch may have held, and DoubtTerm the highest term; see the package document.
	Doubt, DoubtTerm uint64
	// ConfIndex is the entry that made Conf; 0 for the first configuration.
	ConfIndex uint64
	Conf      Conf
	// Past are the configurations before Conf, oldest first, as far back as a snapshot may need them; see ConfAt.
	Past []PastConf
}

// PastConf is a configuration, and the entry that made it. One without voters stands for configurations that are not known any more.
type PastConf struct {
	Index uint64
	Conf  Conf
}

// ConfAt is the configuration as of an entry, and the entry that made it; false when that is no longer known.
func (h *HardState) ConfAt(i uint64) (Conf, uint64, bool) {
	if h.ConfIndex <= i {
		return h.Conf, h.ConfIndex, true
	}
	for _, p := range slices.Backward(h.Past) {
		if p.Index <= i {
			return p.Conf, p.Index, len(p.Conf.Voters) > 0
		}
	}
	return Conf{}, 0, false
}

// maxPast bounds the past configurations, so that with any number of members that is allowed the state fits in its place.
const maxPast = 8

// change takes a new configuration, and keeps of the past what a snapshot at an index from sealed on may need. When there are too many,
// those in the middle go: the oldest is that of the newest sealed segment, which is offered until another is sealed, however many changes
// come before that; and the segment that is sealed next ends behind the newest.
func (h *HardState) change(c Conf, index, sealed uint64) {
	h.Past = append(slices.Clone(h.Past), PastConf{h.ConfIndex, h.Conf})
	h.Conf, h.ConfIndex = c, index
	for len(h.Past) > 1 && h.Past[1].Index <= sealed {
		h.Past = h.Past[1:]
	}
	for len(h.Past) > 2 && (len(h.Past) > maxPast || len(encodeState(*h)) > slotBytes-slotHeader) {
		h.Past[1].Conf = Conf{}
		h.Past = slices.Delete(h.Past, 2, 3)
	}
	for len(h.Past) > 0 && len(encodeState(*h)) > slotBytes-slotHeader {
		h.Past = h.Past[1:]
	}
}

// StateFile is a hard state on disk in two copies.
//
//	slot = magic u32 | format u32 | seq u64 | length u32 | crc32c u32 | payload (protobuf-free, little endian)
//
// Save writes and syncs the first copy, then the second. At any moment one of them is whole: a crash in the first leaves the
// second with the old state, which was never acknowledged to be replaced; a crash in the second leaves the first with the new.
type StateFile struct {
	mu   sync.Mutex
	file vfs.File
	name string
	seq  uint64
	now  HardState
	shut bool
}

func openState(fsys vfs.FS, name string, fresh bool, voters []uint64) (*StateFile, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if !fresh {
			return nil, missingState(name)
		}
		return createState(fsys, name, voters)
	}
	if err != nil {
		return nil, err
	}
	s := &StateFile{file: f, name: name}
	damaged, err := s.read()
	if err != nil {
		if fresh && errs.CodeOf(err) == errs.Corrupt {
			// A crash while the folder was made: nothing was ever promised.
			_ = f.Close()
			if err := fsys.Remove(name); err != nil {
				return nil, err
			}
			return createState(fsys, name, voters)
		}
		_ = f.Close()
		return nil, err
	}
	if len(damaged) > 0 {
		// Torn by a crash, or rotten: from here on there are two whole copies again.
		if err := s.Save(s.now); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return s, nil
}

func createState(fsys vfs.FS, name string, voters []uint64) (*StateFile, error) {
	f, err := fsys.Create(name)
	if err != nil {
		return nil, err
	}
	s := &StateFile{file: f, name: name}
	if err := s.Save(HardState{Conf: Conf{Voters: slices.Clone(voters)}}); err != nil {
		return nil, err
	}
	return s, fsys.SyncDir(filepath.Dir(name))
}

// Load gives the newest state saved.
func (s *StateFile) Load() HardState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *StateFile) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return nil
	}
	s.shut = true
	return s.file.Close()
}

// Save makes a state durable in both copies.
func (s *StateFile) Save(h HardState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := encodeSlot(s.seq+1, h)
	for i := range int64(2) {
		if _, err := s.file.WriteAt(slot, i*slotBytes); err != nil {
			return err
		}
		if err := s.file.SyncData(); err != nil {
			return err
		}
	}
	s.seq++
	s.now = h
	return nil
}

// read takes the newest whole copy, and names the places of those that are not whole.
func (s *StateFile) read() (damaged []int64, err error) {
	b := make([]byte, slotBytes)
	for at := int64(0); at < 2*slotBytes; at += slotBytes {
		n, _ := s.file.ReadAt(b, at)
		seq, h, err := decodeSlot(b[:n])
		if errs.CodeOf(err) == errs.Unsupported {
			return nil, err
		}
		if err != nil {
			damaged = append(damaged, at)
		} else if seq >= s.seq {
			s.seq, s.now = seq, h
		}
	}
	if len(damaged) == 2 {
		return nil, errs.New(errs.Corrupt, "%s: both copies are damaged; restore the file from a backup or replace the replica", s.name).With("file", s.name).With("offset", "0")
	}
	return damaged, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const slotHeader = 24

func encodeState(h HardState) []byte {
	p := binary.LittleEndian.AppendUint64(nil, h.Term)
	p = binary.LittleEndian.AppendUint64(p, h.Vote)
	p = binary.LittleEndian.AppendUint64(p, h.Doubt)
	p = binary.LittleEndian.AppendUint64(p, h.DoubtTerm)
	p = binary.LittleEndian.AppendUint64(p, h.ConfIndex)
	p = h.Conf.Append(p)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(h.Past)))
	for _, past := range h.Past {
		p = binary.LittleEndian.AppendUint64(p, past.Index)
		p = past.Conf.Append(p)
	}
	return p
}

// Append appends the configuration as the hard state and a manifest hold it: four lists of numbers, each with its length, and a byte.
func (c *Conf) Append(p []byte) []byte {
	for _, ids := range [][]uint64{c.Voters, c.Learners, c.VotersOutgoing, c.LearnersNext} {
		p = binary.LittleEndian.AppendUint32(p, uint32(len(ids)))
		for _, id := range ids {
			p = binary.LittleEndian.AppendUint64(p, id)
		}
	}
	return append(p, b2u(c.AutoLeave))
}

// TakeConf takes a configuration from the beginning of p, and gives what follows it; false when there is none.
func TakeConf(p []byte) (c Conf, rest []byte, ok bool) {
	for _, ids := range []*[]uint64{&c.Voters, &c.Learners, &c.VotersOutgoing, &c.LearnersNext} {
		if len(p) < 4 || uint64(len(p)-4) < 8*uint64(binary.LittleEndian.Uint32(p)) {
			return c, nil, false
		}
		k := int(binary.LittleEndian.Uint32(p))
		p = p[4:]
		for range k {
			*ids = append(*ids, binary.LittleEndian.Uint64(p))
			p = p[8:]
		}
	}
	if len(p) == 0 || p[0] > 1 {
		return c, nil, false
	}
	c.AutoLeave = p[0] == 1
	return c, p[1:], true
}

func encodeSlot(seq uint64, h HardState) []byte {
	p := encodeState(h)
	b := make([]byte, slotBytes)
	binary.LittleEndian.PutUint32(b[0:], stateMagic)
	binary.LittleEndian.PutUint32(b[4:], stateFormat)
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(p)))
	copy(b[slotHeader:], p)
	binary.LittleEndian.PutUint32(b[20:], slotSum(b, len(p)))
	return b
}

// slotSum covers the header but for the sum itself, and the payload.
func slotSum(b []byte, n int) uint32 {
	return crc32.Update(crc32.Checksum(b[:20], castagnoli), castagnoli, b[slotHeader:slotHeader+n])
}

func decodeSlot(b []byte) (uint64, HardState, error) {
	var h HardState
	bad := errs.New(errs.Corrupt, "damaged hard state")
	if len(b) != slotBytes || binary.LittleEndian.Uint32(b) != stateMagic {
		return 0, h, bad
	}
	n := int(binary.LittleEndian.Uint32(b[16:]))
	if n > len(b)-slotHeader || binary.LittleEndian.Uint32(b[20:]) != slotSum(b, n) || !isZero(b[slotHeader+n:]) {
		return 0, h, bad
	}
	format := binary.LittleEndian.Uint32(b[4:])
	if format == 0 || format > stateFormat {
		return 0, h, errs.New(errs.Unsupported, "hard state has format %d, this version knows up to %d: run the version that wrote it, or a newer one", format, stateFormat)
	}
	h, ok := decodeState(b[slotHeader:slotHeader+n], format)
	if !ok {
		return 0, h, bad
	}
	return binary.LittleEndian.Uint64(b[8:]), h, nil
}

func decodeState(p []byte, format uint32) (h HardState, ok bool) {
	if len(p) < 40 {
		return h, false
	}
	h.Term, h.Vote = binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	h.Doubt, h.DoubtTerm = binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
	h.ConfIndex = binary.LittleEndian.Uint64(p[32:])
	if h.Conf, p, ok = TakeConf(p[40:]); !ok {
		return h, false
	}
	if format == 1 {
		return h, len(p) == 0
	}
	if len(p) < 4 {
		return h, false
	}
	n := binary.LittleEndian.Uint32(p)
	p = p[4:]
	for range n {
		if len(p) < 8 {
			return h, false
		}
		past := PastConf{Index: binary.LittleEndian.Uint64(p)}
		if past.Conf, p, ok = TakeConf(p[8:]); !ok {
			return h, false
		}
		h.Past = append(h.Past, past)
	}
	return h, len(p) == 0
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func b2u(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (c Conf) toPB() *pb.ConfState {
	return &pb.ConfState{Voters: c.Voters, Learners: c.Learners, VotersOutgoing: c.VotersOutgoing, LearnersNext: c.LearnersNext, AutoLeave: new(c.AutoLeave)}
}

func confOf(cs *pb.ConfState) Conf {
	return Conf{Voters: cs.GetVoters(), Learners: cs.GetLearners(), VotersOutgoing: cs.GetVotersOutgoing(), LearnersNext: cs.GetLearnersNext(), AutoLeave: cs.GetAutoLeave()}
}

// unmarshal decodes what Raft itself has encoded; a failure means that a checksummed entry is not what was proposed.
func unmarshal(b []byte, m proto.Message) {
	if err := proto.Unmarshal(b, m); err != nil {
		panic("replica: committed configuration change does not parse: " + err.Error())
	}
}

// VerifyState checks the hard state in a folder that nobody has open, and changes nothing. One damaged copy is an error too, though
// a replica opens with the other and then writes both anew: only a power cut during a save leaves that without damage.
func VerifyState(fsys vfs.FS, dir string) error {
	name := filepath.Join(dir, stateName)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return missingState(name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := &StateFile{file: f, name: name}
	damaged, err := s.read()
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		return errs.New(errs.Corrupt, "%s: one of the two copies is damaged; the next start goes on with the other and writes both anew", name).
			With("file", name).With("offset", strconv.FormatInt(damaged[0], 10))
	}
	if size, err := f.Size(); err == nil && size != 2*slotBytes {
		return errs.New(errs.Corrupt, "%s has %d bytes and should have %d: what is behind the two copies is not the server's", name, size, 2*slotBytes).
			With("file", name).With("offset", strconv.FormatInt(2*slotBytes, 10))
	}
	return err
}

func missingState(name string) error {
	return errs.New(errs.Corrupt, "%s is missing beside a log that has entries: this replica cannot know its vote; restore the file or replace the replica", name).With("file", name)
}
