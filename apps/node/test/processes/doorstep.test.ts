import { join } from "node:path";
import { decodeCanonical } from "@revoada/attest-blake3";
import type { JoinToken } from "@revoada/fabric";
import { expect, test } from "vitest";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";
import { door, Stranger, turnedAway } from "./stranger.ts";

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
  for (const { name, reason, token, words, by = new Stranger() } of attacks) {
    expect([name, await by.ask(token, words)]).toEqual([name, turnedAway]);
    await daemon.said(new RegExp(`${by.id}[^\\n]*${reason}[^\\n]*a newcomer was refused`));
  }
  expect((await daemon.ask((node) => node.stateHash())).hash).toBe(before.hash);
  // It was no accident: whoever may enter does.
  await new Stranger().ask(good);
  expect((await daemon.ask((node) => node.formation())).nodes).toHaveLength(2);
  expect((await daemon.stop()).code).toBe(0);
});
