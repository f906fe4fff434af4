import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import {
  isFabricError,
  parseStoreId,
  type Clock,
  type LogBase,
  type Logger,
  type Metrics,
  type NodeId,
  type PeerContext,
  type Protocol,
  type Random,
  type ReplicaId,
  type StoreId,
  type Transport,
} from "@revoada/fabric";
import type { Effect, Event } from "../core/types.ts";
import { RaftBadFrameError, RaftBadSnapshotError } from "../errors.ts";
import { encodeFrameValue, frameVersion, openFrame, type TupleReader } from "../wire/cbor.ts";
import type { MachineRunner } from "./machine-runner.ts";
import type { RaftLimits } from "./options.ts";
import {
  baseOf,
  configurationBytes,
  readSnapshot,
  rechunk,
  removeSnapshotsExcept,
  SnapshotWriter,
  type SnapshotPlace,
} from "./snapshot-files.ts";

/** Chunks travel beside heartbeats, never before them. */
export const snapshotProtocol: Protocol = { name: "/revoada/raft-snapshot/1", channel: "bulk" };

const steps = ["begin", "chunk", "end"] as const;
const attemptsPerChunk = 3;
const incomingName = "incoming.tmp";
const savingName = "saving.tmp";

/** What snapshots need of the replica around them. */
export interface SnapshotSurroundings extends SnapshotPlace {
  readonly id: NodeId;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: RaftLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  storeId(): StoreId;
  dispatch(event: Event): void;
  /** The base at `index` as the log knows it; undefined where that is out of reach. */
  baseAt(index: number): LogBase | undefined;
  /** Cuts the log below `base`, in turn with its writes. */
  compact(base: LogBase): Promise<void>;
  /** Replaces the log by `base`, in turn with its writes. */
  reset(base: LogBase): Promise<void>;
  machineFailed(what: string, error: unknown): void;
}

interface Incoming {
  readonly id: string;
  readonly from: NodeId;
  readonly fromStore: StoreId;
  readonly term: number;
  readonly writer: SnapshotWriter;
  lastMs: number;
  finished: boolean;
}

/** Takes, sends, receives and installs snapshots, off the path that commits take. */
export class Snapshots<Command, Result> {
  readonly #around: SnapshotSurroundings;
  readonly #runner: MachineRunner<Command, Result>;
  readonly #sending = new Map<NodeId, AbortController>();
  #incoming: Incoming | undefined;
  /** Received and verified; the core decides whether it is installed. */
  #offered: Incoming | undefined;
  /** Requests of a transfer take their turn. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(around: SnapshotSurroundings, runner: MachineRunner<Command, Result>) {
    this.#around = around;
    this.#runner = runner;
  }

  stop(): void {
    this.#stopped = true;
    for (const controller of this.#sending.values()) controller.abort();
    this.#sending.clear();
  }

  /** Makes what was applied durable, so that the log before it can go. */
  async save(): Promise<void> {
    const { logger, metrics } = this.#around;
    try {
      const index = this.#runner.machine.durable ? await this.#flushMachine() : await this.#saveFile();
      const base = this.#around.baseAt(Math.max(0, index - this.#around.limits.trailingEntries));
      if (base !== undefined) await this.#around.compact(base);
      metrics.count("revoada_raft_snapshots_total", 1, { kind: "saved" });
      this.#around.dispatch(base === undefined ? { type: "snapshot-saved" } : { type: "snapshot-saved", base });
    } catch (error) {
      // The log merely grows until the next attempt.
      if (!this.#stopped) logger.warn("a snapshot could not be saved", { error });
      this.#around.dispatch({ type: "snapshot-saved" });
    }
  }

  async #flushMachine(): Promise<number> {
    const { machine } = this.#runner;
    return this.#runner.exclusive(async () => {
      await machine.flush();
      return Math.min(machine.flushedIndex(), machine.position().index);
    });
  }

  async #saveFile(): Promise<number> {
    const snapshot = await this.#runner.exclusive(() => this.#runner.machine.snapshot());
    try {
      const base = this.#baseOf(snapshot.position);
      const writer = await SnapshotWriter.create(this.#around, savingName, base);
      try {
        for await (const chunk of snapshot.chunks()) await writer.append(chunk);
        await writer.finish();
      } catch (error) {
        await writer.discard();
        throw error;
      }
      const path = await writer.promote();
      await removeSnapshotsExcept(this.#around, path);
      return base.index;
    } finally {
      snapshot.dispose();
    }
  }

  /** A machine knows no configuration before the first change of one; the log does. */
  #baseOf(position: LogBase): LogBase {
    const configuration = position.configuration ?? this.#around.baseAt(position.index)?.configuration;
    const { index, term } = position;
    return configuration === undefined ? { index, term } : { index, term, configuration };
  }

  /** Streams the machine's state to a follower that the log cannot serve any more. */
  async send(effect: Extract<Effect, { readonly type: "snapshot-send" }>): Promise<void> {
    const { to, term } = effect;
    this.cancel(to.id);
    const controller = new AbortController();
    this.#sending.set(to.id, controller);
    let index = 0;
    let success = false;
    try {
      const snapshot = await this.#runner.exclusive(() => this.#runner.machine.snapshot());
      try {
        const base = this.#baseOf(snapshot.position);
        index = base.index;
        await this.#stream(to, term, base, snapshot.chunks(), controller.signal);
        success = true;
        this.#around.metrics.count("revoada_raft_snapshots_total", 1, { kind: "sent" });
      } finally {
        snapshot.dispose();
      }
    } catch (error) {
      if (!controller.signal.aborted) this.#around.logger.warn("a snapshot could not be sent", { to: to.id, error });
    }
    if (this.#sending.get(to.id) !== controller) return;
    this.#sending.delete(to.id);
    this.#around.dispatch({ type: "snapshot-sent", to: to.id, index, success });
  }

  cancel(to: NodeId): void {
    this.#sending.get(to)?.abort();
    this.#sending.delete(to);
  }

  async #stream(
    to: ReplicaId,
    term: number,
    base: LogBase,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const { limits, random } = this.#around;
    const id = Buffer.from(random.bytes(16)).toString("hex");
    const begin = [0, this.#around.storeId(), to.storeId, term, base.index, base.term, configurationBytes(base), id];
    let offset = await this.#ask(to.id, begin, signal);
    if (offset !== 0) throw new RaftBadSnapshotError(`the receiver holds ${offset} bytes of a transfer that begins`);
    const hash = createHash("sha256");
    for await (const chunk of rechunk(chunks, limits.snapshotChunkBytes)) {
      hash.update(chunk);
      const next = await this.#ask(to.id, [1, id, offset, crc32(chunk), chunk], signal);
      if (next !== offset + chunk.length)
        throw new RaftBadSnapshotError(`the receiver is at ${next}, not at ${offset + chunk.length}`);
      offset = next;
      this.#around.dispatch({ type: "snapshot-progress", to: to.id });
    }
    await this.#ask(to.id, [2, id, offset, hash.digest()], signal);
  }

  /** Asks until it is answered, a few times: a step that is repeated does no harm. */
  async #ask(to: NodeId, fields: readonly unknown[], signal: AbortSignal): Promise<number> {
    const { transport, groupId, limits } = this.#around;
    const payload = encodeFrameValue([frameVersion, groupId, ...fields]);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await transport.request(to, snapshotProtocol, payload, {
          signal,
          timeoutMs: limits.snapshotRequestTimeoutMs,
        });
        const reader = openFrame(answer, groupId, "a snapshot answer");
        const offset = reader.counter();
        reader.finish();
        return offset;
      } catch (error) {
        const lost = isFabricError(error, "TRANSPORT_TIMEOUT", "TRANSPORT_CLOSED", "TRANSPORT_BACKPRESSURE");
        if (!lost || attempt >= attemptsPerChunk || signal.aborted) throw error;
      }
    }
  }

  /** Takes one step of a transfer to this replica. */
  receive(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    const turn = this.#turn.then(() => this.#receive(payload, context));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #receive(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    const { groupId } = this.#around;
    if (this.#stopped) throw new RaftBadSnapshotError("this replica is not running");
    const reader = openFrame(payload, groupId, "a snapshot request");
    const step = reader.oneOf(steps);
    const offset = await this.#takeStep(step, reader, context.peer);
    return encodeFrameValue([frameVersion, groupId, offset]);
  }

  async #takeStep(step: (typeof steps)[number], reader: TupleReader, from: NodeId): Promise<number> {
    if (step === "begin") return this.#begin(reader, from);
    const id = reader.text(64);
    const incoming = this.#incoming;
    if (incoming === undefined || incoming.id !== id || incoming.from !== from)
      throw new RaftBadSnapshotError("no such transfer");
    incoming.lastMs = this.#around.clock.monotonicMs();
    return step === "chunk" ? this.#chunk(incoming, reader) : this.#end(incoming, reader);
  }

  async #begin(reader: TupleReader, from: NodeId): Promise<number> {
    const { clock, limits } = this.#around;
    const fromStore = parseStoreId(reader.text(32));
    const toStore = reader.text(32);
    const term = reader.counter();
    const base = baseOf(reader.counter(), reader.counter(), reader.bytes());
    const id = reader.text(64);
    reader.finish();
    if (toStore !== this.#around.storeId()) throw new RaftBadSnapshotError("the snapshot is meant for another store");
    if (this.#offered !== undefined) throw new RaftBadSnapshotError("a snapshot is being installed");
    const known = this.#incoming;
    if (known?.id === id && known.from === from) return known.writer.length;
    const lively = known !== undefined && clock.monotonicMs() - known.lastMs < limits.snapshotStallMs;
    if (known !== undefined && lively && known.from !== from && known.term >= term) {
      throw new RaftBadSnapshotError("another transfer is under way");
    }
    this.#incoming = undefined;
    await known?.writer.discard();
    const writer = await SnapshotWriter.create(this.#around, incomingName, base);
    this.#incoming = { id, from, fromStore, term, writer, lastMs: clock.monotonicMs(), finished: false };
    return 0;
  }

  async #chunk(incoming: Incoming, reader: TupleReader): Promise<number> {
    const offset = reader.counter();
    const sum = reader.counter();
    const bytes = reader.bytes();
    reader.finish();
    const { writer } = incoming;
    // A step that is repeated because its answer was lost.
    if (offset < writer.length || incoming.finished) return writer.length;
    if (offset > writer.length) throw new RaftBadSnapshotError(`a chunk at ${offset} after ${writer.length}`);
    if (crc32(bytes) !== sum) throw new RaftBadSnapshotError(`the chunk at ${offset} fails its check`);
    if (offset + bytes.length > this.#around.limits.maxSnapshotBytes)
      throw new RaftBadSnapshotError(`more than ${offset} bytes`);
    await writer.append(bytes);
    return writer.length;
  }

  async #end(incoming: Incoming, reader: TupleReader): Promise<number> {
    const length = reader.counter();
    const digest = reader.bytes(32);
    reader.finish();
    const { writer } = incoming;
    if (incoming.finished) return writer.length;
    if (length !== writer.length) throw new RaftBadSnapshotError(`${writer.length} bytes arrived of ${length}`);
    const own = await writer.finish();
    incoming.finished = true;
    if (Buffer.compare(own, digest) !== 0) {
      this.#incoming = undefined;
      await writer.discard();
      throw new RaftBadSnapshotError("the snapshot fails its check as a whole");
    }
    this.#offer(incoming);
    return length;
  }

  #offer(incoming: Incoming): void {
    this.#incoming = undefined;
    this.#offered = incoming;
    const { from, fromStore, term, writer } = incoming;
    this.#around.dispatch({ type: "snapshot-received", from, fromStore, term, base: writer.base });
    // The core decides before `dispatch` returns; what it did not take is of no use.
    if (this.#offered !== incoming || this.#installing) return;
    this.#offered = undefined;
    void writer
      .discard()
      .catch((error: unknown) => this.#around.logger.warn("a snapshot file could not be removed", { error }));
  }

  #installing = false;

  /** Installs what was received: the file is durable, then the machine, then the log; a crash in between is completed at start. */
  async install(base: LogBase): Promise<void> {
    const incoming = this.#offered;
    if (incoming === undefined) throw new RaftBadFrameError("nothing was received that could be installed");
    this.#installing = true;
    let success = false;
    try {
      await this.#runner.exclusive(async () => {
        const { machine } = this.#runner;
        const path = machine.durable ? incoming.writer.path : await incoming.writer.promote();
        try {
          await machine.restore(base, readSnapshot(this.#around, path));
        } catch (error) {
          this.#around.machineFailed("restore a snapshot", error);
          throw error;
        }
        await this.#around.reset(base);
        await removeSnapshotsExcept(this.#around, machine.durable ? undefined : path);
      });
      success = true;
      this.#around.metrics.count("revoada_raft_snapshots_total", 1, { kind: "installed" });
    } catch (error) {
      this.#around.logger.error("a snapshot could not be installed", { index: base.index, error });
    }
    this.#installing = false;
    this.#offered = undefined;
    this.#around.dispatch({ type: "snapshot-installed", base, success });
  }
}
