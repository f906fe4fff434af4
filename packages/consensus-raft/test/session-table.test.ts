import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { AppliedEntry, LogIndex, MachinePosition, MachineSnapshot, StateMachine, Term } from "@revoada/fabric";
import { silentLogger, silentMetrics } from "@revoada/fabric";
import type { Answer } from "../src/sessions/answer.ts";
import { decodeEnvelope, encodeEnvelope, type Envelope } from "../src/sessions/core/envelope.ts";
import {
  checkSessionLimits,
  defaultSessionLimits,
  resultOverheadBytes,
  sessionOverheadBytes,
  type SessionLimits,
} from "../src/sessions/core/limits.ts";
import { SessionMachine } from "../src/sessions/session-machine.ts";
import { textCodec } from "./support/replicas.ts";

const watch = { logger: silentLogger, metrics: silentMetrics };

/** A result is the command and how many came before it, so that a second application would show. */
class CountingMachine implements StateMachine<string, string> {
  readonly durable = false;
  commands: string[] = [];
  readonly #async: boolean;
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };

  constructor(async = false) {
    this.#async = async;
  }

  position(): MachinePosition {
    return this.#position;
  }
  flushedIndex(): LogIndex {
    return 0 as LogIndex;
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }

  apply(
    entries: readonly AppliedEntry<string>[],
  ): readonly (string | undefined)[] | Promise<readonly (string | undefined)[]> {
    const results = entries.map((entry) => {
      expect(entry.index).toBe(this.#position.index + 1);
      this.#position = { index: entry.index, term: entry.term };
      if (entry.kind !== "command") return undefined;
      this.commands.push(entry.command);
      return `${this.commands.length}:${entry.command}`;
    });
    return this.#async ? Promise.resolve(results) : results;
  }

  snapshot(): Promise<MachineSnapshot> {
    const bytes = Buffer.from(JSON.stringify(this.commands));
    const position = this.#position;
    return Promise.resolve({
      position,
      async *chunks() {
        for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
      },
      dispose() {},
    });
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    this.commands = JSON.parse(Buffer.concat(parts).toString()) as string[];
    this.#position = position;
  }
}

/** What the table is meant to be, one entry at a time and without a thought for cost. */
class Model {
  limits: SessionLimits = defaultSessionLimits;
  sessions: {
    id: number;
    last: number;
    ack: number;
    results: Map<number, { index: number; result: string | undefined }>;
  }[] = [];
  applied: string[] = [];

  bytes(): number {
    let sum = 0;
    for (const { results } of this.sessions) {
      sum += sessionOverheadBytes;
      for (const { result } of results.values()) sum += resultOverheadBytes + (result?.length ?? 0);
    }
    return sum;
  }

  expire(): void {
    const { maxSessions, maxBytes } = this.limits;
    const floor = this.bytes() > maxBytes ? maxBytes - Math.floor(maxBytes / 8) : maxBytes;
    for (;;) {
      const lastOne = this.sessions.length === 1 && this.bytes() <= maxBytes;
      if (this.sessions.length === 0 || lastOne) return;
      if (this.sessions.length <= maxSessions && this.bytes() <= floor) return;
      this.sessions.shift();
    }
  }

  apply(text: string): string {
    this.applied.push(text);
    return `${this.applied.length}:${text}`;
  }

  step(index: number, envelope: Envelope<string>): string {
    switch (envelope.kind) {
      case "plain":
        return this.apply(envelope.command);
      case "open":
        this.limits = envelope.limits;
        this.sessions.push({ id: index, last: index, ack: 0, results: new Map() });
        this.expire();
        return "done";
      case "close": {
        const before = this.sessions.length;
        this.sessions = this.sessions.filter(({ id }) => id !== envelope.session);
        return before === this.sessions.length ? "expired" : "done";
      }
      case "command":
        return this.command(index, envelope);
    }
  }

  command(index: number, envelope: Extract<Envelope<string>, { kind: "command" }>): string {
    const session = this.sessions.find(({ id }) => id === envelope.session);
    if (session === undefined) return "expired";
    this.sessions = [...this.sessions.filter((each) => each !== session), session];
    session.last = index;
    session.ack = Math.max(session.ack, envelope.acknowledged);
    for (const sequence of [...session.results.keys()]) if (sequence <= session.ack) session.results.delete(sequence);
    if (envelope.sequence <= session.ack) return "stale";
    const known = session.results.get(envelope.sequence);
    if (known !== undefined) return known.result === undefined ? "not-kept" : `${known.result}@${known.index}`;
    if (envelope.sequence > session.ack + this.limits.maxInFlight) return "window";
    const result = this.apply(envelope.command);
    session.results.set(envelope.sequence, {
      index,
      result: result.length <= this.limits.maxResultBytes ? result : undefined,
    });
    this.expire();
    return result;
  }
}

function told(answer: Answer<string>): string {
  switch (answer.kind) {
    case "result":
      return answer.result;
    case "repeat":
      return `${Buffer.from(answer.result).toString()}@${answer.index}`;
    case "done":
      return "done";
    case "refused":
      return answer.reason;
  }
}

async function snapshotBytes(machine: SessionMachine<string, string>): Promise<Buffer> {
  const snapshot = await machine.snapshot();
  const parts: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks()) parts.push(chunk);
  return Buffer.concat(parts);
}

const tight: SessionLimits = { maxSessions: 3, maxInFlight: 3, maxResultBytes: 6, maxBytes: 300 };
const roomy: SessionLimits = { maxSessions: 5, maxInFlight: 4, maxResultBytes: 20, maxBytes: 1000 };

/** Sessions are named by how many opens ago they were made, because their ids are indexes. */
const wish = fc.oneof(
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("open" as const), limits: fc.constantFrom(tight, roomy) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), ago: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("plain" as const), command: fc.string({ maxLength: 4 }) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("command" as const),
      ago: fc.nat(2),
      sequence: fc.integer({ min: 1, max: 12 }),
      behind: fc.integer({ min: 1, max: 6 }),
      command: fc.constantFrom("", "a", "bc", "a long command"),
    }),
  },
);

function entriesOf(
  wishes: readonly (typeof wish extends fc.Arbitrary<infer W> ? W : never)[],
): AppliedEntry<Envelope<string>>[] {
  const opened: number[] = [];
  return wishes.map((each, at) => {
    const index = at + 1;
    const identity = { kind: "command", index: index as LogIndex, term: 1 as Term } as const;
    if (each.kind === "open") {
      opened.unshift(index);
      return { ...identity, command: { kind: "open", limits: each.limits } };
    }
    if (each.kind === "plain") return { ...identity, command: each };
    const session = opened[each.ago] ?? 999_999;
    if (each.kind === "close") return { ...identity, command: { kind: "close", session } };
    const acknowledged = Math.max(0, each.sequence - each.behind);
    return {
      ...identity,
      command: { kind: "command", session, sequence: each.sequence, acknowledged, command: each.command },
    };
  });
}

test("whatever is proposed and however it is cut into steps, the table does what its model does, and is equal everywhere", async () => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(wish, { minLength: 30, maxLength: 80 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }),
      fc.nat(80),
      async (wishes, cuts, snapshotAt) => {
        const entries = entriesOf(wishes);
        const model = new Model();
        const expected = entries.map((entry) =>
          model.step(entry.index, (entry as { command: Envelope<string> }).command),
        );
        const inner = new CountingMachine();
        const oneByOne = new SessionMachine(inner, textCodec, watch);
        const single: string[] = [];
        for (const entry of entries) single.push(...(await oneByOne.apply([entry])).map(told));
        expect(single).toEqual(expected);
        expect(inner.commands).toEqual(model.applied);
        for (const text of expected) if (/^[a-z-]+$/.test(text)) seen.add(text);
        if (expected.some((text) => text.includes("@"))) seen.add("repeat");

        // Another replica: other steps, results that come later, and a restart from a snapshot in between.
        let other = new SessionMachine(new CountingMachine(true), textCodec, watch);
        const answers: string[] = [];
        for (let at = 0, step = 0; at < entries.length; step += 1) {
          const end = Math.min(entries.length, at + (cuts[step % cuts.length] as number));
          answers.push(...(await other.apply(entries.slice(at, end))).map(told));
          if (at <= snapshotAt && snapshotAt < end) {
            const snapshot = await other.snapshot();
            other = new SessionMachine(new CountingMachine(true), textCodec, watch);
            await other.restore(snapshot.position, snapshot.chunks());
          }
          at = end;
        }
        expect(answers).toEqual(expected);
        expect((await snapshotBytes(other)).equals(await snapshotBytes(oneByOne))).toBe(true);
      },
    ),
    { seed: 3, numRuns: 300 },
  );
  // Every kind of answer was met, or the property would say little.
  expect([...seen].toSorted()).toEqual(["done", "expired", "not-kept", "repeat", "stale", "window"]);
});

test("a snapshot shows the moment at which it was taken, whatever is applied before it is read", async () => {
  const machine = new SessionMachine(new CountingMachine(), textCodec, watch);
  const at = (index: number): { kind: "command"; index: LogIndex; term: Term } => ({
    kind: "command",
    index: index as LogIndex,
    term: 1 as Term,
  });
  const command = (sequence: number): Envelope<string> => ({
    kind: "command",
    session: 1,
    sequence,
    acknowledged: sequence - 1,
    command: "x",
  });
  await machine.apply([
    { ...at(1), command: { kind: "open", limits: roomy } },
    { ...at(2), command: command(1) },
  ]);
  const before = await snapshotBytes(machine);
  const taken = await machine.snapshot();
  await machine.apply([{ ...at(3), command: command(2) }]);
  const parts: Uint8Array[] = [];
  // The machine of this test encodes at once; the table does not.
  for await (const chunk of taken.chunks()) parts.push(chunk);
  expect(Buffer.concat(parts).equals(before)).toBe(true);
  expect((await snapshotBytes(machine)).equals(before)).toBe(false);
});

test("damaged tables are refused with a code and leave the machine as it was", async () => {
  const machine = new SessionMachine(new CountingMachine(), textCodec, watch);
  const opening = { kind: "open", limits: roomy } as const;
  const use = { kind: "command", session: 1, sequence: 1, acknowledged: 0, command: "abc" } as const;
  const entry = { kind: "command", term: 1 as Term } as const;
  await machine.apply([
    { ...entry, index: 1 as LogIndex, command: opening },
    { ...entry, index: 2 as LogIndex, command: use },
  ]);
  const good = await snapshotBytes(machine);
  const tableBytes = good.length - Buffer.byteLength(JSON.stringify(["abc"]));
  let refused = 0;
  for (let at = 0; at < tableBytes; at += 1) {
    for (const bytes of [good.subarray(0, at), Buffer.from(good).fill(0xee, at, at + 1)]) {
      const inner = new CountingMachine();
      const target = new SessionMachine(inner, textCodec, watch);
      const chunks = (async function* () {
        yield bytes;
      })();
      try {
        await target.restore({ index: 2 as LogIndex, term: 1 as Term }, chunks);
      } catch (error) {
        refused += 1;
        expect(error).toMatchObject({ code: "RAFT_BAD_SNAPSHOT" });
        expect(inner.position().index).toBe(0);
      }
    }
  }
  // Every cut, and every flip but those of a result's own bytes and of counters that may have any value.
  expect(refused).toBeGreaterThan(tableBytes);
});

test("envelopes come back as they were, and what is none is refused with a code", () => {
  const bytes = fc.uint8Array({ maxLength: 40 });
  const counter = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 });
  fc.assert(
    fc.property(bytes, counter, counter, counter, (command, session, sequence, back) => {
      const acknowledged = Math.max(0, sequence - back);
      const envelopes: Envelope<Uint8Array>[] = [
        { kind: "plain", command },
        { kind: "open", limits: roomy },
        { kind: "command", session, sequence, acknowledged, command },
        { kind: "close", session },
      ];
      for (const envelope of envelopes) expect(decodeEnvelope(encodeEnvelope(envelope))).toEqual(envelope);
      try {
        decodeEnvelope(command);
      } catch (error) {
        expect(["RAFT_BAD_COMMAND", "RAFT_NEWER_COMMAND", "FABRIC_INVALID_VALUE"]).toContain(
          (error as { code: string }).code,
        );
      }
    }),
    { seed: 5, numRuns: 300 },
  );
  expect(() => decodeEnvelope(Uint8Array.of(2, 0))).toThrow(expect.objectContaining({ code: "RAFT_NEWER_COMMAND" }));
  expect(() => decodeEnvelope(Uint8Array.of(1, 9))).toThrow(expect.objectContaining({ code: "RAFT_NEWER_COMMAND" }));
});

test("limits that no table could keep are refused", () => {
  for (const wrong of [
    { maxSessions: 0 },
    { maxInFlight: 1.5 },
    { maxResultBytes: Number.NaN },
    { maxBytes: 1000 },
    { maxSessions: 2_000_000 },
  ]) {
    expect(() => checkSessionLimits({ ...defaultSessionLimits, ...wrong }, "sessions")).toThrow(
      expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
    );
  }
});
