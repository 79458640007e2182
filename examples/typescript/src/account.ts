// A bank account: two pure functions. Nothing here knows of a server.

export interface Account {
  readonly owner: string;
  readonly limit: number; // how far the balance may be below zero
  readonly balance: number;
  readonly holds: Readonly<Record<string, number>>; // reserved, and not yet taken
}

export const empty: Account = { owner: "", limit: 0, balance: 0, holds: {} };

export interface Event {
  type: string;
  data: Record<string, unknown>;
}

/** The account's "no". */
export class Rejected extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: Record<string, string> = {},
  ) {
    super(message);
  }
}

// The commands, and the events with the versions that are read. The newest is emitted.
export const commands = ["Open", "Deposit", "Withdraw", "Hold", "Capture", "Release", "Close"];
export const events: Record<string, number[]> = {
  Opened: [1, 2], Deposited: [0], Withdrawn: [0], Held: [0], Captured: [0], Released: [0], Closed: [0],
};

export function available(a: Account): number {
  return Object.values(a.holds).reduce((n, amount) => n - amount, a.balance + a.limit);
}

/** What a command causes, and whether the account ends. Throws Rejected. */
export function decide(a: Account, command: string, data: any): { events: Event[]; ends?: boolean } {
  if (command === "Open") {
    const { owner, limit = 0 } = data;
    if (a.owner) throw new Rejected("already_open", `the account is ${a.owner}'s already`);
    if (typeof owner !== "string" || !owner || !Number.isSafeInteger(limit) || limit < 0)
      throw new Rejected("invalid_owner", "an account needs an owner, and a limit that is not below zero");
    return one("Opened", { owner, limit });
  }
  if (!a.owner) throw new Rejected("not_open", "the account is not open");
  switch (command) {
    case "Deposit":
      return one("Deposited", { amount: positive(data) });
    case "Withdraw":
      return one("Withdrawn", { amount: covered(a, data) });
    case "Hold": {
      const amount = covered(a, data);
      if (!data.id || data.id in a.holds) throw new Rejected("hold_exists", "a hold needs an id of its own");
      return one("Held", { id: data.id, amount });
    }
    case "Capture":
      return one("Captured", { id: held(a, data) });
    case "Release":
      return one("Released", { id: held(a, data) });
    case "Close":
      if (a.balance !== 0 || Object.keys(a.holds).length > 0) throw new Rejected("not_empty", `the balance is ${a.balance}`);
      return { ...one("Closed", {}), ends: true };
  }
  throw new Rejected("unknown_command", `an account has no command ${command}`);
}

function one(type: string, data: Event["data"]): { events: Event[] } {
  return { events: [{ type, data }] };
}

function positive({ amount }: any): number {
  if (!Number.isSafeInteger(amount) || amount <= 0)
    throw new Rejected("invalid_amount", `the amount is ${JSON.stringify(amount)}; it must be above zero`);
  return amount;
}

function covered(a: Account, data: any): number {
  const amount = positive(data);
  const most = available(a);
  if (amount > most)
    throw new Rejected("insufficient_funds", `${amount} is asked for, ${most} is available`, { available: String(most) });
  return amount;
}

function held(a: Account, { id }: any): string {
  if (!(id in a.holds)) throw new Rejected("unknown_hold", `there is no hold ${id}`);
  return id;
}

/** The state after an event. */
export function fold(a: Account, type: string, version: number, data: any): Account {
  if (!events[type]?.includes(version)) throw new Error(`the event ${type} of version ${version} is not known`);
  switch (type) {
    case "Opened": // version 1 had no limit
      return { ...a, owner: data.owner, limit: data.limit ?? 0 };
    case "Deposited":
      return { ...a, balance: a.balance + data.amount };
    case "Withdrawn":
      return { ...a, balance: a.balance - data.amount };
    case "Held":
      return { ...a, holds: { ...a.holds, [data.id]: data.amount } };
    case "Captured":
      return { ...without(a, data.id), balance: a.balance - a.holds[data.id] };
    case "Released":
      return without(a, data.id);
  }
  return a;
}

function without(a: Account, id: string): Account {
  const { [id]: _, ...holds } = a.holds;
  return { ...a, holds };
}

export function reply(a: Account) {
  return { balance: a.balance, available: available(a) };
}
