import { ClusterMachine, sealEnvelope, type CommandKind, type FormationState } from "@revoada/cluster";
import type {
  AppliedEntry,
  Attestor,
  Configuration,
  FormationCommand,
  Generation,
  Genesis,
  Hash,
  LogIndex,
  NodeId,
  Term,
  TokenRecord,
  Transition,
} from "@revoada/fabric";
import { decode, encode } from "cborg";
import { expect } from "vitest";
import { CounterMachine } from "./counter-machine.ts";
import { digest, nodeId, storeId } from "./keys.ts";
import { testAttestor } from "./test-attestor.ts";
import { TestStore } from "./test-store.ts";

export const createdMs = 1_000_000;

export function testGenesis(founder: Attestor, nonce = 7, operators: readonly NodeId[] = []): Genesis {
  return founder.createGenesis({
    nonce: new Uint8Array(32).fill(nonce),
    createdMs,
    declaration: Uint8Array.of(1),
    storeId: storeId("a"),
    zone: "zone",
    version: "1",
    operators,
  });
}

export function admit(
  name: string,
  more: Partial<Extract<Transition, { verb: "admit" }>["admission"]> = {},
): Transition {
  return {
    verb: "admit",
    node: nodeId(name),
    admission: { storeId: storeId(name), generation: 1, incarnation: 0, zone: "zone", version: "1", ...more },
  };
}

export function tokenRecord(number: number, more: Partial<TokenRecord> = {}): TokenRecord {
  const tokenId = number.toString(16).padStart(32, "0");
  return {
    tokenId,
    publicKey: digest("token key", tokenId) as NodeId,
    expiresMs: createdMs + 1000,
    usesLeft: 1,
    ...more,
  };
}

/** The bytes of a command that makes a token. */
export function creation(record: TokenRecord): Uint8Array {
  return encode({ version: 1, type: "create", record });
}

export type Outcome =
  | { readonly ok: true; readonly generation: number; readonly height: number }
  | { readonly ok: false; readonly code: string };

/** One machine on its own, fed entry by entry as a log would. */
export class MachineKit {
  readonly founder: Attestor = testAttestor("a");
  readonly genesis: Genesis;
  readonly counter = new CounterMachine();
  readonly machine: ClusterMachine;
  readonly store: TestStore;
  term = 1;

  constructor(store: TestStore = new TestStore(), genesis?: Genesis) {
    this.store = store;
    this.genesis = genesis ?? testGenesis(this.founder);
    const { clusterId } = this.genesis;
    this.machine = new ClusterMachine({ store, attestor: this.founder, clusterId, catalog: this.counter });
  }

  /** With genesis applied. */
  static founded(): MachineKit {
    const kit = new MachineKit();
    expect(kit.send("genesis", kit.genesis.bytes)).toMatchObject({ ok: true });
    return kit;
  }

  get state(): FormationState {
    const { state } = this.machine.formation;
    if (state === undefined) throw new Error("there is no genesis yet");
    return state;
  }

  entry(kind: CommandKind, body: Uint8Array, after: number = this.machine.position().index): AppliedEntry<Uint8Array> {
    return {
      kind: "command",
      index: (after + 1) as LogIndex,
      term: this.term as Term,
      command: sealEnvelope(kind, body),
    };
  }

  noop(after: number = this.machine.position().index): AppliedEntry<Uint8Array> {
    return { kind: "noop", index: (after + 1) as LogIndex, term: this.term as Term };
  }

  configuration(voters: readonly string[]): AppliedEntry<Uint8Array> {
    const replicas = voters.map((name) => ({ id: nodeId(name), storeId: storeId(name) }));
    const configuration: Configuration = {
      voters: replicas,
      learners: [],
      generation: this.state.formation.generation,
    };
    return {
      kind: "configuration",
      index: (this.machine.position().index + 1) as LogIndex,
      term: this.term as Term,
      configuration,
    };
  }

  apply(entry: AppliedEntry<Uint8Array>): Uint8Array | undefined {
    return this.machine.apply([entry])[0];
  }

  send(kind: CommandKind, body: Uint8Array): Outcome {
    return decode(this.apply(this.entry(kind, body)) ?? new Uint8Array()) as Outcome;
  }

  command(
    transitions: readonly Transition[],
    more: Partial<FormationCommand> = {},
    signer: Attestor = this.founder,
  ): Uint8Array {
    return signer.signCommand({
      version: 1,
      clusterId: this.genesis.clusterId,
      baseGeneration: this.state.formation.generation,
      transitions,
      reason: "a test says so",
      decisionHash: digest("why") as Hash,
      timeMs: this.state.timeMs,
      proposer: signer.identity.id,
      term: this.term as Term,
      ...more,
    });
  }

  shift(
    transitions: readonly Transition[],
    more: Partial<FormationCommand> = {},
    signer: Attestor = this.founder,
  ): Outcome {
    return this.send("formation", this.command(transitions, more, signer));
  }

  createToken(record: TokenRecord): Outcome {
    return this.send("token", creation(record));
  }

  revokeToken(tokenId: string): Outcome {
    return this.send("token", encode({ version: 1, type: "revoke", tokenId }));
  }

  /** A seal over a head by these nodes, the first being the leader. */
  sealBytes(signers: readonly string[], head = this.state.head): Uint8Array {
    const attestors = signers.map(testAttestor);
    const signatures = attestors.map((attestor) => attestor.signHead(this.genesis.clusterId, head));
    return this.founder.encodeSeal({ head, leader: nodeId(signers[0] ?? ""), signatures });
  }

  seal(signers: readonly string[], head = this.state.head): Outcome {
    return this.send("seal", this.sealBytes(signers, head));
  }

  /** Lets these nodes in, each by a token of its own. */
  admitAll(names: readonly string[]): void {
    for (const name of names) {
      const token = tokenRecord(1000 + this.machine.position().index, { expiresMs: Number.MAX_SAFE_INTEGER });
      expect(this.createToken(token)).toMatchObject({ ok: true });
      expect(this.shift([admit(name, { tokenId: token.tokenId })])).toMatchObject({ ok: true });
    }
  }

  /** Three masters that vote: a, b and c; the change is not sealed yet. */
  formThree(): void {
    this.admitAll(["b", "c"]);
    const formed = this.shift([
      { verb: "reassign", node: nodeId("a"), role: "master" },
      { verb: "promote", node: nodeId("b"), role: "master", replica: "voter" },
      { verb: "promote", node: nodeId("c"), role: "master", replica: "voter" },
    ]);
    expect(formed).toMatchObject({ ok: true });
  }

  exported(): Uint8Array {
    const values = (tree: string): readonly Uint8Array[] => [...this.store.range(tree)].map(({ value }) => value);
    return this.founder.exportChain({
      genesis: this.genesis.bytes,
      blocks: values("chain/blocks"),
      seals: values("chain/seals"),
    });
  }

  /** The machine as another process would find it. */
  reopened(): MachineKit {
    return new MachineKit(this.store.reopened(), this.genesis);
  }
}

export function generation(value: number): Generation {
  return value as Generation;
}
