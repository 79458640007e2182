package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// chunkBytes is how much of a file is under one checksum and in memory at once.
const chunkBytes = 256 * limits.KiB

// largestIdentity bounds what a file is told apart by.
const largestIdentity = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// File is a file of another node on its way here. It is used by one goroutine. What is not asked for with Next stays there, but for
// a few chunks.
type File struct {
	name     string
	size     int64
	offset   int64
	identity []byte
	pull     *pull
	held     inFrame
	t        *Transport
}

// Resume says how a fetch goes on where an earlier one ended.
type Resume struct {
	Offset int64
	// Identity is the earlier one's: a file that is another by now is gone. Empty: whatever it is.
	Identity []byte
}

// Fetch begins to read a file of a group at an incarnation, from an offset to its end. Errors are those of the peer's Open;
// invalid for an offset beyond the end; gone when the file is another than it was; unavailable when the peer cannot be reached.
// The context is for the beginning alone.
func (t *Transport) Fetch(ctx context.Context, to uint64, group uint32, name string, from Resume) (*File, error) {
	q := &peerv1.FetchRequest{Group: group, Name: name, Offset: uint64(from.Offset), Identity: from.Identity}
	p, err := t.pull(ctx, to, Bulk, peerv1.Peer_Fetch_FullMethodName, q)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", name, err)
	}
	f := &File{name: name, pull: p, t: t}
	if err := f.begin(from); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// begin reads what the file is.
func (f *File) begin(from Resume) error {
	var first peerv1.FetchResponse
	if err := f.pull.stream.RecvMsg(&first); err != nil {
		return fmt.Errorf("fetch %s: %w", f.name, f.cutOff(err))
	}
	f.size, f.offset, f.identity = int64(first.GetSize()), int64(first.GetOffset()), first.GetIdentity()
	if f.offset != from.Offset || f.size < f.offset || len(from.Identity) > 0 && !bytes.Equal(from.Identity, f.identity) {
		return fmt.Errorf("fetch %s: %w", f.name, malformed("a file"))
	}
	return nil
}

// Size is that of the whole file.
func (f *File) Size() int64 { return f.size }

// Identity tells this content from any other under the same name.
func (f *File) Identity() []byte { return f.identity }

// Offset is where the next chunk begins.
func (f *File) Offset() int64 { return f.offset }

// Next gives the next chunk, at most 256 KiB, valid until the next call; io.EOF after the last. A chunk that fails its checksum is
// corrupt, and names file and offset: fetch again from Offset. A connection that breaks is unavailable: go on from Offset.
func (f *File) Next() ([]byte, error) {
	f.held.free()
	if f.offset == f.size {
		return nil, io.EOF
	}
	if err := f.pull.stream.RecvMsg(&f.held); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", f.name, f.cutOff(err))
	}
	c, err := decodeChunk(f.held.bytes())
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", f.name, err)
	}
	if int64(c.offset) != f.offset || len(c.data) == 0 || int64(len(c.data)) > f.size-f.offset || crc32.Checksum(c.data, castagnoli) != c.checksum {
		return nil, errs.New(errs.Corrupt, "a chunk of %s was damaged on its way, at byte %d: fetch again from there", f.name, f.offset).With("file", f.name).With("offset", strconv.FormatInt(f.offset, 10))
	}
	f.offset += int64(len(c.data))
	if told := f.t.o.Listener.Fetched; told != nil {
		told(len(c.data))
	}
	return c.data, nil
}

// cutOff is why a file did not come to its end.
func (f *File) cutOff(err error) error {
	if err = f.pull.ended(err, "a fetch"); errors.Is(err, io.EOF) {
		return errs.New(errs.Unavailable, "node %s ended it at byte %d of %d; try again from there", hex(f.pull.to), f.offset, f.size)
	}
	return err
}

// Close ends the fetch.
func (f *File) Close() {
	f.pull.close()
	f.held.free()
}

// chunk is a FetchResponse after the first.
type chunk struct {
	offset   uint64
	data     []byte
	checksum uint32
}

func decodeChunk(b []byte) (c chunk, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return c, malformed("a chunk of a file")
		}
		b = b[n:]
		switch {
		case number == 3 && kind == protowire.VarintType:
			c.offset, n = protowire.ConsumeVarint(b)
		case number == 4 && kind == protowire.BytesType:
			c.data, n = protowire.ConsumeBytes(b)
		case number == 5 && kind == protowire.Fixed32Type:
			c.checksum, n = protowire.ConsumeFixed32(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return c, malformed("a chunk of a file")
		}
		b = b[n:]
	}
	return c, nil
}

// chunkTrailer is room for everything in a frame that is no data.
const chunkTrailer = 64

// Fetch serves a file.
func (s server) Fetch(q *peerv1.FetchRequest, stream grpc.ServerStreamingServer[peerv1.FetchResponse]) error {
	src, err := s.t.o.Handler.Open(stream.Context(), q.GetGroup(), q.GetName())
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	if err := fits(q, src); err != nil {
		return err
	}
	if err := s.t.accept(stream); err != nil {
		return err
	}
	if err := stream.Send(&peerv1.FetchResponse{Size: uint64(src.Size()), Identity: src.Identity(), Offset: q.GetOffset()}); err != nil {
		return err
	}
	for offset := int64(q.GetOffset()); offset < src.Size(); offset += chunkBytes {
		if s.t.draining.Err() != nil {
			return s.t.errDraining()
		}
		if err := s.t.sendChunk(stream, src, offset, min(chunkBytes, int(src.Size()-offset))); err != nil {
			return fmt.Errorf("%s: %w", q.GetName(), err)
		}
	}
	return nil
}

func fits(q *peerv1.FetchRequest, src Source) error {
	switch {
	case q.GetOffset() > uint64(src.Size()):
		return errs.New(errs.Invalid, "%s has %d bytes, and byte %d was asked for", q.GetName(), src.Size(), q.GetOffset()).With("field", "offset")
	case len(src.Identity()) > largestIdentity:
		return errs.New(errs.Internal, "%s has an identity of %d bytes; it may have %d", q.GetName(), len(src.Identity()), largestIdentity)
	case len(q.GetIdentity()) > 0 && !bytes.Equal(q.GetIdentity(), src.Identity()):
		return errs.New(errs.Gone, "%s is another file than it was: begin anew", q.GetName()).With("file", q.GetName())
	}
	return nil
}

// sendChunk reads the data to where the frame needs it.
func (t *Transport) sendChunk(stream grpc.ServerStream, src Source, offset int64, n int) error {
	b := newFrame(n + chunkTrailer)
	*b = appendNumber(*b, 3<<3, uint64(offset))
	*b = protowire.AppendVarint(append(*b, 4<<3|2), uint64(n))
	at := len(*b)
	*b = (*b)[:at+n]
	if got, err := src.ReadAt((*b)[at:], offset); got < n {
		pool.Put(b)
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return errs.New(errs.Corrupt, "it cannot be read at byte %d: %w", offset, err).With("offset", strconv.FormatInt(offset, 10))
	}
	*b = protowire.AppendFixed32(append(*b, 5<<3|5), crc32.Checksum((*b)[at:at+n], castagnoli))
	if err := stream.SendMsg(sealed(b)); err != nil {
		return err
	}
	if told := t.o.Listener.Served; told != nil {
		told(n)
	}
	return nil
}
