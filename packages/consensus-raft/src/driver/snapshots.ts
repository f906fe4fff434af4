import type { Event, Effect } from "../core/types.ts";
import type {
  Disk,
  LogBase,
  Logger,
  Metrics,
  NodeId,
  PeerContext,
  Random,
  StoreId,
  Transport,
  Clock,
} from "@revoada/fabric";
import { RaftBadFrameError } from "../errors.ts";
import type { MachineRunner } from "./machine-runner.ts";
import type { RaftLimits } from "./options.ts";
import { paced, readSnapshot, removeOldSnapshots, removeUnfinished, type SnapshotPlace } from "./snapshot-files.ts";
import { SnapshotLibrary } from "./snapshot-library.ts";
import { SnapshotReceiver, type ReceivedSnapshot } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";

/** What snapshots need of the replica around them. */
export interface SnapshotSurroundings extends SnapshotPlace {
  readonly id: NodeId;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly electionTimeoutMs: number;
  readonly limits: RaftLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  storeId(): StoreId;
  leadsSince(term: number): boolean;
  dispatch(event: Event): void;
  /** The base at `index` as the log knows it; undefined where that is out of reach. */
  baseAt(index: number): LogBase | undefined;
  /** The first index that the log holds, or would hold. */
  firstIndex(): number;
  /** Cuts the log below `base`, in turn with its writes. */
  compact(base: LogBase): Promise<void>;
  /** Replaces the log by `base`, in turn with its writes. */
  reset(base: LogBase): Promise<void>;
  machineFailed(what: string, error: unknown): void;
}

/** Takes, sends, receives and installs snapshots, off the path that commits take. */
export class Snapshots<Command, Result> {
  readonly #around: SnapshotSurroundings;
  readonly #runner: MachineRunner<Command, Result>;
  readonly #library: SnapshotLibrary;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  /** Received and verified; the core decides whether it is installed. */
  #offered: ReceivedSnapshot | undefined;
  #installing: Promise<void> | undefined;
  #saving: Promise<void> | undefined;
  #opened = false;
  #stopped = false;
  #released: Promise<void> = Promise.resolve();

  constructor(around: SnapshotSurroundings, runner: MachineRunner<Command, Result>) {
    this.#around = around;
    this.#runner = runner;
    this.#library = new SnapshotLibrary({
      disk: around.disk,
      snapshotDirectory: around.snapshotDirectory,
      groupId: around.groupId,
      clock: around.clock,
      limits: around.limits,
      newId: () => Buffer.from(around.random.bytes(16)).toString("hex"),
      takeSnapshot: () => runner.exclusive(() => runner.machine.snapshot()),
      baseOf: (position) => this.#baseOf(position),
      reaches: (index) => index + 1 >= around.firstIndex(),
    });
    this.#sender = new SnapshotSender(around, this.#library);
    this.#receiver = new SnapshotReceiver({
      ...around,
      storeId: () => around.storeId(),
      leadsSince: (term) => around.leadsSince(term),
      offer: (received) => this.#offer(received),
    });
  }

  /** Removes what an earlier life of the process left unfinished. Must come before everything else; a second call does nothing. */
  async open(): Promise<void> {
    if (this.#opened) return;
    await removeUnfinished(this.#around);
    this.#opened = true;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#sender.stop();
    this.#released = Promise.all([this.#library.stop(), this.#receiver.stop(), this.#installing, this.#saving]).then(
      () => undefined,
      () => undefined,
    );
  }

  /** Resolves once everything has been let go of, after `stop`. */
  idle(): Promise<void> {
    return this.#released;
  }

  /** Makes what was applied durable, so that the log before it can go. */
  save(): Promise<void> {
    const saving = this.#save();
    this.#saving = saving;
    return saving;
  }

  async #save(): Promise<void> {
    const { logger, metrics } = this.#around;
    try {
      const index = this.#runner.machine.durable ? await this.#flushMachine() : await this.#saveFile();
      const base = this.#around.baseAt(this.#compactableIndex(index));
      if (base !== undefined) await this.#around.compact(base);
      if (!this.#runner.machine.durable) await removeOldSnapshots(this.#around, this.#around.firstIndex());
      metrics.count("revoada_raft_snapshots_total", 1, { kind: "saved" });
      this.#around.dispatch(base === undefined ? { type: "snapshot-saved" } : { type: "snapshot-saved", base });
    } catch (error) {
      // The log merely grows until the next attempt.
      if (!this.#stopped) logger.warn("a snapshot could not be saved", { error });
      this.#around.dispatch({ type: "snapshot-saved" });
    }
  }

  /** What is behind a snapshot that is being sent stays, within bounds: whoever installs it goes on from there. */
  #compactableIndex(index: number): number {
    const { trailingEntries, maxHeldEntries } = this.#around.limits;
    const trailing = Math.max(0, index - trailingEntries);
    const held = this.#library.pinnedIndex;
    return index - held > maxHeldEntries ? trailing : Math.min(trailing, held);
  }

  /** The flush begins when the machine is free, but applying does not wait for its end: `flushedIndex` says what it covers. */
  async #flushMachine(): Promise<number> {
    const { machine } = this.#runner;
    const { flushed } = await this.#runner.exclusive(() => Promise.resolve({ flushed: machine.flush() }));
    await flushed;
    return Math.min(machine.flushedIndex(), machine.position().index);
  }

  /** The file is durable, then its name, and only then may the log be cut. */
  async #saveFile(): Promise<number> {
    const snapshot = await this.#library.take();
    snapshot.users += 1;
    try {
      await snapshot.written;
      await snapshot.file.promote();
      return snapshot.file.base.index;
    } finally {
      this.#library.release(snapshot);
    }
  }

  /** A machine knows no configuration before the first change of one; the log does. */
  #baseOf(position: LogBase): LogBase {
    const configuration = position.configuration ?? this.#around.baseAt(position.index)?.configuration;
    const { index, term } = position;
    return configuration === undefined ? { index, term } : { index, term, configuration };
  }

  /** Streams the machine's state to a follower that the log cannot serve any more. */
  send(effect: Extract<Effect, { readonly type: "snapshot-send" }>): Promise<void> {
    return this.#sender.send(effect);
  }

  cancel(to: NodeId): void {
    this.#sender.cancel(to);
  }

  /** Takes one step of a transfer to this replica. */
  receive(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    return this.#receiver.receive(payload, context);
  }

  /** Somebody was heard to lead. */
  onLeader(leader: NodeId | undefined, term: number): void {
    this.#receiver.onLeader(leader, term);
  }

  #offer(received: ReceivedSnapshot): boolean {
    const { from, fromStore, term, file } = received;
    this.#offered = received;
    this.#around.dispatch({ type: "snapshot-received", from, fromStore, term, base: file.base });
    // The core decides before `dispatch` returns; what it did not take is of no use.
    const taken = this.#installing !== undefined;
    if (!taken) this.#offered = undefined;
    return taken;
  }

  /** Installs what was received: machine, then file, then log; a crash in between is completed at start, or has changed nothing. */
  async install(base: LogBase): Promise<void> {
    const received = this.#offered;
    if (received === undefined) throw new RaftBadFrameError("nothing was received that could be installed");
    let success = false;
    const installing = this.#install(received, base);
    this.#installing = installing;
    try {
      await installing;
      success = true;
      this.#around.metrics.count("revoada_raft_snapshots_total", 1, { kind: "installed" });
    } catch (error) {
      this.#around.logger.error("a snapshot could not be installed", { index: base.index, error });
    }
    this.#installing = undefined;
    this.#offered = undefined;
    this.#receiver.settle(success);
    this.#around.dispatch({ type: "snapshot-installed", base, success });
  }

  async #install({ file }: ReceivedSnapshot, base: LogBase): Promise<void> {
    await file.close();
    try {
      await this.#runner.exclusive(async () => {
        await this.#restore(file.path, base);
        if (!this.#runner.machine.durable) await this.#promote(() => file.promote());
        await this.#around.reset(base);
      });
    } finally {
      await this.#tidy(file.path, this.#runner.machine.durable);
    }
  }

  /** A machine that refuses has changed nothing, or it is not to be relied on any more. */
  async #restore(path: string, base: LogBase): Promise<void> {
    const { machine } = this.#runner;
    const before = machine.position();
    try {
      await machine.restore(base, this.#reading(path));
    } catch (error) {
      const { index, term } = machine.position();
      if (index !== before.index || term !== before.term) this.#around.machineFailed("restore a snapshot", error);
      throw error;
    }
  }

  async *#reading(path: string): AsyncGenerator<Uint8Array> {
    for await (const chunk of paced(readSnapshot(this.#around, path), this.#around.clock)) {
      yield chunk;
      this.#receiver.restored(chunk.length);
    }
  }

  /** The machine is ahead of what a restart would find: without the file's name it must not go on. */
  async #promote(promote: () => Promise<string>): Promise<void> {
    try {
      await promote();
    } catch (error) {
      this.#around.machineFailed("keep its snapshot", error);
      throw error;
    }
  }

  async #tidy(path: string, durable: boolean): Promise<void> {
    const { disk, logger } = this.#around;
    try {
      if (path.endsWith(".tmp")) await disk.remove(path);
      if (!durable) await removeOldSnapshots(this.#around, this.#around.firstIndex());
    } catch (error) {
      logger.warn("a snapshot file could not be removed", { error });
    }
  }
}
