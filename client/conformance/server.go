package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Server is the side of the server, for one handler. It listens on loopback from New to Close.
type Server struct {
	// Patience is how long the handler may take for each step; default 10 s.
	Patience time.Duration

	addr     string
	server   *grpc.Server
	served   sync.WaitGroup
	attached chan *attachment
}

const defaultPatience = 10 * time.Second

// New gives a server at a free port.
func New() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Patience: defaultPatience, addr: l.Addr().String(), server: grpc.NewServer(), attached: make(chan *attachment)}
	gestav1.RegisterRuntimeServer(s.server, &runtime{Server: s})
	s.served.Go(func() { _ = s.server.Serve(l) }) // ends with Close
	return s, nil
}

// Addr is where the handler is to attach: HOST:PORT.
func (s *Server) Addr() string { return s.addr }

// Close ends the server.
func (s *Server) Close() {
	s.server.Stop()
	s.served.Wait()
}

// runtime hides the service's methods from the Server's.
type runtime struct {
	gestav1.UnimplementedRuntimeServer
	*Server
}

// attachment is one stream of the handler.
type attachment struct {
	stream grpc.BidiStreamingServer[gestav1.HandlerFrame, gestav1.ServerFrame]
	hello  *gestav1.Hello
	over   chan struct{} // closed by who plays the script

	mu      sync.Mutex
	grown   chan struct{} // closed and replaced with each frame
	results map[uint64]*gestav1.Result
	credit  uint64
	goodbye bool
	wrong   error
	ended   bool
}

// Attach takes the handler's stream, and keeps it until its script is over.
func (r *runtime) Attach(stream grpc.BidiStreamingServer[gestav1.HandlerFrame, gestav1.ServerFrame]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	a := &attachment{stream: stream, hello: first.GetHello(), over: make(chan struct{}), grown: make(chan struct{}), results: map[uint64]*gestav1.Result{}}
	select {
	case r.attached <- a:
	case <-stream.Context().Done():
		return nil
	}
	go a.receive()
	select {
	case <-a.over:
	case <-stream.Context().Done():
	}
	return nil
}

func (a *attachment) receive() {
	for {
		f, err := a.stream.Recv()
		a.mu.Lock()
		if err == nil {
			a.take(f)
		} else {
			a.ended = true
			if !errors.Is(err, io.EOF) && a.stream.Context().Err() == nil {
				a.wrong = err
			}
		}
		close(a.grown)
		a.grown = make(chan struct{})
		a.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (a *attachment) take(f *gestav1.HandlerFrame) {
	if f.GetHello() != nil {
		a.wrong = errors.New("hello came twice: it is in the first frame alone")
	}
	for _, r := range f.GetResults() {
		if a.results[r.GetTaskId()] != nil {
			a.wrong = fmt.Errorf("task %d was answered twice", r.GetTaskId())
		}
		a.results[r.GetTaskId()] = r
	}
	a.credit += uint64(f.GetCredit())
	a.goodbye = a.goodbye || f.GetGoodbye() != nil
}

// until waits until ready holds, which is asked with the lock held.
func (a *attachment) until(ctx context.Context, ready func() (bool, error)) error {
	for {
		a.mu.Lock()
		ok, err := ready()
		if a.wrong != nil {
			err = a.wrong
		}
		grown, ended := a.grown, a.ended
		a.mu.Unlock()
		switch {
		case ok || err != nil:
			return err
		case ended:
			return errors.New("the handler ended the stream")
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return errors.New("the handler does not answer in time")
		}
	}
}

// Play waits for the handler to attach, and plays a script. The error names the line that the handler does not fulfil.
func (s *Server) Play(ctx context.Context, script Script) error {
	a, err := s.wait(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", script.Name, err)
	}
	defer close(a.over)
	for _, st := range script.steps {
		err := s.do(ctx, a, st)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", script.Name, st.line, err)
		}
	}
	return nil
}

// wait gives the next attachment, welcomed.
func (s *Server) wait(ctx context.Context) (*attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	select {
	case a := <-s.attached:
		if err := checkHello(a.hello); err != nil {
			close(a.over)
			return nil, err
		}
		return a, a.stream.Send(&gestav1.ServerFrame{Welcome: &gestav1.Welcome{Protocol: 1, NodeId: "conformance", Process: "the-handler"}})
	case <-ctx.Done():
		return nil, errors.New("no handler attaches")
	}
}

func checkHello(h *gestav1.Hello) error {
	switch {
	case h == nil:
		return errors.New("the first frame has no hello")
	case h.GetService() == "":
		return errors.New("hello.service is empty")
	case h.GetProtocol() != 1:
		return fmt.Errorf("hello.protocol is %d, not 1", h.GetProtocol())
	case len(h.GetKinds()) == 0:
		return errors.New("hello.kinds is empty")
	}
	return nil
}

func (s *Server) do(ctx context.Context, a *attachment, st step) error {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	switch st.kind {
	case stepSend:
		return a.stream.Send(st.frame)
	case stepExpect:
		return a.until(ctx, func() (bool, error) {
			got := a.results[st.task]
			if got == nil {
				return false, nil
			}
			return true, compare(st.want, got)
		})
	case stepCredit:
		return a.until(ctx, func() (bool, error) {
			if a.credit > st.credit {
				return false, fmt.Errorf("the handler has granted %d credits, not %d", a.credit, st.credit)
			}
			return a.credit == st.credit, nil
		})
	case stepDrain:
		if err := a.stream.Send(&gestav1.ServerFrame{Drain: &gestav1.Drain{Reason: "the script is at its end"}}); err != nil {
			return err
		}
		return a.until(ctx, func() (bool, error) { return a.goodbye || a.ended, nil })
	}
	return nil
}
