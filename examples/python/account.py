"""A bank account: two pure functions. Nothing here knows of a server."""


class Rejected(Exception):
    """The account's "no"."""

    def __init__(self, code, message, **details):
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


EMPTY = {"owner": "", "limit": 0, "balance": 0, "holds": {}}

# The commands, and the events with the versions that are read. The newest is emitted.
COMMANDS = ["Open", "Deposit", "Withdraw", "Hold", "Capture", "Release", "Close"]
EVENTS = {
    "Opened": [1, 2], "Deposited": [0], "Withdrawn": [0],
    "Held": [0], "Captured": [0], "Released": [0], "Closed": [0],
}  # fmt: skip


def available(state):
    return state["balance"] + state["limit"] - sum(state["holds"].values())


def decide(state, command, data):
    """What a command causes: a list of events (type, data), and whether the account ends. Raises Rejected."""
    if command == "Open":
        if state["owner"]:
            raise Rejected("already_open", f"the account is {state['owner']}'s already")
        owner, limit = data.get("owner"), data.get("limit", 0)
        if not isinstance(owner, str) or not owner or not is_amount(limit) or limit < 0:
            raise Rejected("invalid_owner", "an account needs an owner, and a limit that is not below zero")
        return [("Opened", {"owner": owner, "limit": limit})], False
    if not state["owner"]:
        raise Rejected("not_open", "the account is not open")
    if command == "Close":
        if state["balance"] or state["holds"]:
            raise Rejected("not_empty", f"the balance is {state['balance']}, with {len(state['holds'])} holds")
        return [("Closed", {})], True
    if command in ("Capture", "Release"):
        if data.get("id") not in state["holds"]:
            raise Rejected("unknown_hold", f"there is no hold {data.get('id')!r}")
        return [(command + "d", {"id": data["id"]})], False

    amount = data.get("amount")
    if not is_amount(amount) or amount <= 0:
        raise Rejected("invalid_amount", f"the amount is {amount!r}; it must be above zero")
    if command == "Deposit":
        return [("Deposited", {"amount": amount})], False
    if amount > available(state):
        raise Rejected(
            "insufficient_funds",
            f"{amount} is asked for, {available(state)} is available",
            available=str(available(state)),
        )
    if command == "Withdraw":
        return [("Withdrawn", {"amount": amount})], False
    if command == "Hold":
        if not data.get("id") or data["id"] in state["holds"]:
            raise Rejected("hold_exists", "a hold needs an id of its own")
        return [("Held", {"id": data["id"], "amount": amount})], False
    raise Rejected("unknown_command", f"an account has no command {command!r}")


def is_amount(n):
    return isinstance(n, int) and not isinstance(n, bool)


def fold(state, event, version, data):
    """The state after an event. The old state stays as it is."""
    if version not in EVENTS.get(event, []):
        raise ValueError(f"the event {event} of version {version} is not known")
    holds = state["holds"]
    match event:
        case "Opened":  # version 1 had no limit
            return state | {"owner": data["owner"], "limit": data.get("limit", 0)}
        case "Deposited":
            return state | {"balance": state["balance"] + data["amount"]}
        case "Withdrawn":
            return state | {"balance": state["balance"] - data["amount"]}
        case "Held":
            return state | {"holds": holds | {data["id"]: data["amount"]}}
        case "Captured":
            state = state | {"balance": state["balance"] - holds[data["id"]]}
            return state | {"holds": {k: v for k, v in holds.items() if k != data["id"]}}
        case "Released":
            return state | {"holds": {k: v for k, v in holds.items() if k != data["id"]}}
    return state


def reply(state):
    return {"balance": state["balance"], "available": available(state)}
