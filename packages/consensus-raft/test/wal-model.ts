import fc from "fast-check";
import type { HardState, LogBase, LogEntry } from "@revoada/fabric";
import { base, batch, describeEntry, entries, hardState, type Contents, type WalLogStore } from "./wal-support.ts";

/** What a log should hold, step by step. */
export interface Model {
  readonly base: LogBase;
  readonly hardState: HardState;
  readonly entries: readonly LogEntry[];
}

export const nothing: Model = { base: base(0, 0), hardState: hardState(0, 0), entries: [] };

export type Action =
  | {
      readonly kind: "append";
      readonly count: number;
      readonly bytes: number;
      readonly vote: boolean;
      readonly wait: boolean;
    }
  | {
      readonly kind: "cut";
      readonly back: number;
      readonly count: number;
      readonly bytes: number;
      readonly wait: boolean;
    }
  | { readonly kind: "vote"; readonly wait: boolean }
  | { readonly kind: "compact"; readonly keep: number }
  | { readonly kind: "reset"; readonly ahead: number }
  | { readonly kind: "reopen" };

const payloadBytes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.constant(2500) },
);

export const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("append" as const),
        count: fc.integer({ min: 1, max: 6 }),
        bytes: payloadBytes,
        vote: fc.boolean(),
        wait: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("cut" as const),
        back: fc.integer({ min: 1, max: 12 }),
        count: fc.integer({ min: 0, max: 4 }),
        bytes: payloadBytes,
        wait: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("vote" as const), wait: fc.boolean() }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("compact" as const), keep: fc.integer({ min: 0, max: 10 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("reset" as const), ahead: fc.integer({ min: 0, max: 20 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
  ),
  { minLength: 4, maxLength: 25 },
);

function payload(bytes: number, mark: number): Uint8Array {
  // Every third one is zeros: a sector of them must not be taken for one that was never written.
  return mark % 3 === 0 ? new Uint8Array(bytes) : new Uint8Array(bytes).fill(1 + (mark % 200));
}

const lastOf = (model: Model): number => model.base.index + model.entries.length;
const topTerm = (model: Model): number =>
  Math.max(model.hardState.term, model.base.term, model.entries.at(-1)?.term ?? 0);

/** Carries out one action on the log; returns what the log should then hold, and the promise that it does. */
export function act(
  log: WalLogStore,
  model: Model,
  action: Exclude<Action, { kind: "reopen" }>,
  mark: number,
): [Model, Promise<void>] {
  const last = lastOf(model);
  switch (action.kind) {
    case "append": {
      const term = Math.max(1, topTerm(model));
      const list = entries(last + 1, last + action.count, term, payload(action.bytes, mark));
      const state = action.vote ? hardState(term, last, `voter ${mark}`) : undefined;
      const next = { ...model, entries: [...model.entries, ...list], hardState: state ?? model.hardState };
      return [next, log.append(batch(list, state === undefined ? {} : { hardState: state }))];
    }
    case "cut": {
      const from = Math.max(model.base.index + 1, last - action.back + 1);
      const term = topTerm(model) + 1;
      const list = entries(from, from + action.count - 1, term, payload(action.bytes, mark));
      const kept = model.entries.slice(0, from - model.base.index - 1);
      return [{ ...model, entries: [...kept, ...list] }, log.append(batch(list, { truncateFrom: from }))];
    }
    case "vote": {
      const state = hardState(topTerm(model) + 1, model.base.index, `voter ${mark}`);
      return [{ ...model, hardState: state }, log.append(batch([], { hardState: state }))];
    }
    case "compact": {
      const index = Math.max(model.base.index, last - action.keep);
      const term =
        index === model.base.index ? model.base.term : (model.entries[index - model.base.index - 1] as LogEntry).term;
      const next = base(index, term);
      return [{ ...model, base: next, entries: model.entries.slice(index - model.base.index) }, log.compact(next)];
    }
    case "reset": {
      const next = base(last + action.ahead, topTerm(model) + 1);
      const state = hardState(next.term, next.index);
      return [{ base: next, hardState: state, entries: [] }, log.reset(next, state)];
    }
  }
}

export function contentsOfModel(model: Model): Contents {
  return { base: model.base, hardState: model.hardState, entries: model.entries.map(describeEntry) };
}
