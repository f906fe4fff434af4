import { isFabricError, type Clock, type LogIndex, type NodeId } from "@revoada/fabric";
import type { Effect, Event } from "../core/types.ts";
import { RaftBackpressureError, RaftNoQuorumError, type RaftStoppedError } from "../errors.ts";

interface Reader {
  readonly resolve: (index: LogIndex) => void;
  readonly reject: (error: unknown) => void;
  readonly deadlineMs: number;
  readonly sinceMs: number;
  /** It asked on behalf of another replica: the index is enough, and nobody else is asked. */
  readonly indexOnly: boolean;
  settled: boolean;
  release: (() => void) | undefined;
}

/** What reads need of the replica around them. */
export interface ReadSurroundings {
  readonly clock: Clock;
  readonly electionTimeoutMs: number;
  readonly maxPendingReads: number;
  dispatch(event: Event): void;
  /** Somebody waits from now on, and must be let go in time. */
  watch(): void;
  isLeader(): boolean;
  leader(): NodeId | undefined;
  notLeader(): Error;
  appliedIndex(): number;
  /** Before a question that a lease may answer: whether the clocks still agree. */
  checkClocks(): void;
  forwardRead(to: NodeId, timeoutMs: number): Promise<number>;
}

/** Read ids share the core's number space with proposals; these never meet those. */
const firstReadId: number = 2 ** 40;

/**
 * Linearizable reads: all that wait in one turn share one question, and all questions that wait share one heartbeat round.
 * Asking again is harmless, so whoever loses a leader simply asks the next one, within bounds.
 */
export class Reads {
  readonly #around: ReadSurroundings;
  #waiting: Reader[] = [];
  readonly #asked = new Map<number, readonly Reader[]>();
  /** Know their index and wait for the machine; ordered by index, as answers are. */
  #behind: { readonly index: number; readonly readers: readonly Reader[] }[] = [];
  /** What the machine holds. The core may still have to hear of it. */
  #appliedIndex = 0;
  #nextId = firstReadId;
  #count = 0;
  #forwarding = false;
  #flushAsked = false;
  #retryAtMs = 0;
  #stopped: RaftStoppedError | undefined;

  constructor(around: ReadSurroundings) {
    this.#around = around;
  }

  get needsSweep(): boolean {
    return this.#count > 0;
  }

  wait(options: {
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
    readonly indexOnly?: boolean;
  }): Promise<LogIndex> {
    const { clock, electionTimeoutMs, maxPendingReads } = this.#around;
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason as Error);
    if (this.#count >= maxPendingReads) return Promise.reject(new RaftBackpressureError(`${this.#count} reads`));
    return new Promise((resolve, reject) => {
      const nowMs = clock.monotonicMs();
      const reader: Reader = {
        resolve,
        reject,
        deadlineMs: nowMs + (options.timeoutMs ?? 4 * electionTimeoutMs),
        sinceMs: nowMs,
        indexOnly: options.indexOnly === true,
        settled: false,
        release: undefined,
      };
      const { signal } = options;
      if (signal !== undefined) {
        const onAbort = (): void => this.#fail(reader, signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        reader.release = (): void => signal.removeEventListener("abort", onAbort);
      }
      this.#count += 1;
      this.#waiting.push(reader);
      this.#askFlush();
    });
  }

  #askFlush(): void {
    this.#around.watch();
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    this.#around.clock.nextTurn(() => {
      this.#flushAsked = false;
      this.flush();
    });
  }

  flush(): void {
    this.#waiting = this.#waiting.filter((reader) => !reader.settled);
    if (this.#waiting.length === 0 || this.#stopped !== undefined) return;
    if (this.#around.isLeader()) {
      const id = this.#nextId;
      this.#nextId += 1;
      this.#asked.set(id, this.#waiting);
      this.#waiting = [];
      this.#around.checkClocks();
      return this.#around.dispatch({ type: "read", id });
    }
    for (const reader of this.#waiting) if (reader.indexOnly) this.#fail(reader, this.#around.notLeader());
    this.#waiting = this.#waiting.filter((reader) => !reader.settled);
    const leader = this.#around.leader();
    const tooSoon = this.#around.clock.monotonicMs() < this.#retryAtMs;
    // One question is out at a time: whoever comes meanwhile needs a later answer anyway.
    if (leader === undefined || this.#forwarding || this.#waiting.length === 0 || tooSoon) return;
    this.#forward(leader);
  }

  #forward(leader: NodeId): void {
    const readers = this.#waiting;
    this.#waiting = [];
    this.#forwarding = true;
    const nowMs = this.#around.clock.monotonicMs();
    let lastMs = nowMs;
    for (const reader of readers) lastMs = Math.max(lastMs, reader.deadlineMs);
    // Asking is free of effects, so a silent leader is given up soon and another may be asked.
    const timeoutMs = Math.max(1, Math.min(lastMs - nowMs, this.#around.electionTimeoutMs));
    this.#around.forwardRead(leader, timeoutMs).then(
      (index) => {
        this.#forwarding = false;
        this.#known(index, readers);
        this.flush();
      },
      (error: unknown) => {
        this.#forwarding = false;
        this.#again(readers);
        if (isFabricError(error, "RAFT_STOPPED")) return;
        this.sweep();
      },
    );
  }

  #again(readers: readonly Reader[]): void {
    this.#retryAtMs = this.#around.clock.monotonicMs() + this.#around.electionTimeoutMs / 5;
    this.#waiting = [...readers.filter((reader) => !reader.settled), ...this.#waiting];
  }

  onReady(effect: Extract<Effect, { readonly type: "read-ready" }>): void {
    for (const id of effect.ids) {
      const readers = this.#asked.get(id);
      if (readers === undefined) continue;
      this.#asked.delete(id);
      this.#known(effect.index, readers);
    }
  }

  onRejected(effect: Extract<Effect, { readonly type: "reject" }>): boolean {
    const readers = this.#asked.get(effect.id);
    if (readers === undefined) return false;
    this.#asked.delete(effect.id);
    if (effect.reason === "backpressure") {
      for (const reader of readers) this.#fail(reader, new RaftBackpressureError("reads"));
    } else {
      this.#again(readers);
    }
    return true;
  }

  #known(index: number, readers: readonly Reader[]): void {
    const here: Reader[] = [];
    const appliedIndex = Math.max(this.#appliedIndex, this.#around.appliedIndex());
    for (const reader of readers) {
      if (reader.indexOnly || index <= appliedIndex) this.#succeed(reader, index);
      else here.push(reader);
    }
    if (here.length === 0) return;
    const at = this.#behind.findIndex((group) => group.index > index);
    this.#behind.splice(at < 0 ? this.#behind.length : at, 0, { index, readers: here });
  }

  /** The machine holds everything up to `index`. */
  onApplied(index: number): void {
    this.#appliedIndex = Math.max(this.#appliedIndex, index);
    while (this.#behind.length > 0 && (this.#behind[0] as { readonly index: number }).index <= index) {
      const group = this.#behind.shift() as { readonly index: number; readonly readers: readonly Reader[] };
      for (const reader of group.readers) this.#succeed(reader, group.index);
    }
  }

  onRoleChanged(): void {
    this.#retryAtMs = 0;
    if (this.#waiting.length > 0) this.#askFlush();
  }

  sweep(): void {
    // A snapshot that was installed took the place of entries that would have been applied one after another.
    this.onApplied(this.#around.appliedIndex());
    const nowMs = this.#around.clock.monotonicMs();
    const expire = (reader: Reader): void => {
      if (nowMs >= reader.deadlineMs) this.#fail(reader, new RaftNoQuorumError("read", nowMs - reader.sinceMs));
    };
    for (const reader of this.#waiting) expire(reader);
    for (const readers of this.#asked.values()) for (const reader of readers) expire(reader);
    for (const group of this.#behind) for (const reader of group.readers) expire(reader);
    this.#behind = this.#behind.filter((group) => group.readers.some((reader) => !reader.settled));
    this.flush();
  }

  /** The core that was asked is gone: ask the next one. */
  restart(): void {
    for (const readers of this.#asked.values()) this.#again(readers);
    this.#asked.clear();
  }

  stop(error: RaftStoppedError): void {
    this.#stopped = error;
    this.restart();
    for (const reader of this.#waiting) this.#fail(reader, error);
    for (const group of this.#behind) for (const reader of group.readers) this.#fail(reader, error);
    this.#waiting = [];
    this.#behind = [];
  }

  resume(): void {
    this.#stopped = undefined;
  }

  #succeed(reader: Reader, index: number): void {
    if (!this.#settle(reader)) return;
    reader.resolve(index as LogIndex);
  }

  #fail(reader: Reader, error: unknown): void {
    if (this.#settle(reader)) reader.reject(error);
  }

  #settle(reader: Reader): boolean {
    if (reader.settled) return false;
    reader.settled = true;
    reader.release?.();
    this.#count -= 1;
    return true;
  }
}
