// Serves accounts, with nothing but gRPC and what proto-loader makes of gesta/v1/*.proto.
//
// It attaches to the server that GESTA_ADDR names, and again whenever the connection ends. What is in account.ts is all that is about
// accounts; the rest here would be the same for any kind whose data are JSON.

import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";

import * as account from "./account";
import type { ProtoGrpcType } from "../stubs/runtime";
import type { Command } from "../stubs/gesta/v1/Command";
import type { Decision } from "../stubs/gesta/v1/Decision";
import type { EntityState } from "../stubs/gesta/v1/EntityState";
import type { Evict__Output } from "../stubs/gesta/v1/Evict";
import type { HandlerFrame } from "../stubs/gesta/v1/HandlerFrame";
import type { Hello } from "../stubs/gesta/v1/Hello";
import type { RecordedEvent__Output } from "../stubs/gesta/v1/RecordedEvent";
import type { Result } from "../stubs/gesta/v1/Result";
import type { ServerFrame__Output } from "../stubs/gesta/v1/ServerFrame";
import type { Task__Output } from "../stubs/gesta/v1/Task";

const kind = "account";
const stateVersion = 1;
const json = "application/json";

// 64-bit numbers are texts in what proto-loader gives: JavaScript's own would not hold them all.
const options: loader.Options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true, includeDirs: [process.env.GESTA_PROTO ?? "proto"] };

/** What this process knows of one entity: a session. */
interface Copy {
  session: string;
  revision: bigint;
  state: account.Account;
}

/** A task that has begun: its first part, what it builds on, and what went wrong. */
interface Begun {
  task: Task__Output;
  copy?: Copy;
  wrong?: unknown;
}

/** Does tasks. It lives as long as one attachment, as sessions do. */
class Handler {
  private copies = new Map<string, Copy>();
  private begun = new Map<string, Begun>();

  evict(e: Evict__Output) {
    if (this.copies.get(e.key)?.session === e.session) this.copies.delete(e.key);
  }

  /** Does a task, or a part of one; gives the result, and the credit to grant, when it was the last part. */
  do(part: Task__Output): { result: Result; credit: number } | undefined {
    const b = this.begun.get(part.id) ?? this.begin(part);
    this.begun.delete(part.id);
    if (b.copy && b.wrong === undefined) {
      try {
        foldAll(b.copy, part.events);
      } catch (e) {
        b.wrong = e;
      }
    }
    if (part.more) {
      this.begun.set(part.id, b);
      return undefined;
    }
    const credit = Math.max(1, part.commands.length);
    if (b.wrong !== undefined) {
      this.copies.delete(b.task.key);
      return { result: { task_id: part.id, failure: { message: String(b.wrong) } }, credit };
    }
    if (!b.copy) return { result: { task_id: part.id, missing: true }, credit };
    return { result: this.finish(b.task, part, b.copy), credit };
  }

  private begin(task: Task__Output): Begun {
    if (task.kind !== kind) return { task, wrong: `the kind ${task.kind} is not served here` };
    if (task.base === "TASK_BASE_COLD") {
      const copy: Copy = { session: task.session, revision: 0n, state: account.empty };
      if (task.carried) {
        copy.revision = BigInt(task.carried.revision);
        copy.state = load(task.carried.data);
      }
      this.copies.set(task.key, copy);
      return { task, copy };
    }
    const copy = this.copies.get(task.key);
    const fits = copy && copy.session === task.session && copy.revision <= BigInt(task.revision);
    return { task, copy: fits ? copy : undefined };
  }

  /** Decides the commands, each on what the one before it led to. */
  private finish(task: Task__Output, last: Task__Output, copy: Copy): Result {
    let stateAt = BigInt(task.state_at) || BigInt(last.state_at);
    let gone = false;
    const decisions = last.commands.map((command): Decision => {
      // The server knows what is next for an entity that was deleted.
      if (gone) return { retry: { after: { nanos: 1e6 } } };
      const decision = decide(copy, command);
      if (decision.acceptance && (command.return_state || (stateAt > 0n && copy.revision >= stateAt))) {
        decision.acceptance.state = write(copy);
        stateAt = 0n;
      }
      gone = decision.acceptance?.delete ?? false;
      return decision;
    });
    const kept = task.session !== "0" && !gone;
    if (!kept) this.copies.delete(task.key);
    return {
      task_id: task.id,
      decisions,
      state: task.want_state || last.want_state ? write(copy) : undefined,
      ...(kept && { kept, revision: copy.revision.toString() }),
    };
  }
}

function foldAll(copy: Copy, recorded: RecordedEvent__Output[]) {
  for (const { revision, event } of recorded) {
    if (!event || BigInt(revision) <= copy.revision) continue;
    copy.state = event.type === "gesta.deleted" ? account.empty : account.fold(copy.state, event.type, event.schema_version, load(event.data));
    copy.revision = BigInt(revision);
  }
}

function decide(copy: Copy, command: Command): Decision {
  try {
    const { events, ends = false } = account.decide(copy.state, command.name!, load(command.payload?.data));
    const versioned = events.map((e) => ({ ...e, version: account.events[e.type].at(-1)! }));
    copy.state = versioned.reduce((state, e) => account.fold(state, e.type, e.version, e.data), copy.state);
    copy.revision += BigInt(events.length + (ends ? 1 : 0));
    return {
      acceptance: {
        events: versioned.map((e) => ({ type: e.type, schema_version: e.version, content_type: json, data: dump(e.data) })),
        reply: ends ? null : { content_type: json, data: dump(account.reply(copy.state)) },
        delete: ends,
      },
    };
  } catch (e) {
    if (e instanceof account.Rejected) return { rejection: { code: e.code, message: e.message, details: e.details } };
    console.error(`deciding about ${command.name} failed:`, e);
    return { failure: { message: String(e) } };
  }
}

function write(copy: Copy): EntityState {
  return { type: kind, version: stateVersion, content_type: json, data: dump(copy.state), revision: copy.revision.toString() };
}

function load(data: Uint8Array | string | undefined | null): any {
  return data?.length ? JSON.parse(Buffer.from(data as Uint8Array).toString()) : {};
}

function dump(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const hello: Hello = {
  service: "bank",
  build: "typescript",
  protocol: 1,
  kinds: [
    {
      name: kind,
      commands: account.commands.map((name) => ({ name })),
      events: Object.entries(account.events).map(([name, versions]) => ({ name, versions })),
      state: { name: kind, version: stateVersion },
    },
  ],
};

const refusals = [grpc.status.ALREADY_EXISTS, grpc.status.INVALID_ARGUMENT, grpc.status.UNIMPLEMENTED];

/** Serves until the server ends the stream, or wants to. */
function attach(client: InstanceType<ProtoGrpcType["gesta"]["v1"]["Runtime"]>, stop: AbortSignal): Promise<void> {
  return new Promise((over) => {
    const handler = new Handler();
    const stream = client.Attach();
    const drain = () => stream.write({ drain: { reason: "the process ends" } });
    stop.addEventListener("abort", drain);
    stream.on("data", (frame: ServerFrame__Output) => {
      if (frame.welcome) console.error(`attached to ${frame.welcome.node_id} as ${frame.welcome.process}`);
      frame.evicts.forEach((e) => handler.evict(e));
      const done = frame.tasks.flatMap((task) => handler.do(task) ?? []);
      const answer: HandlerFrame = { results: done.map((d) => d.result), credit: done.reduce((n, d) => n + d.credit, 0) };
      if (done.length > 0) stream.write(answer);
      frame.faults.forEach((f) => console.error(`the server refused a result: ${f.code}: ${f.message}`));
      if (frame.drain) {
        // No more tasks come, and those before are done.
        stream.write({ goodbye: { reason: "finished" } });
        stream.end();
      }
    });
    stream.on("error", (e: grpc.ServiceError) => {
      console.error(`not attached: ${e.details}`);
      if (refusals.includes(e.code)) process.exit(1);
    });
    stream.on("status", () => {
      stop.removeEventListener("abort", drain);
      over();
    });
    stream.write({ hello });
  });
}

async function main() {
  const { gesta } = grpc.loadPackageDefinition(loader.loadSync("gesta/v1/runtime.proto", options)) as unknown as ProtoGrpcType;
  const client = new gesta.v1.Runtime(process.env.GESTA_ADDR ?? "127.0.0.1:7070", grpc.credentials.createInsecure(), {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  while (!stop.signal.aborted) {
    await attach(client, stop.signal);
    await new Promise((later) => setTimeout(later, stop.signal.aborted ? 0 : 200));
  }
  client.close();
}

main();
