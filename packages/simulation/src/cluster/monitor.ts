import { createHash } from "node:crypto";
import { commandKinds } from "@revoada/cluster";
import {
  replicasOf,
  type AppliedEntry,
  type Configuration,
  type ConsensusStatus,
  type Formation,
  type HardState,
  type NodeId,
  type StoreReader,
} from "@revoada/fabric";
import { parseFencedWrite } from "./duty-workload.ts";
import type { Totals } from "./totals.ts";
import type { Trace } from "../trace.ts";
import { require } from "../violation.ts";

/** At every index divisible by this, each replica's whole state is hashed and compared. */
export const hashEveryEntries = 64;

interface Committed {
  readonly term: number;
  readonly digest: string;
}

interface NodeHistory {
  term: number;
  commitIndex: number;
  appliedIndex: number;
  /** What is durable in its log, whether or not the process lives: index → term, above the base. */
  readonly durable: Map<number, number>;
  /** Everything up to here is in a snapshot that is durable. */
  baseIndex: number;
  durableTerm: number;
  durableVote: string | undefined;
  /** Which life of the process the above is of; commit and applied start again with it. */
  life: number;
}

/** Watches every replica of a run and throws at the first broken invariant. */
export class Monitor {
  readonly #totals: Totals;
  readonly #trace: Trace;
  readonly #nowMs: () => number;
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed = new Map<number, Committed>();
  readonly #hashes = new Map<number, string>();
  readonly #votersAt = new Map<number, string>();
  /** From which generation on a node has a tombstone, as far as that was seen. */
  readonly #removedAt = new Map<NodeId, number>();
  readonly #nodes = new Map<NodeId, NodeHistory>();
  /** Number of a fenced write → where it stands in the log. */
  readonly #fencedAt = new Map<number, number>();
  #highest = 0;

  constructor(totals: Totals, trace: Trace, nowMs: () => number) {
    this.#totals = totals;
    this.#trace = trace;
    this.#nowMs = nowMs;
  }

  /** The highest index that any replica has applied. */
  get highestCommitted(): number {
    return this.#highest;
  }

  /** A machine goes on under another key: what its disk has promised it has promised still. */
  renamed(before: NodeId, after: NodeId): void {
    const history = this.#history(before);
    this.#nodes.set(after, { ...history, durable: new Map(history.durable) });
  }

  started(node: NodeId): void {
    const history = this.#history(node);
    history.life += 1;
    history.commitIndex = 0;
    history.appliedIndex = 0;
  }

  /** Checks one replica's own promises: what only rises, and who leads. */
  observe(node: NodeId, status: ConsensusStatus): void {
    const history = this.#history(node);
    require(status.term >= history.term, "monotonic-term", () =>
      `${node} went from term ${history.term} to ${status.term}`);
    require(status.commitIndex >= history.commitIndex, "monotonic-commit", () =>
      `${node} went from ${history.commitIndex} to ${status.commitIndex}`);
    require(status.appliedIndex >= history.appliedIndex, "monotonic-applied", () =>
      `${node} went from ${history.appliedIndex} to ${status.appliedIndex}`);
    require(status.appliedIndex <=
      Math.min(
        status.commitIndex,
        Math.max(status.durableIndex, status.firstIndex - 1),
      ), "applied-within-durable", () =>
      `${node} applied ${status.appliedIndex}, committed ${status.commitIndex}, durable ${status.durableIndex}`);
    history.term = status.term;
    history.commitIndex = status.commitIndex;
    history.appliedIndex = status.appliedIndex;
    if (status.role === "leader") this.#observeLeader(node, status);
  }

  #observeLeader(node: NodeId, status: ConsensusStatus): void {
    const known = this.#leaders.get(status.term);
    require(known === undefined || known === node, "election-safety", () =>
      `term ${status.term} is led by ${known} and ${node}`);
    if (known !== undefined) return;
    this.#leaders.set(status.term, node);
    this.#totals.elections += 1;
    this.#trace.record(this.#nowMs(), node.slice(-8), `leads term ${status.term}`);
    require(status.lastIndex >= this.#highest, "leader-completeness", () =>
      `${node} leads with ${status.lastIndex}, ${this.#highest} is committed`);
  }

  /** Called with what a replica is about to apply. */
  applying(node: NodeId, entries: readonly AppliedEntry<Uint8Array>[], status: ConsensusStatus | undefined): void {
    for (const entry of entries) {
      const digest = digestOf(entry);
      const known = this.#committed.get(entry.index);
      require(known === undefined ||
        (known.term === entry.term && known.digest === digest), "state-machine-safety", () =>
        `${node} applies another entry at ${entry.index} (term ${entry.term}, was ${known?.term})`);
      if (known !== undefined) continue;
      require(entry.index === this.#highest + 1, "committed-in-order", () => `${entry.index} follows ${this.#highest}`);
      this.#committed.set(entry.index, { term: entry.term, digest });
      this.#highest = entry.index;
      this.#trace.hash(this.#nowMs(), node.slice(-8), `commits ${entry.index} of term ${entry.term} as ${digest}`);
      if (entry.kind === "configuration") this.#observeConfiguration(entry.configuration);
      if (entry.kind === "command") this.#observeFenced(entry.command, entry.index);
      if (status !== undefined) this.#requireQuorum(node, entry, status.configuration);
    }
  }

  #observeFenced(command: Uint8Array, index: number): void {
    if (command[1] !== commandKinds.leases) return;
    const write = parseFencedWrite(Buffer.from(command).toString("latin1"));
    if (write !== undefined) this.#fencedAt.set(write.number, index);
  }

  /** Where in the log a fenced write stands, accepted or not. */
  fencedAt(number: number): number | undefined {
    return this.#fencedAt.get(number);
  }

  /** What is committed must be durable on a majority, wherever it is first applied. */
  #requireQuorum(
    node: NodeId,
    { index, term }: { readonly index: number; readonly term: number },
    configuration: Configuration,
  ): void {
    const holds = (id: NodeId): boolean => {
      const history = this.#history(id);
      return history.durable.get(index) === term || history.baseIndex >= index;
    };
    for (const voters of [configuration.voters, configuration.outgoing]) {
      if (voters === undefined || voters.length === 0) continue;
      const holders = voters.filter(({ id }) => holds(id)).length;
      require(holders > voters.length / 2, "committed-on-quorum", () =>
        `${node} applies ${index}, durable on ${holders} of ${voters.length}`);
    }
  }

  #observeConfiguration(configuration: Configuration): void {
    const joint = configuration.outgoing !== undefined;
    const voters = configuration.voters
      .map(({ id, storeId }) => `${id}:${storeId}`)
      .toSorted()
      .join();
    require(configuration.voters.length % 2 === 1, "odd-voters", () =>
      `${configuration.voters.length} voters at generation ${configuration.generation}`);
    require(new Set(configuration.voters.map(({ storeId }) => storeId)).size ===
      configuration.voters.length, "one-seat-for-a-machine", () =>
      `one store votes twice at generation ${configuration.generation}: ${voters}`);
    const expected = this.#votersAt.get(configuration.generation);
    // The founder's own configuration is older than the formation.
    if (expected !== undefined && configuration.generation > 0) {
      require(expected === voters, "configuration-is-formation", () =>
        `generation ${configuration.generation} has other voters than the log`);
    }
    if (!joint) this.#totals.membershipChanges += 1;
  }

  /** Notes the formation after a replica applied something. */
  observeFormation(formation: Formation): void {
    const voters = replicasOf(formation, "voter")
      .map((id) => `${id}:${formation.nodes.get(id)?.storeId}`)
      .join();
    const known = this.#votersAt.get(formation.generation);
    require(known === undefined || known === voters, "one-formation-per-generation", () =>
      `generation ${formation.generation} has two voter sets`);
    this.#votersAt.set(formation.generation, voters);
    if (known === undefined) this.#observeRecords(formation);
  }

  /** One machine has one seat whatever its keys, who was removed stays so, and who was let in for one role is given no other. */
  #observeRecords({ generation, nodes, tombstones }: Formation): void {
    const seats = new Map<string, NodeId>();
    for (const [id, { storeId, replica, role, state, limitedTo }] of nodes) {
      const removedAt = this.#removedAt.get(id) ?? Number.POSITIVE_INFINITY;
      require(generation < removedAt, "tombstones-hold", () => `${id} is ${state} at ${generation} after its removal`);
      const withinLimit = limitedTo === undefined || ((role ?? limitedTo) === limitedTo && replica !== "voter");
      require(withinLimit, "limits-hold", () =>
        `${id} is ${role} and ${replica} at ${generation}, its token lets it be ${limitedTo}`);
      if (replica !== "voter") continue;
      const other = seats.get(storeId);
      require(other === undefined, "one-seat-for-a-machine", () =>
        `${id} and ${other} both vote with store ${storeId} at ${generation}`);
      seats.set(storeId, id);
    }
    for (const [id, removedAt] of this.#removedAt)
      require(generation < removedAt || tombstones.has(id), "tombstones-hold", () =>
        `${id} has no tombstone any more at ${generation}`);
    for (const id of tombstones)
      this.#removedAt.set(id, Math.min(generation, this.#removedAt.get(id) ?? Number.POSITIVE_INFINITY));
  }

  /** Counts what a crash had left half written. */
  logTorn(): void {
    this.#totals.tornWrites += 1;
  }

  /**
   * Notes what a log was found to hold. What a replica knew beyond it was never durable, so nothing of it has left the node; a term
   * or a vote that was durable must be there.
   */
  logOpened(
    node: NodeId,
    found: {
      readonly hardState: HardState;
      readonly baseIndex: number;
      readonly terms: readonly (readonly [number, number])[];
    },
  ): void {
    const history = this.#history(node);
    const { term, vote } = found.hardState;
    const { durableTerm, durableVote } = history;
    require(term >= durableTerm, "durable-term", () =>
      `${node} opens its log at term ${term}, ${durableTerm} was durable`);
    const sameVote = term > durableTerm || durableVote === undefined || vote === durableVote;
    require(sameVote, "durable-vote", () => `${node} voted for ${durableVote} in term ${term} and now for ${vote}`);
    history.term = term;
    history.commitIndex = 0;
    history.baseIndex = found.baseIndex;
    history.durable.clear();
    for (const [index, entryTerm] of found.terms) history.durable.set(index, entryTerm);
  }

  /** Notes a term and a vote that a log holds from now on, whatever happens. */
  hardStateDurable(node: NodeId, { term, vote }: HardState): void {
    const history = this.#history(node);
    require(term >= history.durableTerm, "monotonic-term", () =>
      `${node} stores term ${term} after ${history.durableTerm}`);
    const voted = term > history.durableTerm ? undefined : history.durableVote;
    require(voted === undefined || vote === voted, "one-vote-a-term", () =>
      `${node} votes for ${vote} and ${voted} in term ${term}`);
    history.durableTerm = term;
    history.durableVote = vote;
  }

  /** Notes an entry that a log holds from now on, whatever happens. */
  logDurable(node: NodeId, index: number, term: number): void {
    this.#history(node).durable.set(index, term);
  }

  logTruncated(node: NodeId, fromIndex: number): void {
    const { durable } = this.#history(node);
    if (durable.has(fromIndex)) this.#totals.truncations += 1;
    for (let index = fromIndex; durable.delete(index); index += 1);
  }

  logReset(node: NodeId, baseIndex: number): void {
    const history = this.#history(node);
    history.baseIndex = baseIndex;
    history.durable.clear();
    this.#totals.snapshotInstalls += 1;
  }

  /** Compares a replica's state at an index with what others had there. */
  observeState(node: NodeId, index: number, store: StoreReader, trees: readonly string[]): void {
    const hash = hashOf(store, trees);
    const known = this.#hashes.get(index);
    require(known === undefined || known === hash, "equal-state", () => `${node} has another state at index ${index}`);
    this.#hashes.set(index, hash);
  }

  /** How many indexes were compared, and on how many entries. */
  compared(): { readonly states: number; readonly entries: number } {
    return { states: this.#hashes.size, entries: this.#committed.size };
  }

  #history(node: NodeId): NodeHistory {
    let history = this.#nodes.get(node);
    if (history === undefined) {
      history = {
        term: 0,
        commitIndex: 0,
        appliedIndex: 0,
        durable: new Map(),
        baseIndex: 0,
        durableTerm: 0,
        durableVote: undefined,
        life: 0,
      };
      this.#nodes.set(node, history);
    }
    return history;
  }
}

function digestOf(entry: AppliedEntry<Uint8Array>): string {
  const hash = createHash("sha256").update(entry.kind);
  if (entry.kind === "command") hash.update(entry.command);
  if (entry.kind === "configuration") hash.update(JSON.stringify(entry.configuration));
  return hash.digest("base64url");
}

function hashOf(store: StoreReader, trees: readonly string[]): string {
  const hash = createHash("sha256");
  for (const tree of trees) {
    hash.update(`\0${tree}\0`);
    for (const { key, value } of store.range(tree))
      hash.update(`${key.length}:${value.length}:`).update(key).update(value);
  }
  return hash.digest("base64url");
}
