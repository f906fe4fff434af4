import {
  InvariantError,
  type AppliedEntry,
  type ApplyContext,
  type Attestor,
  type ClusterId,
  type Configuration,
  type LogIndex,
  type MachinePosition,
  type MachineSnapshot,
  type MachineStore,
  type StateMachine,
  type StoreTransaction,
  type SubMachine,
  type Term,
} from "@revoada/fabric";
import { textKey } from "../codec.ts";
import { openEnvelope } from "./envelope.ts";
import { FormationMachine } from "./formation-machine.ts";
import { MachineRefusal } from "./result.ts";
import { hashTrees, SnapshotReader, writeSnapshot } from "./snapshot.ts";
import { decodePosition, encodePosition } from "./state-codec.ts";
import { TokenMachine } from "./token-machine.ts";
import { trees } from "./trees.ts";

const positionKey = textKey("position");
const origin: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };

export interface ClusterMachineOptions {
  readonly store: MachineStore;
  readonly attestor: Attestor;
  readonly clusterId: ClusterId;
  /** The catalog's sub-machine. */
  readonly catalog: SubMachine;
}

/** A state hash and the log index that it is of: hashes are compared at one index only. */
export interface StateHash {
  readonly appliedIndex: LogIndex;
  readonly hash: string;
}

/**
 * The one machine: a versioned envelope routed to sub-machines that all write in one transaction with the applied index and the
 * configuration, so that no crash can split them.
 */
export class ClusterMachine implements StateMachine<Uint8Array, Uint8Array> {
  readonly formation: FormationMachine;
  readonly durable: boolean;
  readonly #store: MachineStore;
  readonly #clusterId: ClusterId;
  readonly #tokens = new TokenMachine();
  readonly #catalog: SubMachine;
  readonly #listeners = new Set<() => void>();
  #position: MachinePosition = origin;
  #flushed: LogIndex = origin.index;

  constructor(options: ClusterMachineOptions) {
    this.#store = options.store;
    this.#clusterId = options.clusterId;
    this.#catalog = options.catalog;
    this.durable = options.store.durable;
    this.formation = new FormationMachine(options.attestor);
    this.#reload();
    this.#refuseOtherCluster();
    // What a durable store gives back after a start has been flushed before.
    if (this.durable) this.#flushed = this.#position.index;
  }

  /** Calls `listener` after each applied batch and each restored snapshot, until the returned function is called. */
  onApplied(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  position(): MachinePosition {
    return this.#position;
  }

  flushedIndex(): LogIndex {
    return this.#flushed;
  }

  async flush(): Promise<void> {
    const { index } = this.#position;
    await this.#store.flush();
    if (this.durable && index > this.#flushed) this.#flushed = index;
  }

  apply(entries: readonly AppliedEntry<Uint8Array>[]): readonly (Uint8Array | undefined)[] {
    let position = this.#position;
    let results: readonly (Uint8Array | undefined)[];
    try {
      results = this.#store.transact((transaction) => {
        const applied = entries.map((entry) => {
          if (entry.index !== position.index + 1) {
            throw new InvariantError(`entry ${entry.index} cannot be applied behind ${position.index}`);
          }
          position = advance(position, entry);
          if (entry.kind !== "command") return undefined;
          return this.#route(transaction, entry.command, entry, position.configuration);
        });
        transaction.put(trees.position, positionKey, encodePosition(position));
        return applied;
      });
    } catch (error) {
      // The transaction is gone, and so must be what the sub-machines cached of it.
      this.#reload();
      throw error;
    }
    this.#position = position;
    for (const machine of this.#machines()) machine.committed();
    this.#announce();
    return results;
  }

  async snapshot(): Promise<MachineSnapshot> {
    const view = this.#store.view();
    const bytes = view.get(trees.position, positionKey);
    const position = bytes === undefined ? origin : (decodePosition(bytes) as MachinePosition);
    return {
      position,
      chunks: () => writeSnapshot(view, this.#clusterId, this.#replicated()),
      dispose: () => view.dispose(),
    };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const replacement = await this.#store.replace();
    try {
      const reader = new SnapshotReader(replacement, this.#clusterId, this.#replicated());
      for await (const chunk of chunks) {
        reader.push(chunk);
        await replacement.drained();
      }
      reader.finish();
      replacement.put(trees.position, positionKey, encodePosition(position));
      await replacement.commit();
    } catch (error) {
      await replacement.abandon();
      throw error;
    }
    this.#reload();
    await this.flush();
    this.#announce();
  }

  /** The hash of everything replicated, at the index that was applied when this was called. */
  async stateHash(): Promise<StateHash> {
    const view = this.#store.view();
    try {
      const bytes = view.get(trees.position, positionKey);
      const appliedIndex = (bytes === undefined ? 0 : decodePosition(bytes).index) as LogIndex;
      return { appliedIndex, hash: await hashTrees(view, this.#replicated()) };
    } finally {
      view.dispose();
    }
  }

  #route(
    transaction: StoreTransaction,
    bytes: Uint8Array,
    entry: { readonly index: LogIndex; readonly term: Term },
    configuration: Configuration | undefined,
  ): Uint8Array {
    const { kind, body } = openEnvelope(bytes);
    const state = this.formation.state;
    const context: ApplyContext = {
      clusterId: this.#clusterId,
      index: entry.index,
      term: entry.term,
      timeMs: state?.timeMs ?? 0,
      writable: state?.formed ?? false,
    };
    switch (kind) {
      case "genesis":
        return this.formation.applyGenesis(transaction, body, this.#clusterId);
      case "formation":
        return this.formation.apply(transaction, body, context, configuration);
      case "decided":
        return this.formation.applyDecided(transaction, body, context, configuration);
      case "seal":
        return this.formation.applySeal(transaction, body);
      case "cosignature":
        return this.formation.applyCosignature(transaction, body);
      case "order":
        return this.formation.applyOrder(transaction, body, context);
      case "drop":
        return this.formation.applyDrop(transaction, body);
      case "token":
        return this.#tokens.apply(transaction, body, context);
      case "catalog":
      case "leases":
        return this.#catalog.apply(transaction, body, context);
    }
  }

  #machines(): readonly SubMachine[] {
    return [this.formation, this.#tokens, this.#catalog];
  }

  #replicated(): readonly string[] {
    return this.#machines().flatMap((machine) => machine.trees);
  }

  #reload(): void {
    const bytes = this.#store.get(trees.position, positionKey);
    this.#position = bytes === undefined ? origin : (decodePosition(bytes) as MachinePosition);
    for (const machine of this.#machines()) machine.restored(this.#store);
  }

  /** A store that was filled for another cluster would vote and answer with that cluster's state. */
  #refuseOtherCluster(): void {
    const found = this.formation.state?.genesis.clusterId;
    if (found === undefined || found === this.#clusterId) return;
    throw new MachineRefusal("CLUSTER_OTHER_GENESIS", `the store holds cluster ${found}, expected ${this.#clusterId}`);
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }
}

function advance(position: MachinePosition, entry: AppliedEntry<Uint8Array>): MachinePosition {
  const { index, term } = entry;
  if (entry.kind === "configuration") return { index, term, configuration: entry.configuration };
  return { ...position, index, term };
}
