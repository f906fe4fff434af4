import type {
  ChainHead,
  ChainRecovery,
  ChainTip,
  ClusterId,
  Cosignature,
  FollowOptions,
  Formation,
  FormationCommand,
  FormationStep,
  Genesis,
  Hash,
  LogIndex,
  NodeId,
  Seal,
  SignatureVerifier,
  StoreId,
  Term,
  Transition,
} from "@revoada/fabric";
import {
  applyFormationCommand,
  applyTransition,
  genesisFormation,
  isFabricError,
  isRecovery,
  shortId,
} from "@revoada/fabric";
import { checkApproval } from "./approval.ts";
import type { BlockFields } from "./block.ts";
import { readBlock } from "./block.ts";
import { copyBytes } from "./canonical.ts";
import type { CheckpointParts, OpenedCheckpoint } from "./checkpoint.ts";
import { encodeCheckpoint, openCheckpoint } from "./checkpoint.ts";
import type { ChainRecord } from "./chain-file.ts";
import type { CommittedState, StateCommitter } from "./chain-state.ts";
import { stateCommitter } from "./chain-state.ts";
import { openCommand } from "./command.ts";
import { openCosignature } from "./cosignature.ts";
import { refuse } from "./faults.ts";
import { openGenesis } from "./genesis.ts";
import { hashOf } from "./hash.ts";
import { checkHop, openHop } from "./hop.ts";
import { placeOfRecord } from "./leap.ts";
import { appendLeaf, historyRoot } from "./history.ts";
import { checkSeal, readSeal } from "./seal.ts";

/** What a verifier starts from: the genesis, the cluster id that is its root of trust, and a way to check signatures. */
export interface ChainVerifierOptions extends Pick<FollowOptions, "believes"> {
  readonly genesis: Uint8Array;
  readonly clusterId: ClusterId;
  readonly verifier: SignatureVerifier;
}

/** One block that was accepted. */
export interface VerifiedBlock extends ChainHead {
  readonly term: Term;
  readonly index: LogIndex;
  readonly ordinal: number;
  readonly command: FormationCommand;
  readonly transition: Transition;
}

/** A command whose blocks are being read. */
interface OpenedCommand {
  readonly command: FormationCommand;
  readonly hash: Hash;
  readonly term: Term;
  readonly index: LogIndex;
  /** The command's time, or that of the one before it where that is later. */
  readonly timeMs: number;
  readonly steps: readonly FormationStep[];
  /** Who votes after it, where that is not who voted before. */
  readonly voters: ReadonlySet<NodeId> | undefined;
  /** How many of the steps have their block. */
  readonly done: number;
}

interface UnsealedBlock {
  readonly hash: Hash;
  readonly transition: Transition;
  readonly timeMs: number;
}

/** How far hops have led on the way to a checkpoint. */
interface Leap {
  readonly head: ChainHead;
  /** Who must sign what follows. */
  readonly voters: ReadonlySet<NodeId>;
  /** Who had to sign the last hop; those alone are its sealers. */
  readonly sealers: ReadonlySet<NodeId>;
}

type VoterStores = ReadonlyMap<NodeId, StoreId>;

interface VerifierState {
  head: ChainTip;
  formation: Formation;
  /** Committed time: the largest of all commands so far. */
  timeMs: number;
  /** The state that the last whole command led to; undefined before the first. */
  committed: CommittedState | undefined;
  /** The header of the last block; undefined for genesis. */
  header: Uint8Array | undefined;
  /** The last sealed head that another verifier could go on from. */
  mark: CheckpointParts | undefined;
  /** Where one node went on alone, as the states commit to it: also before a checkpoint, of which no more is known. */
  recoveryHeads: readonly ChainHead[];
  /** Log position of the last command. */
  term: number;
  index: number;
  opened: OpenedCommand | undefined;
  sealed: ChainHead | undefined;
  sealedFormation: Formation;
  /** The blocks above the sealed head, in order. */
  unsealed: UnsealedBlock[];
  /** Who must sign the next seal. */
  sealVoters: ReadonlySet<NodeId>;
  /** A command that changes voters and is not sealed up to its last block, and who votes once it is. */
  pending: { readonly endHeight: number; readonly voters: ReadonlySet<NodeId> } | undefined;
  recoveries: readonly ChainRecovery[];
  /** The highest head that an operator vouches for, sealed or not. */
  operatorSigned: ChainHead;
  /** Present from a hop until the checkpoint that it is on the way to. */
  leap: Leap | undefined;
}

/** The state that the last whole command of a verifier led to, with its trees: for proofs. Undefined before the first. */
export let committedBy: (verifier: ChainVerifier) => CommittedState | undefined;

/**
 * Follows one chain, block by block and seal by seal, and derives from it who may sign what.
 *
 * - A command is proposed by a voter of the formation before it, and every block of it follows from the formation and the command.
 * - A seal is signed by voters in force. A command that changes the set of voters (ids and stores) is in force once a seal of the
 *   voters *before* it covers its last block; until then those voters go on sealing, and no second such command may follow. Hence
 *   whoever holds a minority of voter keys cannot vote himself in.
 * - A recovery is the one command without a majority: a node that replicates says that it goes on alone, and is the only voter from that
 *   block on. One stolen key can say so; it is refused with `unbelieved-recovery` unless `believes` says that it may be believed.
 * - The last block of each command commits to all blocks before it and to the state that follows from them.
 * - Where genesis names operator keys, a command that no failure forces bears the approval of one that is in force, made for the head that
 *   it follows upon. An operator's signature under a sealed head stands beside the seal, and says up to where operators have looked.
 *
 * Whatever is refused throws `CHAIN_INVALID` with the fault and changes nothing. A block that is accepted but not sealed is vouched for by
 * its proposer alone: a node that follows a chain which strangers hand to it uses {@link ChainVerifier.advance}, which takes
 * blocks only together with their seal.
 *
 * @example
 * ```ts
 * const follower = new ChainVerifier({ genesis, clusterId, verifier: ed25519Verifier() });
 * follower.advance(proof);
 * follower.sealedFormation().nodes.get(node);
 * ```
 */
export class ChainVerifier {
  readonly genesis: Genesis;
  readonly #verifier: SignatureVerifier;
  readonly #believes: (recovery: ChainHead) => boolean;
  readonly #states: StateCommitter = stateCommitter();
  #state: VerifierState;

  static {
    committedBy = (verifier) => verifier.#state.committed;
  }

  constructor(options: ChainVerifierOptions) {
    const genesis = openGenesis(options.genesis, options.verifier);
    if (genesis.clusterId !== options.clusterId) {
      refuse("wrong-cluster", 0, `this is the chain of ${genesis.clusterId}, expected ${options.clusterId}`);
    }
    this.genesis = genesis;
    this.#verifier = options.verifier;
    this.#believes = options.believes ?? ((): boolean => false);
    const formation = genesisFormation({ ...genesis, id: genesis.founder });
    const origin = { height: 0, hash: genesis.clusterId as string as Hash };
    this.#state = {
      head: { ...origin, history: [] },
      formation,
      timeMs: genesis.createdMs,
      committed: undefined,
      header: undefined,
      mark: undefined,
      recoveryHeads: [],
      term: 0,
      index: 0,
      opened: undefined,
      sealed: undefined,
      sealedFormation: formation,
      unsealed: [],
      sealVoters: new Set([genesis.founder]),
      pending: undefined,
      recoveries: [],
      operatorSigned: origin,
      leap: undefined,
    };
  }

  /** The last block that was accepted; genesis where there is none. */
  head(): ChainHead {
    const { height, hash } = this.#state.head;
    return { height, hash };
  }

  /** The height that hops have led to, on the way to a checkpoint; that of the head where none are under way. */
  reached(): number {
    const { leap, head } = this.#state;
    return leap?.head.height ?? head.height;
  }

  /** The highest sealed head, undefined where nothing but genesis is vouched for. */
  sealed(): ChainHead | undefined {
    return this.#state.sealed;
  }

  /** The formation after the last block. */
  formation(): Formation {
    return this.#state.formation;
  }

  /** The formation at the sealed head; that of genesis where nothing is sealed. */
  sealedFormation(): Formation {
    return this.#state.sealedFormation;
  }

  /** Who must sign the next seal: its leader and a majority of these. */
  sealVoters(): ReadonlySet<NodeId> {
    return this.#state.sealVoters;
  }

  /** True while a command that changes voters awaits the seal of those before it. */
  awaitsVoterSeal(): boolean {
    return this.#state.pending !== undefined;
  }

  /** Where one node went on alone, in order. */
  recoveries(): readonly ChainRecovery[] {
    return this.#state.recoveries;
  }

  /**
   * The highest head that an operator vouches for: by a cosignature, or because what led to it was approved of; genesis where there is
   * none. It may lie above the sealed one.
   */
  operatorSigned(): ChainHead {
    return this.#state.operatorSigned;
  }

  /** How many blocks of the last command are still to come: 0 at the end of a whole chain. */
  blocksToCome(): number {
    const { opened } = this.#state;
    return opened === undefined ? 0 : opened.steps.length - opened.done;
  }

  /** Committed time: the largest of all commands so far, milliseconds since the epoch. */
  committedTime(): number {
    return this.#state.timeMs;
  }

  /** The header of the last block; undefined for genesis. */
  headHeader(): Uint8Array | undefined {
    return this.#state.header;
  }

  /**
   * A checkpoint of the last sealed head that ends a command, from which another verifier can go on. Undefined where none is sealed yet, or a
   * recovery is the last that was.
   */
  checkpoint(): Uint8Array | undefined {
    const { mark } = this.#state;
    return mark === undefined ? undefined : encodeCheckpoint(mark);
  }

  /**
   * Goes on from a checkpoint, in place of genesis. It has to be whole, or `CHAIN_INVALID` is thrown; that it is of the chain which is meant is the
   * word of whoever brings it.
   */
  static from(bytes: Uint8Array, options: Omit<ChainVerifierOptions, "genesis">): ChainVerifier {
    const checkpoint = openCheckpoint(bytes, options.verifier);
    const verifier = new ChainVerifier({ ...options, genesis: checkpoint.genesis.bytes });
    verifier.#goOnFrom(checkpoint);
    return verifier;
  }

  #goOnFrom({ head, header, parts, seal }: OpenedCheckpoint): void {
    const { formation, timeMs, recoveries } = parts.state;
    this.#state = {
      ...this.#state,
      head,
      header: parts.header,
      formation,
      timeMs,
      committed: this.#states.commit(parts.state),
      mark: parts,
      recoveryHeads: recoveries,
      term: header.term,
      index: header.index,
      opened: undefined,
      sealed: seal.head,
      sealedFormation: formation,
      unsealed: [],
      sealVoters: new Set(voterStores(formation).keys()),
      pending: undefined,
      leap: undefined,
    };
  }

  /** A second verifier that goes on from here on its own. */
  fork(): ChainVerifier {
    const { bytes, clusterId } = this.genesis;
    const copy = new ChainVerifier({
      genesis: bytes,
      clusterId,
      verifier: this.#verifier,
      believes: this.#believes,
    });
    copy.#state = snapshotOf(this.#state);
    return copy;
  }

  /** Accepts the next block. */
  addBlock(bytes: Uint8Array): VerifiedBlock {
    const state = this.#state;
    if (state.leap !== undefined)
      refuse("archived", state.leap.head.height, "blocks are left out up to there, and no checkpoint ends the way");
    const height = state.head.height + 1;
    const block = readBlock(bytes, height);
    if (block.height !== height) refuse("broken-link", height, `the block says that its height is ${block.height}`);
    if (block.previous !== state.head.hash) {
      refuse(
        "broken-link",
        height,
        `the block follows ${shortId(block.previous)}, expected ${shortId(state.head.hash)}`,
      );
    }
    const opened =
      this.blocksToCome() === 0
        ? this.#openNext(block, height)
        : continued(state.opened as OpenedCommand, block, height);
    const step = opened.steps[opened.done] as FormationStep;
    if (block.ordinal !== step.ordinal) {
      refuse("out-of-order", height, `ordinal ${block.ordinal}, the next transition of its command is ${step.ordinal}`);
    }
    if (block.generation !== step.formation.generation) {
      refuse("generation-gap", height, `generation ${block.generation}, expected ${step.formation.generation}`);
    }
    const { hash } = block;
    if (isRecovery(opened.command) && !this.#believes({ height, hash })) {
      const who = shortId(opened.command.proposer);
      refuse("unbelieved-recovery", height, `${who} says that it went on alone, and nothing says to believe it`);
    }
    return this.#append(block, opened, step, copyBytes(block.header));
  }

  /** Accepts a seal over a block at or below the head and above the last sealed one. */
  addSeal(bytes: Uint8Array): Seal {
    const state = this.#state;
    const seal = readSeal(bytes, state.head.height);
    const { height, hash } = seal.head;
    const base = state.sealed?.height ?? 0;
    if (height <= base) refuse("bad-seal", height, `the chain is sealed up to ${base} already`);
    const covered = state.unsealed.slice(0, height - base);
    const last = covered[covered.length - 1];
    if (height > state.head.height || last === undefined)
      refuse("bad-seal", height, `the chain ends at ${state.head.height}`);
    if (last.hash !== hash)
      refuse("bad-seal", height, `it is over ${shortId(hash)}, the block there is ${shortId(last.hash)}`);
    checkSeal(seal, this.genesis.clusterId, state.sealVoters, this.#verifier);
    this.#mark(seal.head, bytes);
    state.sealedFormation =
      height === state.head.height
        ? state.formation
        : covered.reduce(
            (formation, { transition, timeMs }) => applyTransition(formation, transition, timeMs),
            state.sealedFormation,
          );
    state.sealed = seal.head;
    state.unsealed = state.unsealed.slice(covered.length);
    if (state.pending !== undefined && height >= state.pending.endHeight) {
      state.sealVoters = state.pending.voters;
      state.pending = undefined;
    }
    return seal;
  }

  /** Remembers where another verifier could go on: a sealed head at the end of a command, and not the one block that no majority agreed to. */
  #mark({ height }: ChainHead, seal: Uint8Array): void {
    const { head, header, formation, timeMs, recoveryHeads, sealVoters } = this.#state;
    const alone = recoveryHeads[recoveryHeads.length - 1]?.height === height;
    if (height !== head.height || header === undefined || alone || this.blocksToCome() > 0) return;
    this.#state.mark = {
      genesis: this.genesis.bytes,
      header,
      history: head.history,
      state: { formation, timeMs, recoveries: recoveryHeads },
      seal: copyBytes(seal),
      sealers: [...sealVoters].toSorted(),
    };
  }

  /** Accepts an operator's signature under the sealed head, right after the seal. */
  addCosignature(bytes: Uint8Array): Cosignature {
    const state = this.#state;
    const cosignature = openCosignature(bytes, this.genesis.clusterId, this.#verifier);
    const { head, operator } = cosignature;
    if (state.sealed?.height !== head.height || state.sealed.hash !== head.hash || state.head.height !== head.height)
      refuse("bad-cosignature", head.height, `it is not over the sealed head ${state.sealed?.height ?? 0}`);
    if (state.formation.operators?.has(operator) !== true)
      refuse("not-an-operator", head.height, `${shortId(operator)} was not an operator key in force then`);
    state.operatorSigned = head;
    return cosignature;
  }

  /**
   * Accepts a hop over blocks that are not shown, from a sealed head or from another hop: those who seal up to there have sealed it. Until a checkpoint
   * ends the way, nothing but the voters is known of where it leads.
   */
  addHop(bytes: Uint8Array): ChainHead {
    const { voters, height } = this.#leapFrom();
    const hop = openHop(bytes, height + 1);
    if (hop.head.height <= height)
      refuse("broken-link", hop.head.height, `a hop back, the chain is known up to ${height}`);
    const { clusterId } = this.genesis;
    checkHop(hop, { clusterId, voters, verifier: this.#verifier, believes: this.#believes });
    this.#state.leap = { head: hop.head, voters: new Set(hop.state.voters), sealers: voters };
    return hop.head;
  }

  /** Goes on from a checkpoint above, which those have sealed whom the chain, or the hops after it, let seal. */
  addCheckpoint(bytes: Uint8Array): ChainHead {
    const { voters, height } = this.#leapFrom();
    const checkpoint = openCheckpoint(bytes, this.#verifier);
    const { genesis, head, seal, parts } = checkpoint;
    const { clusterId } = this.genesis;
    if (genesis.clusterId !== clusterId)
      refuse("wrong-cluster", head.height, `the checkpoint is of cluster ${shortId(genesis.clusterId)}`);
    const { leap } = this.#state;
    const isHop = leap?.head.hash === head.hash;
    if (head.height <= height && !isHop)
      refuse("broken-link", head.height, `a checkpoint behind, the chain is known up to ${height}`);
    const sealers = isHop ? leap.sealers : voters;
    checkSeal(seal, clusterId, sealers, this.#verifier);
    if ([...sealers].toSorted().join() !== parts.sealers.join())
      refuse("wrong-checkpoint", head.height, "the checkpoint names others than those who had to seal it");
    this.#goOnFrom(checkpoint);
    return { height: head.height, hash: head.hash };
  }

  /** Where blocks may be left out: the sealed head, or the last hop above it. */
  #leapFrom(): { readonly voters: ReadonlySet<NodeId>; readonly height: number } {
    const { leap, head, sealed, sealVoters } = this.#state;
    if (leap !== undefined) return { voters: leap.voters, height: leap.head.height };
    if (head.height !== (sealed?.height ?? 0))
      refuse("bad-seal", head.height, "blocks are left out above it, and no seal covers it");
    return { voters: sealVoters, height: head.height };
  }

  /**
   * Accepts blocks and seals that go on from the head and end with a seal over their last block, all or nothing: the form in which
   * a chain is taken from somebody who is not trusted, an admission proof for one. Hops and a checkpoint may stand in the place of blocks.
   */
  advance(records: readonly ChainRecord[]): void {
    const before = snapshotOf(this.#state);
    try {
      this.#beginAnew(records);
      for (const record of records) this.#advanceOne(record);
      const { head, sealed } = this.#state;
      if (head.height > 0 && sealed?.height !== head.height)
        refuse("bad-seal", head.height, "no seal covers the last block");
    } catch (error) {
      this.#state = before;
      throw error;
    }
  }

  /** Whoever shows hops that begin below those that were shown before shows the whole way: it need not lead through them. */
  #beginAnew([first]: readonly ChainRecord[]): void {
    const { leap } = this.#state;
    if (first === undefined || leap === undefined || (first.kind !== "hop" && first.kind !== "checkpoint")) return;
    const { height } = placeOfRecord(first);
    if (height < leap.head.height || (first.kind === "hop" && height === leap.head.height))
      this.#state.leap = undefined;
  }

  #advanceOne(record: ChainRecord): void {
    if (record.kind === "hop") this.addHop(record.bytes);
    else if (record.kind === "checkpoint") this.addCheckpoint(record.bytes);
    else if (record.kind === "genesis")
      refuse("malformed", this.#state.head.height, "a genesis in the middle of a chain");
    else {
      // Whoever shows the blocks themselves need not have been led over them.
      this.#state.leap = undefined;
      if (record.kind === "block") this.addBlock(record.bytes);
      else if (record.kind === "seal") this.addSeal(record.bytes);
      else this.addCosignature(record.bytes);
    }
  }

  #openNext(block: BlockFields, height: number): OpenedCommand {
    const state = this.#state;
    if (block.command === undefined) {
      refuse("missing-signature", height, "the first block of a command does not hold the signed command");
    }
    if (hashOf(block.command) !== block.commandHash)
      refuse("malformed", height, "the command is not the one that the block names");
    const command = openCommand(block.command, this.#verifier, height);
    this.#checkPosition(block, command, height);
    const timeMs = Math.max(state.timeMs, command.timeMs);
    const steps = stepsOf(state.formation, { ...command, timeMs }, height);
    this.#checkApproval(command, height);
    const voters = votersAfter(state.formation, (steps[steps.length - 1] as FormationStep).formation);
    if (state.pending !== undefined && !isRecovery(command) && voters !== undefined) {
      refuse(
        "unsealed-voter-change",
        height,
        `voters change again, the change up to ${state.pending.endHeight} is not sealed`,
      );
    }
    const { commandHash, term, index } = block;
    return { command, hash: commandHash, term, index, timeMs, steps, voters, done: 0 };
  }

  /** Who may approve was checked by the table; here, that it was made for these transitions upon this very head. */
  #checkApproval({ clusterId, transitions, reason, approval }: FormationCommand, height: number): void {
    const { head } = this.#state;
    if (approval === undefined) return;
    if (checkApproval({ clusterId, head, transitions, reason }, approval, this.#verifier)) return;
    refuse("bad-signature", height, `${shortId(approval.operator)} did not approve of this upon height ${head.height}`);
  }

  #checkPosition(block: BlockFields, command: FormationCommand, height: number): void {
    const { formation, term, index } = this.#state;
    if (command.clusterId !== this.genesis.clusterId) {
      refuse("wrong-cluster", height, `the command is for cluster ${shortId(command.clusterId)}`);
    }
    // A recovery is judged by the table: its proposer holds a copy of the log, with a vote or without.
    if (!isRecovery(command) && formation.nodes.get(command.proposer)?.replica !== "voter") {
      refuse("not-a-voter", height, `${shortId(command.proposer)} proposed it and did not vote then`);
    }
    if (block.index <= index || block.term < term) {
      refuse("out-of-order", height, `log position (${block.term}, ${block.index}) after (${term}, ${index})`);
    }
    if (block.term < command.term) {
      refuse("out-of-order", height, `committed in term ${block.term}, signed in term ${command.term}`);
    }
    if (command.baseGeneration !== formation.generation) {
      const text = `the command is made for generation ${command.baseGeneration}, the formation is at ${formation.generation}`;
      refuse("generation-gap", height, text);
    }
  }

  #append(block: BlockFields, opened: OpenedCommand, step: FormationStep, header: Uint8Array): VerifiedBlock {
    const state = this.#state;
    const { height, hash, term, index, ordinal } = block;
    const history = appendLeaf(state.head.history, state.head.height, state.head.hash);
    const recoveries = isRecovery(opened.command)
      ? [...state.recoveries, recoveryBy(opened.command, state.formation, { height, hash })]
      : state.recoveries;
    const done = opened.done + 1;
    const { timeMs } = opened;
    const after = { formation: step.formation, timeMs, recoveries: state.recoveryHeads };
    const committed = done === opened.steps.length ? this.#states.commit(after) : undefined;
    checkCommitment(block, history, committed);
    // Nothing is refused from here on.
    if (recoveries !== state.recoveries) {
      state.recoveries = recoveries;
      state.recoveryHeads = [...state.recoveryHeads, { height, hash }];
      state.sealVoters = new Set([opened.command.proposer]);
      state.pending = undefined;
    } else if (opened.done === 0 && opened.voters !== undefined) {
      state.pending = { endHeight: height + opened.steps.length - 1, voters: opened.voters };
    }
    state.head = { height, hash, history };
    state.header = header;
    if (opened.command.approval !== undefined) state.operatorSigned = { height, hash };
    state.formation = step.formation;
    state.timeMs = timeMs;
    if (committed !== undefined) state.committed = committed;
    state.term = term;
    state.index = index;
    state.opened = { ...opened, done };
    state.unsealed.push({ hash, transition: step.transition, timeMs });
    return { height, hash, term, index, ordinal, command: opened.command, transition: step.transition };
  }
}

/** The last block of a command commits to all blocks before it and to the state after it; no other commits to anything. */
function checkCommitment(
  { height, commitment }: BlockFields,
  history: readonly Hash[],
  committed: CommittedState | undefined,
): void {
  if (committed === undefined) {
    if (commitment !== undefined)
      refuse("wrong-commitment", height, "it commits to a state, and blocks of its command are still to come");
    return;
  }
  if (commitment === undefined) refuse("wrong-commitment", height, "the last block of a command commits to no state");
  if (commitment.history !== historyRoot(history))
    refuse("wrong-commitment", height, "it commits to other blocks than those before it");
  if (commitment.state !== committed.root)
    refuse("wrong-commitment", height, "it commits to another state than the one that its command leads to");
}

function recoveryBy(command: FormationCommand, { nodes }: Formation, head: ChainHead): ChainRecovery {
  const { proposer, reason, timeMs } = command;
  const lost = [...nodes.keys()].filter((id) => id !== proposer).toSorted();
  return { ...head, node: proposer, lost, reason, timeMs };
}

/** What is replaced on every step is shared; the one list that grows in place is copied. */
function snapshotOf(state: VerifierState): VerifierState {
  return { ...state, unsealed: [...state.unsealed] };
}

function continued(opened: OpenedCommand, block: BlockFields, height: number): OpenedCommand {
  const missing = opened.steps.length - opened.done;
  if (block.commandHash !== opened.hash || block.index !== opened.index || block.term !== opened.term) {
    refuse(
      "out-of-order",
      height,
      `another command begins, ${missing} blocks of the one at index ${opened.index} are missing`,
    );
  }
  if (block.command !== undefined) refuse("malformed", height, "a later block of a command holds the command again");
  return opened;
}

function stepsOf(formation: Formation, command: FormationCommand, height: number): readonly FormationStep[] {
  let steps: readonly FormationStep[];
  try {
    steps = applyFormationCommand(formation, command);
  } catch (error) {
    if (isFabricError(error, "TOPOLOGY_UNAPPROVED_SHIFT")) return refuse("unapproved-shift", height, error.message);
    if (isFabricError(error, "TOPOLOGY_NOT_AN_OPERATOR")) return refuse("not-an-operator", height, error.message);
    if (!isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION", "TOPOLOGY_COMMAND_REFUSED")) throw error;
    return refuse("illegal-transition", height, error.message);
  }
  if (steps.length === 0) refuse("illegal-transition", height, "the command changes nothing and makes no block");
  return steps;
}

function voterStores(formation: Formation): VoterStores {
  const voters = new Map<NodeId, StoreId>();
  for (const [id, record] of formation.nodes) {
    if (record.replica === "voter") voters.set(id, record.storeId);
  }
  return voters;
}

/** Who votes after a change, in their order there; undefined where the same vote over the same stores. */
function votersAfter(before: Formation, after: Formation): ReadonlySet<NodeId> | undefined {
  const stores = voterStores(after);
  return sameVoters(voterStores(before), stores) ? undefined : new Set(stores.keys());
}

function sameVoters(left: VoterStores, right: VoterStores): boolean {
  return left.size === right.size && [...left].every(([id, storeId]) => right.get(id) === storeId);
}
