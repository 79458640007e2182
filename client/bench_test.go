package client

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// echo is the fastest server there can be: it acknowledges every frame at once, without a log.
type echo struct{ events []byte }

func newEcho(b testing.TB) (*echo, string) {
	e := &echo{}
	desc := grpc.ServiceDesc{ServiceName: gestav1.Log_ServiceDesc.ServiceName, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: "AppendStream", Handler: e.appendStream, ServerStreams: true, ClientStreams: true},
		{StreamName: "Read", Handler: e.read, ServerStreams: true},
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(maxMessage), grpc.InitialWindowSize(8<<20), grpc.InitialConnWindowSize(16<<20))
	s.RegisterService(&desc, e)
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	b.Cleanup(func() { s.Stop(); <-served })
	return e, l.Addr().String()
}

func (e *echo) appendStream(_ any, s grpc.ServerStream) error {
	body, err := proto.Marshal(&gestav1.AppendResponse{
		Streams: []*gestav1.StreamOutcome{{FirstRevision: 1, LastRevision: 1, FirstOffset: 123456, LastOffset: 123456}}, Position: "AQEBAAAAAAAAAADA",
	})
	if err != nil {
		return err
	}
	var in inFrame
	for {
		if err := s.RecvMsg(&in); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		out := framePool.Get(0)
		for b := in.data; len(b) > 0; {
			call, n := nextField(b)
			b = b[n:]
			id, _ := nextField(call.bytes)
			*out = append(*out, 0x0a)
			*out = protowire.AppendVarint(*out, uint64(1+protowire.SizeVarint(id.number)+1+protowire.SizeBytes(len(body))))
			*out = protowire.AppendVarint(append(*out, 8), id.number)
			*out = protowire.AppendBytes(append(*out, 0x12), body)
		}
		if err := s.SendMsg(&outFrame{out}); err != nil {
			return err
		}
	}
}

func (e *echo) read(_ any, s grpc.ServerStream) error {
	var in inFrame
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for {
		out := framePool.Get(0)
		*out = append(*out, e.events...)
		if err := s.SendMsg(&outFrame{out}); err != nil {
			return err
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 256, 1024} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) { benchmarkAppend(b, callers) })
	}
}

func benchmarkAppend(b *testing.B, callers int) {
	_, addr := newEcho(b)
	c, err := New(Options{Addrs: []string{addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	data := make([]byte, 256)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			events := []Event{{Type: "Benched", Data: data}}
			for range (b.N + i) / callers {
				if _, err := c.Append(context.Background(), Append{Topic: "bench", Key: "stream-000001", Events: events}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

func BenchmarkRead(b *testing.B) {
	e, addr := newEcho(b)
	one := eventwire.AppendEvent(nil, &Event{ID: NewID(), Type: "Benched", Data: make([]byte, 256)})
	for range 800 {
		rec := eventwire.AppendRecorded(nil, one, 1234567, 3, []byte("bench"), []byte("stream-000001"), 1e18)
		e.events = protowire.AppendBytes(append(e.events, 0x0a), rec)
	}
	c, err := New(Options{Addrs: []string{addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := c.Read(context.Background(), ShardScope(1), ReadOptions{})
	defer r.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
