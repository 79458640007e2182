package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync/atomic"

	"github.com/gesta-db/gesta/internal/errs"
)

// source is a file or a pipe of lines, unzipped if it is zipped.
type source struct {
	name  string
	size  int64 // bytes as stored; 0: unknown
	read  atomic.Int64
	close func() error

	lines  *bufio.Reader
	line   int
	prefix hash.Hash // of everything up to the present line
}

// openSource opens a file, or standard input for "-".
func (a *app) openSource(name string) (*source, error) {
	if name == "-" {
		return newSource("standard input", a.In, 0)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError(err)
	}
	s, err := newSource(name, f, sizeOf(f))
	if err != nil {
		f.Close()
		return nil, err
	}
	s.close = f.Close
	return s, nil
}

// sizeOf gives the size of a plain file; a pipe has none.
func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// readAhead is small beside most files, so that share is near the truth.
const readAhead = 64 << 10

var (
	gzipMagic     = []byte{0x1f, 0x8b}
	byteOrderMark = []byte{0xef, 0xbb, 0xbf}
)

// newSource looks at the first bytes, not at the name, to tell what is zipped. It waits for them.
func newSource(name string, r io.Reader, size int64) (*source, error) {
	s := &source{name: name, size: size, prefix: sha256.New(), close: func() error { return nil }}
	s.lines = bufio.NewReaderSize(counting{r, &s.read}, readAhead)
	if first, _ := s.lines.Peek(len(gzipMagic)); bytes.Equal(first, gzipMagic) {
		unzipped, err := gzip.NewReader(s.lines)
		if err != nil {
			return nil, errs.New(errs.Invalid, "%s: %w", name, err)
		}
		s.lines = bufio.NewReaderSize(unzipped, readAhead)
	}
	if first, _ := s.lines.Peek(len(byteOrderMark)); bytes.Equal(first, byteOrderMark) {
		_, _ = s.lines.Discard(len(byteOrderMark)) // just peeked
	}
	return s, nil
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// share is how much of the source was read; below 0 when its size is unknown.
func (s *source) share() float64 {
	if s.size <= 0 {
		return -1
	}
	return float64(s.read.Load()) / float64(s.size)
}

// maxLine bounds a line: the greatest event there can be (16 MiB) in base64, with its envelope.
const maxLine = 32 << 20

// errLongLine is a line over maxLine; the source stands behind it.
var errLongLine = errs.New(errs.TooLarge, "the line is longer than 32 MiB, more than the greatest event").With("limit", "line")

// next gives the next line that is not blank, without its end; it is the caller's to keep. io.EOF ends the source.
func (s *source) next() ([]byte, error) {
	for {
		line, err := s.whole()
		if err != nil && !errors.Is(err, errLongLine) {
			return nil, err
		}
		s.line++
		s.prefix.Write(line)
		s.prefix.Write([]byte{'\n'})
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

// whole reads up to the line's end, and past it when the line is too long.
func (s *source) whole() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := s.lines.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) == 0 && len(part) == 0 && !long:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, errs.New(errs.Invalid, "%s, after line %d: %w", s.name, s.line, err)
		case long:
			return nil, errLongLine
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// lineID is an id for the present line when it brings none. It is made of the line's number and of everything in the source up
// to and including the line: the same in every run, from a file or a pipe, zipped or not, also when lines were added at the end
// since; another one for an equal line elsewhere in the file, or behind other lines in another file.
func (s *source) lineID() string {
	return fmt.Sprintf("line-%d-%x", s.line, s.prefix.Sum(nil)[:16])
}
