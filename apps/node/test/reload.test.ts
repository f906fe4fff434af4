import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClusterDeclaration } from "@revoada/cluster";
import { prescribedHomelab } from "@revoada/fabric";
import { cluster3mnw } from "@revoada/topology";
import { describe, expect, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import type { NodeConfig } from "../src/config/config.ts";
import { connectNode } from "../src/client.ts";
import { rawFace } from "../src/daemon/declare.ts";
import { compareSettings } from "../src/daemon/reload.ts";
import { captureIo, temporaryDirectory, type CapturedIo } from "./helpers.ts";

const declaration = ClusterDeclaration.create(prescribedHomelab(), rawFace, cluster3mnw());
const base: NodeConfig = { dataDir: "/data", bootstrap: false, adminListen: "127.0.0.1:0", logLevel: "info" };

describe("settings that were read again", () => {
  test("are taken up where a running node can, and named with the reason where not", async () => {
    const before = { ...base, seeds: ["a:1"], zone: "eu" };
    const next: NodeConfig = { ...base, logLevel: "debug", topologyPackages: ["@example/three-regions"], zone: "us" };
    const { taken, report } = await compareSettings(before, next, declaration);
    expect(report.changed).toEqual([
      { name: "seeds", from: ["a:1"] },
      { name: "topologyPackages", to: ["@example/three-regions"] },
      { name: "logLevel", from: "info", to: "debug" },
    ]);
    expect(report.left).toEqual([{ name: "zone", why: "it counts from the next start on" }]);
    expect(taken).toEqual({ ...next, zone: "eu" });
  });

  test("say nothing where they are what they were", async () => {
    const { taken, report } = await compareSettings(base, { ...base }, declaration);
    expect([taken, report]).toEqual([base, { changed: [], left: [] }]);
  });

  test("may follow what the cluster was switched to, and cannot lead it there", async () => {
    const before = { ...base, topology: "quorum_3m" };
    const followed = await compareSettings(before, { ...base, topology: "cluster_3m_nw" }, declaration);
    expect(followed).toEqual({
      taken: { ...base, topology: "cluster_3m_nw" },
      report: { changed: [], left: [] },
    });
    const value = { ...prescribedHomelab(), reconciliationCadenceMs: 700 };
    const strategy = { value, source: "revoada.yaml:1:1", placeOf: () => "revoada.yaml:1:1" };
    const { taken, report } = await compareSettings(base, { ...base, strategy }, declaration);
    expect(report.left.map(({ name, why }) => [name, /revoada strategy apply/.test(why)])).toEqual([
      ["strategy", true],
    ]);
    expect(taken).toEqual(base);
  });
});

/** `revoada up` in this process, with a file of settings. */
async function up(settings: string): Promise<{
  readonly folder: string;
  readonly io: CapturedIo;
  readonly write: (settings: string) => void;
  readonly said: (words: RegExp) => Promise<void>;
  readonly stop: () => Promise<number>;
}> {
  const folder = temporaryDirectory();
  const write = (text: string): void => writeFileSync(join(folder, "revoada.yaml"), text);
  write(settings);
  const interruption = new AbortController();
  const { promise: noticed, resolve: notice } = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  const captured = captureIo({ workingDirectory: folder });
  const stderr = {
    ...captured.stderr,
    write: (data: string | Uint8Array): void => {
      captured.stderr.write(data);
      notice();
      for (const look of waiting) look();
    },
  };
  const io = { ...captured, stderr, signal: interruption.signal };
  const code = runCli(["up", "--config", "revoada.yaml"], commands, io);
  await noticed;
  const said = (words: RegExp): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!words.test(captured.err())) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  await said(/the node is up/);
  return {
    folder,
    io,
    write,
    said,
    stop: () => {
      interruption.abort();
      return code;
    },
  };
}

const founding = "bootstrap: true\nstrategy: solo\ntopology: solo\nlisten: 127.0.0.1:0\ndataDir: data\n";

describe("a daemon that is told to read its settings again", () => {
  test("takes up by SIGHUP what the file says now, and nothing of a broken one", async () => {
    const { io, write, said, stop } = await up(founding);
    write(`${founding}logLevel: debug\nzone: us\n`);
    io.hangUp();
    await said(/"setting":"zone","why":"it counts from the next start on"/);
    expect(io.err()).toContain('"setting":"logLevel","from":"info","to":"debug"');

    write(`${founding}logLevel: loud\nseeds: [10.0.0.1:7400]\n`);
    io.hangUp();
    await said(/revoada\.yaml:6:11: expected one of debug, info, warn, error, silent/);
    write(`${founding}logLevel: info\n`);
    io.hangUp();
    await said(/"setting":"logLevel","from":"debug","to":"info"/);
    expect(io.err()).not.toContain('"setting":"seeds"');
    expect(await stop()).toBe(0);
  });

  test("does so by revoada reload, which shows what changed, or what is wrong and where", async () => {
    const { folder, write, stop } = await up(founding);
    const reload = async (): Promise<readonly [number, string, string]> => {
      const io = captureIo({ workingDirectory: folder });
      const code = await runCli(["reload", "--data-dir", "data"], commands, io);
      return [code, io.out(), io.err()];
    };
    expect(await reload()).toEqual([0, "nothing changed\n", ""]);
    write(`${founding}logLevel: warn\nseeds: [10.0.0.1:7400]\nadminListen: 127.0.0.1:9\n`);
    expect(await reload()).toEqual([
      0,
      'seeds: nothing → ["10.0.0.1:7400"]\nlogLevel: info → warn\nadminListen is left as it was: it counts from the next start on\n',
      "",
    ]);
    write("seeds: {}\n");
    const [code, out, err] = await reload();
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/error CONFIG_INVALID: revoada\.yaml:1:8: expected host:port/);
    const client = await connectNode(join(folder, "data"));
    expect((await client.status()).condition).toBe("healthy");
    await client[Symbol.asyncDispose]();
    expect(await stop()).toBe(0);
  });
});
