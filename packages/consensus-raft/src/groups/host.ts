import {
  InvalidValueError,
  silentLogger,
  silentMetrics,
  type Clock,
  type Consensus,
  type Disk,
  type Logger,
  type LogStore,
  type Metrics,
  type NodeId,
  type Random,
  type Transport,
} from "@revoada/fabric";
import type { HostedReplica, HostLink, Ticks } from "../driver/host-link.ts";
import type { RaftLimits, RaftOptions } from "../driver/options.ts";
import { groupReplica } from "../driver/raft.ts";
import type { TickerTarget } from "../driver/ticker.ts";
import { RaftDuplicateGroupError, RaftStoppedError } from "../errors.ts";
import type { SessionLimits } from "../sessions/core/limits.ts";
import type { SessionedConsensus } from "../sessions/sessioned-raft.ts";
import { sharedWal, type SharedWal } from "../wal/index.ts";
import { maxGroupBytes } from "../wire/cbor.ts";
import { GroupConsensus } from "./group-consensus.ts";
import { GroupTicks } from "./group-ticks.ts";
import { GroupTransport, type SharedTransport } from "./group-transport.ts";
import { HostClock, type HostClockOwner } from "./host-clock.ts";
import { epochBytes, groupKey } from "./host-frame.ts";
import { HostOutbox } from "./host-outbox.ts";
import { labelled } from "./labels.ts";
import { Liveness } from "./liveness.ts";
import { Switchboard } from "./switchboard.ts";

/** What a host of many groups is made of. */
export interface RaftHostOptions {
  /** This node; the same that the transport has proven. */
  readonly id: NodeId;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Holds the logs and snapshots of all groups, each in places of its own. */
  readonly disk: Disk;
  /** T of every group, the same on all hosts. 150 unless told. */
  readonly electionTimeoutMs?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** The log of all groups; one on `disk`, in `groups-wal`, unless told. The host closes only what it made. */
  readonly wal?: SharedWal;
  /** Bounds of every group that does not bring its own. */
  readonly limits?: Partial<RaftLimits>;
}

/** What a group brings that is its own. See `RaftOptions`. */
export interface GroupOptions<Command, Result> extends Omit<
  RaftOptions<Command, Result>,
  keyof RaftHostOptions | "groupId" | "snapshotDirectory"
> {
  /** Names the group on every host and on the disk: 1 to 32 bytes. */
  readonly groupId: Uint8Array;
  /** Bounds of this group; the host's unless told. */
  readonly limits?: Partial<RaftLimits>;
}

type SessionedGroupOptions<Command, Result> = GroupOptions<Command, Result> & {
  readonly sessions: Partial<SessionLimits>;
};

/** Many groups in one process, over one transport and one disk. */
export interface RaftHost extends AsyncDisposable {
  readonly id: NodeId;
  /**
   * Makes this node's replica of one group, which takes part from its `start` on, as one of `raft` does. Shut down, it can be made
   * again. Throws `RAFT_DUPLICATE_GROUP` while there is one, `RAFT_STOPPED` after the host's shutdown, `FABRIC_INVALID_VALUE`.
   */
  group<Command, Result>(
    options: GroupOptions<Command, Result> & { readonly sessions: Partial<SessionLimits> },
  ): SessionedConsensus<Command, Result>;
  group<Command, Result>(options: GroupOptions<Command, Result>): Consensus<Command, Result>;
  /** Ids of the groups that were made and not shut down. */
  groups(): readonly Uint8Array[];
  /**
   * Drops what is left of a group that was shut down here: its log, its vote, its snapshots. Its id is refused from then on, because a
   * replica that forgot its votes must not come back under its old name. Rejects with `RAFT_DUPLICATE_GROUP` while it is there.
   */
  forget(groupId: Uint8Array): Promise<void>;
  /** Shuts every group down. The transport goes on, it is its owner's. */
  shutdown(): Promise<void>;
}

/**
 * Makes a host of many groups: each is a replicated log of its own, and all share what costs.
 *
 * @example
 * ```ts
 * const host = raftHost({ id, transport, clock, random, disk });
 * const orders = host.group({ groupId: new TextEncoder().encode("orders"), codec, bootstrap });
 * await orders.start(machine);
 * ```
 */
export function raftHost(options: RaftHostOptions): RaftHost {
  const electionTimeoutMs = options.electionTimeoutMs ?? 150;
  if (!Number.isFinite(electionTimeoutMs) || electionTimeoutMs <= 0)
    throw new InvalidValueError("electionTimeoutMs", electionTimeoutMs, "a number above 0");
  return new Host({ ...options, electionTimeoutMs });
}

/** Not the one that a lone replica uses: both may be on one disk. */
const walDirectory = "groups-wal";

function checkedKey(groupId: Uint8Array): string {
  if (groupId instanceof Uint8Array && groupId.length > 0 && groupId.length <= maxGroupBytes) return groupKey(groupId);
  throw new InvalidValueError("groupId", groupId, `1 to ${maxGroupBytes} bytes`);
}

/** Each group's snapshots lie apart. */
function snapshotDirectoryOf(key: string): string {
  return `groups/${key}/snapshots`;
}

interface Group {
  readonly groupId: Uint8Array;
  readonly consensus: { shutdown(): Promise<void> };
}

class Host implements RaftHost, HostClockOwner {
  readonly id: NodeId;
  readonly #options: RaftHostOptions & { readonly electionTimeoutMs: number };
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #clock: HostClock;
  readonly #wal: SharedWal;
  readonly #outbox: HostOutbox;
  readonly #liveness: Liveness;
  readonly #switchboard: Switchboard;
  readonly #groups = new Map<string, Group>();
  /** Replicas that take part now. */
  readonly #replicas = new Map<string, HostedReplica>();
  readonly #ticks = new Set<GroupTicks>();
  #stopping: Promise<void> | undefined;

  constructor(options: RaftHostOptions & { readonly electionTimeoutMs: number }) {
    this.id = options.id;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#clock = new HostClock(options.clock, options.electionTimeoutMs, this);
    const { disk, random, logger, metrics } = options;
    const made = {
      disk,
      random,
      directory: walDirectory,
      clock: options.clock,
      ...(logger && { logger }),
      ...(metrics && { metrics }),
    };
    this.#wal = options.wal ?? sharedWal(made);
    this.#outbox = new HostOutbox(options.transport, this.#metrics);
    this.#liveness = new Liveness({
      clock: this.#clock,
      metrics: this.#metrics,
      electionTimeoutMs: options.electionTimeoutMs,
      epoch: Buffer.from(options.random.bytes(epochBytes)).toString("hex"),
      replica: (key) => this.#replicas.get(key),
      wordsDue: () => this.#clock.endTurn(),
    });
    this.#switchboard = new Switchboard(options.transport, this.#metrics, {
      together: (work) => this.#clock.together(work),
      heardFrom: (peer) => this.#liveness.heardFrom(peer),
      take: (peer, word) => this.#liveness.take(peer, word),
    });
  }

  group<Command, Result>(options: SessionedGroupOptions<Command, Result>): SessionedConsensus<Command, Result>;
  group<Command, Result>(options: GroupOptions<Command, Result>): Consensus<Command, Result>;
  group<Command, Result>(options: GroupOptions<Command, Result>): Consensus<Command, Result> {
    if (this.#stopping !== undefined) throw new RaftStoppedError();
    const { groupId } = options;
    const key = checkedKey(groupId);
    if (this.#groups.has(key)) throw new RaftDuplicateGroupError(key);
    const onEnd = (): void => {
      if (this.#groups.get(key)?.consensus === consensus) this.#groups.delete(key);
    };
    const consensus: Consensus<Command, Result> = groupReplica(
      this.#optionsOf(options, key),
      this.#linkOf(key, groupId.slice()),
      (replica) => new GroupConsensus(replica, onEnd),
    );
    this.#groups.set(key, { groupId: groupId.slice(), consensus });
    return consensus;
  }

  groups(): readonly Uint8Array[] {
    return [...this.#groups.values()].map(({ groupId }) => groupId.slice());
  }

  #optionsOf<Command, Result>(options: GroupOptions<Command, Result>, key: string): RaftOptions<Command, Result> {
    const { id, random, disk, electionTimeoutMs } = this.#options;
    const groupId = options.groupId.slice();
    const logger = this.#logger.child({ group: key });
    const metrics = labelled(this.#metrics, { group: key });
    const clock = this.#clock;
    return {
      logStore: (): LogStore => this.#wal.store(groupId),
      ...options,
      id,
      transport: new GroupTransport(this.#transportOf(key)),
      clock,
      random,
      disk,
      electionTimeoutMs,
      groupId,
      snapshotDirectory: snapshotDirectoryOf(key),
      logger,
      metrics,
      limits: { ...this.#options.limits, ...options.limits },
    };
  }

  async forget(groupId: Uint8Array): Promise<void> {
    if (this.#stopping !== undefined) throw new RaftStoppedError();
    const key = checkedKey(groupId);
    if (this.#groups.has(key)) throw new RaftDuplicateGroupError(key);
    await this.#wal.forget(groupId);
    const { disk } = this.#options;
    const directory = snapshotDirectoryOf(key);
    for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`);
  }

  #transportOf(key: string): SharedTransport {
    return {
      transport: this.#options.transport,
      post: (to, frame) => {
        this.#outbox.add(to, frame);
        this.#clock.endTurn();
      },
      handle: (protocol, handler) => this.#switchboard.handle(key, protocol, handler),
    };
  }

  #linkOf(key: string, groupId: Uint8Array): HostLink {
    return {
      ticks: (target: TickerTarget): Ticks => {
        const metrics = labelled(this.#metrics, { group: key });
        const { electionTimeoutMs } = this.#options;
        const ticks: GroupTicks = new GroupTicks(this.#clock, electionTimeoutMs, target, metrics, () =>
          this.#ticks.delete(ticks),
        );
        this.#ticks.add(ticks);
        return ticks;
      },
      presence: this.#liveness.presenceOf(key),
      attach: (replica) => {
        this.#replicas.set(key, replica);
        return () => {
          if (this.#replicas.get(key) !== replica) return;
          this.#replicas.delete(key);
          this.#liveness.changed(key);
        };
      },
      changed: () => this.#liveness.changed(key),
      offer: (term, peers) => this.#liveness.offer(key, groupId, term, peers),
    };
  }

  turnOver(): void {
    this.#outbox.flush(this.#liveness);
  }

  stalled(): void {
    this.#metrics.count("revoada_raft_stalls_total");
    for (const ticks of this.#ticks) ticks.stalled();
  }

  failed(error: unknown): void {
    this.#logger.error("a group threw where it should not", { error });
  }

  shutdown(): Promise<void> {
    this.#stopping ??= this.#shutDown();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #shutDown(): Promise<void> {
    await Promise.all([...this.#groups.values()].map(({ consensus }) => consensus.shutdown()));
    this.#outbox.flush(this.#liveness);
    this.#switchboard.stop();
    this.#liveness.stop();
    this.#clock.stop();
    if (this.#options.wal !== undefined) return;
    await this.#wal.close().catch((error: unknown) => this.#logger.warn("the log could not be closed", { error }));
  }
}
