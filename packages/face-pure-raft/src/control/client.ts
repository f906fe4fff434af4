import { type Clock, parseRevision, type PlainValue } from "@revoada/fabric";
import { systemClock } from "@revoada/fabric/node";
import { parseAnswer } from "../wire/answer.ts";
import { type FaceVerbs, inPieces, parseChunk, parseWatchEvent, unaryVerbs, watchParameters } from "../wire/verbs.ts";
import { type CallOptions, connectControl, type ControlConnection } from "./connection.ts";
import { verbPrefix } from "./registry.ts";

export interface ControlClientOptions {
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
  /** How long an answer may take unless a call says otherwise; 60,000 ms unless told. Streams and restores take as long as they take. */
  readonly timeoutMs?: number;
  /** The host's unless told. */
  readonly clock?: Clock;
}

/**
 * A node, asked over its control socket. Calls and streams run side by side on one connection.
 *
 * The verbs are those of a face. Errors come with the code that the node raised. Where the connection ends first, reads and methods reject
 * with `CONTROL_CLOSED` (or `CONTROL_TIMEOUT` at their deadline), and writes with `RAFT_OUTCOME_UNKNOWN`.
 */
export interface ControlClient extends FaceVerbs, AsyncDisposable {
  call(method: string, parameters?: PlainValue, options?: CallOptions): Promise<PlainValue>;
  /** Asks at the first step; leaving the loop or aborting the signal cancels. */
  stream(
    method: string,
    parameters?: PlainValue,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<PlainValue>;
  close(): Promise<void>;
}

const defaultTimeoutMs = 60_000;

/**
 * Connects to the node that serves a control socket. Rejects with `CONTROL_UNREACHABLE` where none does.
 *
 * @example
 * ```ts
 * await using node = await controlClient("/var/lib/revoada/control.sock");
 * const { items } = await node.list({ kind: "Machine" });
 * ```
 */
export async function controlClient(path: string, options: ControlClientOptions = {}): Promise<ControlClient> {
  const { timeoutMs = defaultTimeoutMs, clock = systemClock() } = options;
  const connection = await connectControl(path, clock, options.signal);
  const close = (): Promise<void> => connection.close();
  return {
    ...verbsOver(connection, timeoutMs),
    async call(method, parameters = null, callOptions = {}) {
      return (await connection.call(method, parameters, { timeoutMs, ...callOptions })) as PlainValue;
    },
    stream: (method, parameters = null, { signal } = {}) =>
      connection.stream(method, parameters, signal) as AsyncIterable<PlainValue>,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function verbsOver(connection: ControlConnection, timeoutMs: number): FaceVerbs {
  return {
    ...unaryVerbs(async (verb, parameters, signal) =>
      connection.call(`${verbPrefix}${verb}`, parameters, { timeoutMs, ...(signal === undefined ? {} : { signal }) }),
    ),
    async *watch(selector, { signal, ...options }) {
      try {
        for await (const item of connection.stream(`${verbPrefix}watch`, watchParameters(selector, options), signal)) {
          yield parseAnswer("watch", () => parseWatchEvent(item));
        }
      } catch (error) {
        // The consumer's own abort is an end and no failure, here as in the node itself.
        if (!signal.aborted) throw error;
      }
    },
    async *snapshot({ signal } = {}) {
      for await (const item of connection.stream(`${verbPrefix}snapshot`, {}, signal))
        yield parseAnswer("snapshot", () => parseChunk(item));
    },
    async restore(chunks, { signal } = {}) {
      const answer = await connection.upload(`${verbPrefix}restore`, inPieces(chunks), signal);
      return parseAnswer("restore", () => parseRevision(answer));
    },
  };
}
