import type { ControlHandler, Face, Logger, PlainValue, ResourceWatchEvent } from "@revoada/fabric";
import { failureOf } from "../wire/failure.ts";
import { inPieces, isUnaryVerb, runUnary, runWatch, type UnaryVerb, unaryVerbNames } from "../wire/verbs.ts";
import { Credit, isGrant, streamWindow } from "./credit.ts";
import {
  ControlBusyError,
  ControlClosedError,
  ControlInternalError,
  ControlProtocolError,
  ControlStreamingMethodError,
  ControlUnknownMethodError,
} from "./errors.ts";
import type { Frame, FramedSocket } from "./framed-socket.ts";
import { Inbox } from "./inbox.ts";
import { type ControlRegistry, verbPrefix } from "./registry.ts";

/** Calls and streams under way on one connection. */
const maxCalls = 256;
const maxMethodLength = 64;

/** What the connections of a control server reach. */
export interface SessionHost {
  readonly face: () => Face;
  readonly control: ControlRegistry;
  readonly logger: Logger;
}

/** One call under way. */
interface Call {
  readonly id: number;
  readonly method: string;
  readonly streams: boolean;
  readonly controller: AbortController;
  readonly credit: Credit;
  /** What the caller sends along, for the one verb that takes a stream. */
  readonly upload: Inbox<Uint8Array>;
}

const streamVerbs = ["watch", "snapshot", "restore"] as const;

/** The serving side of one connection. */
export class Session {
  readonly #host: SessionHost;
  readonly #socket: FramedSocket;
  readonly #calls = new Map<number, Call>();
  #idle: (() => void) | undefined;
  #closing = false;

  constructor(host: SessionHost, socket: FramedSocket) {
    this.#host = host;
    this.#socket = socket;
  }

  /** Takes a frame. Throws `CONTROL_PROTOCOL`. */
  take({ type, id, rest }: Frame): void {
    switch (type) {
      case "call":
      case "open":
        return this.#begin(id, type === "open", rest);
      case "credit": {
        const [count] = rest;
        if (!isGrant(count)) throw new ControlProtocolError("no count of credit");
        this.#calls.get(id)?.credit.grant(count, streamWindow);
        return;
      }
      case "chunk": {
        const [chunk] = rest;
        if (!(chunk instanceof Uint8Array)) throw new ControlProtocolError("a chunk that is not bytes");
        if (this.#calls.get(id)?.upload.push(chunk) === false)
          throw new ControlProtocolError("more chunks than it had credit for");
        return;
      }
      case "end":
        this.#calls.get(id)?.upload.end();
        return;
      case "cancel":
        this.#cancel(id, new ControlClosedError("the caller has cancelled"));
        return;
      default:
        throw new ControlProtocolError("a frame of an unknown type");
    }
  }

  /** The connection is gone: nobody waits for answers any more. */
  abandon(): void {
    for (const id of this.#calls.keys()) this.#cancel(id, new ControlClosedError("the connection ended"));
  }

  /** Ends streams at once, and resolves when the calls under way have been answered. */
  async finish(): Promise<void> {
    this.#closing = true;
    for (const call of this.#calls.values()) {
      if (call.streams) this.#cancel(call.id, new ControlClosedError("the node is going down", { retryable: true }));
    }
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
  }

  #begin(id: number, streams: boolean, rest: readonly unknown[]): void {
    const [method, parameters] = rest;
    if (typeof method !== "string" || method.length > maxMethodLength)
      throw new ControlProtocolError("a call without method");
    if (this.#calls.has(id)) throw new ControlProtocolError("a second call of one number");
    if (this.#calls.size >= maxCalls || this.#closing) {
      const error = this.#closing
        ? new ControlClosedError("the node is going down", { retryable: true })
        : new ControlBusyError("calls", maxCalls);
      void this.#socket.send("error", id, ...(failureOf(error) ?? []));
      return;
    }
    const call: Call = {
      id,
      method,
      streams,
      controller: new AbortController(),
      credit: new Credit(streams ? streamWindow : 0),
      upload: new Inbox(streamWindow),
    };
    this.#calls.set(id, call);
    void this.#run(call, (parameters ?? null) as PlainValue);
  }

  #cancel(id: number, reason: ControlClosedError): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    call.controller.abort(reason);
    call.credit.end(reason);
    call.upload.fail(reason, { drop: true });
  }

  async #run(call: Call, parameters: PlainValue): Promise<void> {
    try {
      if (call.streams) {
        await this.#stream(call, await this.#open(call, parameters));
        await this.#socket.send("end", call.id);
      } else {
        const answer = await this.#answer(call, parameters);
        await this.#socket.send("answer", call.id, answer ?? null);
      }
    } catch (error) {
      await this.#socket.send("error", call.id, ...this.#failure(call, error));
    } finally {
      this.#calls.delete(call.id);
      if (this.#calls.size === 0) this.#idle?.();
    }
  }

  #failure(call: Call, error: unknown): readonly unknown[] {
    const own = failureOf(error);
    if (own !== undefined) return own;
    const { signal } = call.controller;
    if (signal.aborted) return failureOf(signal.reason) ?? [];
    this.#host.logger.error("a control method failed", { method: call.method, error });
    return failureOf(new ControlInternalError(call.method)) ?? [];
  }

  async #answer(call: Call, parameters: PlainValue): Promise<unknown> {
    const { method } = call;
    const { signal } = call.controller;
    const verb = verbOf(method);
    if (verb === undefined) {
      const answered = this.#handler(method)(parameters, { signal });
      if (!isStream(answered)) return answered;
      await answered[Symbol.asyncIterator]().return?.();
      throw new ControlStreamingMethodError(method);
    }
    if (verb === "watch" || verb === "snapshot") throw new ControlStreamingMethodError(method);
    const face = this.#host.face();
    if (verb !== "restore") return runUnary(face, verb, parameters, signal);
    void this.#socket.send("credit", call.id, streamWindow);
    return face.restore(
      call.upload.take(() => void this.#socket.send("credit", call.id, 1)),
      { signal },
    );
  }

  async #open(call: Call, parameters: PlainValue): Promise<AsyncIterable<PlainValue | ResourceWatchEvent>> {
    const { method } = call;
    const { signal } = call.controller;
    const verb = verbOf(method);
    if (verb === "watch") return runWatch(this.#host.face(), parameters, signal);
    if (verb === "snapshot") return inPieces(this.#host.face().snapshot({ signal }));
    if (verb !== undefined) return once(runUnaryOnly(this.#host.face(), verb, parameters, signal));
    const answered = this.#handler(method)(parameters, { signal });
    return isStream(answered) ? answered : once(answered);
  }

  #handler(method: string): ControlHandler {
    const { control } = this.#host;
    const handler = control.find(method);
    if (handler === undefined)
      throw new ControlUnknownMethodError(method, [
        ...control.methods(),
        ...[...unaryVerbNames, ...streamVerbs].map((verb) => `${verbPrefix}${verb}`),
      ]);
    return handler;
  }

  /** Pulls an item only once the caller has room for it. */
  async #stream(call: Call, items: AsyncIterable<unknown>): Promise<void> {
    const { signal } = call.controller;
    const iterator = items[Symbol.asyncIterator]();
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => {});
    try {
      for (;;) {
        await call.credit.take();
        const step = await Promise.race([iterator.next(), aborted]);
        if (step.done === true) return;
        await this.#socket.send("item", call.id, step.value);
      }
    } finally {
      // One that does not heed the signal must not hold up the end of its call.
      iterator.return?.().catch((error: unknown) => {
        this.#host.logger.debug("a control stream failed as it ended", { method: call.method, error });
      });
    }
  }
}

function verbOf(method: string): UnaryVerb | (typeof streamVerbs)[number] | undefined {
  if (!method.startsWith(verbPrefix)) return undefined;
  const verb = method.slice(verbPrefix.length);
  return isUnaryVerb(verb) ? verb : streamVerbs.find((one) => one === verb);
}

function runUnaryOnly(
  face: Face,
  verb: UnaryVerb | "restore",
  parameters: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  if (verb === "restore") return Promise.reject(new ControlProtocolError("restore is called, not opened"));
  return runUnary(face, verb, parameters, signal);
}

function isStream(answered: ReturnType<ControlHandler>): answered is AsyncIterable<PlainValue> {
  return Symbol.asyncIterator in answered;
}

async function* once(answer: Promise<unknown>): AsyncGenerator<PlainValue, void, undefined> {
  yield (await answer) as PlainValue;
}
