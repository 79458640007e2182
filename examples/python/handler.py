"""Serves accounts, with nothing but the stubs that are generated from gesta/v1/*.proto.

It attaches to the server that GESTA_ADDR names, and again whenever the connection ends. What is in account.py is all that is about
accounts; the rest here would be the same for any kind whose data are JSON.
"""

import json
import logging
import os
import queue
import signal
import time

import grpc

import account
from gesta.v1 import entities_pb2, event_pb2, runtime_pb2 as pb, runtime_pb2_grpc

KIND = "account"
STATE_VERSION = 1
JSON = "application/json"
log = logging.getLogger("bank")


class Copy:
    """What this process knows of one entity: a session."""

    def __init__(self, session, revision=0, state=account.EMPTY):
        self.session, self.revision, self.state = session, revision, state

    def fold(self, recorded):
        for r in recorded:
            if r.revision <= self.revision:
                continue
            e = r.event
            if e.type == "gesta.deleted":
                self.state = account.EMPTY
            else:
                self.state = account.fold(self.state, e.type, e.schema_version, load(e.data))
            self.revision = r.revision


class Handler:
    """Does tasks. It lives as long as one attachment, as sessions do."""

    def __init__(self):
        self.copies = {}  # key → Copy
        self.begun = {}  # task id → (the task's first part, its Copy or None, what went wrong)

    def evict(self, evict):
        copy = self.copies.get(evict.key)
        if copy and copy.session == evict.session:
            del self.copies[evict.key]

    def do(self, part):
        """Does a task, or a part of one; returns the Result when it was the last part."""
        task, copy, wrong = self.begun.pop(part.id, None) or self.begin(part)
        if copy and not wrong:
            try:
                copy.fold(part.events)
            except Exception as e:
                wrong = e
        if part.more:
            self.begun[part.id] = task, copy, wrong
            return None
        if wrong:
            self.copies.pop(task.key, None)
            return pb.Result(task_id=task.id, failure=pb.Failure(message=repr(wrong)))
        if not copy:
            return pb.Result(task_id=task.id, missing=True)
        return self.finish(task, part, copy)

    def begin(self, task):
        """What the task builds on."""
        if task.kind != KIND:
            return task, None, ValueError(f"the kind {task.kind!r} is not served here")
        if task.base == pb.TASK_BASE_COLD:
            copy = Copy(task.session)
            if task.HasField("carried"):
                copy.revision, copy.state = task.carried.revision, load(task.carried.data)
            self.copies[task.key] = copy
            return task, copy, None
        copy = self.copies.get(task.key)
        if copy and (copy.session != task.session or copy.revision > task.revision):
            copy = None
        return task, copy, None

    def finish(self, task, last, copy):
        """Decides the commands, each on what the one before it led to."""
        result = pb.Result(task_id=task.id)
        state_at, gone = task.state_at or last.state_at, False
        for command in last.commands:
            if gone:  # the server knows what is next for an entity that was deleted
                result.decisions.add().retry.after.FromMilliseconds(1)
                continue
            decision, gone = self.decide(copy, command)
            wants = command.return_state or 0 < state_at <= copy.revision
            if decision.HasField("acceptance") and wants:
                decision.acceptance.state.CopyFrom(write(copy))
                state_at = 0
            result.decisions.append(decision)
        if task.want_state or last.want_state:
            result.state.CopyFrom(write(copy))
        if task.session and not gone:
            result.kept, result.revision = True, copy.revision
        else:
            self.copies.pop(task.key, None)
        return result

    def decide(self, copy, command):
        decision = pb.Decision()
        try:
            events, ends = account.decide(copy.state, command.name, load(command.payload.data))
            state, accepted = copy.state, decision.acceptance
            for kind, data in events:
                version = account.EVENTS[kind][-1]
                state = account.fold(state, kind, version, data)
                accepted.events.append(
                    event_pb2.Event(type=kind, schema_version=version, content_type=JSON, data=dump(data))
                )
            if not ends:
                accepted.reply.CopyFrom(entities_pb2.Payload(content_type=JSON, data=dump(account.reply(state))))
            accepted.delete = ends
            copy.state, copy.revision = state, copy.revision + len(events) + ends
            return decision, ends
        except account.Rejected as no:
            rejection = pb.Rejection(code=no.code, message=no.message, details=no.details)
            return pb.Decision(rejection=rejection), False
        except Exception as e:
            log.exception("deciding about %s failed", command.name)
            return pb.Decision(failure=pb.Failure(message=repr(e))), False


def write(copy):
    return entities_pb2.EntityState(
        type=KIND, version=STATE_VERSION, content_type=JSON, data=dump(copy.state), revision=copy.revision
    )


def load(data):
    return json.loads(data) if data else {}


def dump(value):
    return json.dumps(value, sort_keys=True).encode()


def hello():
    kind = pb.EntityKind(name=KIND, state=pb.StateType(name=KIND, version=STATE_VERSION))
    kind.commands.extend(pb.CommandType(name=c) for c in account.COMMANDS)
    kind.events.extend(pb.EventType(name=name, versions=versions) for name, versions in account.EVENTS.items())
    return pb.Hello(service="bank", build="python", protocol=1, kinds=[kind])


def attach(channel, stopping):
    """Serves until the server ends the stream, or wants to."""
    handler, frames = Handler(), queue.SimpleQueue()
    frames.put(pb.HandlerFrame(hello=hello()))
    stopping.append(frames)  # a signal puts a Drain into it
    for frame in runtime_pb2_grpc.RuntimeStub(channel).Attach(iter(frames.get, None)):
        if frame.HasField("welcome"):
            log.info("attached to %s as %s", frame.welcome.node_id, frame.welcome.process)
        for evict in frame.evicts:
            handler.evict(evict)
        answer = pb.HandlerFrame()
        for task in frame.tasks:
            if result := handler.do(task):
                answer.results.append(result)
                answer.credit += max(1, len(result.decisions) or len(task.commands))
        if answer.results:
            frames.put(answer)
        for fault in frame.faults:
            log.error("the server refused a result: %s", fault)
        if frame.HasField("drain"):  # no more tasks come, and those before are done
            frames.put(pb.HandlerFrame(goodbye=pb.Goodbye(reason="finished")))
            frames.put(None)
    stopping.remove(frames)


def main():
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stopping, stop = [], []

    def interrupted(*_):
        stop.append(True)
        for frames in stopping:
            frames.put(pb.HandlerFrame(drain=pb.Drain(reason="the process ends")))
        if not stopping:
            raise SystemExit

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    with grpc.insecure_channel(os.environ.get("GESTA_ADDR", "127.0.0.1:7070")) as channel:
        while not stop:
            try:
                attach(channel, stopping)
            except grpc.RpcError as e:
                stopping.clear()
                if e.code() in (grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                    raise SystemExit(f"the server refuses this handler: {e.details()}")
                log.warning("not attached: %s", e.details())
            if not stop:
                time.sleep(0.2)


if __name__ == "__main__":
    main()
