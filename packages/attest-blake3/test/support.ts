import { crc32 } from "node:zlib";
import type {
  Attestor,
  Block,
  ChainHead,
  ChainTip,
  ClusterId,
  Formation,
  FormationCommand,
  Generation,
  Genesis,
  Hash,
  LogIndex,
  NodeId,
  SignatureVerifier,
  StoreId,
  Term,
  Transition,
} from "@revoada/fabric";
import { applyFormationCommand, applyTransition, genesisFormation, isRecovery, replicasOf } from "@revoada/fabric";
import { blake3Attestor, ed25519Verifier, identityFromSeed } from "@revoada/attest-blake3";
import type { ChainRecord } from "../src/core/chain-file.ts";
import { encodeChainFile } from "../src/core/chain-file.ts";

/** An attestor whose key follows from one letter. */
export function attestorOf(letter: string): Attestor {
  return blake3Attestor(identityFromSeed(new Uint8Array(32).fill(letter.charCodeAt(0))));
}

export function storeOf(letter: string): StoreId {
  return letter.charCodeAt(0).toString(16).padStart(32, "0") as StoreId;
}

export const zeroHash: Hash = "0".repeat(64) as Hash;

/** Honest nodes, by letter; `a` is the founder. */
export const letters: readonly string[] = ["a", "b", "c", "d", "e", "f"];
const nodes: ReadonlyMap<string, Attestor> = new Map(letters.map((letter) => [letter, attestorOf(letter)]));

export function node(letter: string): Attestor {
  return nodes.get(letter) ?? attestorOf(letter);
}

export function id(letter: string): NodeId {
  return node(letter).identity.id;
}

const letterOf = new Map(letters.map((letter) => [id(letter), letter]));

export function attestorOfId(nodeId: NodeId): Attestor {
  return node(letterOf.get(nodeId) ?? "?");
}

export function admit(letter: string): Transition {
  const admission = {
    storeId: storeOf(letter),
    generation: 1,
    incarnation: 0,
    zone: `zone-${letter}`,
    version: "0.1.0",
  };
  return { verb: "admit", node: id(letter), admission };
}

export const testGenesis: Genesis = node("a").createGenesis({
  nonce: new Uint8Array(32).fill(7),
  createdMs: 1_700_000_000_000,
  declaration: new TextEncoder().encode("declaration"),
  storeId: storeOf("a"),
  zone: "zone-a",
  version: "0.1.0",
  operators: [],
});

export interface CommandOverrides {
  readonly proposer?: string;
  readonly signer?: Attestor;
  readonly term?: number;
  readonly entryTerm?: number;
  readonly index?: number;
  readonly baseGeneration?: number;
  readonly clusterId?: ClusterId;
}

/** Writes a chain as replicas do. It refuses nothing that `applyFormationCommand` lets through, so that bad chains can be made too. */
export class ChainWriter {
  readonly genesis: Genesis;
  formation: Formation;
  head: ChainHead;
  /** The head, with what is needed to go on. */
  tip: ChainTip;
  timeMs: number;
  /** How far apart commands are. */
  readonly paceMs: number;
  recoveries: readonly ChainHead[] = [];
  records: ChainRecord[];
  index = 0;
  term = 1;

  constructor(genesis: Genesis = testGenesis, paceMs = 1) {
    this.paceMs = paceMs;
    this.genesis = genesis;
    this.formation = genesisFormation({ ...genesis, id: genesis.founder });
    this.head = { height: 0, hash: genesis.clusterId as string as Hash };
    this.tip = { ...this.head, history: [] };
    this.timeMs = genesis.createdMs;
    this.records = [{ kind: "genesis", bytes: genesis.bytes }];
  }

  voters(): readonly NodeId[] {
    return replicasOf(this.formation, "voter");
  }

  command(transitions: readonly Transition[], overrides: CommandOverrides = {}): FormationCommand {
    return {
      version: 1,
      clusterId: overrides.clusterId ?? this.genesis.clusterId,
      baseGeneration: (overrides.baseGeneration ?? this.formation.generation) as Generation,
      transitions,
      reason: "a test says so",
      decisionHash: zeroHash,
      timeMs: 1_700_000_000_000 + this.index * this.paceMs + this.paceMs - 1,
      proposer: id(overrides.proposer ?? "a"),
      term: (overrides.term ?? this.term) as Term,
    };
  }

  /** Signs, applies and appends a command, one block per effective transition. */
  propose(transitions: readonly Transition[], overrides: CommandOverrides = {}): readonly Block[] {
    const command = this.command(transitions, overrides);
    const signer = overrides.signer ?? node(overrides.proposer ?? "a");
    return this.append(command, signer.signCommand(command), overrides);
  }

  append(command: FormationCommand, bytes: Uint8Array, overrides: CommandOverrides = {}): readonly Block[] {
    this.index = overrides.index ?? this.index + 1;
    const timeMs = Math.max(this.timeMs, command.timeMs);
    const { generation: baseGeneration } = this.formation;
    const steps = applyFormationCommand(this.formation, { ...command, timeMs, baseGeneration });
    const formation = steps.at(-1)?.formation ?? this.formation;
    const after = { formation, timeMs, recoveries: this.recoveries };
    this.timeMs = timeMs;
    const blocks = steps.map((step, position) => {
      const block = node("a").makeBlock({
        previous: this.tip,
        generation: step.formation.generation,
        term: (overrides.entryTerm ?? this.term) as Term,
        index: this.index as LogIndex,
        ordinal: step.ordinal,
        command: bytes,
        ...(position === steps.length - 1 ? { after } : {}),
      });
      this.push(block, step.formation);
      return block;
    });
    const last = blocks.at(-1);
    if (isRecovery(command) && last !== undefined) this.recoveries = [...this.recoveries, last];
    return blocks;
  }

  /** As {@link append}, transition by transition: what only a whole command is refused for is let through. */
  appendUnchecked(command: FormationCommand, bytes: Uint8Array): void {
    this.index += 1;
    const timeMs = Math.max(this.timeMs, command.timeMs);
    for (const [ordinal, transition] of command.transitions.entries()) {
      const formation = applyTransition(this.formation, transition, timeMs);
      if (formation === this.formation) continue;
      const position = { term: this.term as Term, index: this.index as LogIndex, ordinal };
      const { generation } = formation;
      const after = { formation, timeMs, recoveries: this.recoveries };
      const ends = ordinal === command.transitions.length - 1 ? { after } : {};
      this.push(
        node("a").makeBlock({ previous: this.tip, generation, ...position, command: bytes, ...ends }),
        formation,
      );
    }
  }

  push(block: Block, formation: Formation): void {
    this.head = { height: block.height, hash: block.hash };
    this.tip = { ...this.head, history: block.history };
    this.formation = formation;
    this.records.push({ kind: "block", bytes: block.bytes });
  }

  /** A seal by these nodes, the first being the leader. */
  seal(signers: string, head: ChainHead = this.head): Uint8Array {
    const bytes = sealBy(
      [...signers].map((letter) => node(letter)),
      this.genesis.clusterId,
      head,
    );
    this.records.push({ kind: "seal", bytes });
    return bytes;
  }

  file(): Uint8Array {
    return encodeChainFile(this.records);
  }

  blocks(): readonly Uint8Array[] {
    return this.records.filter(({ kind }) => kind === "block").map(({ bytes }) => bytes);
  }

  seals(): readonly Uint8Array[] {
    return this.records.filter(({ kind }) => kind === "seal").map(({ bytes }) => bytes);
  }
}

export function sealBy(signers: readonly Attestor[], clusterId: ClusterId, head: ChainHead): Uint8Array {
  const leader = signers[0] as Attestor;
  const signatures = signers.map((signer) => signer.signHead(clusterId, head));
  return leader.encodeSeal({ head, leader: leader.identity.id, signatures });
}

/** Forms {a, b, c} as voters, replaces the failed c by d, cordons d and admits e: 11 blocks, sealed to the end. */
export function writeStory(paceMs = 1): ChainWriter {
  const writer = new ChainWriter(testGenesis, paceMs);
  writer.propose([admit("b"), admit("c"), admit("d")]);
  writer.propose([
    { verb: "reassign", node: id("a"), role: "master" },
    { verb: "promote", node: id("b"), role: "master", replica: "voter" },
    { verb: "promote", node: id("c"), role: "master", replica: "voter" },
  ]);
  writer.seal("a");
  writer.term = 2;
  writer.propose(
    [
      { verb: "evict", node: id("c") },
      { verb: "seat", node: id("c"), replica: "none" },
      { verb: "promote", node: id("d"), role: "master", replica: "voter" },
    ],
    { proposer: "b" },
  );
  writer.seal("ba");
  writer.propose([{ verb: "cordon", node: id("d") }, { verb: "cordon", node: id("d") }, admit("e")], { proposer: "b" });
  writer.seal("bd");
  return writer;
}

/** A chain file's last record: tag and length, count of the records, checksum. */
export const trailerBytes = 5 + 8 + 4;

/** Gives a file whose records were changed the trailer that its content asks for, as a forger would. */
export function withFittingTrailer(file: Uint8Array): Uint8Array {
  const fitted = file.slice();
  const checksum = crc32(fitted.subarray(0, fitted.length - trailerBytes));
  new DataView(fitted.buffer).setUint32(fitted.length - 4, checksum);
  return fitted;
}

/** Checks each signature for real, once: thousands of copies of one chain differ in a byte and share most signatures. */
export function rememberingVerifier(): SignatureVerifier {
  const real = ed25519Verifier();
  const known = new Map<string, boolean>();
  return {
    verify(signer, message, signature) {
      const key = `${signer} ${Buffer.from(message).toString("latin1")} ${Buffer.from(signature).toString("latin1")}`;
      const verdict = known.get(key) ?? real.verify(signer, message, signature);
      known.set(key, verdict);
      return verdict;
    },
  };
}
