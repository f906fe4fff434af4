import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspectWal } from "@revoada/consensus-raft";
import { silentLogger } from "@revoada/fabric";
import { nodeDisk } from "@revoada/fabric/node";
import { describe, expect, onTestFinished, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { startNode, type RunningNode } from "../src/daemon/daemon.ts";
import { captureIo, temporaryDirectory } from "./helpers.ts";

interface Desk {
  readonly data: string;
  start(): Promise<RunningNode>;
  run(line: string): Promise<{ readonly code: number; readonly out: string; readonly err: string }>;
}

/** The data directory of a node that leads alone. */
async function desk(): Promise<Desk> {
  const data = join(temporaryDirectory(), "data");
  const start = async (): Promise<RunningNode> => {
    const node = await startNode({
      config: {
        dataDir: data,
        bootstrap: readdirSync(join(data, "..")).length === 0,
        topology: "solo",
        strategy: "solo",
        listen: "127.0.0.1:0",
        adminListen: "127.0.0.1:0",
        logLevel: "silent",
      },
      logger: silentLogger,
      signal: new AbortController().signal,
    });
    onTestFinished(() => node.stop());
    return node;
  };
  const run: Desk["run"] = async (line) => {
    const io = captureIo({ environment: { REVOADA_DATA_DIR: data }, workingDirectory: data });
    const code = await runCli(line.split(" "), commands, io);
    return { code, out: io.out(), err: io.err() };
  };
  return { data, start, run };
}

async function stoppedDesk(): Promise<Desk> {
  const made = await desk();
  const node = await made.start();
  await node.stop();
  return made;
}

/** Flips bits in the last batch: nobody could say that it was never acknowledged. */
async function damage(data: string): Promise<{ readonly segment: string; readonly offset: number }> {
  const last = (await inspectWal(nodeDisk(data))).segments.findLast((segment) => segment.state === "live");
  const segment = last?.name ?? "";
  const path = join(data, "wal", segment);
  const bytes = readFileSync(path);
  const offset = (last?.usedBytes ?? 0) - 40;
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x11;
  writeFileSync(path, bytes);
  return { segment, offset };
}

function files(data: string): Record<string, string> {
  const folder = join(data, "wal");
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString("base64")]),
  );
}

describe("the log of a stopped node", () => {
  test("is described for people and for programs", async () => {
    const { run } = await stoppedDesk();
    const { node } = JSON.parse((await run("identity -o json")).out) as { readonly node: string };
    const text = await run("wal inspect");
    expect(text.code).toBe(0);
    expect(text.out).toContain("verdict    ok");
    expect(text.out).toContain(`voter      ${node}`);
    const report = JSON.parse((await run("wal inspect -o json")).out) as Record<string, unknown>;
    expect(report).toMatchObject({ verdict: "ok", shared: false, configuration: { voters: [{ id: node }] } });
    expect(report["groups"]).toMatchObject([{ state: "ok", firstIndex: 1 }]);
    expect((await run("wal verify")).code).toBe(0);
    expect(await run("wal repair")).toMatchObject({ code: 0, out: expect.stringContaining("nothing to repair") });
  });

  test("that is damaged is told by its first bad place, and is not changed by whoever looks", async () => {
    const { data, run } = await stoppedDesk();
    const { segment } = await damage(data);
    const before = files(data);
    const verified = await run("wal verify -o json");
    expect(verified.code).toBe(1);
    expect(JSON.parse(verified.out)).toMatchObject({
      ok: false,
      verdict: "corrupt",
      faults: [{ kind: "corrupt", segment }],
    });
    expect((await run("wal verify")).out).toContain(`corrupt: ${segment} at `);
    expect((await run("wal inspect")).code).toBe(0);
    expect(files(data)).toEqual(before);
    expect((await run("wal verify --nonsense")).code).toBe(2);
  });

  test("is repaired only by who accepts the loss, with a copy aside, and the only voter starts again", async () => {
    const { data, start, run } = await stoppedDesk();
    await damage(data);
    const before = files(data);
    await expect(start()).rejects.toMatchObject({ code: "RAFT_LOG_CORRUPT" });
    const dry = await run("wal repair --dry-run --accept-data-loss");
    expect(dry).toMatchObject({ code: 0, out: expect.stringMatching(/entries up to \d+ can be kept/) });
    const refused = await run("wal repair");
    expect(refused).toMatchObject({ code: 1, out: expect.stringContaining("--accept-data-loss") });
    expect(files(data)).toEqual(before);
    const repaired = await run("wal repair --accept-data-loss -o json");
    expect(repaired.code).toBe(0);
    const { aside } = JSON.parse(repaired.out) as { readonly aside: string };
    const kept = Object.fromEntries(
      readdirSync(join(data, aside)).map((name) => [name, readFileSync(join(data, aside, name)).toString("base64")]),
    );
    expect(kept).toEqual(before);
    expect((await run("wal verify")).code).toBe(0);
    const node = await start();
    expect((await run("status")).code).toBe(0);
    expect(await run("wal repair --accept-data-loss")).toMatchObject({
      code: 1,
      err: expect.stringContaining("DISK_LOCKED"),
    });
    await node.stop();
  });

  test("of which no segment can be read is left as it is", async () => {
    const { data, run } = await stoppedDesk();
    for (const name of readdirSync(join(data, "wal"))) writeFileSync(join(data, "wal", name), Buffer.alloc(4096, 1));
    const before = files(data);
    const done = await run("wal repair --accept-data-loss");
    expect(done).toMatchObject({ code: 1, out: expect.stringContaining("nothing was changed") });
    expect(files(data)).toEqual(before);
  });

  test("has help with examples", async () => {
    const { run } = await desk();
    for (const command of ["inspect", "verify", "repair"]) {
      const { code, out } = await run(`wal ${command} --help`);
      expect([code, out.includes(`revoada wal ${command}`)]).toEqual([0, true]);
    }
  });
});
