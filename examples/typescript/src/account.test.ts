// The account's own tests need no server: node --test
import assert from "node:assert";
import { test } from "node:test";

import { decide, empty, events, fold, Rejected } from "./account";

const given = (...history: [string, any][]) =>
  history.reduce((a, [type, data]) => fold(a, type, events[type].at(-1)!, data), empty);

const opened: [string, any] = ["Opened", { owner: "Ann", limit: 100 }];

test("withdraw", () => {
  assert.deepEqual(decide(given(opened), "Withdraw", { amount: 100 }).events, [{ type: "Withdrawn", data: { amount: 100 } }]);
});

test("insufficient funds", () => {
  const state = given(opened, ["Held", { id: "h", amount: 60 }]);
  assert.throws(
    () => decide(state, "Withdraw", { amount: 41 }),
    (no: Rejected) => no.code === "insufficient_funds" && no.details.available === "40",
  );
});

test("accounts of before limits", () => {
  assert.equal(fold(empty, "Opened", 1, { owner: "Ann" }).limit, 0);
});
