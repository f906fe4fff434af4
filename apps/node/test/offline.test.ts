import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { loadIdentity } from "@revoada/attest-blake3";
import { isFabricError, silentLogger } from "@revoada/fabric";
import { describe, expect, onTestFinished, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { connectNode } from "../src/client.ts";
import { startNode, type RunningNode } from "../src/daemon/daemon.ts";
import { DataDirectory } from "../src/data-directory/data-directory.ts";
import { couldAgree } from "../src/offline/living.ts";
import { openStoppedNode } from "../src/offline/stopped-node.ts";
import { captureIo, temporaryDirectory } from "./helpers.ts";

async function start(dataDir: string, bootstrap = false): Promise<RunningNode> {
  const shape = { topology: "solo", strategy: "solo", listen: "127.0.0.1:0", adminListen: "127.0.0.1:0" };
  const node = await startNode({
    config: { dataDir, bootstrap, logLevel: "silent", ...shape },
    logger: silentLogger,
    signal: new AbortController().signal,
  });
  onTestFinished(() => node.stop());
  return node;
}

async function run(dataDir: string, line: string): Promise<{ code: number; out: string; err: string }> {
  const io = captureIo({ environment: { REVOADA_DATA_DIR: dataDir }, workingDirectory: join(dataDir, "..") });
  const code = await runCli(line.split(" "), commands, io);
  return { code, out: io.out(), err: io.err() };
}

/** The directory of a lone node that has stopped, with a resource in it. */
async function stopped(): Promise<string> {
  const dataDir = join(temporaryDirectory(), "data");
  const node = await start(dataDir, true);
  const client = await connectNode(dataDir);
  while (node.status().mode !== "read-write") await client.status();
  const body = Buffer.from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
  await client.face.apply({ format: "yaml", body });
  await client[Symbol.asyncDispose]();
  await node.stop();
  return dataDir;
}

async function idOf(dataDir: string): Promise<string> {
  return (await loadIdentity(join(dataDir, "identity.key"))).identity.id;
}

/** The former key held its place until the next one inherited it, and a file says so that needs nothing else. */
async function expectProofs(dataDir: string, former: string, cluster: string): Promise<void> {
  const client = await connectNode(dataDir);
  const { createdMs, blocks } = await client.chainShow();
  await client[Symbol.asyncDispose]();
  const inherited = blocks.find(({ verb }) => verb === "inherit")?.timeMs ?? 0;
  const folder = join(dataDir, "..");
  const verdictAt = async (timeMs: number): Promise<unknown> => {
    const at = new Date(timeMs).toISOString();
    const proven = await run(dataDir, `chain prove --node ${former.slice(0, 16)} --at ${at} -o ${folder}/a.proof`);
    expect(proven.code, proven.err).toBe(0);
    return JSON.parse((await run(dataDir, `chain verify ${folder}/a.proof --cluster ${cluster} -o json`)).out);
  };
  expect(await verdictAt(createdMs)).toMatchObject({ ok: true, kind: "proof", record: { role: "bootstrap" } });
  expect(await verdictAt(inherited)).toMatchObject({ ok: true, removed: true });
  expect(await run(dataDir, `chain checkpoint ${folder}/a.checkpoint`)).toMatchObject({ code: 0, err: "" });
  expect(await run(dataDir, `chain verify ${folder}/exported.chain --from ${folder}/a.checkpoint`)).toMatchObject({
    code: 0,
    out: expect.stringContaining("the chain verifies"),
  });
  expect(await run(dataDir, `chain verify ${folder}/exported.chain --trust ${cluster}`)).toMatchObject({
    code: 1,
    out: expect.stringContaining("untrusted"),
  });
}

describe("the key of the only voter", () => {
  test("is rotated while its daemon is stopped; the chain shows and proves it, and nothing is lost", async () => {
    const dataDir = await stopped();
    const before = await idOf(dataDir);
    const rotated = await run(dataDir, "key rotate -o json");
    expect(rotated).toMatchObject({ code: 0, err: "" });
    const { from, to } = JSON.parse(rotated.out) as { from: string; to: string };
    expect([from, to]).toEqual([before, await idOf(dataDir)]);
    expect(readdirSync(dataDir).filter((name) => name.includes("next") || name.endsWith(".tmp"))).toEqual([]);

    const node = await start(dataDir);
    const client = await connectNode(dataDir);
    while (!node.status().consensus.quorum) await client.status();
    expect(node.status()).toMatchObject({ id: to, role: "master", replica: "voter" });
    await client.face.get({ kind: "ConfigMap", name: "a" }, { format: "json" });
    expect((await client.formation()).tombstones).toEqual([from]);
    const { blocks } = await client.chainShow();
    expect(blocks.map(({ verb }) => verb)).toEqual(expect.arrayContaining(["succeed", "inherit"]));
    const file = join(dataDir, "..", "exported.chain");
    await run(dataDir, `chain export ${file}`);
    const verified = await run(dataDir, `chain verify ${file} --cluster ${node.status().cluster} --no-recovery`);
    expect(verified.code).toBe(0);
    await expectProofs(dataDir, from, node.status().cluster ?? "");
    await client[Symbol.asyncDispose]();
  });

  test("is rotated to the end by doing it again, wherever it was cut short", async () => {
    const dataDir = await stopped();
    const from = await idOf(dataDir);
    // Up to the log, and no further.
    const { planLoneRotation } = await import("@revoada/cluster");
    const { loadOrCreateIdentity } = await import("@revoada/attest-blake3");
    const half = await openStoppedNode(dataDir);
    const next = await loadOrCreateIdentity(half.data.paths.nextKey);
    const batch = await planLoneRotation(half.offline, next.identity.id);
    if (batch === undefined) throw new Error("nothing was planned");
    await half.log.append(batch);
    await half[Symbol.asyncDispose]();
    expect(await idOf(dataDir)).toBe(from);
    expect((await run(dataDir, "key rotate")).code).toBe(0);
    expect(await idOf(dataDir)).toBe(next.identity.id);
    // Up to the node file: the next start finds its key.
    const data = await DataDirectory.open(dataDir);
    const file = await data.readNode();
    if (file === undefined) throw new Error("there is no node");
    const later = await loadOrCreateIdentity(data.paths.nextKey);
    await data.writeNode({ ...file, node: later.identity.id });
    await data[Symbol.asyncDispose]();
    const opened = await openStoppedNode(dataDir);
    expect(opened.identity.identity.id).toBe(later.identity.id);
    await opened[Symbol.asyncDispose]();
    expect(await idOf(dataDir)).toBe(later.identity.id);
  });

  test("is not rotated while it runs, where nobody else could agree, and stays as it was", async () => {
    const dataDir = await stopped();
    await start(dataDir);
    const before = await idOf(dataDir);
    const refused = await run(dataDir, "key rotate --timeout 5s");
    expect([refused.code, refused.err.split(":")[0]]).toEqual([1, "error CLUSTER_ROTATE_REFUSED"]);
    expect(await idOf(dataDir)).toBe(before);
    expect(readdirSync(dataDir)).not.toContain("identity.next.key");
  });
});

describe("recovering from a lost majority", () => {
  test("is refused to a node that lacks nobody, and to one that runs; nothing is changed", async () => {
    const dataDir = await stopped();
    const before = readdirSync(dataDir).toSorted();
    const alone = await run(dataDir, "recover --lost-majority --accept-data-loss");
    expect([alone.code, alone.err.split(":")[0]]).toEqual([1, "error CLUSTER_OFFLINE_REFUSED"]);
    expect(readdirSync(dataDir).toSorted()).toEqual(before);
    await start(dataDir);
    const busy = await run(dataDir, "recover --lost-majority --dry-run");
    expect([busy.code, busy.err.split(":")[0]]).toEqual([1, "error DISK_LOCKED"]);
  });

  test("takes no notice of the locks that a killed daemon left", async () => {
    const dataDir = await stopped();
    const left = createServer().listen(join(dataDir, "store", "lock.0123456789abcdef0123456789abcdef.socket"));
    onTestFinished(() => void left.close());
    await once(left, "listening");
    const { code, err } = await run(dataDir, "recover --lost-majority --dry-run");
    expect([code, err.split(":")[0]]).toEqual([1, "error CLUSTER_OFFLINE_REFUSED"]);
    expect((await run(dataDir, "key rotate")).code).toBe(0);
  });

  test("says what it is for, and is asked for by name", async () => {
    const { code, err } = await run(temporaryDirectory(), "recover");
    expect([code, err.split(":")[0]]).toEqual([2, "error CLI_MISSING_FLAG"]);
    await expect(openStoppedNode(join(temporaryDirectory(), "nothing"))).rejects.toSatisfy((error) =>
      isFabricError(error, "NODE_NOT_INITIALISED"),
    );
  });

  test("asks whether a majority could agree in each half of a change of voters", () => {
    const replicas = (...ids: readonly string[]) => ids.map((id) => ({ id, storeId: id }) as never);
    const there = new Set(["a", "b"] as never[]);
    expect(couldAgree({ voters: replicas("a", "b", "c") }, there)).toBe(true);
    expect(couldAgree({ voters: replicas("a", "b", "c", "d") }, there)).toBe(false);
    expect(couldAgree({ voters: replicas("a", "b", "c"), outgoing: replicas("a", "d", "e") }, there)).toBe(false);
    expect(couldAgree({ voters: replicas("c") }, there)).toBe(false);
  });
});
