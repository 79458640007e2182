// Command bank keeps accounts: "serve" is the handler that decides about them, the other commands are its callers. The accounts
// themselves are package account, which knows nothing of this one.
//
// It promises that a command may be repeated under its id: the second time it changes nothing. It talks to the server that
// GESTA_ADDR names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/examples/bank/account"
)

const usage = `usage: bank serve
       bank open     ACCOUNT OWNER [LIMIT]
       bank deposit  ACCOUNT AMOUNT ID
       bank withdraw ACCOUNT AMOUNT ID
       bank hold     ACCOUNT HOLD AMOUNT
       bank capture  ACCOUNT HOLD
       bank release  ACCOUNT HOLD
       bank close    ACCOUNT
       bank audit    ACCOUNT [POINT]
       bank totals   [follow]`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bank:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var addrs []string
	if a := os.Getenv("GESTA_ADDR"); a != "" {
		addrs = strings.Split(a, ",")
	}
	c, err := client.New(client.Options{Addrs: addrs})
	if err != nil {
		return err
	}
	defer c.Close()
	if len(args) == 0 {
		return errors.New(usage)
	}
	rest := args[1:]
	switch {
	case args[0] == "serve" && len(rest) == 0:
		return serve(ctx, c)
	case args[0] == "audit" && (len(rest) == 1 || len(rest) == 2):
		return audit(ctx, c, rest, out)
	case args[0] == "totals" && len(rest) < 2:
		return totals(ctx, c, len(rest) == 1 && rest[0] == "follow", out)
	}
	command, id, err := parse(args[0], rest)
	if err != nil {
		return err
	}
	return send(ctx, c, rest[0], command, id, out)
}

// serve decides about accounts until it is interrupted.
func serve(ctx context.Context, c *client.Client) error {
	return c.Serve(ctx, client.Service{
		Name: "bank", Build: "v1", Kinds: []client.Kind{account.Entity}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

// parse makes a command of words. What moves money has an id of the caller's, so that it can be repeated when its answer was lost;
// the others can be as they are: a second time they are refused.
func parse(name string, words []string) (command account.Command, id string, err error) {
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	amount := func(i int) (n int64) {
		if n, err = strconv.ParseInt(word(i), 10, 64); err != nil {
			err = fmt.Errorf("%q is no amount", word(i))
		}
		return n
	}
	switch {
	case name == "open" && len(words) == 2:
		command = account.Open{Owner: words[1]}
	case name == "open" && len(words) == 3:
		command = account.Open{Owner: words[1], Limit: amount(2)}
	case name == "deposit" && len(words) == 3:
		command, id = account.Deposit{Amount: amount(1)}, words[2]
	case name == "withdraw" && len(words) == 3:
		command, id = account.Withdraw{Amount: amount(1)}, words[2]
	case name == "hold" && len(words) == 3:
		command = account.Hold{ID: words[1], Amount: amount(2)}
	case name == "capture" && len(words) == 2:
		command = account.Capture{ID: words[1]}
	case name == "release" && len(words) == 2:
		command = account.Release{ID: words[1]}
	case name == "close" && len(words) == 1:
		command = account.Close{}
	default:
		err = errors.New(usage)
	}
	return command, id, err
}

// send lets an account decide, and prints what came of it.
func send(ctx context.Context, c *client.Client, key string, command account.Command, id string, out io.Writer) error {
	outcome, err := account.Entity.Send(ctx, c, key, command, id)
	if no := client.RejectionOf(err); no != nil {
		return fmt.Errorf("refused, %s: %s", no.Code, no.Message)
	}
	if err != nil {
		return err
	}
	again := ""
	if outcome.Repeated {
		again = " (it was done before)"
	}
	if outcome.Reply.ContentType == "" {
		fmt.Fprintf(out, "done at revision %d%s\n", outcome.Revision, again)
		return nil
	}
	var s account.Summary
	if err := outcome.Reply.Into(&s); err != nil {
		return err
	}
	fmt.Fprintf(out, "balance %d, available %d, at revision %d%s\n", s.Balance, s.Available, outcome.Revision, again)
	return nil
}

// audit tells an account's state, now or as it was at a point: a revision, a time, -2h.
func audit(ctx context.Context, c *client.Client, args []string, out io.Writer) error {
	var when []client.StateOption
	if len(args) == 2 {
		when = append(when, client.AtPoint(args[1]))
	}
	a, revision, err := account.Entity.State(ctx, c, args[0], when...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s at revision %d: balance %d, limit %d, %d holds, available %d\n", a.Owner, revision, a.Balance, a.Limit, len(a.Holds), a.Available())
	return nil
}

// totals is a read model: it follows the events of all accounts and keeps what a bank wants to see at once. It keeps it in memory,
// and reads everything each time; docs/how-to/resume-a-reader.md tells how to go on from where it was.
func totals(ctx context.Context, c *client.Client, follow bool, out io.Writer) error {
	accounts := map[string]account.Account{}
	options := client.ReadOptions{Follow: follow}
	for r, err := range c.Read(ctx, client.TopicScope(account.Kind), options).All() {
		if err != nil {
			return err
		}
		if r.Type == "gesta.deleted" {
			delete(accounts, r.Key)
			continue
		}
		e, err := account.Entity.ReadEvent(r)
		if err != nil {
			return err
		}
		key := strings.Clone(r.Key)
		accounts[key] = account.Entity.Fold(accounts[key], e)
		if follow {
			fmt.Fprintf(out, "%s %s, the bank holds %d\n", r.Key, r.Type, sum(accounts))
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "accounts\t%d\nbalance\t%d\n", len(accounts), sum(accounts))
	return t.Flush()
}

func sum(accounts map[string]account.Account) (n int64) {
	for _, a := range accounts {
		n += a.Balance
	}
	return n
}
