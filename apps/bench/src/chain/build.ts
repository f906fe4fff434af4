import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import {
  applyFormationCommand,
  genesisFormation,
  type Attestor,
  type ChainTip,
  type ClusterId,
  type Formation,
  type Genesis,
  type Hash,
  type LogIndex,
  type StoreId,
  type Term,
  type Transition,
} from "@revoada/fabric";

/** A chain that was made for measuring, and whom and when to ask it about. */
export interface MadeChain {
  readonly clusterId: ClusterId;
  readonly file: Uint8Array;
  /** The chain as it was halfway. */
  readonly early: Uint8Array;
  readonly node: Attestor["identity"]["id"];
  readonly middleMs: number;
}

const foundedMs = 1_700_000_000_000;
const paceMs = 60_000;
/** Every so many commands a seat changes hands; the others mark a node and unmark it. */
const swapEvery = 10;

function storeOf(index: number): StoreId {
  return index.toString(16).padStart(32, "0") as StoreId;
}

/** Writes a chain as the replicas of a cluster do. */
class Writer {
  readonly attestors: readonly Attestor[];
  readonly genesis: Genesis;
  formation: Formation;
  tip: ChainTip;
  readonly blocks: Uint8Array[] = [];
  readonly seals: Uint8Array[] = [];
  commands = 0;

  constructor(nodes: number) {
    this.attestors = Array.from({ length: nodes }, (_, index) =>
      blake3Attestor(identityFromSeed(new Uint8Array(32).fill(index + 1))),
    );
    this.genesis = this.attestor(0).createGenesis({
      nonce: new Uint8Array(32),
      createdMs: foundedMs,
      declaration: new Uint8Array(64),
      storeId: storeOf(0),
      zone: "zone-0",
      version: "0.1.0",
      operators: [],
    });
    this.formation = genesisFormation({ ...this.genesis, id: this.genesis.founder });
    this.tip = { height: 0, hash: this.genesis.clusterId as string as Hash, history: [] };
  }

  attestor(index: number): Attestor {
    return this.attestors[index] as Attestor;
  }

  file(): Uint8Array {
    const { blocks, seals, genesis } = this;
    return this.attestor(0).exportChain({ genesis: genesis.bytes, blocks, seals });
  }

  /** Commits transitions, proposed by the first of those who then seal them. */
  shift(transitions: readonly Transition[], sealers: readonly number[]): void {
    const proposer = this.attestor(sealers[0] as number);
    this.commands += 1;
    const timeMs = foundedMs + this.commands * paceMs;
    const command = {
      version: 1 as const,
      clusterId: this.genesis.clusterId,
      baseGeneration: this.formation.generation,
      transitions,
      reason: "a seat changes hands, or a node is marked, so that there is something to verify",
      decisionHash: this.genesis.clusterId as string as Hash,
      timeMs,
      proposer: proposer.identity.id,
      term: 1 as Term,
    };
    const bytes = proposer.signCommand(command);
    const steps = applyFormationCommand(this.formation, command);
    for (const [position, { ordinal, formation }] of steps.entries()) {
      const after = { formation, timeMs, recoveries: [] };
      const block = proposer.makeBlock({
        previous: this.tip,
        generation: formation.generation,
        term: 1 as Term,
        index: this.commands as LogIndex,
        ordinal,
        command: bytes,
        ...(position === steps.length - 1 ? { after } : {}),
      });
      this.blocks.push(block.bytes);
      this.tip = { height: block.height, hash: block.hash, history: block.history };
      this.formation = formation;
    }
    const { height, hash } = this.tip;
    const head = { height, hash };
    const signatures = sealers.map((index) => this.attestor(index).signHead(this.genesis.clusterId, head));
    this.seals.push(proposer.encodeSeal({ head, leader: proposer.identity.id, signatures }));
  }
}

export interface ChainShape {
  /** How many vote, an odd number; one further node takes the seat of each in turn. */
  readonly voters: number;
  readonly blocks: number;
  /** Blocks of one command, mostly: nodes without a vote that are marked and unmarked together. */
  readonly blocksPerCommand: number;
}

/** A chain of at least so many blocks, sealed at each command by a majority of the voters. */
export function makeChain({ voters, blocks, blocksPerCommand }: ChainShape): MadeChain {
  const writer = new Writer(voters + 1 + blocksPerCommand);
  const ids = writer.attestors.map(({ identity }) => identity.id);
  const others = ids.slice(1);
  writer.shift(
    others.map((node, index) => ({
      verb: "admit",
      node,
      admission: {
        storeId: storeOf(index + 1),
        generation: 1,
        incarnation: 0,
        zone: `zone-${index + 1}`,
        version: "0.1.0",
      },
    })),
    [0],
  );
  writer.shift(
    others.slice(0, voters).map((node, index) => ({
      verb: "promote",
      node,
      role: "master",
      replica: index + 1 < voters ? "voter" : "none",
    })),
    [0],
  );
  // Who votes, by number; the spare one takes the seat of each in turn.
  let seated = Array.from({ length: voters }, (_, index) => index);
  let spare = voters;
  let [marked, turn] = [false, 0];
  let early: Uint8Array | undefined;
  while (writer.tip.height < blocks) {
    if (writer.tip.height >= blocks / 2) early ??= writer.file();
    const sealers = seated.slice(0, (voters + 1) / 2);
    if (voters > 1 && writer.commands % swapEvery === 0) {
      const leaving = seated[seated.length - 1 - (turn % voters)] as number;
      turn += 1;
      writer.shift(
        [
          { verb: "seat", node: ids[leaving] as MadeChain["node"], replica: "none" },
          { verb: "seat", node: ids[spare] as MadeChain["node"], replica: "voter" },
        ],
        sealers,
      );
      seated = seated.map((index) => (index === leaving ? spare : index));
      spare = leaving;
    } else {
      const verb = marked ? "restore" : "cordon";
      writer.shift(
        ids.slice(voters + 1).map((node) => ({ verb, node })),
        sealers,
      );
      marked = !marked;
    }
  }
  const file = writer.file();
  const middleMs = foundedMs + Math.floor(writer.commands / 2) * paceMs + 1;
  const { clusterId } = writer.genesis;
  return { clusterId, file, early: early ?? file, node: ids[1] as MadeChain["node"], middleMs };
}
