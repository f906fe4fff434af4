import {
  applyFormationCommand,
  genesisFormation,
  isRecovery,
  replicasOf,
  shortId,
  type ApplyContext,
  type Attestor,
  type Block,
  type ChainHead,
  type ChainState,
  type ChainTip,
  type ClusterId,
  type Configuration,
  type Declared,
  type Formation,
  type FormationCommand,
  type FormationStep,
  type Generation,
  type Genesis,
  type Hash,
  type NodeId,
  type Seal,
  type StoreReader,
  type StoreTransaction,
  type SubMachine,
} from "@revoada/fabric";
import { isFormed } from "@revoada/topology";
import { decodeCanonical, encodeCanonical, orderedKey, textKey, textOfKey } from "../codec.ts";
import { checkDeclared, checkSwitchStep } from "./declared.ts";
import { decodeDecided, keepDecision } from "./decision.ts";
import { noOrders, ordersAfter, ordersAfterApproval, type Orders } from "./orders.ts";
import { RecentShifts, type CommittedShift } from "./recent-shifts.ts";
import { leastKeptBlocks, maxBaseBytes, openDrop, segmentBlocks, type DropStatement } from "./drop.ts";
import { baseHead, dropBlocks, keptBase, keptRecords, sealedHeights } from "./kept-chain.ts";
import { MachineRefusal, readStored, settle, type CheckedCommand } from "./result.ts";
import { checkTime } from "../time.ts";
import { decodeRecord, encodeRecord } from "./state-codec.ts";
import { chargeTokens, dropTokens, writeTokens } from "./token-machine.ts";
import { trees } from "./trees.ts";

const keys = {
  genesis: textKey("genesis"),
  clusterId: textKey("cluster-id"),
  generation: textKey("generation"),
  head: textKey("head"),
  history: textKey("history"),
  sealed: textKey("sealed"),
  timeMs: textKey("time"),
  formed: textKey("formed"),
  sealVoters: textKey("seal-voters"),
  recoveries: textKey("recoveries"),
  declared: textKey("declared"),
  operators: textKey("operators"),
  operatorSigned: textKey("operator-signed"),
  orders: textKey("orders"),
} as const;

/** Formation, chain and seals as they are committed. Replaced as a whole, never changed in place. */
export interface FormationState {
  readonly genesis: Genesis;
  readonly formation: Formation;
  readonly head: ChainHead;
  /** The peaks over all blocks below the head: what the next block is made from. */
  readonly history: readonly Hash[];
  /** The highest sealed head; genesis where there is none yet. */
  readonly sealed: ChainHead;
  /** Committed time, milliseconds since the epoch. */
  readonly timeMs: number;
  /** True once a first shape stood. */
  readonly formed: boolean;
  readonly sealing: SealingVoters;
  /** The blocks by which one node went on alone after a majority was lost, in order; mostly none. */
  readonly recoveries: readonly ChainHead[];
  /**
   * The highest head that an operator vouches for, by a signature under it or because what led to it was approved of; genesis where there
   * is none yet, or no operator keys are in force.
   */
  readonly operatorSigned: ChainHead;
  /** What operators ordered and none has approved of yet. */
  readonly orders: Orders;
  /** The last block that was archived and dropped; genesis where none was. */
  readonly base: ChainHead;
}

/**
 * Who must sign the next seal. A command that changes the voters is in force for seals only once a seal of the voters before it
 * covers its last block; until then those voters go on sealing and no second such command is taken.
 */
export interface SealingVoters {
  readonly voters: readonly NodeId[];
  readonly pending?: { readonly endHeight: number; readonly voters: readonly NodeId[] };
}

function sameVoters(a: Formation, b: Formation): boolean {
  const voters = (formation: Formation): string =>
    replicasOf(formation, "voter")
      .map((id) => `${id}:${formation.nodes.get(id)?.storeId ?? ""}`)
      .join();
  return voters(a) === voters(b);
}

/**
 * Who seals once `height` is the last block. A command that moves voters waits until the one before it is vouched for: see the chain's
 * rules. After a recovery the survivor seals alone, whatever was not vouched for before: there is nobody else.
 */
function sealingAfter(
  state: FormationState,
  command: FormationCommand,
  formation: Formation,
  height: number,
): SealingVoters {
  if (isRecovery(command)) return { voters: [command.proposer] };
  if (sameVoters(state.formation, formation)) return state.sealing;
  const { voters, pending } = state.sealing;
  if (pending === undefined) return { voters, pending: { endHeight: height, voters: replicasOf(formation, "voter") } };
  throw new MachineRefusal(
    "CHAIN_UNSEALED_VOTER_CHANGE",
    `height ${pending.endHeight} moved voters and is not sealed yet`,
  );
}

/**
 * The sub-machine of genesis, formation commands and seals.
 *
 * Every check is made before the first write, so that a refused command leaves no trace in the transaction that it shares with
 * others. The state is cached; the cache follows the transaction and is thrown away with it.
 */
export class FormationMachine implements SubMachine {
  readonly name = "formation";
  readonly trees: readonly string[] = [
    trees.meta,
    trees.formation,
    trees.tombstones,
    trees.decisions,
    trees.blocks,
    trees.seals,
    trees.cosignatures,
  ];
  readonly #attestor: Attestor;
  #state: FormationState | undefined;
  readonly #recent = new RecentShifts();

  constructor(attestor: Attestor) {
    this.#attestor = attestor;
  }

  /** What is committed and applied here; undefined before genesis. */
  get state(): FormationState | undefined {
    return this.#state;
  }

  /** The shifts above a generation that were committed while this process ran, as far as they are remembered, in order. */
  shiftsAbove(generation: number): readonly CommittedShift[] {
    return this.#recent.above(generation);
  }

  /** `configuration`: the log's, as it is in force at this entry. */
  apply(
    transaction: StoreTransaction,
    command: Uint8Array,
    context: ApplyContext,
    configuration?: Configuration,
  ): Uint8Array {
    return settle(() => this.#checkCommand(transaction, command, context, configuration));
  }

  /** As {@link apply}, for a command that comes with the decision that it carries out. */
  applyDecided(
    transaction: StoreTransaction,
    body: Uint8Array,
    context: ApplyContext,
    configuration?: Configuration,
  ): Uint8Array {
    return settle(() => {
      const { command, decision } = decodeDecided(body);
      const checked = this.#checkCommand(transaction, command, context, configuration);
      const { baseGeneration, decisionHash } = this.#attestor.openCommand(command);
      // Only what the proposer signed for: anything else explains nothing.
      if (decision.length === 0 || this.#attestor.hash(decision) !== decisionHash) return checked;
      return {
        result: checked.result,
        write: () => {
          checked.write();
          keepDecision(transaction, baseGeneration, decision);
        },
      };
    });
  }

  applyGenesis(transaction: StoreTransaction, bytes: Uint8Array, clusterId: ClusterId): Uint8Array {
    return settle(() => this.#checkGenesis(transaction, bytes, clusterId));
  }

  applySeal(transaction: StoreTransaction, bytes: Uint8Array): Uint8Array {
    return settle(() => this.#checkSeal(transaction, bytes));
  }

  applyCosignature(transaction: StoreTransaction, bytes: Uint8Array): Uint8Array {
    return settle(() => this.#checkCosignature(transaction, bytes));
  }

  /** Has an operator's order wait for an approval, or drops one. */
  applyOrder(transaction: StoreTransaction, body: Uint8Array, context: ApplyContext): Uint8Array {
    return settle(() => {
      const state = this.#require();
      const orders = ordersAfter(this.#attestor, state, body, context);
      return {
        result: { ok: true, generation: state.formation.generation, height: state.head.height },
        write: () => {
          if (orders === state.orders) return;
          transaction.put(trees.meta, keys.orders, encodeCanonical(orders));
          this.#state = { ...state, orders };
        },
      };
    });
  }

  /** Drops a prefix of the chain, where that leaves enough for everybody to go on. */
  applyDrop(transaction: StoreTransaction, body: Uint8Array): Uint8Array {
    return settle(() => this.#checkDrop(transaction, body));
  }

  committed(): void {
    this.#recent.commit();
  }

  restored(store: StoreReader): void {
    this.#recent.drop();
    this.#state = readStored("formation", () => this.#load(store));
  }

  #require(): FormationState {
    if (this.#state === undefined) throw new MachineRefusal("CLUSTER_NO_GENESIS", "the cluster has no genesis yet");
    return this.#state;
  }

  #checkGenesis(transaction: StoreTransaction, bytes: Uint8Array, clusterId: ClusterId): CheckedCommand {
    if (this.#state !== undefined) throw new MachineRefusal("CLUSTER_GENESIS_EXISTS", "the cluster has its genesis");
    const genesis = this.#attestor.openGenesis(new Uint8Array(bytes));
    if (genesis.clusterId !== clusterId)
      throw new MachineRefusal("CLUSTER_OTHER_GENESIS", `genesis is of cluster ${genesis.clusterId}`);
    const formation = genesisFormation({ ...genesis, id: genesis.founder });
    const head = { height: 0, hash: genesis.clusterId as string as Hash };
    const sealing: SealingVoters = { voters: [genesis.founder] };
    return {
      result: { ok: true, generation: 0, height: 0 },
      write: () => {
        transaction.put(trees.meta, keys.genesis, genesis.bytes);
        transaction.put(trees.meta, keys.clusterId, textKey(clusterId));
        this.#writeFormation(transaction, undefined, formation);
        this.#writeHead(transaction, keys.head, head);
        this.#writeHead(transaction, keys.sealed, head);
        transaction.put(trees.meta, keys.timeMs, encodeCanonical(genesis.createdMs));
        const facts = {
          genesis,
          formation,
          head,
          history: [],
          sealed: head,
          sealing,
          operatorSigned: head,
          base: head,
        };
        this.#state = { ...facts, timeMs: genesis.createdMs, formed: false, recoveries: [], orders: noOrders };
      },
    };
  }

  #checkCommand(
    transaction: StoreTransaction,
    bytes: Uint8Array,
    context: ApplyContext,
    configuration: Configuration | undefined,
  ): CheckedCommand {
    const state = this.#require();
    const command = this.#attestor.openCommand(bytes);
    this.#checkOrigin(state, command, context, configuration);
    checkDeclared(state.formation, command);
    checkTime(command.timeMs);
    const timeMs = Math.max(state.timeMs, command.timeMs);
    const steps = applyFormationCommand(state.formation, { ...command, timeMs });
    this.#checkApproval(state, command);
    checkSwitchStep(state.formation, command, steps);
    const formation = steps.at(-1)?.formation ?? state.formation;
    const charged = chargeTokens(transaction, state.formation, steps, timeMs);
    const after = { formation, timeMs, recoveries: state.recoveries };
    const blocks = this.#makeBlocks({ ...state.head, history: state.history }, steps, bytes, context, after);
    const { height, hash, history }: ChainTip = blocks.at(-1) ?? { ...state.head, history: state.history };
    const recoveries =
      isRecovery(command) && blocks.length > 0 ? [...state.recoveries, { height, hash }] : state.recoveries;
    const next: FormationState = {
      ...state,
      formation,
      head: { height, hash },
      history,
      // What makes no block moves no time: the chain could not tell it, and would say otherwise than this state from there on.
      timeMs: blocks.length > 0 ? timeMs : state.timeMs,
      formed: state.formed || isFormed(formation),
      sealing: sealingAfter(state, command, formation, height),
      recoveries,
      operatorSigned: command.approval !== undefined && blocks.length > 0 ? { height, hash } : state.operatorSigned,
      orders: this.#ordersAfter(state, command),
    };
    return {
      result: { ok: true, generation: formation.generation, height },
      write: () => {
        for (const block of blocks) transaction.put(trees.blocks, orderedKey(block.height), block.bytes);
        writeTokens(transaction, charged);
        // They cannot name this block to whom they let in, and whoever was lost may have known them.
        if (isRecovery(command)) dropTokens(transaction);
        this.#writeShift(transaction, state, next);
        this.#state = next;
        this.#recent.note(steps, command);
      },
    };
  }

  #ordersAfter({ orders }: FormationState, { clusterId, transitions, approval }: FormationCommand): Orders {
    return approval === undefined ? orders : ordersAfterApproval(this.#attestor, clusterId, orders, transitions);
  }

  /** Who may approve was checked by the table; here, that it was made for these transitions upon this very head. */
  #checkApproval({ head }: FormationState, { clusterId, transitions, reason, approval }: FormationCommand): void {
    if (approval === undefined) return;
    if (this.#attestor.checkApproval({ clusterId, head, transitions, reason }, approval)) return;
    throw new MachineRefusal(
      "CHAIN_OTHER_APPROVAL",
      `${shortId(approval.operator)} did not approve of this upon height ${head.height}`,
    );
  }

  /** One block per transition that changed something. */
  #makeBlocks(
    head: ChainTip,
    steps: readonly FormationStep[],
    command: Uint8Array,
    context: ApplyContext,
    after: ChainState,
  ): readonly Block[] {
    const { term, index } = context;
    const blocks: Block[] = [];
    for (const [position, { ordinal, formation }] of steps.entries()) {
      const previous = blocks.at(-1) ?? head;
      const { generation } = formation;
      const ends = position === steps.length - 1 ? { after } : {};
      blocks.push(this.#attestor.makeBlock({ previous, generation, term, index, ordinal, command, ...ends }));
    }
    return blocks;
  }

  #writeShift(transaction: StoreTransaction, before: FormationState, after: FormationState): void {
    this.#writeFormation(transaction, before.formation, after.formation);
    this.#writeHead(transaction, keys.head, after.head);
    transaction.put(trees.meta, keys.history, encodeCanonical(after.history));
    transaction.put(trees.meta, keys.timeMs, encodeCanonical(after.timeMs));
    if (after.formed !== before.formed) transaction.put(trees.meta, keys.formed, encodeCanonical(true));
    if (after.sealing !== before.sealing) transaction.put(trees.meta, keys.sealVoters, encodeCanonical(after.sealing));
    if (after.recoveries !== before.recoveries)
      transaction.put(trees.meta, keys.recoveries, encodeCanonical(after.recoveries));
    if (after.operatorSigned !== before.operatorSigned)
      this.#writeHead(transaction, keys.operatorSigned, after.operatorSigned);
    if (after.orders !== before.orders) transaction.put(trees.meta, keys.orders, encodeCanonical(after.orders));
  }

  /** For this cluster, by a voter, in the term of its entry. */
  #checkOrigin(
    state: FormationState,
    command: FormationCommand,
    context: ApplyContext,
    configuration: Configuration | undefined,
  ): void {
    if (command.clusterId !== context.clusterId)
      throw new MachineRefusal("CLUSTER_OTHER_COMMAND", `the command is of cluster ${command.clusterId}`);
    if (isRecovery(command)) checkAlone(command.proposer, configuration);
    else if (state.formation.nodes.get(command.proposer)?.replica !== "voter") {
      throw new MachineRefusal("CLUSTER_NOT_A_VOTER", `proposer ${command.proposer} does not vote`);
    }
    if (command.term !== context.term) {
      throw new MachineRefusal(
        "CLUSTER_STALE_TERM",
        `the command is of term ${command.term}, its entry of term ${context.term}`,
      );
    }
  }

  #checkSeal(transaction: StoreTransaction, bytes: Uint8Array): CheckedCommand {
    const state = this.#require();
    const { head } = this.#openSeal(transaction, bytes, state);
    if (head.height <= state.sealed.height) {
      throw new MachineRefusal("CHAIN_ALREADY_SEALED", `height ${head.height} is sealed already`);
    }
    const { pending } = state.sealing;
    const sealing =
      pending !== undefined && head.height >= pending.endHeight ? { voters: pending.voters } : state.sealing;
    return {
      result: { ok: true, generation: state.formation.generation, height: head.height },
      write: () => {
        transaction.put(trees.seals, orderedKey(head.height), new Uint8Array(bytes));
        this.#writeHead(transaction, keys.sealed, head);
        if (sealing !== state.sealing) transaction.put(trees.meta, keys.sealVoters, encodeCanonical(sealing));
        this.#state = { ...state, sealed: head, sealing };
      },
    };
  }

  /**
   * Over a sealed head, by a key that was in force at its height and still is. Verifiers find it beside the seal; an operator who signs a
   * head vouches for everything below it too.
   */
  #checkCosignature(transaction: StoreTransaction, bytes: Uint8Array): CheckedCommand {
    const state = this.#require();
    const { head, operator } = this.#attestor.openCosignature(bytes, state.genesis.clusterId);
    const since = state.formation.operators?.get(operator);
    if (since === undefined || since > head.height)
      throw new MachineRefusal(
        "TOPOLOGY_NOT_AN_OPERATOR",
        `${shortId(operator)} is not an operator key in force, or was not at height ${head.height}`,
      );
    if (head.height <= state.operatorSigned.height)
      throw new MachineRefusal("CHAIN_ALREADY_SIGNED", `height ${head.height} is signed by an operator already`);
    const isSealed = transaction.get(trees.seals, orderedKey(head.height)) !== undefined;
    if (!isSealed || this.hashAt(transaction, head.height, state) !== head.hash)
      throw new MachineRefusal("CHAIN_OTHER_HEAD", `height ${head.height} has another hash here, or no seal`);
    return {
      result: { ok: true, generation: state.formation.generation, height: head.height },
      write: () => {
        transaction.put(trees.cosignatures, orderedKey(head.height), new Uint8Array(bytes));
        this.#writeHead(transaction, keys.operatorSigned, head);
        this.#state = { ...state, operatorSigned: head };
      },
    };
  }

  /**
   * What stands in the place of the blocks follows from them alone, here as on every replica. Nothing of it is the proposer's word but that there is
   * an archive.
   */
  #checkDrop(transaction: StoreTransaction, body: Uint8Array): CheckedCommand {
    const state = this.#require();
    const { head } = this.#openDrop(body, state);
    const result = { ok: true, generation: state.formation.generation, height: head.height } as const;
    if (head.height === state.base.height && head.hash === state.base.hash) return { result, write: () => undefined };
    const fault = dropFault(transaction, state, head.height);
    if (fault !== undefined) throw new MachineRefusal("CHAIN_DROP_REFUSED", fault);
    if (this.hashAt(transaction, head.height, state) !== head.hash)
      throw new MachineRefusal("CHAIN_OTHER_HEAD", `height ${head.height} has another hash here`);
    const before = keptBase(transaction);
    const base = this.#attestor.condense({
      genesis: state.genesis.bytes,
      ...(before === undefined ? {} : { from: before.checkpoint }),
      records: [...keptRecords(transaction, state.base.height, head.height, { cosignatures: false })],
    });
    if (base.checkpoint.length > maxBaseBytes)
      throw new MachineRefusal("CHAIN_DROP_REFUSED", `the state there has more than ${maxBaseBytes} bytes`);
    return {
      result,
      write: () => {
        dropBlocks(transaction, base, body);
        this.#state = { ...state, base: { height: head.height, hash: head.hash } };
      },
    };
  }

  #openDrop(body: Uint8Array, { genesis, formation }: FormationState): DropStatement {
    const drop = openDrop(body, this.#attestor);
    if (drop.clusterId !== genesis.clusterId)
      throw new MachineRefusal("CLUSTER_OTHER_COMMAND", `the drop is of cluster ${drop.clusterId}`);
    if (formation.nodes.get(drop.proposer)?.replica !== "voter")
      throw new MachineRefusal("CLUSTER_NOT_A_VOTER", `proposer ${drop.proposer} does not vote`);
    return drop;
  }

  #openSeal(store: StoreReader, bytes: Uint8Array, state: FormationState): Seal {
    const claimed = this.#attestor.readSeal(bytes).head;
    if (claimed.height <= state.base.height && state.base.height > 0)
      throw new MachineRefusal("CHAIN_ALREADY_SEALED", `height ${claimed.height} was sealed, and is archived`);
    const hash = this.hashAt(store, claimed.height, state);
    if (hash !== claimed.hash)
      throw new MachineRefusal("CHAIN_OTHER_HEAD", `height ${claimed.height} has another hash here`);
    return this.#attestor.openSeal(bytes, state.genesis.clusterId, new Set(state.sealing.voters));
  }

  /** The hash of the block at a height; undefined where there is none. */
  hashAt(store: StoreReader, height: number, state: FormationState = this.#require()): Hash | undefined {
    if (height === state.head.height) return state.head.hash;
    const block = store.get(trees.blocks, orderedKey(height));
    return block === undefined ? undefined : this.#attestor.blockHash(block);
  }

  #writeFormation(transaction: StoreTransaction, before: Formation | undefined, after: Formation): void {
    for (const [id, record] of after.nodes) {
      if (before?.nodes.get(id) !== record) transaction.put(trees.formation, textKey(id), encodeRecord(record));
    }
    for (const id of before?.nodes.keys() ?? [])
      if (!after.nodes.has(id)) transaction.delete(trees.formation, textKey(id));
    for (const id of after.tombstones) {
      if (before?.tombstones.has(id) !== true) transaction.put(trees.tombstones, textKey(id), new Uint8Array([1]));
    }
    if (after.operators !== undefined && after.operators !== before?.operators)
      transaction.put(trees.meta, keys.operators, encodeCanonical(Object.fromEntries(after.operators)));
    transaction.put(trees.meta, keys.generation, encodeCanonical(after.generation));
    if (before !== undefined && after.declared !== undefined && after.declared !== before.declared)
      transaction.put(trees.meta, keys.declared, encodeCanonical(after.declared));
  }

  #writeHead(transaction: StoreTransaction, key: Uint8Array, head: ChainHead): void {
    transaction.put(trees.meta, key, encodeCanonical({ height: head.height, hash: head.hash }));
  }

  #load(store: StoreReader): FormationState | undefined {
    const bytes = store.get(trees.meta, keys.genesis);
    if (bytes === undefined) return undefined;
    const scalar = <T>(key: Uint8Array, fallback: T): T => {
      const value = store.get(trees.meta, key);
      return value === undefined ? fallback : (decodeCanonical(value, textOfKey(key)) as T);
    };
    const genesis = this.#attestor.openGenesis(bytes);
    const nodes = new Map(
      [...store.range(trees.formation)].map(({ key, value }) => [textOfKey(key) as NodeId, decodeRecord(value)]),
    );
    const tombstones = new Set([...store.range(trees.tombstones)].map(({ key }) => textOfKey(key) as NodeId));
    const operators = scalar<Readonly<Record<NodeId, Generation>>>(keys.operators, {});
    const formation: Formation = {
      generation: scalar(keys.generation, 0) as Generation,
      nodes,
      tombstones,
      declared: scalar<Declared>(keys.declared, { declaration: genesis.declaration }),
      ...(genesis.operators.length === 0
        ? {}
        : { operators: new Map(Object.entries(operators) as [NodeId, Generation][]) }),
    };
    const origin: ChainHead = { height: 0, hash: genesis.clusterId as string as Hash };
    return {
      genesis,
      formation,
      head: scalar(keys.head, origin),
      history: scalar<readonly Hash[]>(keys.history, []),
      sealed: scalar(keys.sealed, origin),
      timeMs: scalar(keys.timeMs, genesis.createdMs),
      formed: scalar(keys.formed, false),
      sealing: scalar<SealingVoters>(keys.sealVoters, { voters: [genesis.founder] }),
      recoveries: scalar<readonly ChainHead[]>(keys.recoveries, []),
      operatorSigned: scalar(keys.operatorSigned, origin),
      orders: scalar<Orders>(keys.orders, noOrders),
      base: baseHead(store) ?? origin,
    };
  }
}

/**
 * A recovery counts only in a log that names its proposer as the only voter already, which nothing but the offline command makes. In
 * a log with others in it, whoever leads could take everybody out with one command.
 */
function checkAlone(proposer: NodeId, configuration: Configuration | undefined): void {
  const voters = configuration?.voters ?? [];
  if (configuration?.outgoing === undefined && voters.length === 1 && voters[0]?.id === proposer) return;
  throw new MachineRefusal("CLUSTER_NOT_ALONE", `${proposer} is not the only voter of the log`);
}

/** Why the blocks up to a height may not be dropped; undefined where they may. The same on every replica. */
function dropFault(store: StoreReader, state: FormationState, height: number): string | undefined {
  const { base, sealed, operatorSigned, formation } = state;
  if (height <= base.height) return `blocks up to ${base.height} are dropped already, not up to ${height}`;
  if (height > sealed.height) return `the chain is sealed up to ${sealed.height}, not up to ${height}`;
  if (sealed.height - height < leastKeptBlocks)
    return `of ${sealed.height} sealed blocks the last ${leastKeptBlocks} stay, ${height} is among them`;
  if (formation.operators !== undefined && height >= operatorSigned.height)
    return `an operator vouches for the chain up to ${operatorSigned.height}: that block and what is above it stays`;
  const seals = sealedHeights(store, base.height, height);
  if (seals[0] !== height) return `no seal stands over height ${height}`;
  if (height - base.height > segmentBlocks && seals.length > 1)
    return `${height - base.height} blocks at once, ${segmentBlocks} are the most`;
  return undefined;
}
