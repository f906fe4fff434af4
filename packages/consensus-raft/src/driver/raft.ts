import {
  type Committed,
  type Configuration,
  type Consensus,
  type ConsensusStatus,
  describeValue,
  type Generation,
  isFabricError,
  type LogIndex,
  type NodeId,
  type ReplicaId,
  type StateMachine,
  type StoreId,
  type Term,
} from "@revoada/fabric";
import { checkConfiguration } from "../core/configuration.ts";
import { RaftBadCommandError, RaftNotLeaderError, RaftStoppedError } from "../errors.ts";
import type { HostLink } from "./host-link.ts";
import { checkTimeout, resolveOptions, type RaftOptions, type ResolvedOptions } from "./options.ts";
import { MachineRunner } from "./machine-runner.ts";
import { Replica } from "./replica.ts";
import type { SessionLimits } from "../sessions/core/limits.ts";
import { envelopedOptions, sessionedRaft, type SessionedConsensus } from "../sessions/sessioned-raft.ts";

const emptyConfiguration: Configuration = { voters: [], learners: [], generation: 0 as Generation };
const noStore = "0".repeat(32) as StoreId;

/**
 * Makes one replica of a replicated log. It takes part from `start` on, over a transport that the caller has started.
 *
 * Without `bootstrap` and without a log it is an outsider: it waits until a leader that was told of it, by `changeVoters`,
 * makes contact. The machine decides which bytes mean what; the log only orders them. With `sessions`, clients may open some.
 */
export function raft<Command, Result>(
  options: RaftOptions<Command, Result> & { readonly sessions: Partial<SessionLimits> },
): SessionedConsensus<Command, Result>;
export function raft<Command, Result>(options: RaftOptions<Command, Result>): Consensus<Command, Result>;
export function raft<Command, Result>(options: RaftOptions<Command, Result>): Consensus<Command, Result> {
  if (options.sessions === undefined) return new Raft(resolveOptions(options));
  const resolved = resolveOptions(envelopedOptions(options));
  return sessionedRaft(options, resolved, new Raft(resolved));
}

/** Makes one replica of a group that shares its host with others, `within` what the host puts around each of them. */
export function groupReplica<Command, Result>(
  options: RaftOptions<Command, Result>,
  host: HostLink,
  within: <C, R>(replica: Consensus<C, R>) => Consensus<C, R>,
): Consensus<Command, Result> {
  if (options.sessions === undefined) return within(new Raft({ ...resolveOptions(options), host }));
  const resolved = { ...resolveOptions(envelopedOptions(options)), host };
  return sessionedRaft(options, resolved, within(new Raft(resolved)));
}

/** Members and nothing but members: callers may hand in objects that know more. */
function plain(members: readonly ReplicaId[]): readonly ReplicaId[] {
  return members.map(({ id, storeId }) => ({ id, storeId }));
}

class Raft<Command, Result> implements Consensus<Command, Result> {
  readonly #options: ResolvedOptions<Command, Result>;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  #state: "new" | "starting" | "running" | "stopped" = "new";
  #replica: Replica<Command, Result> | undefined;
  #stopCause: unknown;
  #stopping: Promise<void> | undefined;

  constructor(options: ResolvedOptions<Command, Result>) {
    this.#options = options;
  }

  async start(machine: StateMachine<Command, Result>): Promise<void> {
    if (this.#state !== "new") throw new RaftStoppedError(new Error(`it was started before and is ${this.#state}`));
    this.#state = "starting";
    const { codec } = this.#options;
    const runner = new MachineRunner(
      machine,
      (bytes) => codec.decodeCommand(bytes),
      (error) => replica.fail(error),
    );
    const replica: Replica<Command, Result> = new Replica(this.#options, runner, {
      changed: () => this.#notify(),
      stopped: (error) => this.#onStopped(error),
    });
    try {
      await replica.open();
    } catch (error) {
      if (this.#state === "starting") this.#state = "new";
      throw error;
    }
    // A shutdown may have overtaken the start.
    if (this.#state !== "starting") {
      await replica.shutdown();
      throw new RaftStoppedError();
    }
    this.#replica = replica;
    this.#state = "running";
    replica.takePart();
  }

  propose(
    command: Command,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Committed<Result>> {
    return new Promise((resolve, reject) => {
      const { proposals } = this.#running();
      const timeoutMs = checkTimeout(options.timeoutMs);
      const payload = this.#encode(command);
      proposals.submit(
        payload,
        {
          ...(options.signal === undefined ? {} : { signal: options.signal }),
          ...(timeoutMs === undefined ? {} : { timeoutMs }),
          ...(this.#options.forward ? {} : { localOnly: "once a leader is known" as const }),
        },
        resolve,
        reject,
      );
    });
  }

  #encode(command: Command): Uint8Array {
    let payload: unknown;
    try {
      payload = this.#options.codec.encodeCommand(command);
    } catch (error) {
      if (isFabricError(error, "RAFT_BAD_COMMAND")) throw error;
      throw new RaftBadCommandError(error instanceof Error ? error.message : String(error), error);
    }
    if (payload instanceof Uint8Array) return payload;
    throw new RaftBadCommandError(`the codec made ${describeValue(payload)} of it`);
  }

  async readBarrier(options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {}): Promise<LogIndex> {
    checkTimeout(options.timeoutMs);
    return this.#running().reads.wait(options);
  }

  status(): ConsensusStatus {
    const { id } = this.#options;
    const replica = this.#replica;
    if (replica !== undefined) return replica.status(this.#state === "stopped");
    const zero = 0 as LogIndex;
    return {
      id,
      storeId: noStore,
      role: "stopped",
      term: 0 as Term,
      firstIndex: zero,
      lastIndex: zero,
      durableIndex: zero,
      commitIndex: zero,
      appliedIndex: zero,
      configuration: emptyConfiguration,
      configurationIndex: zero,
      quorum: false,
      quorumSinceMs: 0,
      progress: new Map(),
      storage: "ok",
    };
  }

  onChange(listener: (status: ConsensusStatus) => void): () => void {
    // One function may listen twice; each listening ends for itself.
    const own = (status: ConsensusStatus): void => listener(status);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async changeVoters(
    change: {
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
      readonly generation: Generation;
    },
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const target: Configuration = {
      voters: plain(change.voters),
      learners: plain(change.learners),
      generation: change.generation,
    };
    checkConfiguration(target, "change");
    const replica = this.#running();
    if (!replica.isLeader) throw this.#notLeader(replica);
    // Confirms the leadership, and with it that an entry of the own term has committed.
    await replica.reads.wait({ ...options, indexOnly: true });
    await replica.control.change(target, options.signal);
  }

  async transferLeadership(
    to: NodeId,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<void> {
    const replica = this.#running();
    if (!replica.isLeader) throw this.#notLeader(replica);
    const timeoutMs = checkTimeout(options.timeoutMs) ?? 3 * this.#options.electionTimeoutMs;
    await replica.control.transfer(to, timeoutMs, options.signal);
  }

  shutdown(): Promise<void> {
    this.#stopping ??= this.#shutDown();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #shutDown(): Promise<void> {
    this.#state = "stopped";
    await this.#replica?.shutdown();
    this.#notify();
  }

  #running(): Replica<Command, Result> {
    if (this.#state === "running" && this.#replica !== undefined) return this.#replica;
    throw new RaftStoppedError(this.#stopCause);
  }

  #notLeader(replica: Replica<Command, Result>): RaftNotLeaderError {
    return new RaftNotLeaderError(replica.knownLeader());
  }

  /** The replica gave up by itself: its machine or an invariant broke. */
  #onStopped(error: unknown): void {
    this.#state = "stopped";
    this.#stopCause = error;
    this.#options.logger.error("the replica has stopped", { error });
    this.#notify();
  }

  #notify(): void {
    if (this.#listeners.size === 0) return;
    const status = this.status();
    for (const listener of this.#listeners) {
      try {
        listener(status);
      } catch (error) {
        this.#options.logger.error("a listener threw", { error });
      }
    }
  }
}
