import { crc32 } from "node:zlib";
import {
  isFabricError,
  type Clock,
  type Logger,
  type Metrics,
  type NodeId,
  type ReplicaId,
  type StoreId,
  type Transport,
} from "@revoada/fabric";
import type { Effect, Event } from "../core/types.ts";
import { RaftBadSnapshotError } from "../errors.ts";
import type { RaftLimits } from "./options.ts";
import {
  decodeAnswer,
  encodeRequest,
  snapshotProtocol,
  type SnapshotAnswer,
  type SnapshotRequest,
} from "./snapshot-frames.ts";
import type { OutgoingSnapshot, SnapshotLibrary } from "./snapshot-library.ts";

/** What sending needs of the replica around it. */
export interface SenderSurroundings {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly groupId: Uint8Array;
  readonly electionTimeoutMs: number;
  readonly limits: RaftLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  storeId(): StoreId;
  dispatch(event: Event): void;
}

/** A request whose answer was lost is asked again so often before the attempt is given up. */
const attemptsPerStep = 3;
/** So often may a receiver send back to an offset without having got any further. */
const maxRewinds = 3;
/** Peers whose failures are remembered. */
const maxRemembered = 256;

/** What went wrong with a peer lately: attempts that bring nothing come ever more seldom. */
interface Trouble {
  failures: number;
  /** The snapshot of the last attempt, and how far it came. */
  id: string;
  reached: number;
  endedMs: number;
}

interface Chunk {
  readonly end: number;
  readonly answer: Promise<SnapshotAnswer>;
}

/** Streams snapshots to followers that the log cannot serve any more. */
export class SnapshotSender {
  readonly #around: SenderSurroundings;
  readonly #library: SnapshotLibrary;
  readonly #sending = new Map<NodeId, AbortController>();
  readonly #trouble = new Map<NodeId, Trouble>();
  #active = 0;
  readonly #queue = new Map<NodeId, () => void>();

  constructor(around: SenderSurroundings, library: SnapshotLibrary) {
    this.#around = around;
    this.#library = library;
  }

  stop(): void {
    for (const controller of this.#sending.values()) controller.abort();
    this.#sending.clear();
  }

  cancel(to: NodeId): void {
    this.#sending.get(to)?.abort();
    this.#sending.delete(to);
  }

  async send({ to, term }: Extract<Effect, { readonly type: "snapshot-send" }>): Promise<void> {
    this.cancel(to.id);
    const controller = new AbortController();
    this.#sending.set(to.id, controller);
    const { signal } = controller;
    const { logger, metrics } = this.#around;
    let index = 0;
    let success = false;
    try {
      await this.#pause(to.id, signal);
      await this.#enter(to.id, signal);
      try {
        index = await this.#attempt(to, term, signal);
      } finally {
        this.#leave();
      }
      success = true;
    } catch (error) {
      if (!signal.aborted) {
        metrics.count("revoada_raft_snapshots_total", 1, { kind: "failed" });
        logger.warn("a snapshot could not be sent", { to: to.id, error });
      }
    }
    // Success is no proof either: one that says it has everything, and soon needs it again, waits like the others.
    const trouble = this.#trouble.get(to.id);
    if (trouble !== undefined) trouble.endedMs = this.#around.clock.monotonicMs();
    if (this.#sending.get(to.id) !== controller) return;
    this.#sending.delete(to.id);
    this.#around.dispatch({ type: "snapshot-sent", to: to.id, index, success });
  }

  async #attempt(to: ReplicaId, term: number, signal: AbortSignal): Promise<number> {
    const snapshot = await this.#library.acquire();
    try {
      signal.throwIfAborted();
      await this.#transfer(to, term, snapshot, signal);
      return snapshot.file.base.index;
    } finally {
      this.#library.release(snapshot);
    }
  }

  /** After attempts that brought nothing, the next one waits: twice as long each time. */
  async #pause(to: NodeId, signal: AbortSignal): Promise<void> {
    const { clock, electionTimeoutMs, limits } = this.#around;
    const trouble = this.#trouble.get(to);
    if (trouble !== undefined && clock.monotonicMs() - trouble.endedMs >= limits.snapshotKeepMs)
      this.#trouble.delete(to);
    const failures = this.#trouble.get(to)?.failures ?? 0;
    if (failures === 0) return;
    const delayMs = Math.min(electionTimeoutMs * 2 ** Math.min(failures - 1, 20), limits.snapshotStallMs / 2);
    await this.#sleep(delayMs, signal);
  }

  async #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#around.clock.schedule(delayMs, done);
      function done(): void {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
    });
    signal.throwIfAborted();
  }

  /** Waits for its turn. Whoever waits is not stalled as long as those before it are not. */
  async #enter(to: NodeId, signal: AbortSignal): Promise<void> {
    while (this.#active >= this.#around.limits.maxSnapshotTransfers) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener("abort", wake);
          this.#queue.delete(to);
          resolve();
        };
        this.#queue.set(to, wake);
        signal.addEventListener("abort", wake);
      });
      signal.throwIfAborted();
    }
    this.#active += 1;
    this.#gauge();
  }

  #leave(): void {
    this.#active -= 1;
    this.#gauge();
    for (const wake of this.#queue.values()) return wake();
  }

  #gauge(): void {
    this.#around.metrics.gauge("revoada_raft_snapshot_transfers", this.#active, { direction: "out" });
  }

  #progressed(to: NodeId): void {
    this.#around.dispatch({ type: "snapshot-progress", to });
    for (const waiting of this.#queue.keys()) this.#around.dispatch({ type: "snapshot-progress", to: waiting });
  }

  /** An attempt counts as a failure until it comes further than the one before did. */
  #begun(to: NodeId, id: string): Trouble {
    let trouble = this.#trouble.get(to);
    if (trouble === undefined) {
      for (const oldest of this.#trouble.keys()) {
        if (this.#trouble.size < maxRemembered) break;
        this.#trouble.delete(oldest);
      }
      trouble = { failures: 0, id, reached: 0, endedMs: this.#around.clock.monotonicMs() };
      this.#trouble.set(to, trouble);
    }
    if (trouble.id !== id) Object.assign(trouble, { id, reached: 0 });
    trouble.failures += 1;
    return trouble;
  }

  async #transfer(to: ReplicaId, term: number, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<void> {
    const { metrics } = this.#around;
    const { id, file } = snapshot;
    const trouble = this.#begun(to.id, id);
    const first = await this.#ask(
      to.id,
      {
        step: "begin",
        id,
        fromStore: this.#around.storeId(),
        toStore: to.storeId,
        term,
        base: file.base,
        chunkBytes: file.chunkBytes,
      },
      signal,
    );
    if (first.phase === "receiving") {
      if (first.offset > 0) metrics.count("revoada_raft_snapshots_total", 1, { kind: "resumed" });
      await this.#stream(to.id, snapshot, first.offset, trouble, signal);
      metrics.count("revoada_raft_snapshots_total", 1, { kind: "sent" });
    }
    await this.#finish(to.id, snapshot, signal);
  }

  /** Sends chunk after chunk, a few ahead of their acknowledgements, from where the receiver stands. */
  async #stream(
    to: NodeId,
    snapshot: OutgoingSnapshot,
    from: number,
    trouble: Trouble,
    signal: AbortSignal,
  ): Promise<void> {
    const { limits, metrics } = this.#around;
    let acknowledged = from;
    let next = from;
    let rewinds = 0;
    let window: Chunk[] = [];
    const took = ({ offset }: SnapshotAnswer): void => {
      if (offset > next) throw new RaftBadSnapshotError(`the receiver claims ${offset} bytes of the ${next} sent`);
      if (offset <= acknowledged) return;
      metrics.count("revoada_raft_snapshot_bytes_total", offset - acknowledged, { direction: "out" });
      acknowledged = offset;
      rewinds = 0;
      if (offset > trouble.reached) Object.assign(trouble, { reached: offset, failures: 0 });
      this.#progressed(to);
    };
    for (;;) {
      while (window.length < limits.snapshotWindow) {
        const bytes = await this.#nextChunk(to, snapshot, next, window.length === 0, signal);
        if (bytes === undefined) break;
        const answer = this.#ask(
          to,
          { step: "chunk", id: snapshot.id, offset: next, sum: crc32(bytes), bytes },
          signal,
        );
        answer.catch(() => undefined);
        next += bytes.length;
        window.push({ end: next, answer });
      }
      const oldest = window.shift();
      if (oldest === undefined) return;
      took(await oldest.answer);
      if (acknowledged >= oldest.end) continue;
      // A chunk before this one was lost. Once nothing is under way, it goes on where the receiver stands.
      for (const { answer } of window) took(await answer);
      window = [];
      next = acknowledged;
      rewinds += 1;
      if (rewinds > maxRewinds) throw new RaftBadSnapshotError(`the receiver takes nothing behind ${acknowledged}`);
    }
  }

  /** The next chunk that can be read; waits for it where nothing else is waited for. Undefined where there is none. */
  async #nextChunk(
    to: NodeId,
    snapshot: OutgoingSnapshot,
    offset: number,
    wait: boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    for (;;) {
      signal.throwIfAborted();
      if (snapshot.failure !== undefined) throw snapshot.failure as Error;
      if (offset < snapshot.file.length) return await snapshot.file.read(offset);
      if (offset > snapshot.file.length)
        throw new RaftBadSnapshotError(`the receiver claims ${offset} bytes of a snapshot of ${snapshot.file.length}`);
      if (snapshot.whole || !wait) return undefined;
      await snapshot.grown(signal);
      // The machine is being read: that is bounded by itself.
      this.#progressed(to);
    }
  }

  /** Says that it was all, and waits for as long as the receiver gets on with installing it. */
  async #finish(to: NodeId, { id, file }: OutgoingSnapshot, signal: AbortSignal): Promise<void> {
    const { digest } = file;
    if (digest === undefined)
      throw new RaftBadSnapshotError("the receiver ended a snapshot that is still being written");
    let seen = -1;
    for (;;) {
      const { offset, phase } = await this.#ask(to, { step: "end", id, length: file.length, digest }, signal);
      if (phase === "done") return;
      if (phase !== "installing" || offset > file.length)
        throw new RaftBadSnapshotError(`the receiver is at ${offset} of ${file.length}`);
      if (offset !== seen) this.#progressed(to);
      seen = offset;
      await this.#sleep(this.#around.electionTimeoutMs, signal);
    }
  }

  /** Asks until it is answered, a few times: a step that is repeated does no harm. */
  async #ask(to: NodeId, request: SnapshotRequest, signal: AbortSignal): Promise<SnapshotAnswer> {
    const { transport, groupId, limits } = this.#around;
    const payload = encodeRequest(groupId, request);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const options = { signal, timeoutMs: limits.snapshotRequestTimeoutMs };
        return decodeAnswer(groupId, await transport.request(to, snapshotProtocol, payload, options));
      } catch (error) {
        const lost = isFabricError(error, "TRANSPORT_TIMEOUT", "TRANSPORT_CLOSED", "TRANSPORT_BACKPRESSURE");
        if (!lost || attempt >= attemptsPerStep || signal.aborted) throw error;
      }
    }
  }
}
