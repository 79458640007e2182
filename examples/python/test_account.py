"""The account's own tests need no server: python3 -m unittest"""

import unittest

from account import EMPTY, EVENTS, Rejected, decide, fold


def given(*events):
    state = EMPTY
    for kind, data in events:
        state = fold(state, kind, EVENTS[kind][-1], data)
    return state


class AccountTest(unittest.TestCase):
    opened = ("Opened", {"owner": "Ann", "limit": 100})

    def test_withdraw(self):
        events, ends = decide(given(self.opened), "Withdraw", {"amount": 100})
        self.assertEqual((events, ends), ([("Withdrawn", {"amount": 100})], False))

    def test_insufficient_funds(self):
        state = given(self.opened, ("Held", {"id": "h", "amount": 60}))
        with self.assertRaises(Rejected) as no:
            decide(state, "Withdraw", {"amount": 41})
        self.assertEqual((no.exception.code, no.exception.details), ("insufficient_funds", {"available": "40"}))

    def test_accounts_of_before_limits(self):
        self.assertEqual(fold(EMPTY, "Opened", 1, {"owner": "Ann"})["limit"], 0)

    def test_decide_changes_nothing(self):
        state = given(self.opened, ("Held", {"id": "h", "amount": 60}))
        before = repr(state)
        fold(state, "Captured", 0, {"id": "h"})
        decide(state, "Release", {"id": "h"})
        self.assertEqual(repr(state), before)


if __name__ == "__main__":
    unittest.main()
