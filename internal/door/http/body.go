package http

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/limits"
)

// scratch is the memory of one request: what came, and what is made of it.
type scratch struct {
	in, out []byte
}

// keptBytes is the largest memory that is kept for the next request.
const keptBytes = limits.MiB

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) free() {
	if cap(s.in) > keptBytes {
		s.in = nil
	}
	if cap(s.out) > keptBytes {
		s.out = nil
	}
	scratches.Put(s)
}

// requestOverhead is what a request is taken to cost beside its bytes.
const requestOverhead = 512

type budgetKey struct{}

// withBudget gives each connection its bytes in flight, and each its own while there is no gateway yet.
func (d *Door) withBudget(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, budgetKey{}, &connBudget{door: d})
}

type connBudget struct {
	door *Door
	once sync.Once
	b    *gateway.Budget
}

// budgetOf gives nil for a request that came over no connection of ours.
func budgetOf(c *call) *gateway.Budget {
	b, ok := c.Context().Value(budgetKey{}).(*connBudget)
	if !ok {
		return nil
	}
	b.once.Do(func() { b.b = c.gate.NewBudget() })
	return b.b
}

// largestBody is what a body may have: a full commit in base64, with the names and quotes of JSON around it.
func largestBody(c *call) int { return 2*c.gate.Limits().CommitBytes + limits.MiB }

// readBody reads a request's body into s. What it gives back must be called when the request is over.
func (d *Door) readBody(w http.ResponseWriter, c *call, s *scratch) (done func(), err error) {
	most := largestBody(c)
	if c.ContentLength > int64(most) {
		return nil, bodyTooLarge(most, c)
	}
	size := most
	if c.ContentLength >= 0 {
		size = int(c.ContentLength)
	}
	done = func() {}
	if budget := budgetOf(c); budget != nil {
		taken := size + requestOverhead
		if err := budget.Take(taken); err != nil {
			return nil, err
		}
		done = func() { budget.Give(taken) }
	}
	if err := d.fill(w, c, s, most); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

func (d *Door) fill(w http.ResponseWriter, c *call, s *scratch, most int) (err error) {
	control := http.NewResponseController(w)
	// Answers to tests have no connection, so no deadline.
	if control.SetReadDeadline(time.Now().Add(d.o.Settings.ReadTimeout)) == nil {
		defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	}
	if c.ContentLength >= 0 {
		s.in = slices.Grow(s.in[:0], int(c.ContentLength))[:c.ContentLength]
		_, err = io.ReadFull(c.Body, s.in)
	} else {
		s.in, err = readUpTo(c.Body, s.in[:0], most)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLonger):
		return bodyTooLarge(most, c)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return as(http.StatusRequestTimeout, "request timeout", errs.New(errs.Unavailable, "the body did not come within %s; nothing was written", d.o.Settings.ReadTimeout).With("field", "body"))
	}
	return refuse("body", "the body ended before its time: %v", err)
}

var errLonger = errors.New("longer than allowed")

func readUpTo(r io.Reader, b []byte, most int) ([]byte, error) {
	for {
		if len(b) > most {
			return b, errLonger
		}
		b = slices.Grow(b, 4*limits.KiB)
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) && len(b) <= most {
			return b, nil
		}
		if err != nil && len(b) <= most {
			return b, err
		}
	}
}

func bodyTooLarge(most int, c *call) error {
	return errs.New(errs.TooLarge, "the body has more than %d bytes, and commit_bytes is %d: send less at once", most, c.gate.Limits().CommitBytes).
		With("field", "body").With("limit", "commit_bytes")
}
