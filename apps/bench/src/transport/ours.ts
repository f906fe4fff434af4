import type { Duplex, Protocol, Transport } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import type { Endpoint } from "./endpoint.ts";
import type { Place } from "./orders.ts";

const echo: Protocol = { name: "/bench/echo/1", channel: "consensus" };
const sink: Protocol = { name: "/bench/sink/1", channel: "bulk" };

/** This package, as a node uses it. */
export class TransportEndpoint implements Endpoint {
  readonly #transport: Transport;
  #peer: Place | undefined;

  constructor(seed: Uint8Array) {
    this.#transport = tlsTransport({
      privateKey: seed,
      listen: ["127.0.0.1:0"],
      clock: systemClock(),
      random: systemRandom(),
    });
  }

  async open(): Promise<Place> {
    const transport = this.#transport;
    transport.handle(echo, { onRequest: async (payload) => payload });
    transport.handle(sink, { onStream: takeIn });
    await transport.start();
    return { id: transport.localId, addresses: transport.listening() };
  }

  async meet(peers: readonly Place[]): Promise<void> {
    const admitted = new Set(peers.map(({ id }) => id));
    this.#transport.setAdmission((peer) => admitted.has(peer));
    for (const { id, addresses } of peers) this.#transport.setAddresses(id, addresses);
    this.#peer = peers[0];
  }

  request(payload: Uint8Array): Promise<Uint8Array> {
    return this.#transport.request((this.#peer as Place).id, echo, payload);
  }

  async bulk(messageBytes: number, forMs: number): Promise<number> {
    const stream = await this.#transport.open((this.#peer as Place).id, sink);
    const message = new Uint8Array(messageBytes).fill(7);
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) await stream.send(message);
    await stream.close();
    for await (const count of stream.receive()) return Number(Buffer.from(count).readBigUInt64BE());
    throw new Error("the peer ended without a count");
  }
}

async function takeIn(stream: Duplex): Promise<void> {
  let bytes = 0;
  for await (const message of stream.receive({ reuse: true })) bytes += message.length;
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(bytes));
  await stream.send(count);
}
