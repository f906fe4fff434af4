import { connect, type Socket } from "node:net";
import type { Clock } from "@revoada/fabric";
import { CarriedError, OutcomeUnknownError } from "../errors.ts";
import { carriedError } from "../wire/failure.ts";
import { writeVerbs } from "../wire/answer.ts";
import { Credit, isGrant, streamWindow } from "./credit.ts";
import { ControlClosedError, ControlProtocolError, ControlTimeoutError, ControlUnreachableError } from "./errors.ts";
import { closedError, type Frame, FramedSocket } from "./framed-socket.ts";
import { Inbox } from "./inbox.ts";
import { verbPrefix } from "./registry.ts";
import { checkSocketPath, systemCode } from "./socket-path.ts";

/** Something that waits for frames of one call. */
interface Waiting {
  readonly onAnswer?: (value: unknown) => void;
  readonly onItem?: (value: unknown) => boolean;
  readonly onEnd?: () => void;
  readonly onCredit?: (count: number) => void;
  readonly onError: (error: Error) => void;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long the answer may take. Infinity waits as long as the connection stands. */
  readonly timeoutMs?: number;
}

const greetingTimeoutMs = 5_000;

/** The asking side of a control socket: calls side by side over one connection. */
export class ControlConnection {
  readonly #clock: Clock;
  readonly #socket: FramedSocket;
  readonly #calls = new Map<number, Waiting>();
  #nextId = 1;
  #ended: Error | undefined;
  #isOver = false;
  readonly #closed: Promise<void>;

  constructor(socket: Socket, clock: Clock, onGreeting: () => void, onEarlyEnd: (error: Error | undefined) => void) {
    this.#clock = clock;
    let closed: () => void = () => {};
    this.#closed = new Promise((resolve) => {
      closed = resolve;
    });
    this.#socket = new FramedSocket(socket, {
      onGreeting,
      onFrame: (frame) => this.#take(frame),
      onClosed: (error) => {
        this.#isOver = true;
        this.#ended = error;
        onEarlyEnd(error);
        for (const waiting of [...this.#calls.values()])
          waiting.onError(closedError("the connection to the node ended", error, false));
        closed();
      },
    });
  }

  /** One call, one answer. */
  call(method: string, parameters: unknown, options: CallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = this.#begin(method, options, reject, {
        onAnswer: (value) => {
          call.finish();
          resolve(value);
        },
      });
      call.send("call", parameters);
    });
  }

  /** One call, a stream of answers. Nothing is asked before the first is awaited; leaving the loop cancels. */
  async *stream(
    method: string,
    parameters: unknown,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<unknown, void, undefined> {
    const inbox = new Inbox<unknown>(streamWindow);
    let over = false;
    const stop = (): void => {
      over = true;
      call.finish();
    };
    const fail = (error: unknown): void => {
      over = true;
      inbox.fail(error, { drop: signal?.aborted === true });
    };
    const call = this.#begin(
      method,
      { timeoutMs: Number.POSITIVE_INFINITY, ...(signal === undefined ? {} : { signal }) },
      fail,
      {
        onItem: (value) => inbox.push(value),
        onEnd: () => {
          stop();
          inbox.end();
        },
      },
    );
    try {
      call.send("open", parameters);
      yield* inbox.take(() => {
        if (!over) void this.#socket.send("credit", call.id, 1);
      });
    } finally {
      if (!over) {
        stop();
        void this.#socket.send("cancel", call.id);
      }
    }
  }

  /** One call that sends bytes along, as fast as the other side takes them. */
  async upload(method: string, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<unknown> {
    const credit = new Credit(0);
    let sentAll = false;
    const answer = new Promise<unknown>((resolve, reject) => {
      const fail = (error: unknown): void => {
        credit.end(error);
        // Before the end was sent, the other side cannot have had all that it needs to begin.
        reject(
          error instanceof OutcomeUnknownError && !sentAll
            ? closedError("the connection to the node ended before all was sent", this.#ended, true)
            : error,
        );
      };
      const call = this.#begin(
        method,
        { timeoutMs: Number.POSITIVE_INFINITY, ...(signal === undefined ? {} : { signal }) },
        fail,
        {
          onAnswer: (value) => {
            call.finish();
            credit.end(new ControlClosedError("answered before all was sent"));
            resolve(value);
          },
          onCredit: (count) => credit.grant(count, streamWindow),
        },
      );
      call.send("call", {});
      const sending = async (): Promise<void> => {
        for await (const chunk of chunks) {
          await credit.take();
          await this.#socket.send("chunk", call.id, chunk);
        }
        sentAll = true;
        await this.#socket.send("end", call.id);
      };
      sending().catch((error: unknown) => {
        if (!this.#calls.has(call.id)) return;
        call.finish();
        void this.#socket.send("cancel", call.id);
        reject(error);
      });
    });
    return answer;
  }

  async close(): Promise<void> {
    this.#socket.end();
    // What the other side still has to say is for nobody.
    this.#socket.destroy();
    await this.#closed;
  }

  #begin(
    method: string,
    options: CallOptions,
    reject: (error: unknown) => void,
    waiting: Omit<Waiting, "onError">,
  ): { readonly id: number; send(type: "call" | "open", parameters: unknown): void; finish(): void } {
    const { signal, timeoutMs = Number.POSITIVE_INFINITY } = options;
    const id = this.#nextId++;
    const finish = (): void => {
      this.#calls.delete(id);
      cancelTimeout();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      finish();
      reject(error);
    };
    const giveUp = (error: unknown): void => {
      fail(error);
      void this.#socket.send("cancel", id);
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const cancelTimeout = this.#clock.schedule(timeoutMs, () =>
      giveUp(lostAnswer(method, new ControlTimeoutError(method, timeoutMs))),
    );
    return {
      id,
      finish,
      send: (type, parameters) => {
        if (signal?.aborted === true) return fail(signal.reason);
        if (this.#isOver) return fail(closedError("the connection to the node is closed", this.#ended, true));
        signal?.addEventListener("abort", onAbort, { once: true });
        this.#calls.set(id, {
          ...waiting,
          onError: (error) => fail(error instanceof CarriedError ? error : lostAnswer(method, error)),
        });
        try {
          void this.#socket.send(type, id, method, parameters);
        } catch (error) {
          fail(error);
        }
      },
    };
  }

  #take({ type, id, rest }: Frame): void {
    const waiting = this.#calls.get(id);
    // Frames of a call that was given up may still be under way.
    if (waiting === undefined) return;
    switch (type) {
      case "answer":
        return waiting.onAnswer?.(rest[0]);
      case "item":
        if (waiting.onItem?.(rest[0]) === false) throw new ControlProtocolError("more items than were asked for");
        return;
      case "end":
        return waiting.onEnd?.();
      case "credit":
        if (!isGrant(rest[0])) throw new ControlProtocolError("no count of credit");
        return waiting.onCredit?.(rest[0]);
      case "error": {
        const error = carriedError(rest);
        if (error === undefined) throw new ControlProtocolError("an error without code");
        return waiting.onError(error);
      }
      default:
        throw new ControlProtocolError("a frame of an unknown type");
    }
  }
}

/** A write may have happened although its answer never came; of another method only its caller knows what that means. */
function lostAnswer(method: string, error: Error): Error {
  if (!method.startsWith(verbPrefix)) return error;
  const verb = method.slice(verbPrefix.length);
  if (writeVerbs.has(verb)) return new OutcomeUnknownError(verb, { cause: error });
  return error instanceof ControlClosedError ? closedError(error.message, error, true) : error;
}

/** Connects and waits for the greeting. Rejects with `CONTROL_UNREACHABLE`, `CONTROL_PATH_TOO_LONG` or `CONTROL_PROTOCOL`. */
export function connectControl(
  path: string,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<ControlConnection> {
  checkSocketPath(path);
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const socket = connect(path);
    const settle = (act: () => void): void => {
      cancelTimeout();
      signal?.removeEventListener("abort", onAbort);
      act();
    };
    const onAbort = (): void => {
      socket.destroy();
      settle(() => reject(signal?.reason as Error));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const cancelTimeout = clock.schedule(greetingTimeoutMs, () => {
      socket.destroy();
      settle(() => reject(new ControlUnreachableError(path, `no greeting within ${greetingTimeoutMs} ms`)));
    });
    const connection: ControlConnection = new ControlConnection(
      socket,
      clock,
      () => settle(() => resolve(connection)),
      (error) =>
        settle(() =>
          reject(
            error instanceof ControlProtocolError
              ? error
              : new ControlUnreachableError(path, reasonOf(error), { cause: error }),
          ),
        ),
    );
  });
}

function reasonOf(error: Error | undefined): string {
  switch (systemCode(error)) {
    case "ENOENT":
      return "there is no socket";
    case "ECONNREFUSED":
      return "nobody serves the socket";
    case "EACCES":
    case "EPERM":
      return "it belongs to another user";
    default:
      return error === undefined ? "it hung up" : error.message;
  }
}
