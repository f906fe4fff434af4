import {
  Cluster,
  ClusterDeclaration,
  joinCluster,
  type ClusterLayers,
  type ClusterOrigin,
  type Joined,
  type ServedCatalog,
} from "@revoada/cluster";
import {
  prescribedHomelab,
  replicasOf,
  type Attestor,
  type FabricFace,
  type FormatRegistry,
  type Genesis,
  type JoinToken,
  type Transport,
} from "@revoada/fabric";
import {
  memoryAddress,
  memoryNetwork,
  seededRandom,
  virtualClock,
  type MemoryNetwork,
  type VirtualClock,
  type VirtualHost,
} from "@revoada/fabric/memory";
import { cluster3mnw, topologyByName } from "@revoada/topology";
import { CounterMachine } from "./counter-machine.ts";
import { nodeId, storeId } from "./keys.ts";
import { Ledger } from "./ledger.ts";
import { testAttestor } from "./test-attestor.ts";
import { TestFace } from "./test-face.ts";
import { TestConsensus, TestLog } from "./test-log.ts";
import { TestGossip, TestMembership } from "./test-membership.ts";
import { TestStore } from "./test-store.ts";

export const rawFace: FabricFace = { name: "raw", kind: { protocol: "pure-raft" } };

const formats: FormatRegistry = {
  formats: () => [],
  get: () => {
    throw new Error("no format is needed here");
  },
};

/** Nodes of one cluster over one virtual clock, network and log. */
export class ClusterKit {
  readonly clock: VirtualClock = virtualClock();
  readonly network: MemoryNetwork = memoryNetwork({ clock: this.clock, latencyMs: 1 });
  readonly log = new TestLog();
  readonly gossip: TestGossip = new TestGossip(() => this.clock.monotonicMs());
  readonly declaration: ClusterDeclaration;
  readonly founder: TestNode;
  readonly genesis: Genesis;

  /** `operators`: names of operator keys; with any the strategy asks for their signatures. */
  constructor(operators: readonly string[] = []) {
    const { attestation, ...strategy } = prescribedHomelab();
    const requireOperatorSignature = operators.length > 0;
    const signed = { ...strategy, attestation: { ...attestation, requireOperatorSignature } };
    this.declaration = ClusterDeclaration.create(signed, rawFace, cluster3mnw());
    this.founder = new TestNode(this, "a");
    this.genesis = this.founder.attestor.createGenesis({
      nonce: new Uint8Array(32).fill(3),
      createdMs: Math.floor(this.clock.wallMs()),
      declaration: this.declaration.encode(),
      storeId: storeId("a"),
      zone: "zone-a",
      version: "1",
      operators: operators.map(nodeId),
    });
  }

  /** A running founder. */
  static async founded(operators: readonly string[] = []): Promise<ClusterKit> {
    const kit = new ClusterKit(operators);
    await kit.run(kit.founder.cluster.start());
    return kit;
  }

  run<T>(work: Promise<T>, withinMs = 60_000): Promise<T> {
    return this.clock.run(work, { withinMs });
  }

  token(options: { readonly uses?: number; readonly ttlMs?: number } = {}): Promise<JoinToken> {
    return this.run(this.founder.cluster.createToken({ uses: options.uses ?? 1, ttlMs: options.ttlMs ?? 3_600_000 }));
  }

  /** A node that was let in and runs. */
  async joined(name: string): Promise<TestNode> {
    const node = new TestNode(this, name);
    node.joined = await this.run(node.ask(await this.token()));
    await this.run(node.cluster.start());
    return node;
  }
}

/** One node: its layers are doubles that write down what is taken of them. */
export class TestNode {
  readonly name: string;
  readonly kit: ClusterKit;
  readonly attestor: Attestor;
  readonly ledger = new Ledger();
  readonly faces: TestFace[] = [];
  readonly cluster: Cluster;
  store: TestStore = new TestStore();
  joined: Joined | undefined;
  starts = 0;
  founding: boolean | undefined;
  layers: ClusterLayers;
  /** How it understands a declaration that was committed since the founding. */
  understands = async (bytes: Uint8Array): Promise<ClusterDeclaration> =>
    ClusterDeclaration.decode(bytes, topologyByName);
  /** Whose disk it runs over: its own unless told. */
  readonly disk: string;
  /** The host that it runs on, with a wall clock of its own. */
  readonly host: VirtualHost;

  constructor(kit: ClusterKit, name: string, disk: string = name) {
    this.kit = kit;
    this.name = name;
    this.disk = disk;
    this.host = kit.clock.host(name);
    this.attestor = testAttestor(name);
    this.layers = this.#layers();
    this.cluster = new Cluster(kit.declaration, this.layers);
  }

  /** The transport of a process that is not a member yet. */
  async stranger(): Promise<Transport> {
    const transport = this.kit.network.transport(nodeId(this.name));
    await transport.start();
    return transport;
  }

  /** Asks to be let in, from a transport of its own. */
  async ask(token: JoinToken): Promise<Joined> {
    const transport = await this.stranger();
    try {
      const { attestor } = this;
      const addresses = [memoryAddress(nodeId(this.name))];
      const facts = { storeId: storeId(this.disk), generation: 1, zone: `zone-${this.name}`, version: "1" };
      return await joinCluster({ attestor, transport, token, addresses, ...facts });
    } finally {
      await transport.shutdown();
    }
  }

  origin(): ClusterOrigin {
    this.starts += 1;
    const founding = this.founding ?? (this.name === "a" && this.starts === 1);
    const facts = { storeId: storeId(this.disk), generation: this.starts, zone: `zone-${this.name}`, version: "1" };
    return {
      genesis: this.kit.genesis,
      founding,
      ...facts,
      ...(this.joined === undefined ? {} : { chain: this.joined.chain }),
    };
  }

  #layers(): ClusterLayers {
    const { kit, ledger } = this;
    const self = { id: nodeId(this.name), storeId: storeId(this.disk) };
    return {
      attestor: this.attestor,
      clock: this.host,
      random: seededRandom(this.name),
      origin: () => {
        ledger.step("origin read");
        return this.origin();
      },
      store: () => this.#openStore(),
      transport: () => this.#openTransport(),
      membership: ({ keys }) =>
        new TestMembership(
          kit.gossip,
          self.id,
          { generation: this.starts, keys, addresses: [memoryAddress(self.id)] },
          ledger,
        ),
      consensus: ({ founding }) => new TestConsensus(kit.log, self, ledger, founding),
      catalog: () => {
        ledger.step("catalog layer made");
        return { machine: new CounterMachine(), create: () => this.#catalog() };
      },
      formats,
      declarations: (bytes) => this.understands(bytes),
      faces: [{ protocol: "pure-raft", create: ({ face }) => this.#face("local face", face) }],
      remoteFace: () => this.#face("remote face", rawFace),
      serveFace: () => {
        ledger.take("served face");
        return () => ledger.give("served face");
      },
    };
  }

  #openStore(): TestStore {
    const { ledger } = this;
    ledger.take("store");
    this.store = this.store.reopened();
    const { store } = this;
    store.close = async () => ledger.give("store");
    return store;
  }

  #openTransport(): Transport {
    const { ledger } = this;
    const transport = this.kit.network.transport(nodeId(this.name));
    ledger.take("transport");
    const { start, shutdown, handle } = transport;
    transport.start = async () => {
      ledger.step("transport started");
      await start.call(transport);
    };
    transport.shutdown = async () => {
      await shutdown.call(transport);
      ledger.give("transport");
    };
    transport.handle = (protocol, handler) => {
      const withdraw = handle.call(transport, protocol, handler);
      ledger.take(protocol.name);
      return () => {
        withdraw();
        ledger.give(protocol.name);
      };
    };
    return transport;
  }

  #catalog(): ServedCatalog {
    this.ledger.take("catalog");
    return { [Symbol.dispose]: () => this.ledger.give("catalog") } as ServedCatalog;
  }

  #face(name: string, face: FabricFace): TestFace {
    const made = new TestFace(name, face, this.ledger);
    this.faces.push(made);
    return made;
  }
}

/** A founder and these nodes, formed: three masters that vote, the others at work. */
export async function formed(
  ...names: readonly string[]
): Promise<{ readonly kit: ClusterKit; readonly nodes: TestNode[] }> {
  const kit = await ClusterKit.founded();
  const nodes = [kit.founder];
  for (const name of names) nodes.push(await kit.joined(name));
  await kit.clock.runUntil(
    () =>
      replicasOf(kit.founder.cluster.formation(), "voter").length === 3 &&
      [...kit.founder.cluster.formation().nodes.values()].every(({ state }) => state === "active") &&
      kit.log.configuration.outgoing === undefined,
    { withinMs: 30_000 },
  );
  return { kit, nodes };
}
