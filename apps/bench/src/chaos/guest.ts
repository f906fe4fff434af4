import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import { joinCluster } from "@revoada/cluster";
import { isFabricError, type NodeId, type StoreId, type Transport, type TransportChannel } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { until, type Daemon } from "@revoada/node/unstable/fleet";
import { tlsTransport } from "@revoada/transport-tls";

const channels: readonly TransportChannel[] = ["gossip", "consensus"];
const deadlineMs = 15_000;

/** A member of the cluster that is no daemon: it holds a connection on two channels to every node, and sees when each of them ends. */
export class Guest implements AsyncDisposable {
  readonly id: NodeId;
  readonly #transport: Transport;
  readonly #open = new Set<string>();
  /** When the last connection to a node ended, by the host's clock in milliseconds. */
  readonly #endedMs = new Map<NodeId, number>();

  private constructor(id: NodeId, transport: Transport) {
    this.id = id;
    this.#transport = transport;
    transport.onEvent(({ type, peer, channel }) => {
      if (type === "disconnected" && this.#open.delete(`${peer} ${channel}`)) this.#endedMs.set(peer, Date.now());
    });
  }

  /** Is let in as a worker, and connects to everybody. */
  static async enter(host: Daemon, daemons: readonly Daemon[]): Promise<Guest> {
    const [clock, random] = [systemClock(), systemRandom()];
    const seed = random.bytes(32);
    const attestor = blake3Attestor(identityFromSeed(seed));
    const transport = tlsTransport({ privateKey: seed, listen: [], admission: () => true, clock, random });
    const guest = new Guest(attestor.identity.id, transport);
    try {
      await transport.start();
      const token = await host.ask((client) => client.createToken({ uses: 1, role: "worker", label: "guest" }));
      await joinCluster({
        ...{ attestor, transport, token: attestor.decodeToken(token), generation: 1, zone: "guest", version: "1" },
        storeId: guest.id.slice(0, 32) as StoreId,
        addresses: ["127.0.0.1:1"],
      });
      for (const daemon of daemons) await guest.#connect(daemon);
      return guest;
    } catch (error) {
      await transport.shutdown();
      throw error;
    }
  }

  /** Nodes that hold no log learn of it a little later. */
  async #connect(daemon: Daemon): Promise<void> {
    const { id, listen } = await daemon.status();
    this.#transport.setAddresses(id, listen);
    for (const channel of channels) {
      await until(`${daemon.directory} to let the guest connect`, deadlineMs, async () =>
        (await this.#answer(id, channel)) === "TRANSPORT_UNSUPPORTED" ? true : undefined,
      );
      this.#open.add(`${id} ${channel}`);
    }
  }

  /** The code of the refusal of something that nobody offers: it says whether the guest was let in. */
  async #answer(peer: NodeId, channel: TransportChannel): Promise<string> {
    try {
      await this.#transport.request(peer, { name: "/revoada/none/1", channel }, new Uint8Array(1));
      return "";
    } catch (error) {
      return isFabricError(error) ? error.code : String(error);
    }
  }

  /** Resolves once every connection has ended, with when that was at each node, in milliseconds since the epoch. */
  async shutOut(): Promise<ReadonlyMap<NodeId, number>> {
    await until("every connection of the removed node to end", deadlineMs, async () =>
      this.#open.size === 0 ? true : undefined,
    );
    return this.#endedMs;
  }

  /** Those nodes that take anything of it still. */
  async welcomedBy(peers: Iterable<NodeId>): Promise<readonly NodeId[]> {
    const found: NodeId[] = [];
    for (const peer of peers)
      for (const channel of channels)
        if ((await this.#answer(peer, channel)) !== "TRANSPORT_NOT_ADMITTED") found.push(peer);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.shutdown();
  }
}
