import {
  type AppliedEntry,
  type Attestor,
  type ClusterId,
  type Configuration,
  type LogBatch,
  type LogEntry,
  type LogIndex,
  type LogStore,
  type MachineStore,
  type NodeId,
  type RecoveredLog,
  type SubMachine,
  type Term,
} from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import { sealEnvelope, type CommandKind } from "../machine/envelope.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { ClusterMachine } from "../machine/machine.ts";
import { openResult } from "../machine/result.ts";

/** The log and the state of a stopped node, for whoever acts on it while nobody else does. */
export interface OfflineOptions {
  readonly attestor: Attestor;
  readonly clusterId: ClusterId;
  /** The node's own log, open. Read only here. */
  readonly log: LogStore;
  readonly recovered: RecoveredLog;
  /** A copy of the node's state. It is written to and must be thrown away. */
  readonly scratch: MachineStore;
  readonly catalog: SubMachine;
  readonly encodeConfiguration: (configuration: Configuration) => Uint8Array;
  readonly decodeConfiguration: (payload: Uint8Array) => Configuration;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

const readBytes = 4 * 1024 * 1024;

/**
 * Entries for the end of a stopped node's log, tried out on a copy of its state first: what they will do is known before they are
 * written. They go into the log as one batch, all or none, in a term of their own.
 */
export class OfflineLog {
  readonly #options: OfflineOptions;
  readonly #machine: ClusterMachine;
  readonly #entries: LogEntry[] = [];
  readonly term: Term;

  private constructor(options: OfflineOptions, machine: ClusterMachine) {
    this.#options = options;
    this.#machine = machine;
    this.term = (options.recovered.hardState.term + 1) as Term;
  }

  /** Brings the copy up to the end of the log, whether or not its last entries were known to be committed. */
  static async open(options: OfflineOptions): Promise<OfflineLog> {
    const { attestor, clusterId, log, recovered, scratch, catalog } = options;
    if (recovered.integrity !== "ok")
      throw refusal("its log is damaged: revoada wal verify says where; another survivor may hold a whole one");
    const machine = new ClusterMachine({ store: scratch, attestor, clusterId, catalog });
    const { index, term } = machine.position();
    const fits = index >= recovered.base.index && index <= recovered.lastIndex;
    if (!fits || (index > 0 && log.term(index) !== term))
      throw refusal(`its state is at entry ${index}, its log does not go on from there`);
    const offline = new OfflineLog(options, machine);
    for (let from = index + 1; from <= recovered.lastIndex;) {
      const entries = await log.read(from as LogIndex, (recovered.lastIndex + 1) as LogIndex, readBytes);
      if (entries.length === 0) throw refusal(`entry ${from} of its log cannot be read`);
      machine.apply(entries.map((entry) => offline.#applied(entry)));
      from += entries.length;
    }
    return offline;
  }

  /** Formation, chain and seals at the end of the log, what was added here included. */
  get state(): FormationState {
    const { state } = this.#machine.formation;
    if (state === undefined) throw refusal("it has applied no genesis");
    return state;
  }

  /** The configuration in force at the end of the log. */
  get configuration(): Configuration {
    const { configuration } = this.#machine.position();
    const known = configuration ?? this.#options.recovered.base.configuration;
    if (known === undefined) throw refusal("its log names nobody who votes");
    return known;
  }

  /** Adds a command. Throws what the machine refuses it with; nothing was added then. */
  addCommand(kind: CommandKind, body: Uint8Array): void {
    openResult(this.#add("command", sealEnvelope(kind, body)) as Uint8Array);
  }

  addConfiguration(configuration: Configuration): void {
    this.#add("configuration", this.#options.encodeConfiguration(configuration));
  }

  /** What was added, for the log. `vote` is whose term this was. */
  batch(vote: string): LogBatch {
    const { commitIndex } = this.#options.recovered.hardState;
    return { hardState: { term: this.term, vote, commitIndex }, entries: [...this.#entries] };
  }

  #add(kind: "command" | "configuration", payload: Uint8Array): Uint8Array | undefined {
    const index = (this.#machine.position().index + 1) as LogIndex;
    const entry: LogEntry = { index, term: this.term, kind, payload };
    const [result] = this.#machine.apply([this.#applied(entry)]);
    this.#entries.push(entry);
    return result;
  }

  #applied({ index, term, kind, payload }: LogEntry): AppliedEntry<Uint8Array> {
    if (kind === "command") return { kind, index, term, command: payload };
    if (kind === "noop") return { kind, index, term };
    return { kind, index, term, configuration: this.#options.decodeConfiguration(payload) };
  }
}

/** True where a log names nobody but this node as a voter, in no half of a change. */
export function isAlone({ voters, outgoing }: Configuration, node: NodeId): boolean {
  return outgoing === undefined && voters.length === 1 && voters[0]?.id === node;
}

/** The refusal of an act on a stopped node; nothing was changed. */
export function refusal(why: string): CommandRefusedError {
  return new CommandRefusedError("CLUSTER_OFFLINE_REFUSED", why);
}
