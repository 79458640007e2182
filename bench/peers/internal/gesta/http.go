package gesta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"

	"github.com/gesta-db/gesta/bench/peers/internal/load"
)

// HTTPTopic is where the HTTP callers append.
const HTTPTopic = "bench-http"

// ErrNoRoute tells that this version of the server does not append by HTTP.
var ErrNoRoute = errors.New("this version of the server has no HTTP route for appending")

// HTTPCallers opens a keep-alive connection per caller. Each posts one event as JSON, 256 bytes of data, to one of 100,000
// streams. Requests are written ready-made, as load generators do; answers are read by net/http.
func (s *Server) HTTPCallers(ctx context.Context, n int) (callers []load.Caller, closeAll func(), err error) {
	var conns []net.Conn
	closeAll = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for i := range n {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", s.HTTP)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		conns = append(conns, conn)
		p := &poster{conn: conn, in: bufio.NewReader(conn), host: s.HTTP, first: i * (httpStreams / n), each: httpStreams / n}
		callers = append(callers, p.post)
	}
	if err := callers[0](ctx); err != nil {
		closeAll()
		return nil, nil, err
	}
	return callers, closeAll, nil
}

const (
	httpStreams = 100_000
	eventBytes  = 256
)

// poster is one connection.
type poster struct {
	conn        net.Conn
	in          *bufio.Reader
	host        string
	first, each int // its streams
	n           int
	out         []byte
}

func (p *poster) post(context.Context) error {
	p.n++
	p.out = p.request(p.out[:0])
	if _, err := p.conn.Write(p.out); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
		return ErrNoRoute
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("append answered %s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// request is the next one: headers, then the event.
func (p *poster) request(b []byte) []byte {
	b = append(b, "POST /v1/streams/"+HTTPTopic+"/stream-"...)
	b = strconv.AppendInt(b, int64(p.first+p.n%p.each), 10)
	b = append(b, "/events HTTP/1.1\r\nHost: "...)
	b = append(b, p.host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(bodyHead)+eventBytes+len(bodyTail)), 10)
	b = append(b, "\r\n\r\n"+bodyHead...)
	b = append(b, words[p.n%len(words)]...)
	return append(b, bodyTail...)
}

const (
	bodyHead = `{"events":[{"type":"Appended","data":`
	bodyTail = `}]}`
	letters  = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// words are JSON strings of 256 bytes, quotes included.
var words = func() [64]string {
	var all [64]string
	for i := range all {
		b := make([]byte, 0, eventBytes)
		b = append(b, '"')
		for len(b) < eventBytes-1 {
			b = append(b, letters[rand.IntN(len(letters))])
		}
		all[i] = string(append(b, '"'))
	}
	return all
}()
