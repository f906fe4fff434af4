import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prescribedDatacenter, prescribedHomelab, prescribedSolo } from "@revoada/fabric";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { configSchema } from "../src/config/schema.ts";
import { settings } from "../src/config/settings.ts";
import { captureIo, temporaryDirectory } from "./helpers.ts";

const schemaFile = new URL("../src/config/revoada.schema.json", import.meta.url);

async function run(
  line: string,
  given: { readonly file?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly code: number; readonly out: string; readonly err: string; readonly folder: string }> {
  const folder = temporaryDirectory();
  if (given.file !== undefined) writeFileSync(join(folder, "revoada.yaml"), given.file);
  const io = captureIo({ environment: given.environment ?? {}, workingDirectory: folder });
  const code = await runCli(line.split(" "), commands, io);
  return { code, out: io.out(), err: io.err(), folder };
}

describe("config show", () => {
  test("tells which layer set each value, and the exact place", async () => {
    const { out, folder } = await run("config show --config revoada.yaml --zone eu-1 -o json", {
      file: "logLevel: warn\nlisten: 127.0.0.1:7400\nzone: file\n",
      environment: { REVOADA_LISTEN: "127.0.0.1:7401" },
    });
    const shown = JSON.parse(out) as { readonly settings: readonly { readonly name: string }[] };
    const of = (name: string) => shown.settings.find((setting) => setting.name === name);
    expect(of("zone")).toEqual({ name: "zone", value: "eu-1", layer: "flag", source: "--zone" });
    expect(of("listen")).toEqual({
      name: "listen",
      value: "127.0.0.1:7401",
      layer: "environment",
      source: "REVOADA_LISTEN",
    });
    expect(of("logLevel")).toEqual({ name: "logLevel", value: "warn", layer: "file", source: "revoada.yaml:1:11" });
    expect(of("dataDir")).toEqual({ name: "dataDir", value: join(folder, "revoada-data"), layer: "default" });
    expect(of("topology")).toEqual({ name: "topology", layer: "default" });
    expect(shown.settings.map(({ name }) => name)).toEqual(Object.keys(settings));
  });

  test("shows every value of a flag that was given several times", async () => {
    const { out } = await run("config show --seed 10.0.0.1:7400 --seed 10.0.0.2:7400 --discover mdns -o json");
    const shown = JSON.parse(out) as { readonly settings: readonly { readonly name: string }[] };
    expect(shown.settings).toContainEqual({
      name: "seeds",
      value: ["10.0.0.1:7400", "10.0.0.2:7400"],
      layer: "flag",
      source: "--seed",
    });
    expect(shown.settings).toContainEqual({ name: "discover", value: ["mdns"], layer: "flag", source: "--discover" });
  });

  test("shows origins to people where they are asked for, and never a token", async () => {
    const token = "rvd1AAAA_secret";
    const { out } = await run(`config show --origin --join ${token}`);
    expect(out).not.toContain("secret");
    expect(out).toMatch(/^join +\(a token\) +--join$/m);
    expect((await run("config show")).out).not.toContain("default\n");
  });
});

describe("config validate", () => {
  test("says what a founder would declare, and makes nothing", async () => {
    const { code, out, folder } = await run("config validate --topology quorum_3m");
    expect([code, out]).toEqual([0, "valid; a founder would declare raw/homelab-3node/quorum_3m\n"]);
    expect(() => readFileSync(join(folder, "revoada-data"))).toThrow("ENOENT");
  });

  test("says where a topology or strategy stands that there is not", async () => {
    const topology = await run("config validate --config revoada.yaml", { file: "zone: a\ntopology: Cluster3MNW\n" });
    expect(topology.code).toBe(2);
    expect(topology.err).toMatch(/^error TOPOLOGY_UNKNOWN: revoada\.yaml:2:11: unknown topology "Cluster3MNW"/);
    const strategy = await run("config validate --config revoada.yaml", { file: "zone: a\nstrategy: datacentre\n" });
    expect([strategy.code, strategy.err]).toEqual([
      2,
      'error CONFIG_INVALID: revoada.yaml:2:11: expected one of homelab, solo, datacenter, or a file (did you mean datacenter?), got "datacentre"\n',
    ]);
  });

  test("names file, line, column, path and expectation of a mistake deep in a strategy", async () => {
    const strategy = { ...prescribedHomelab(), consensus: { ...prescribedHomelab().consensus, quorumSize: "three" } };
    const file = `zone: a\nstrategy:\n${JSON.stringify(strategy, undefined, 2).replaceAll(/^/gm, "  ")}\n`;
    const { code, err } = await run("config validate --config revoada.yaml", { file });
    const line = file.split("\n").findIndex((text) => text.includes("three")) + 1;
    expect(code).toBe(2);
    expect(err).toMatch(
      new RegExp(`^error CONFIG_INVALID: revoada.yaml:${line}:\\d+: strategy.consensus.quorumSize: expected a number`),
    );
  });

  test("names the closest place of a field that is missing", async () => {
    const { code, err } = await run("config validate --config revoada.yaml", {
      file: "strategy:\n  name: own\n  consensus: {protocol: raft}\n",
    });
    expect([code, err.startsWith("error CONFIG_INVALID: revoada.yaml:3:14: strategy.consensus.")]).toEqual([2, true]);
  });

  test("refuses combinations that founding would refuse, with the same code", async () => {
    const { code, err } = await run("config validate --strategy solo --topology quorum_3m");
    expect([code, err.split(":")[0]]).toEqual([2, "error CLUSTER_STANDALONE_TOPOLOGY"]);
    expect((await run("config validate --topology quorum_3n")).err).toContain("TOPOLOGY_UNKNOWN");
  });
});

describe("the schema of revoada.yaml", () => {
  const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(configSchema() as object);
  const accepts = (value: unknown): boolean => validate(value);

  test("is shipped as the code makes it, and printed by config schema", async () => {
    const made = `${JSON.stringify(configSchema(), undefined, 2)}\n`;
    expect(JSON.parse(readFileSync(schemaFile, "utf8"))).toEqual(JSON.parse(made));
    expect((await run("config schema")).out).toBe(made);
  });

  test("takes what the node takes", () => {
    for (const strategy of [prescribedHomelab(), prescribedSolo(), prescribedDatacenter(), "homelab", "own.yaml"])
      expect(accepts({ strategy })).toBe(true);
    expect(accepts({})).toBe(true);
    const all = {
      dataDir: "data",
      bootstrap: true,
      topology: "pair",
      minNodes: 3,
      listen: "[::1]:0",
      advertise: "node.example:7400",
      faceListen: "0.0.0.0:6443",
      adminListen: "127.0.0.1:0",
      zone: "eu-1",
      logLevel: "debug",
    };
    expect(accepts(all)).toBe(true);
  });

  test("refuses what the node refuses", () => {
    const { consensus } = prescribedHomelab();
    const wrong: readonly unknown[] = [
      { zones: "a" },
      { zone: "-a" },
      { listen: "nowhere" },
      { logLevel: "loud" },
      { minNodes: 0 },
      { bootstrap: true, join: "token" },
      { strategy: { ...prescribedHomelab(), more: 1 } },
      { strategy: { ...prescribedHomelab(), consensus: { ...consensus, protocol: "paxos" } } },
      { strategy: { ...prescribedHomelab(), placement: { policy: "zone-aware" } } },
    ];
    for (const value of wrong) expect([value, accepts(value)]).toEqual([value, false]);
  });
});

describe("strategy show with a name", () => {
  test("needs no daemon, and gives a file that is a strategy of one's own once it has another name", async () => {
    const shown = await run("strategy show homelab -o yaml");
    expect([shown.code, shown.err]).toEqual([0, ""]);
    const file = join(temporaryDirectory(), "strategy.yaml");
    writeFileSync(file, shown.out.replace("homelab-3node", "ours"));
    expect((await run(`strategy show ${file}`)).out).toMatch(/^name +ours$/m);
    expect((await run(`config validate --strategy ${file}`)).out).toContain("would declare raw/ours/cluster_3m_nw");
  });

  test("says where a strategy is wrong, and which there are", async () => {
    const file = join(temporaryDirectory(), "strategy.yaml");
    writeFileSync(file, "name: ours\nconsensus: 3\n");
    const wrong = await run(`strategy show ${file}`);
    expect([wrong.code, wrong.out]).toEqual([2, ""]);
    expect(wrong.err).toMatch(/^error CONFIG_INVALID: .*strategy\.yaml:2:\d+: strategy\.consensus/);
    const unknown = await run("strategy show homelap");
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain("did you mean homelab?");
  });
});
