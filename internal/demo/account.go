package demo

import "github.com/gesta-db/gesta/client"

// Account is the state of an account of the demo.
type Account struct {
	Balance int64 `json:"balance"`
}

// The commands and events of accounts: a change above zero is a deposit, one below a withdrawal.
type (
	Change  struct{ Amount int64 }
	Changed struct{ Amount int64 }
)

// Accounts is a kind of entities: what happens on a command, and what an event does to the state.
var Accounts = &client.Entity[Account, Change, Changed]{
	Kind: "account",
	Decide: func(a Account, c Change, _ *client.About) (client.Decision[Changed], error) {
		after := a.Balance + c.Amount
		if after < 0 {
			return client.Decision[Changed]{}, client.Reject("insufficient_funds", "the balance is %d", a.Balance)
		}
		return client.Decision[Changed]{Events: []Changed{Changed(c)}, Reply: after}, nil
	},
	Fold: func(a Account, e Changed) Account {
		a.Balance += e.Amount
		return a
	},
	Commands: client.Commands[Change]{"Change": Change{}},
	Events:   client.Events[Changed]{"Changed": {0: Changed{}}},
}
