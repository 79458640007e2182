package account

import (
	"testing"

	"github.com/gesta-db/gesta/client/entitytest"
)

func TestAccount(t *testing.T) {
	unopened := entitytest.For(t, Entity)
	unopened.When(Deposit{5}).Rejects("not_open")
	unopened.When(Close{}).Rejects("not_open")
	unopened.When(Open{"", 5}).Rejects("invalid_owner")
	unopened.When(Open{"Ann", 100}).Then(Opened{"Ann", 100}).Replies(Summary{0, 100})

	opened := unopened.Given(Opened{"Ann", 100})
	opened.When(Open{"Eve", 1}).Rejects("already_open")
	opened.When(Deposit{0}).Rejects("invalid_amount")
	opened.When(Withdraw{101}).Rejects("insufficient_funds")
	opened.When(Withdraw{100}).Then(Withdrawn{100}).Replies(Summary{-100, 0})
	opened.When(Close{}).Then(Closed{}).Replies(nil).Deletes()
}

func TestHolds(t *testing.T) {
	held := entitytest.For(t, Entity).Given(Opened{"Ann", 0}, Deposited{50}, Held{"hotel", 30})
	held.When(Withdraw{21}).Rejects("insufficient_funds")
	held.When(Hold{"hotel", 5}).Rejects("hold_exists")
	held.When(Hold{"car", 20}).Then(Held{"car", 20}).Replies(Summary{50, 0})
	held.When(Capture{"train"}).Rejects("unknown_hold")
	held.When(Capture{"hotel"}).Then(Captured{"hotel"}).Replies(Summary{20, 20})
	held.When(Release{"hotel"}).Then(Released{"hotel"}).Replies(Summary{50, 50})
	held.When(Close{}).Rejects("not_empty")
}

// Accounts that were opened before there were limits have none.
func TestOldAccount(t *testing.T) {
	entitytest.For(t, Entity).Given(OpenedV1{"Ann"}).When(Withdraw{1}).Rejects("insufficient_funds")
}
