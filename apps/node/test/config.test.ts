import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isFabricError } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { dataDirectoryOf, loadConfig, type NodeConfig } from "../src/config/config.ts";
import { temporaryDirectory } from "./helpers.ts";

interface Given {
  readonly flags?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly file?: string;
  readonly name?: string;
}

function load(given: Given): { readonly config: Promise<NodeConfig>; readonly directory: string } {
  const directory = temporaryDirectory();
  const name = given.name ?? "revoada.yaml";
  if (given.file !== undefined) writeFileSync(join(directory, name), given.file);
  const flags: Readonly<Record<string, string>> = {
    ...given.flags,
    ...(given.file === undefined ? {} : { config: name }),
  };
  const config = loadConfig({
    flag: (flag) => flags[flag],
    environment: given.environment ?? {},
    workingDirectory: directory,
  });
  return { config, directory };
}

async function refusal(given: Given): Promise<string> {
  try {
    await load(given).config;
  } catch (error) {
    if (isFabricError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a configuration", () => {
  test("that nobody wrote has defaults, and leaves out what depends on the data directory", async () => {
    const { config, directory } = load({});
    expect(await config).toEqual({
      dataDir: join(directory, "revoada-data"),
      bootstrap: false,
      adminListen: "127.0.0.1:0",
      logLevel: "info",
    });
  });

  test("is layered: flags over the environment over the file over defaults", async () => {
    const { config } = load({
      file: "zone: file\nlogLevel: debug\nadminListen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n",
      environment: { REVOADA_ZONE: "env", REVOADA_LOG_LEVEL: "warn", REVOADA_ADMIN_LISTEN: "127.0.0.1:3" },
      flags: { zone: "flag", "log-level": "error" },
    });
    expect(await config).toMatchObject({
      zone: "flag",
      logLevel: "error",
      adminListen: "127.0.0.1:3",
      listen: "127.0.0.1:2",
    });
  });

  test("may be JSON, take every setting, and mean paths relative to its own folder", async () => {
    const file = JSON.stringify({
      dataDir: "data",
      bootstrap: true,
      topology: "pair",
      minNodes: 3,
      strategy: "slow.yaml",
      advertise: "node.example:7400",
      faceListen: "[::1]:0",
    });
    const { config, directory } = load({ file, name: "revoada.json" });
    expect(await config).toMatchObject({
      dataDir: join(directory, "data"),
      bootstrap: true,
      topology: "pair",
      minNodes: 3,
      strategy: join(directory, "slow.yaml"),
      advertise: "node.example:7400",
      faceListen: "[::1]:0",
    });
  });

  test("may hold an autopilot, and a flag says the same in one text", async () => {
    const autopilot = { minQuorum: 3, stabilizationMs: 30_000, upgradeMigration: false };
    const file = "autopilot:\n  minQuorum: 3\n  stabilizationMs: 30000\n  upgradeMigration: false\n";
    expect((await load({ file }).config).autopilot).toEqual(autopilot);
    const flags = { autopilot: "minQuorum=3, stabilizationMs=30000, upgradeMigration=false" };
    expect((await load({ flags }).config).autopilot).toEqual(autopilot);
    expect(await refusal({ flags: { autopilot: "minQuorums=3" } })).toMatch(
      /^CONFIG_INVALID --autopilot: expected numbers and switches of .*minQuorum, .* got "minQuorums=3"$/,
    );
    expect(await refusal({ file: "autopilot:\n  minQuorum: three\n" })).toContain("CONFIG_INVALID revoada.yaml:");
  });

  test("may hold the strategy itself, and remembers where it stood", async () => {
    const { config } = load({ file: "zone: a\nstrategy:\n  name: own\n" });
    expect((await config).strategy).toMatchObject({ source: "revoada.yaml:3:3", value: { name: "own" } });
  });

  test("takes a token as it is and a file that holds one as a path", async () => {
    expect((await load({ flags: { join: "rvd1AbCd" } }).config).join).toBe("rvd1AbCd");
    const { config, directory } = load({ flags: { join: "join-token" } });
    expect((await config).join).toBe(join(directory, "join-token"));
  });

  test("treats an empty variable as one that is not there", async () => {
    expect((await load({ environment: { REVOADA_ZONE: "" } }).config).zone).toBeUndefined();
  });
});

describe("a mistake in a configuration", () => {
  test("is found by file, line and column", async () => {
    expect(await refusal({ file: "zone: a\nlisten: nowhere\n" })).toBe(
      'CONFIG_INVALID revoada.yaml:2:9: expected host:port, got "nowhere"',
    );
    expect(await refusal({ file: "zone: a\nzones: b\n" })).toBe(
      'CONFIG_INVALID revoada.yaml:2:1: no such setting: "zones" (did you mean zone?)',
    );
    expect(await refusal({ file: "zone: a\nzone: b\n" })).toContain("CONFIG_INVALID revoada.yaml:2:1: ");
    expect(await refusal({ file: "zone: [\n" })).toMatch(/^CONFIG_INVALID revoada\.yaml:\d+:\d+: /);
    expect(await refusal({ file: "- a\n" })).toBe("CONFIG_INVALID revoada.yaml:1:1: expected an object of settings");
  });

  test("tells how an IPv6 address is written where one has no brackets", async () => {
    expect(await refusal({ flags: { listen: "::1:7400" } })).toBe(
      'CONFIG_INVALID --listen: expected [host]:port for an IPv6 address, got "::1:7400"',
    );
    expect((await load({ flags: { listen: "[::1]:7400" } }).config).listen).toBe("[::1]:7400");
  });

  test("is found by flag or variable", async () => {
    expect(await refusal({ flags: { listen: "127.0.0.1:99999" } })).toContain(
      "CONFIG_INVALID --listen: expected host:port",
    );
    expect(await refusal({ environment: { REVOADA_MIN_NODES: "many" } })).toContain(
      "CONFIG_INVALID REVOADA_MIN_NODES: ",
    );
    expect(await refusal({ environment: { REVOADA_BOOTSTRAP: "perhaps" } })).toContain("expected true or false");
  });

  test("that founds and joins at once names both places", async () => {
    expect(await refusal({ file: "bootstrap: true\n", flags: { join: "rvd1AbCd" } })).toBe(
      "CONFIG_INVALID --join: a node founds a cluster or joins one: revoada.yaml:1:12 is given too",
    );
  });

  test("in the file's very bytes is told without guessing", async () => {
    expect(await refusal({ flags: { config: "absent.yaml" } })).toContain(
      "CLI_FILE_UNAVAILABLE cannot read absent.yaml",
    );
    expect(await refusal({ file: `zone: ${"a".repeat(2_000_000)}\n` })).toContain("CLI_FILE_TOO_LARGE revoada.yaml");
    const bomb = Array.from({ length: 12 }, (_, index) =>
      index === 0
        ? "a0: &a0 [x,x,x,x,x,x,x,x]"
        : `a${index}: &a${index} [${Array.from({ length: 8 }, () => `*a${index - 1}`).join(",")}]`,
    ).join("\n  ");
    expect(await refusal({ file: `strategy:\n  ${bomb}\n` })).toContain("CONFIG_INVALID revoada.yaml:");
  });
});

test("a client finds the data directory by flag, then variable, then default", () => {
  const of = (flag: string | undefined, environment: Readonly<Record<string, string>>): string =>
    dataDirectoryOf({ flag: () => flag, environment, workingDirectory: "/srv" });
  expect(of("one", { REVOADA_DATA_DIR: "/two" })).toBe("/srv/one");
  expect(of(undefined, { REVOADA_DATA_DIR: "/two" })).toBe("/two");
  expect(of(undefined, {})).toBe("/srv/revoada-data");
});

describe("what others are found by", () => {
  test("comes from flags that are given several times, from a variable with commas, or from a list in a file", async () => {
    const flags = {
      seed: ["10.0.0.1:7400", "10.0.0.2:7400,10.0.0.3:7400"],
      discover: ["mdns", "dns:nodes.example.com"],
    };
    const given = await loadConfig({
      flag: (name) => (flags as Readonly<Record<string, readonly string[]>>)[name]?.at(-1),
      flags: (name) => (flags as Readonly<Record<string, readonly string[]>>)[name] ?? [],
      environment: { REVOADA_SEED: "10.9.9.9:7400", REVOADA_LIBP2P_PEER: "10.0.0.1:7401, /ip4/10.0.0.2/tcp/7401" },
      workingDirectory: temporaryDirectory(),
    });
    expect(given).toMatchObject({
      seeds: ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"],
      discover: ["mdns", "dns:nodes.example.com"],
      libp2pPeers: ["10.0.0.1:7401", "/ip4/10.0.0.2/tcp/7401"],
    });
    const file = "seeds: [10.0.0.1:7400]\ndiscover:\n  - mdns\nlibp2pListen: 0.0.0.0:7401\n";
    expect(await load({ file }).config).toMatchObject({
      seeds: ["10.0.0.1:7400"],
      discover: ["mdns"],
      libp2pListen: "0.0.0.0:7401",
    });
  });

  test.each([
    [{ flags: { seed: "nowhere" } }, "--seed: expected host:port"],
    [{ flags: { discover: "consul" } }, "--discover: expected mdns"],
    [{ flags: { discover: "dns:a..b" } }, "--discover: expected mdns"],
    [{ flags: { "libp2p-peer": "/ip4/10.0.0.1/udp/7401" } }, "--libp2p-peer: expected host:port or a multiaddr"],
    [{ flags: { "libp2p-listen": "7401" } }, "--libp2p-listen: expected host:port"],
    [{ environment: { REVOADA_SEED: "10.0.0.1:7400,," } }, "REVOADA_SEED: expected host:port"],
    [{ file: "seeds: [7]\n" }, "revoada.yaml:1:8: expected host:port"],
    [{ file: "seeds: {}\n" }, "revoada.yaml:1:8: expected host:port"],
    [{ flags: { seed: "10.0.0.1:7400,".repeat(65).slice(0, -1) } }, "--seed: expected at most 64"],
  ])("is refused with its place where it is malformed: %j", async (given, expected) => {
    expect(await refusal(given)).toContain(`CONFIG_INVALID ${expected}`);
  });
});
