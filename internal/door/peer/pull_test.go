package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/api/eventwire"
	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// filled writes n events of a/k to a node's shard.
func (n *node) filled(t testing.TB, count int) {
	t.Helper()
	for i := range count {
		list, done := calls(commitOf(fmt.Sprint(i), event.Expect{}, 10))
		n.h.shard.Submit(list)
		if c := receive(t, done); c.Err != nil {
			t.Fatal(c.Err)
		}
	}
}

func offsets(t testing.TB, b event.Batch) (list []uint64) {
	t.Helper()
	for _, e := range b.Events {
		var v eventwire.View
		if err := eventwire.ViewRecorded(e, &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v.Offset)
	}
	return list
}

func readAll(t testing.TB, r event.Reader) (list []uint64, err error) {
	t.Helper()
	defer r.Close()
	for {
		b, err := r.Next(within(t))
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, offsets(t, b)...)
	}
}

func TestReadsOfAnotherNode(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.filled(t, 10)
	specs := make(chan event.ReadSpec, 10)
	b.h.read = func(from Peer, spec event.ReadSpec) {
		if from.Caller != "ann" {
			t.Errorf("from %+v", from)
		}
		specs <- spec
	}
	spec := event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("k"), From: event.Point{Kind: event.Number, Number: 3}, Limit: 5,
		Types: [][]byte{[]byte("T")}, KeyPrefix: []byte("k")}
	r, err := a.Read(WithCaller(within(t), "ann"), 2, 1, spec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, r)
	if err != nil || fmt.Sprint(got) != "[3 4 5 6 7]" {
		t.Errorf("%v %v", got, err)
	}
	if s := receive(t, specs); fmt.Sprintf("%+v", s) != fmt.Sprintf("%+v", spec) {
		t.Errorf("asked for %+v, arrived %+v", spec, s)
	}
	r, err = a.Read(WithCaller(within(t), "ann"), 2, 1, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a"), Tags: [][]byte{[]byte("x"), {}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if s := receive(t, specs); len(s.Tags) != 2 || string(s.Tags[0]) != "x" || s.Scope != event.ScopeTopic {
		t.Errorf("arrived %+v", s)
	}
	r, err = a.Read(WithCaller(within(t), "ann"), 2, 1, event.ReadSpec{Scope: event.ScopeAll, Backwards: true, From: event.Point{Kind: event.End}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = readAll(t, r); err != nil || len(got) != 10 || got[0] != 10 {
		t.Errorf("%v %v", got, err)
	}
}

func TestReadsAreRefusedAtTheirBeginning(t *testing.T) {
	t.Parallel()
	a, _ := pair(t)
	_, err := a.Read(within(t), 2, 9, event.ReadSpec{Scope: event.ScopeAll})
	wantCode(t, err, errs.NotFound)
	_, err = a.Read(within(t), 2, 1, event.ReadSpec{})
	wantCode(t, err, errs.Unsupported)
	_, err = a.Read(within(t), 9, 1, event.ReadSpec{Scope: event.ScopeAll})
	wantCode(t, err, errs.Unavailable)
	_, err = a.Read(within(t), 2, 1, event.ReadSpec{Scope: event.ScopeAll, Where: condition("x")})
	wantCode(t, err, errs.Unsupported) // the other node has no hook
	_, err = a.Read(within(t), 2, 1, event.ReadSpec{Scope: event.ScopeAll, Where: wordless{}})
	wantCode(t, err, errs.Unsupported)
}

// condition is one that has a text.
type condition string

func (c condition) String() string                            { return string(c) }
func (condition) Match([]byte, *eventwire.View) (bool, error) { return true, nil }

type wordless struct{}

func (wordless) Match([]byte, *eventwire.View) (bool, error) { return true, nil }

func TestConditionsTravelAsText(t *testing.T) {
	t.Parallel()
	a, b := pair(t, func(o *Options) {
		o.Where = func(text string) (event.Predicate, error) { return condition("read: " + text), nil }
	})
	specs := make(chan event.ReadSpec, 1)
	b.h.read = func(_ Peer, spec event.ReadSpec) { specs <- spec }
	r, err := a.Read(within(t), 2, 1, event.ReadSpec{Scope: event.ScopeAll, Where: condition("data.x > 1")})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := receive(t, specs).Where; got != condition("read: data.x > 1") {
		t.Error(got)
	}
}

func TestFollowingAnotherNode(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.filled(t, 4)
	began, cancel := context.WithCancel(within(t))
	r, err := a.Read(began, 2, 1, event.ReadSpec{Scope: event.ScopeAll, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel() // it was for the beginning
	var got []uint64
	for live := false; !live; {
		batch, err := r.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		live = batch.Live
		got = append(got, offsets(t, batch)...)
	}
	soon, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if _, err := r.Next(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	b.filled(t, 1)
	batch, err := r.Next(within(t)) // a Next that ended with its context lost nothing
	if got = append(got, offsets(t, batch)...); err != nil || fmt.Sprint(got) != "[1 2 3 4 5]" || batch.Position.Offset != 5 || batch.Position.History == 0 {
		t.Fatalf("%v %+v %v", got, batch.Position, err)
	}
	b.kill(t)
	_, err = r.Next(within(t))
	wantCode(t, err, errs.Unavailable)
}

// A node that stops lets those who follow go.
func TestFollowersAreLetGo(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	r, err := a.Read(within(t), 2, 1, event.ReadSpec{Scope: event.ScopeAll, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if batch, err := r.Next(within(t)); err != nil || !batch.Live {
		t.Fatal(batch, err)
	}
	b.stop(t)
	_, err = r.Next(within(t))
	if e := wantCode(t, err, errs.Unavailable); e.Details[reason] != "draining" {
		t.Errorf("%+v", e)
	}
}

func (n *node) file(name string, size int) *file {
	f := &file{data: make([]byte, size), identity: []byte("id of " + name)}
	rand.NewChaCha8([32]byte{}).Read(f.data)
	n.h.files[name] = f
	return f
}

func TestFilesAreFetched(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	for _, size := range []int{0, 1, chunkBytes, 3*chunkBytes + 77} {
		name := fmt.Sprint(size)
		src := b.file("4/"+name, size)
		f, err := a.Fetch(within(t), 2, 4, name, Resume{})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for {
			chunk, err := f.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, chunk...)
		}
		if !bytes.Equal(got, src.data) || f.Size() != int64(size) || string(f.Identity()) != "id of 4/"+name {
			t.Errorf("%d of %d bytes", len(got), size)
		}
		f.Close()
		eventually(t, "closed there", func() bool { return src.open.Load() == 0 })
	}
}

func TestFetchesResume(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	wire := startProxy(t, b.addr)
	a.book.set(2, wire.addr())
	src := b.file("4/x", 40*chunkBytes)
	f, err := a.Fetch(within(t), 2, 4, "x", Resume{})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for range 3 {
		chunk, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, chunk...)
	}
	wire.cut()
	for err == nil { // what was on its way still comes
		var chunk []byte
		chunk, err = f.Next()
		got = append(got, chunk...)
	}
	wantCode(t, err, errs.Unavailable)
	f.Close()
	from := Resume{Offset: f.Offset(), Identity: f.Identity()}
	if from.Offset == f.Size() || from.Offset != int64(len(got)) {
		t.Fatalf("it came to %d of %d, with %d bytes", from.Offset, f.Size(), len(got))
	}
	eventually(t, "it goes on", func() bool {
		f, err = a.Fetch(within(t), 2, 4, "x", from)
		return err == nil
	})
	defer f.Close()
	for err == nil {
		var chunk []byte
		chunk, err = f.Next()
		got = append(got, chunk...)
	}
	if !errors.Is(err, io.EOF) || !bytes.Equal(got, src.data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(src.data), err)
	}
	_, err = a.Fetch(within(t), 2, 4, "x", Resume{Offset: from.Offset, Identity: []byte("another")})
	wantCode(t, err, errs.Gone)
	_, err = a.Fetch(within(t), 2, 4, "x", Resume{Offset: f.Size() + 1})
	wantCode(t, err, errs.Invalid)
	_, err = a.Fetch(within(t), 2, 4, "none", Resume{})
	wantCode(t, err, errs.NotFound)
}

// What is not asked for is not read from the other node's disk, but for what is on its way.
func TestFetchesArePacedByTheReceiver(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	src := b.file("4/x", 400*chunkBytes)
	f, err := a.Fetch(within(t), 2, 4, "x", Resume{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it begins", func() bool { return src.reads.Load() > 0 })
	if _, err := a.Call(within(t), 2, "shard.events", nil); errs.CodeOf(err) != errs.NotFound { // meanwhile others go on
		t.Error(err)
	}
	if n := src.reads.Load(); n > 30 {
		t.Errorf("%d chunks were read for nobody", n)
	}
	f.Close()
	eventually(t, "closed there", func() bool { return src.open.Load() == 0 })
}

// frames is a stream that gives what it was given.
type frames struct {
	grpc.ClientStream
	list [][]byte
}

func (f *frames) RecvMsg(m any) error {
	if len(f.list) == 0 {
		return io.EOF
	}
	m.(*inFrame).buffer = mem.SliceBuffer(f.list[0])
	f.list = f.list[1:]
	return nil
}

func TestDamagedChunksAreFound(t *testing.T) {
	t.Parallel()
	a, _ := pair(t)
	good := &peerv1.FetchResponse{Offset: 10, Data: []byte("data"), Checksum: 0x6de6f1ec}
	for name, change := range map[string]func(*peerv1.FetchResponse){
		"as it is": func(*peerv1.FetchResponse) {}, "data": func(r *peerv1.FetchResponse) { r.Data = []byte("dAta") }, "checksum": func(r *peerv1.FetchResponse) { r.Checksum++ },
		"offset": func(r *peerv1.FetchResponse) { r.Offset++ }, "nothing": func(r *peerv1.FetchResponse) { r.Data, r.Checksum = nil, 0 },
		"too much": func(r *peerv1.FetchResponse) { r.Data = bytes.Repeat([]byte("x"), 100) },
	} {
		r := proto.Clone(good).(*peerv1.FetchResponse)
		r.Checksum = sum(r.Data)
		change(r)
		if name == "nothing" || name == "too much" {
			r.Checksum = sum(r.Data)
		}
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		f := &File{name: "seg", size: 20, offset: 10, pull: &pull{stream: &frames{list: [][]byte{b}}, cancel: func() {}}, t: a.Transport}
		got, err := f.Next()
		if name == "as it is" {
			if err != nil || string(got) != "data" || f.Offset() != 14 {
				t.Errorf("%q %v", got, err)
			}
			_, err = f.Next() // the stream ends before the file does
			wantCode(t, err, errs.Unavailable)
			continue
		}
		if e := wantCode(t, err, errs.Corrupt); e.Details["file"] != "seg" || e.Details["offset"] != "10" || f.Offset() != 10 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
