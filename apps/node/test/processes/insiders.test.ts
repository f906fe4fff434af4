import { generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { ed25519Verifier } from "@revoada/attest-blake3";
import { prescribedHomelab, type ClusterId, type Identity, type JoinToken, type NodeId } from "@revoada/fabric";
import { seededRandom } from "@revoada/fabric/memory";
import { gossipProtocol } from "@revoada/membership-gossip";
import { decodeFrame, encodeFrame, GossipCore, limits, type Now } from "@revoada/membership-gossip/unstable/core";
import { expect, test } from "vitest";
import { type Daemon, formedCluster, revoada, until, workspace } from "./revoada.ts";
import { Stranger, turnedAway } from "./stranger.ts";

const random = seededRandom("insiders");

function now(): Now {
  return { nowMs: performance.now(), wallMs: Date.now() };
}

/** What a node counts, by name and labels as its metrics page has them. */
async function counts(node: Daemon): Promise<(name: string) => number> {
  const { admin } = await node.until(() => true);
  const lines = (await (await fetch(`http://${admin}/metrics`)).text()).split("\n");
  return (name) => Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? 0);
}

/** What a frame or an item in it may be refused for, of what is tried here. */
const reasons = ["signature", "cluster", "far-future", "malformed", "oversize", "version"] as const;
const refusedFor = (reason: string): string => `revoada_membership_refused_total{reason="${reason}"}`;
const notAdmitted = `revoada_transport_not_admitted_total{channel="gossip"}`;

/** A member whose key is in the wrong hands: it is let through every door, and says what its owner would not. */
class Insider extends Stranger {
  cluster = "" as ClusterId;

  /** A core that says that it is `id`, and signs everything with the insider's key. */
  posing(id: NodeId, generation: number): GossipCore {
    const identity: Identity = { id, sign: (message) => this.identity.sign(message) };
    const addresses = ["127.0.0.1:1"];
    const [strategy, verifier, keys] = [prescribedHomelab().membership, ed25519Verifier(), new Map<string, string>()];
    const options = { identity, verifier, strategy, random, keys, addresses, generation, isKnown: undefined };
    return new GossipCore({ ...options, clusterId: this.cluster }, now());
  }

  request(peer: NodeId, frame: Uint8Array): Promise<Uint8Array> {
    return this.transport.request(peer, gossipProtocol, frame);
  }

  say(peer: NodeId, frame: Uint8Array): void {
    expect(this.transport.send(peer, gossipProtocol, frame)).toBe(true);
  }

  /** All that a node has to say of the members, in one frame. */
  async listen(peer: NodeId): Promise<Uint8Array> {
    const open = encodeFrame(this.cluster, { type: "open", buckets: new Uint8Array(256), items: [] });
    const digest = decodeFrame(await this.request(peer, open), this.cluster);
    const known = digest.type === "digest" ? digest.entries : [];
    const wants = known.map(({ prefix }) => ({ prefix, pages: [] }));
    return this.request(peer, encodeFrame(this.cluster, { type: "exchange", items: [], wants }));
  }

  /** A core that says that it is `id` and knows what was said. */
  informed(id: NodeId, news: Uint8Array): GossipCore {
    const core = this.posing(id, 1);
    core.received(this.id, news, now());
    core.takeEffects();
    return core;
  }

  /** The word that `core` spreads once it has found that the door of `subject` is shut. */
  accusation(core: GossipCore, subject: NodeId): Uint8Array {
    const life = core.probeTarget(subject);
    if (life === undefined) throw new Error("nobody of that name is known");
    core.closed(subject, life, now());
    const sent = core.takeEffects().find((effect) => effect.type === "send");
    if (sent?.type !== "send") throw new Error("nothing was said");
    return sent.frame;
  }
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag, 0x82, content.length >>> 8, content.length & 0xff), content]);
}

/** A sound certificate over a key of one's own that bears a member's name. */
function credentialsNamed(commonName: string): { readonly key: string; readonly cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const algorithm = Buffer.from("300506032b6570", "hex");
  const attribute = Buffer.concat([Buffer.from("0603550403", "hex"), der(0x0c, Buffer.from(commonName))]);
  const name = der(0x30, der(0x31, der(0x30, attribute)));
  const validity = der(0x30, der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("490101000000Z")));
  const spki = publicKey.export({ format: "der", type: "spki" });
  const body = der(0x30, Buffer.from("a003020102020101", "hex"), algorithm, name, validity, name, spki);
  const signature = der(0x03, Buffer.of(0), sign(null, body, privateKey));
  const cert = new X509Certificate(der(0x30, body, algorithm, signature)).toString();
  return { key: privateKey.export({ format: "pem", type: "pkcs8" }) as string, cert };
}

/** Says hello under a certificate and resolves once the other side has hung up. */
function helloAs(address: string, credentials: { readonly key: string; readonly cert: string }): Promise<void> {
  const [host, port] = address.split(":") as [string, string];
  const hello = Buffer.concat([Buffer.of(0, 0, 0, 23, 1), Buffer.from("RVTL"), Buffer.of(1, 1), randomBytes(16)]);
  return new Promise((resolve) => {
    const options = { host, port: Number(port), ALPNProtocols: ["revoada/gossip/1"], rejectUnauthorized: false };
    const socket = connect({ ...options, ...credentials, checkServerIdentity: () => undefined });
    socket.once("secureConnect", () => socket.write(hello));
    socket.on("error", () => undefined);
    socket.once("close", () => resolve());
    socket.resume();
  });
}

/** A cluster of three, and a fourth member of it that is none of its friends. */
interface Scene {
  readonly nodes: readonly Daemon[];
  readonly target: Daemon;
  /** Who the three are: the target first. */
  readonly ids: readonly [NodeId, NodeId, NodeId];
  readonly address: string;
  readonly insider: Insider;
  readonly token: JoinToken;
}

async function setTheScene(): Promise<Scene> {
  const nodes = await formedCluster(workspace(), 3);
  const [target] = nodes as readonly [Daemon, Daemon, Daemon];
  const states = await Promise.all(nodes.map((node) => node.until(() => true)));
  const insider = new Insider();
  insider.cluster = states[0]?.cluster as ClusterId;
  const made = await target.ask((node) => node.createToken({ uses: 1, role: "worker", label: "stolen later" }));
  const token = insider.attestor.decodeToken(made);
  expect(await insider.ask(token)).not.toBe(turnedAway);
  for (const { id, listen } of states) insider.transport.setAddresses(id, listen);
  for (const node of nodes)
    await node.until(({ formation, chain }) => formation.nodes === 4 && chain.sealedHeight === chain.height);
  const ids = states.map(({ id }) => id) as unknown as Scene["ids"];
  return { nodes, target, ids, address: states[0]?.listen[0] ?? "", insider, token };
}

/** How many frames a node has refused, whatever they lacked. */
async function refusals(node: Daemon): Promise<number> {
  const count = await counts(node);
  return reasons.reduce((total, reason) => total + count(refusedFor(reason)), 0);
}

/** Says something, and waits until it was refused once, for that reason. */
async function refused(node: Daemon, reason: string, say: () => unknown): Promise<void> {
  const [all, before] = [await refusals(node), (await counts(node))(refusedFor(reason))];
  await say();
  await until(`a refusal for ${reason}`, async () =>
    (await counts(node))(refusedFor(reason)) > before ? true : undefined,
  );
  expect((await refusals(node)) - all).toBe(1);
}

/** In others' names: an inflated incarnation, a good-bye, a death, the word of another cluster; in its own, a far future. */
async function forge({ target, ids, insider }: Scene): Promise<void> {
  const [to, second, third] = ids;
  const liar = insider.informed(third, await insider.listen(to));
  const { generation } = liar.member(second)?.record ?? { generation: 0 };
  const inflated = insider.posing(second, generation);
  for (let times = 0; times < 99; times += 1) inflated.raiseIncarnation(now());
  const goodBye = insider.posing(second, generation + 1).leave(now()).frame;
  const tomorrow = insider.posing(insider.id, 2 ** 40).openRound();
  const foreign = encodeFrame("0".repeat(64) as ClusterId, { type: "open", buckets: new Uint8Array(256), items: [] });
  await refused(target, "signature", () => insider.request(to, inflated.openRound()));
  await refused(target, "signature", () => insider.request(to, goodBye));
  await refused(target, "signature", () => insider.say(to, insider.accusation(liar, second)));
  await refused(target, "far-future", () => insider.request(to, tomorrow));
  await refused(target, "cluster", () => expect(insider.request(to, foreign)).rejects.toThrow());
}

/** In its own name it may accuse: one word is not enough, whom it is about answers it, and what was true before is old news then. */
async function accuse({ ids, insider }: Scene): Promise<void> {
  const [to, second, third] = ids;
  const news = await insider.listen(to);
  const incarnation = async (): Promise<number> =>
    insider.informed(third, await insider.listen(to)).member(second)?.record.incarnation ?? 0;
  const before = await incarnation();
  insider.say(to, insider.accusation(insider.informed(insider.id, news), second));
  const raised = await until("the accused to answer", async () => {
    const found = await incarnation();
    return found > before ? found : undefined;
  });
  for (let times = 0; times < 100; times += 1) insider.say(to, news);
  expect(await incarnation()).toBe(raised);
}

/** Frames that are none, by the thousand: each is refused and counted. */
async function babble({ target, ids, insider }: Scene): Promise<void> {
  const [to, , third] = ids;
  const oversized = new Uint8Array(limits.frameMaxBytes + 1);
  const genuine = insider.posing(third, 1).openRound();
  const garbage = Array.from({ length: 3_000 }, (_item, place) => {
    if (place % 10 === 0) return oversized;
    return place % 2 === 0 ? genuine.subarray(0, random.below(genuine.length)) : random.bytes(random.below(200));
  });
  const before = await refusals(target);
  for (let start = 0; start < garbage.length; start += 100) {
    const piece = garbage.slice(start, start + 100).map((frame) => insider.request(to, frame));
    for (const { status } of await Promise.allSettled(piece)) expect(status).toBe("rejected");
  }
  expect((await refusals(target)) - before).toBe(garbage.length);
}

/** Who holds no member's key does not get that far, whatever name it bears. */
async function knock({ target, ids, address }: Scene): Promise<void> {
  const [to, second] = ids;
  const before = (await counts(target))(notAdmitted);
  const stranger = new Stranger();
  await stranger.transport.start();
  stranger.transport.setAddresses(to, [address]);
  const asked = stranger.transport.request(to, gossipProtocol, new Uint8Array(1));
  await expect(asked).rejects.toMatchObject({ code: "TRANSPORT_NOT_ADMITTED" });
  await helloAs(address, credentialsNamed(second));
  expect((await counts(target))(notAdmitted)).toBe(before + 2);
}

/** It has a connection to every node on two channels, and is removed: all of them end, and nobody opens another. */
async function remove({ target, ids, insider, token }: Scene): Promise<void> {
  const open = new Set<string>();
  insider.transport.onEvent(({ type, peer, channel }) => {
    if (type === "disconnected") open.delete(`${peer} ${channel}`);
  });
  for (const id of ids)
    for (const channel of ["gossip", "consensus"] as const) {
      const asked = insider.transport.request(id, { name: "/revoada/none/1", channel }, new Uint8Array(1));
      await expect(asked).rejects.toMatchObject({ code: "TRANSPORT_UNSUPPORTED" });
      open.add(`${id} ${channel}`);
    }
  expect((await revoada("node", "remove", insider.id, "--data-dir", target.directory)).code).toBe(0);
  await until("every connection to be closed", async () => (open.size === 0 ? true : undefined));
  const [before, genuine] = [await refusals(target), insider.posing(insider.id, 1).openRound()];
  for (const id of ids)
    await expect(insider.request(id, genuine)).rejects.toMatchObject({ code: "TRANSPORT_NOT_ADMITTED" });
  // The channel of strangers is all that is left to it.
  expect(new Set(insider.transport.statistics().flatMap(({ connected }) => connected))).toEqual(new Set(["join"]));
  expect(await refusals(target)).toBe(before);
  expect(await insider.ask(token)).toBe(turnedAway);
  expect((await target.ask((node) => node.formation())).tombstones).toEqual([insider.id]);
}

test("a stolen member key forges nothing, breaks nothing, and is shut out everywhere with its open connections once removed", async () => {
  const scene = await setTheScene();
  const before = await scene.target.ask((node) => node.stateHash());
  await forge(scene);
  await accuse(scene);
  await babble(scene);
  await knock(scene);
  for (const node of scene.nodes) {
    const { members, condition } = await node.until(({ consensus }) => consensus.quorum);
    expect([condition, members.filter(({ status }) => status === "alive").length]).toEqual(["healthy", 3]);
    expect(await node.ask((client) => client.stateHash())).toEqual(before);
  }
  await remove(scene);
  for (const node of scene.nodes) expect((await node.stop()).code).toBe(0);
});
