import { describeValue, FabricError, isFabricError } from "../errors.ts";
import type { Clock } from "../seams/clock.ts";

/** One thing that an implementation must do. A runner needs nothing but the two fields: `test(name, run)`. */
export interface ContractCase {
  /** A condition and an outcome, as a sentence. */
  readonly name: string;
  /** Makes a fixture of its own, rejects where the contract is broken, and leaves nothing behind. */
  run(): Promise<void>;
}

/** An implementation does not do what its seam says. */
export class ContractViolation extends FabricError {
  constructor(message: string) {
    super("CONTRACT_VIOLATED", message);
  }
}

/** How a kit waits: the fixture knows whether time passes by itself or has to be driven. */
export interface ContractTime {
  /** Settles as `promise` does, and fails where it does not settle in bounded time. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** Resolves once `condition` holds, and fails where it does not in bounded time. */
  until(condition: () => boolean): Promise<void>;
}

/** What drives virtual time, as the virtual clock of `@revoada/fabric/memory` does. */
interface Driver {
  run<T>(promise: Promise<T>, wait: { readonly withinMs: number }): Promise<T>;
  runUntil(condition: () => boolean, wait: { readonly withinMs: number }): Promise<number>;
}

/** Waits in virtual time, at most `withinMs` of it at once (60,000 unless told). */
export function virtualTime(clock: Driver, withinMs = 60_000): ContractTime {
  return {
    run: (promise) => clock.run(promise, { withinMs }),
    async until(condition) {
      await clock.runUntil(condition, { withinMs });
    },
  };
}

/** Waits in real time, at most `withinMs` at once (10,000 unless told). */
export function realTime(clock: Clock, withinMs = 10_000): ContractTime {
  return {
    run(promise) {
      return new Promise((resolve, reject) => {
        const late = (): void => reject(new ContractViolation(`a promise did not settle within ${withinMs} ms`));
        const cancel = clock.schedule(withinMs, late);
        promise.then(resolve, reject).finally(cancel);
      });
    },
    until(condition) {
      const giveUpMs = clock.monotonicMs() + withinMs;
      return new Promise((resolve, reject) => {
        const look = (): void => {
          try {
            if (condition()) return resolve();
          } catch (error) {
            return reject(error);
          }
          if (clock.monotonicMs() >= giveUpMs)
            reject(new ContractViolation(`a condition did not hold within ${withinMs} ms`));
          else clock.schedule(2, look);
        };
        look();
      });
    },
  };
}

/** Makes cases of named bodies: each gets a fresh fixture, which is disposed of whatever happens. */
export function contractCases<Fixture extends AsyncDisposable>(
  create: () => Promise<Fixture>,
  bodies: Readonly<Record<string, (fixture: Fixture) => Promise<void>>>,
): readonly ContractCase[] {
  return Object.entries(bodies).map(([name, body]) => ({
    name,
    async run() {
      const fixture = await create();
      try {
        await body(fixture);
      } finally {
        await fixture[Symbol.asyncDispose]();
      }
    },
  }));
}

/** Fails where `condition` is false. */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ContractViolation(message);
}

/** Fails where two plain values differ: numbers, texts, bytes, lists, maps, sets and objects of them. */
export function equal(actual: unknown, expected: unknown, what: string): void {
  const path = difference(actual, expected, "");
  if (path === undefined) return;
  throw new ContractViolation(`${what}${path}: expected ${show(expected)}, got ${show(actual)}`);
}

/** Fails unless `promise` rejects with one of ours, and with one of `codes` where any are given. Gives the error. */
export async function rejects(promise: Promise<unknown>, codes: readonly string[], what: string): Promise<FabricError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return expectCode(error, codes, what);
  }
  throw new ContractViolation(`${what}: expected ${codes.join(" or ") || "a refusal"}, resolved with ${show(value)}`);
}

/** Fails unless `body` throws one of ours, with one of `codes` where any are given. */
export function throws(body: () => unknown, codes: readonly string[], what: string): FabricError {
  try {
    body();
  } catch (error) {
    return expectCode(error, codes, what);
  }
  throw new ContractViolation(`${what}: expected ${codes.join(" or ") || "a refusal"}, nothing was thrown`);
}

/** A promise that is looked at later: a case that fails before then leaves no rejection unheard. */
export function started<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Everything that a bounded stream yields. */
export async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** One chunk behind the other. */
export function concatenated(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** A stream of what is there already. */
export async function* streamOf<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) yield item;
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text of UTF-8 bytes. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function expectCode(error: unknown, codes: readonly string[], what: string): FabricError {
  if (error instanceof ContractViolation) throw error;
  if (isFabricError(error, ...codes)) return error;
  const got = isFabricError(error) ? `${error.code} (${error.message})` : String(error);
  throw new ContractViolation(`${what}: expected ${codes.join(" or ") || "a FabricError"}, got ${got}`);
}

function show(value: unknown): string {
  if (value instanceof Uint8Array && value.length <= 32) return `bytes [${[...value].join(" ")}]`;
  if (Array.isArray(value) && value.length <= 16) return `[${value.map(show).join(", ")}]`;
  if (isPlain(value)) {
    const fields = Object.entries(value).map(([key, field]) => `${key}: ${show(field)}`);
    return `{${fields.join(", ")}}`.slice(0, 400);
  }
  return describeValue(value);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** The path at which two values first differ; undefined where they do not. */
function difference(actual: unknown, expected: unknown, path: string): string | undefined {
  if (Object.is(actual, expected)) return undefined;
  if (actual instanceof Uint8Array && expected instanceof Uint8Array) {
    return sameBytes(actual, expected) ? undefined : path;
  }
  if (actual instanceof Map && expected instanceof Map) return difference([...actual], [...expected], path);
  if (actual instanceof Set && expected instanceof Set) return difference([...actual], [...expected], path);
  if (Array.isArray(actual) && Array.isArray(expected)) {
    if (actual.length !== expected.length) return path;
    return firstDifference(expected.map((item, index) => [actual[index], item, `${path}[${index}]`] as const));
  }
  if (!isPlain(actual) || !isPlain(expected)) return path;
  const keys = new Set([...Object.keys(actual), ...Object.keys(expected)]);
  return firstDifference([...keys].map((key) => [actual[key], expected[key], `${path}.${key}`] as const));
}

function sameBytes(actual: Uint8Array, expected: Uint8Array): boolean {
  if (actual.length !== expected.length) return false;
  for (let index = 0; index < actual.length; index += 1) if (actual[index] !== expected[index]) return false;
  return true;
}

function firstDifference(pairs: readonly (readonly [unknown, unknown, string])[]): string | undefined {
  for (const [actual, expected, path] of pairs) {
    const found = difference(actual, expected, path);
    if (found !== undefined) return found;
  }
  return undefined;
}
