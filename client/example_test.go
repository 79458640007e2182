package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/gesta-db/gesta/client"
)

func open() *client.Client {
	c, err := client.New(client.Options{Addrs: []string{client.DefaultAddr}})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func Example() {
	ctx := context.Background()
	c, err := client.New(client.Options{Addrs: []string{"127.0.0.1:7070"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Append(ctx, client.Append{
		Topic: "orders", Key: "42", Expect: client.None(),
		Events: []client.Event{{Type: "OrderPlaced", Data: []byte(`{"total":12}`)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range c.Read(ctx, client.StreamScope("orders", "42"), client.ReadOptions{}).All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Revision, e.Type, string(e.Data))
	}
}

// Optimistic concurrency: read, decide, append at the revision that was read; when somebody else was faster, do it again.
func ExampleClient_Append_conflict() {
	ctx := context.Background()
	c := open()
	defer c.Close()
	for {
		head, err := c.Head(ctx, "accounts", "ann")
		if err != nil {
			log.Fatal(err)
		}
		res, err := c.Append(ctx, client.Append{
			Topic: "accounts", Key: "ann", Expect: client.Revision(head.Revision),
			Events: []client.Event{{Type: "Withdrawn", Data: []byte(`{"amount":5}`)}},
		})
		if client.CodeOf(err) == client.CodeConflict {
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("written at revision", res.Streams[0].LastRevision)
		return
	}
}

// Two streams change together, or not at all.
func ExampleClient_Commit() {
	c := open()
	defer c.Close()
	res, err := c.Commit(context.Background(), []client.Append{
		{Topic: "accounts", Key: "ann", Events: []client.Event{{Type: "Withdrawn", Data: []byte(`{"amount":5}`)}}},
		{Topic: "accounts", Key: "bob", Events: []client.Event{{Type: "Deposited", Data: []byte(`{"amount":5}`)}}},
	}, client.CommandID("transfer-77"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Streams[0].LastRevision, res.Streams[1].LastRevision, res.Repeated)
}

// Many commits are under way at once, and keep their order per stream.
func ExampleClient_Start() {
	ctx := context.Background()
	c := open()
	defer c.Close()
	var started []*client.Pending
	for i := range 1000 {
		started = append(started, c.Start(ctx, []client.Append{{
			Topic: "readings", Key: "sensor-1", Events: []client.Event{{Type: "Read", Data: fmt.Appendf(nil, `{"n":%d}`, i)}},
		}}))
	}
	for _, p := range started {
		if _, err := p.Wait(ctx); err != nil {
			log.Fatal(err)
		}
	}
}

// A projection follows a topic and keeps its position beside what it makes of the events, so that it can go on after a restart.
func ExampleClient_Read_follow() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := open()
	defer c.Close()
	from := "start" // or "pos:" + what was kept
	r := c.Read(ctx, client.TopicScope("orders"), client.ReadOptions{
		From: from, Follow: true, OnLive: func() { fmt.Println("caught up") },
	})
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Key, e.Type, "then keep", r.Position())
	}
}

// The newest ten events of a stream.
func ExampleClient_Read_backwards() {
	c := open()
	defer c.Close()
	r := c.Read(context.Background(), client.StreamScope("orders", "42"), client.ReadOptions{Backwards: true, Limit: 10})
	for e, err := range r.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Revision, e.RecordedTime, e.Type)
	}
}

// What to do about a failure is in its code.
func ExampleError() {
	c := open()
	defer c.Close()
	_, err := c.Append(context.Background(), client.Append{Topic: "orders", Key: "42", Expect: client.Revision(7)})
	var e *client.Error
	switch {
	case errors.As(err, &e) && e.Code == client.CodeConflict:
		fmt.Println("somebody was faster: the stream is at revision", e.Details["actual_revision"])
	case errors.As(err, &e) && e.Code == client.CodeUnknownOutcome:
		fmt.Println("perhaps written: append again with the same ids")
	}
}
