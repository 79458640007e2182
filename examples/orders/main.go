// Command orders is the order service of the tutorial: each order is a stream of the topic "orders", what may happen next is
// decided on what has happened, and a report follows the topic and keeps its place in a cursor.
//
// It promises that a command may be repeated: the second time it changes nothing. It talks to the server that GESTA_ADDR names.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/client"
)

const usage = "usage: orders place ID TOTAL | pay ID | ship ID | report"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var addrs []string
	if a := os.Getenv("GESTA_ADDR"); a != "" {
		addrs = strings.Split(a, ",")
	}
	c, err := client.New(client.Options{Addrs: addrs})
	if err != nil {
		return err
	}
	defer c.Close()
	switch {
	case len(args) == 3 && args[0] == "place":
		return place(ctx, c, args[1], args[2])
	case len(args) == 2 && args[0] == "pay":
		return change(ctx, c, args[1], pay)
	case len(args) == 2 && args[0] == "ship":
		return change(ctx, c, args[1], ship)
	case len(args) == 1 && args[0] == "report":
		return report(ctx, c)
	}
	return errors.New(usage)
}

// place begins an order. The stream must be new, unless it was this very event that began it: the id says so.
func place(ctx context.Context, c *client.Client, id, total string) error {
	amount, err := strconv.Atoi(total)
	if err != nil || amount < 0 {
		return fmt.Errorf("the total %q is no amount", total)
	}
	result, err := c.Append(ctx, client.Append{
		Topic: "orders", Key: id, Expect: client.None(),
		Events: []client.Event{{ID: "place-" + id, Type: "OrderPlaced", Data: fmt.Appendf(nil, `{"total":%d}`, amount), ContentType: "application/json"}},
	})
	if client.CodeOf(err) == client.CodeConflict {
		return fmt.Errorf("there is an order %s already", id)
	}
	if err != nil {
		return err
	}
	fmt.Println("placed", id, "at revision", result.Streams[0].LastRevision)
	return nil
}

// order is what the events of one order add up to.
type order struct {
	total         int
	paid, shipped bool
}

// fold is what one event changes.
func (o *order) fold(e *client.Recorded) error {
	switch e.Type {
	case "OrderPlaced":
		var placed struct{ Total int }
		if err := json.Unmarshal(e.Data, &placed); err != nil {
			return err
		}
		o.total = placed.Total
	case "OrderPaid":
		o.paid = true
	case "OrderShipped":
		o.shipped = true
	}
	return nil
}

// load reads an order, and says at which revision it was read.
func load(ctx context.Context, c *client.Client, id string) (o order, revision uint64, err error) {
	for e, err := range c.Read(ctx, client.StreamScope("orders", id), client.ReadOptions{}).All() {
		if err != nil {
			return o, 0, err
		}
		if err := o.fold(e); err != nil {
			return o, 0, err
		}
		revision = e.Revision
	}
	return o, revision, nil
}

// change reads an order, decides, and appends at the revision that was read. When somebody else was faster it begins again: what
// was decided may no longer hold.
func change(ctx context.Context, c *client.Client, id string, decide func(order) (string, error)) error {
	for {
		o, revision, err := load(ctx, c, id)
		if err != nil {
			return err
		}
		if revision == 0 {
			return fmt.Errorf("there is no order %s", id)
		}
		event, err := decide(o)
		if err != nil || event == "" {
			return err
		}
		_, err = c.Append(ctx, client.Append{
			Topic: "orders", Key: id, Expect: client.Revision(revision),
			Events: []client.Event{{Type: event}},
		})
		if client.CodeOf(err) == client.CodeConflict {
			continue
		}
		return err
	}
}

// pay is decided on the order alone; "" means that nothing is left to do.
func pay(o order) (string, error) {
	if o.paid {
		return "", nil
	}
	return "OrderPaid", nil
}

func ship(o order) (string, error) {
	switch {
	case !o.paid:
		return "", errors.New("the order is not paid")
	case o.shipped:
		return "", nil
	}
	return "OrderShipped", nil
}

// report prints what is new since the last report. Where that ended is a cursor, which moves when it was printed: after a crash
// in between, something may be printed twice, but nothing is left out.
func report(ctx context.Context, c *client.Client) error {
	from := "start"
	cursor, err := c.Cursor(ctx, "orders-report")
	switch {
	case err == nil:
		from = "pos:" + cursor.Position
	case client.CodeOf(err) != client.CodeNotFound:
		return err
	}
	r := c.Read(ctx, client.TopicScope("orders"), client.ReadOptions{From: from})
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		fmt.Println(e.Key, e.Type)
	}
	if r.Position() == "" {
		return nil
	}
	_, err = c.SetCursor(ctx, "orders-report", r.Position(), client.From(cursor.Position))
	return err
}
