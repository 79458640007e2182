// Package account is a bank account: what may be asked of it, what has happened to it, and what that adds up to.
//
// It performs nothing and knows neither clock nor database: Decide and Fold are all there is, so that the tests need nothing else.
// Amounts are in the smallest unit of the currency.
package account

import (
	"maps"
	"strconv"

	"github.com/gesta-db/gesta/client"
)

// Kind is the kind of the entities, and the topic of their events.
const Kind = "account"

// Account is the state of one account.
type Account struct {
	Owner   string           `json:"owner"`
	Limit   int64            `json:"limit"` // how far the balance may be below zero
	Balance int64            `json:"balance"`
	Holds   map[string]int64 `json:"holds"` // reserved, and not yet taken
}

// Available is what may be withdrawn or held.
func (a Account) Available() int64 {
	n := a.Balance + a.Limit
	for _, amount := range a.Holds {
		n -= amount
	}
	return n
}

// Command is one of those below.
type Command interface {
	decide(Account) (Decision, error)
}

// The commands.
type (
	Open struct {
		Owner string `json:"owner"`
		Limit int64  `json:"limit"`
	}
	Deposit struct {
		Amount int64 `json:"amount"`
	}
	Withdraw struct {
		Amount int64 `json:"amount"`
	}
	// Hold reserves an amount, under an id of the caller's.
	Hold struct {
		ID     string `json:"id"`
		Amount int64  `json:"amount"`
	}
	// Capture takes what was held.
	Capture struct {
		ID string `json:"id"`
	}
	// Release gives what was held free.
	Release struct {
		ID string `json:"id"`
	}
	// Close ends an account that is empty.
	Close struct{}
)

// Event is one of those below.
type Event interface{ fold(Account) Account }

// The events.
type (
	Opened struct {
		Owner string `json:"owner"`
		Limit int64  `json:"limit"`
	}
	// OpenedV1 is how accounts were opened before they had limits.
	OpenedV1 struct {
		Owner string `json:"owner"`
	}
	Deposited struct {
		Amount int64 `json:"amount"`
	}
	Withdrawn struct {
		Amount int64 `json:"amount"`
	}
	Held struct {
		ID     string `json:"id"`
		Amount int64  `json:"amount"`
	}
	Captured struct {
		ID string `json:"id"`
	}
	Released struct {
		ID string `json:"id"`
	}
	Closed struct{}
)

// Summary is the reply to every command but Close.
type Summary struct {
	Balance   int64 `json:"balance"`
	Available int64 `json:"available"`
}

// Decision is what a command causes.
type Decision = client.Decision[Event]

// Entity is the account as the server is told of it.
var Entity = &client.Entity[Account, Command, Event]{
	Kind:   Kind,
	Decide: func(a Account, c Command, _ *client.About) (Decision, error) { return c.decide(a) },
	Fold:   fold,
	Commands: client.Commands[Command]{
		"Open": Open{}, "Deposit": Deposit{}, "Withdraw": Withdraw{}, "Hold": Hold{}, "Capture": Capture{}, "Release": Release{}, "Close": Close{},
	},
	Events: client.Events[Event]{
		"Opened": {1: OpenedV1{}, 2: Opened{}}, "Deposited": {0: Deposited{}}, "Withdrawn": {0: Withdrawn{}},
		"Held": {0: Held{}}, "Captured": {0: Captured{}}, "Released": {0: Released{}}, "Closed": {0: Closed{}},
	},
	StateType: "account", StateVersion: 1, SnapshotEvery: 50, CheckReplay: true,
}

func fold(a Account, e Event) Account { return e.fold(a) }

// accept says that something happens, and answers with what the account then holds.
func accept(a Account, e Event) (Decision, error) {
	after := e.fold(a)
	return Decision{Events: []Event{e}, Reply: Summary{after.Balance, after.Available()}}, nil
}

func (c Open) decide(a Account) (Decision, error) {
	switch {
	case a.Owner != "":
		return Decision{}, client.Reject("already_open", "the account is %s's already", a.Owner)
	case c.Owner == "" || c.Limit < 0:
		return Decision{}, client.Reject("invalid_owner", "an account needs an owner, and a limit that is not below zero")
	}
	return accept(a, Opened(c))
}

func (c Deposit) decide(a Account) (Decision, error) {
	if err := usable(a, c.Amount); err != nil {
		return Decision{}, err
	}
	return accept(a, Deposited(c))
}

func (c Withdraw) decide(a Account) (Decision, error) {
	if err := covered(a, c.Amount); err != nil {
		return Decision{}, err
	}
	return accept(a, Withdrawn(c))
}

func (c Hold) decide(a Account) (Decision, error) {
	if err := covered(a, c.Amount); err != nil {
		return Decision{}, err
	}
	if _, taken := a.Holds[c.ID]; taken || c.ID == "" {
		return Decision{}, client.Reject("hold_exists", "a hold needs an id of its own, and %q is not", c.ID)
	}
	return accept(a, Held(c))
}

func (c Capture) decide(a Account) (Decision, error) {
	if err := holds(a, c.ID); err != nil {
		return Decision{}, err
	}
	return accept(a, Captured(c))
}

func (c Release) decide(a Account) (Decision, error) {
	if err := holds(a, c.ID); err != nil {
		return Decision{}, err
	}
	return accept(a, Released(c))
}

func (Close) decide(a Account) (Decision, error) {
	switch {
	case a.Owner == "":
		return Decision{}, notOpen()
	case a.Balance != 0 || len(a.Holds) > 0:
		return Decision{}, client.Reject("not_empty", "the balance is %d, with %d holds", a.Balance, len(a.Holds))
	}
	return Decision{Events: []Event{Closed{}}, Delete: true}, nil
}

func notOpen() error { return client.Reject("not_open", "the account is not open") }

func usable(a Account, amount int64) error {
	switch {
	case a.Owner == "":
		return notOpen()
	case amount <= 0:
		return client.Reject("invalid_amount", "the amount is %d; it must be above zero", amount)
	}
	return nil
}

func covered(a Account, amount int64) error {
	if err := usable(a, amount); err != nil {
		return err
	}
	if n := a.Available(); amount > n {
		return client.Reject("insufficient_funds", "%d is asked for, %d is available", amount, n).With("available", strconv.FormatInt(n, 10))
	}
	return nil
}

func holds(a Account, id string) error {
	if a.Owner == "" {
		return notOpen()
	}
	if _, ok := a.Holds[id]; !ok {
		return client.Reject("unknown_hold", "there is no hold %q", id)
	}
	return nil
}

func (e Opened) fold(a Account) Account {
	a.Owner, a.Limit = e.Owner, e.Limit
	return a
}

func (e OpenedV1) fold(a Account) Account { return Opened{Owner: e.Owner}.fold(a) }

func (e Deposited) fold(a Account) Account {
	a.Balance += e.Amount
	return a
}

func (e Withdrawn) fold(a Account) Account {
	a.Balance -= e.Amount
	return a
}

func (e Held) fold(a Account) Account {
	a.Holds = maps.Clone(a.Holds) // decide folds too, and must not change what it was given
	if a.Holds == nil {
		a.Holds = map[string]int64{}
	}
	a.Holds[e.ID] = e.Amount
	return a
}

func (e Captured) fold(a Account) Account {
	a.Balance -= a.Holds[e.ID]
	return Released(e).fold(a)
}

func (e Released) fold(a Account) Account {
	a.Holds = maps.Clone(a.Holds)
	delete(a.Holds, e.ID)
	return a
}

func (Closed) fold(a Account) Account { return a }
