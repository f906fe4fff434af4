import { randomBytes } from "node:crypto";
import { blake3Attestor, encodeCanonical, identityFromSeed } from "@revoada/attest-blake3";
import type { Attestor, Identity, JoinToken, NodeId, Transport } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { onTestFinished } from "vitest";

export const door = { name: "/revoada/join/1", channel: "join" } as const;

/** The bytes, in hex, of the answer to whoever may not enter. */
export const turnedAway: string = Buffer.from(encodeCanonical({ version: 1, refused: true })).toString("hex");

/** Somebody with a key of its own who speaks the node's protocols by hand. */
export class Stranger {
  readonly identity: Identity;
  readonly attestor: Attestor;
  readonly transport: Transport;

  constructor() {
    const seed = new Uint8Array(randomBytes(32));
    this.identity = identityFromSeed(seed);
    this.attestor = blake3Attestor(this.identity);
    const [clock, random] = [systemClock(), systemRandom()];
    this.transport = tlsTransport({ privateKey: seed, listen: [], admission: () => true, clock, random });
    onTestFinished(() => this.transport.shutdown());
  }

  get id(): NodeId {
    return this.attestor.identity.id;
  }

  /** Asks to be let in and gives back the exact bytes of the answer, in hex. */
  async ask(
    token: JoinToken,
    words: { readonly claims?: NodeId; readonly binding?: Uint8Array; readonly proof?: Uint8Array } = {},
  ): Promise<string> {
    await this.transport.start();
    const [voter] = token.voters as [NodeId];
    this.transport.setAddresses(voter, token.addresses);
    const stream = await this.transport.open(voter, door);
    const node = words.claims ?? this.id;
    const proof = words.proof ?? this.attestor.proveToken(token, words.binding ?? stream.channelBinding, node);
    const storeId = this.id.slice(0, 32);
    const facts = { storeId, generation: 1, zone: "z", version: "1", addresses: ["127.0.0.1:1"] };
    const { clusterId, tokenId } = token;
    await stream.send(
      new Uint8Array(encodeCanonical({ version: 1, request: { clusterId, node, tokenId, proof, ...facts } })),
    );
    for await (const message of stream.receive()) return Buffer.from(message).toString("hex");
    throw new Error("nothing was said");
  }
}
