import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sealEnvelope } from "@revoada/cluster";
import { inspectWal, walLogStore } from "@revoada/consensus-raft";
import { isFabricError, silentLogger, type LogEntry, type LogIndex } from "@revoada/fabric";
import { nodeDisk, systemRandom } from "@revoada/fabric/node";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectNode } from "../src/client.ts";
import type { NodeConfig } from "../src/config/config.ts";
import { startNode, type RunningNode } from "../src/daemon/daemon.ts";
import { temporaryDirectory } from "./helpers.ts";

const solo = { topology: "solo", strategy: "solo", listen: "127.0.0.1:0" } as const;

async function start(dataDir: string, asked: Partial<NodeConfig> = {}): Promise<RunningNode> {
  const config: NodeConfig = {
    dataDir,
    bootstrap: false,
    adminListen: "127.0.0.1:0",
    logLevel: "silent",
    ...asked,
  };
  const node = await startNode({ config, logger: silentLogger, signal: new AbortController().signal });
  onTestFinished(() => node.stop());
  return node;
}

/** A data directory whose node was founded and has stopped. */
async function founded(): Promise<string> {
  const directory = join(temporaryDirectory(), "data");
  const node = await start(directory, { ...solo, bootstrap: true });
  await node.stop();
  return directory;
}

async function refusal(directory: string, asked: Partial<NodeConfig> = {}): Promise<string> {
  try {
    await start(directory, asked);
  } catch (error) {
    if (isFabricError(error)) return error.code;
    throw error;
  }
  throw new Error("it started");
}

describe("a node in a process of somebody else's", () => {
  test("is founded, answers its clients, and stops with everything given back", async () => {
    const directory = join(temporaryDirectory(), "data");
    const node = await start(directory, { ...solo, bootstrap: true });
    const client = await connectNode(directory);
    const { id, chain } = await client.status();
    expect(node.status().id).toBe(id);
    expect((await client.chainShow()).cluster).toBe(node.status().cluster);
    expect(chain.height).toBeGreaterThanOrEqual(0);
    expect((await client.identity()).node).toBe(id);
    expect((await client.formation()).nodes).toHaveLength(1);
    await client[Symbol.asyncDispose]();
    await node.stop();
    expect(await node.ended).toEqual({ reason: "stopped" });
    await expect(connectNode(directory)).rejects.toMatchObject({ code: "NODE_UNREACHABLE" });
    const again = await start(directory);
    expect([again.status().id, again.status().zone]).toEqual([id, "default"]);
    await again.stop();
    await (await start(directory, { zone: "eu-1" })).stop();
    expect((await start(directory)).status().zone).toBe("eu-1");
  });

  test("goes on where it is told again to found or to join what it belongs to", async () => {
    const directory = await founded();
    const node = await start(directory, { ...solo, bootstrap: true });
    const { cluster } = node.status();
    await node.stop();
    const token = join(directory, "join-token");
    const again = await start(directory, { join: token });
    expect(again.status().cluster).toBe(cluster);
  });
});

test("a node whose settings a program gave cannot read them again", async () => {
  const node = await start(join(temporaryDirectory(), "data"), { ...solo, bootstrap: true });
  await expect(node.reload()).rejects.toMatchObject({ code: "NODE_NOT_RELOADABLE" });
});

describe("a node does not start", () => {
  test("with another shape than its cluster has committed", async () => {
    expect(await refusal(await founded(), { topology: "quorum_3m" })).toBe("CLUSTER_DECLARATION_MISMATCH");
  });

  test("with the token of another cluster", async () => {
    const [one, two] = [await founded(), await founded()];
    expect(await refusal(one, { join: join(two, "join-token") })).toBe("NODE_OTHER_CLUSTER");
  });

  test("with another's key, or without its own", async () => {
    const [one, two] = [await founded(), await founded()];
    cpSync(join(two, "identity.key"), join(one, "identity.key"));
    expect(await refusal(one)).toBe("NODE_WRONG_KEY");
    rmSync(join(one, "identity.key"));
    expect(await refusal(one)).toBe("ATTEST_KEY_UNAVAILABLE");
  });

  test("with another's log, or without its own", async () => {
    const [one, two] = [await founded(), await founded()];
    rmSync(join(one, "wal"), { recursive: true });
    expect(await refusal(one)).toBe("NODE_OTHER_STORE");
    cpSync(join(two, "wal"), join(one, "wal"), { recursive: true });
    expect(["NODE_OTHER_STORE", "LOG_OTHER_CLUSTER"]).toContain(await refusal(one));
  });

  test("with a node file of a later release, or one that is damaged", async () => {
    const directory = await founded();
    const path = join(directory, "node.rvd");
    const bytes = readFileSync(path);
    bytes.writeUInt16BE(2, 8);
    writeFileSync(path, bytes);
    expect(await refusal(directory)).toBe("NODE_NEWER_FORMAT");
    bytes.writeUInt16BE(1, 8);
    writeFileSync(path, bytes.subarray(0, -1));
    expect(await refusal(directory)).toBe("NODE_FILE_CORRUPT");
  });

  test("alone with a log that fails its check", async () => {
    const directory = await founded();
    const [segment] = (await inspectWal(nodeDisk(directory))).segments;
    const path = join(directory, "wal", segment?.name ?? "");
    const bytes = readFileSync(path);
    const place = Math.floor((segment?.usedBytes ?? 0) / 2);
    bytes[place] = (bytes[place] ?? 0) ^ 0xff;
    writeFileSync(path, bytes);
    expect(await refusal(directory)).toMatch(/^(RAFT_LOG_CORRUPT|LOG_CORRUPT)$/);
  });

  test("or, having started, ends with the reason, where its log holds a command that it does not know", async () => {
    const directory = await founded();
    const disk = nodeDisk(directory);
    const log = walLogStore({ disk, random: systemRandom() });
    const { lastIndex, hardState } = await log.open();
    const payload = sealEnvelope("catalog", new Uint8Array([1]));
    payload[0] = 99;
    const entry: LogEntry = {
      index: (lastIndex + 1) as LogIndex,
      term: hardState.term,
      kind: "command",
      payload,
    };
    await log.append({ entries: [entry] });
    await log.close();
    const end = await start(directory).then(
      (node) => node.ended,
      (error: unknown) => ({ reason: "failed", error }),
    );
    expect(end).toMatchObject({ reason: "failed", error: { code: "RAFT_NEWER_COMMAND" } });
  });
});
