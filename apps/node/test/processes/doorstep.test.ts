import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { blake3Attestor, decodeCanonical, encodeCanonical, identityFromSeed } from "@revoada/attest-blake3";
import type { Attestor, JoinToken, NodeId, Transport } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { expect, onTestFinished, test } from "vitest";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";

const door = { name: "/revoada/join/1", channel: "join" } as const;

/** Somebody with a key of its own who speaks the door's protocol by hand. */
class Stranger {
  readonly attestor: Attestor;
  readonly transport: Transport;

  constructor() {
    const seed = new Uint8Array(randomBytes(32));
    this.attestor = blake3Attestor(identityFromSeed(seed));
    const admission = (_peer: NodeId, channel: string): boolean => channel === "join";
    const [clock, random] = [systemClock(), systemRandom()];
    this.transport = tlsTransport({ privateKey: seed, listen: [], admission, clock, random });
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

test("whoever may not enter hears the same whatever the reason, changes nothing, and is told apart in the log inside", async () => {
  const folder = workspace();
  const listen = ["--listen", "127.0.0.1:0"];
  const strategy = patientStrategy(folder, "solo");
  const daemon = new Daemon(join(folder, "a"), "--bootstrap", "--topology", "solo", "--strategy", strategy, ...listen);
  await daemon.until(({ mode }) => mode === "read-write");
  const { id: member } = await daemon.until(() => true);
  const make = async (options: { ttlMs?: number; uses?: number } = {}): Promise<JoinToken> =>
    new Stranger().attestor.decodeToken(await daemon.ask((node) => node.createToken(options)));

  const good = await make({ uses: 9 });
  const used = await make({ uses: 1 });
  const removed = new Stranger();
  expect(decodeCanonical(Buffer.from(await removed.ask(used), "hex"), { maxBytes: 1e7 })).toMatchObject({ version: 1 });
  expect((await revoada("node", "remove", removed.id, "--data-dir", daemon.directory)).code).toBe(0);
  const revoked = await make();
  await daemon.ask((node) => node.revokeToken(revoked.tokenId));
  const expired = await make({ ttlMs: 1 });
  const eavesdropper = new Stranger();
  await eavesdropper.transport.start();
  eavesdropper.transport.setAddresses(member, good.addresses);
  const overheard = (await eavesdropper.transport.open(member, door)).channelBinding;
  const foreign = "c".repeat(64) as JoinToken["clusterId"];
  const before = await daemon.ask((node) => node.stateHash());

  interface Attack {
    readonly name: string;
    readonly reason: string;
    readonly token: JoinToken;
    readonly words?: Parameters<Stranger["ask"]>[1];
    readonly by?: Stranger;
  }
  const proofless = "the proof does not fit the token and this connection";
  const attacks: readonly Attack[] = [
    { name: "no token", reason: "the token is unknown", token: { ...good, tokenId: "0".repeat(32) } },
    { name: "no proof", reason: proofless, token: good, words: { proof: new Uint8Array(64) } },
    { name: "another seed", reason: proofless, token: { ...good, seed: new Uint8Array(32) } },
    { name: "an overheard proof", reason: proofless, token: good, words: { binding: overheard } },
    { name: "an expired token", reason: "the token expired at", token: expired },
    { name: "a token that is used up", reason: "the token is used up", token: used },
    { name: "a revoked token", reason: "the token is unknown", token: revoked },
    { name: "a foreign token", reason: "its token is of cluster ccc", token: { ...good, clusterId: foreign } },
    { name: "another's name", reason: "it says that it is", token: good, words: { claims: member } },
    { name: "a removed key", reason: "it was removed for ever", token: good, by: removed },
    { name: "a removed key with its old token", reason: "the token is used up", token: used, by: removed },
  ];
  const refused = Buffer.from(encodeCanonical({ version: 1, refused: true })).toString("hex");
  for (const { name, reason, token, words, by = new Stranger() } of attacks) {
    expect([name, await by.ask(token, words)]).toEqual([name, refused]);
    await daemon.said(new RegExp(`${by.id}[^\\n]*${reason}[^\\n]*a newcomer was refused`));
  }
  expect((await daemon.ask((node) => node.stateHash())).hash).toBe(before.hash);
  // It was no accident: whoever may enter does.
  await new Stranger().ask(good);
  expect((await daemon.ask((node) => node.formation())).nodes).toHaveLength(2);
  expect((await daemon.stop()).code).toBe(0);
});
