import { closeSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Daemon, patientStrategy, revoada, revoadaInto, workspace } from "./revoada.ts";

const manifest = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
data:
  greeting: hello
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 3
`;

function solo(folder: string): readonly string[] {
  return [
    "--bootstrap",
    "--topology",
    "solo",
    "--strategy",
    patientStrategy(folder, "solo"),
    "--listen",
    "127.0.0.1:0",
  ];
}

describe("a node of its own", () => {
  test("is founded, takes resources, comes back with them after a stop and after a kill, and proves its history offline", async () => {
    const folder = workspace();
    const directory = join(folder, "data");
    const at = ["--data-dir", directory];
    const first = new Daemon(directory, ...solo(folder));
    const status = await first.until(({ condition, mode }) => condition === "healthy" && mode === "read-write");
    expect(status).toMatchObject({
      role: "master",
      replica: "voter",
      consensus: { role: "leader", quorum: true },
      formation: { nodes: 1 },
    });
    expect(statSync(join(directory, "control.sock")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(directory, "join-token"), "utf8")).toMatch(/^rvd1[\w-]+\n$/);
    const file = join(folder, "manifest.yaml");
    writeFileSync(file, manifest);
    expect(await revoada("apply", "-f", file, ...at)).toMatchObject({ code: 0, err: "" });
    const got = await revoada("get", "Deployment.apps", "web", "-n", "shop", "-o", "json", ...at);
    expect(JSON.parse(got.out)).toMatchObject({ kind: "Deployment", spec: { replicas: 3 } });
    const health = await fetch(`http://${status.admin}/healthz`);
    expect([health.status, await health.json()]).toEqual([200, { ok: true, condition: "healthy", mode: "read-write" }]);
    expect(await (await fetch(`http://${status.admin}/metrics`)).text()).toContain("revoada_node_leads 1\n");
    const before = await first.ask((node) => node.stateHash());
    expect((await first.stop()).code).toBe(0);

    // Neither flag nor token: the directory knows. The port is the one that it had.
    const second = new Daemon(directory);
    const again = await second.until(
      ({ consensus }) => consensus.quorum && consensus.appliedIndex >= before.appliedIndex,
    );
    expect([again.id, again.cluster, again.listen]).toEqual([status.id, status.cluster, status.listen]);
    expect(again.generation).toBeGreaterThan(status.generation);
    expect((await revoada("get", "ConfigMap", "settings", "-n", "shop", ...at)).out).toContain("greeting: hello");
    expect((await revoada("delete", "ConfigMap", "settings", "-n", "shop", ...at)).code).toBe(0);
    expect((await revoada("get", "ConfigMap", "settings", "-n", "shop", ...at)).code).toBe(4);
    const chain = join(folder, "history.chain");
    expect((await revoada("chain", "export", chain, ...at)).code).toBe(0);
    second.signal("SIGKILL");
    await second.ended();

    expect(await revoada("chain", "verify", chain, "--cluster", status.cluster)).toMatchObject({ code: 0, err: "" });
    expect((await revoada("chain", "verify", chain, "--cluster", "0".repeat(64))).code).toBe(1);
    expect(JSON.parse((await revoada("wal", "verify", "-o", "json", ...at)).out)).toMatchObject({
      ok: true,
      verdict: "ok",
    });
    const third = new Daemon(directory);
    await third.until(({ consensus }) => consensus.quorum);
    const listed = JSON.parse((await revoada("list", "-o", "json", ...at)).out) as {
      readonly items: readonly unknown[];
    };
    expect(listed.items).toMatchObject([{ ref: { kind: "Deployment", name: "web", namespace: "shop" } }]);
    expect((await third.stop()).code).toBe(0);
  });

  test("shares its directory and its port with nobody, and says so in one line", async () => {
    const folder = workspace();
    const directory = join(folder, "data");
    const first = new Daemon(directory, ...solo(folder));
    await first.until(({ consensus }) => consensus.quorum);
    const second = await new Daemon(directory).ended();
    expect(second.code).toBe(1);
    expect(second.err).toMatch(/^error DISK_LOCKED: .* is in use by process \d+\n$/);

    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, "127.0.0.1", resolve);
    });
    onTestFinished(() => void taken.close());
    const port = (taken.address() as AddressInfo).port;
    const other = join(folder, "other");
    const refused = await new Daemon(other, ...solo(folder), "--listen", `127.0.0.1:${port}`).ended();
    expect(refused.code).toBe(1);
    expect(refused.err).toBe(`error TRANSPORT_ADDRESS_IN_USE: address 127.0.0.1:${port} is in use by another socket\n`);
    // Nothing half done: there is no cluster in the directory.
    expect((await revoada("identity", "--data-dir", other)).err).toContain("NODE_NOT_INITIALISED");
    expect((await first.stop()).code).toBe(0);
  });

  test("says in one line what is wrong, and starts nothing", async () => {
    const directory = join(workspace(), "data");
    const wrong: readonly (readonly [number, string, ...string[]])[] = [
      [2, "CLI_UNKNOWN_FLAG", "up", "--bootstrp"],
      [2, "NODE_NOT_INITIALISED", "up"],
      [2, "TOPOLOGY_UNKNOWN", "up", "--bootstrap", "--topology", "star"],
      [2, "CONFIG_INVALID", "up", "--bootstrap", "--join", "rvd1AAAA"],
      [2, "TOKEN_INVALID", "up", "--join", "rvd1AAAA"],
      [2, "CLI_FILE_UNAVAILABLE", "up", "--join", join(directory, "token")],
      [3, "NODE_UNREACHABLE", "status"],
    ];
    for (const [code, error, command = "", ...words] of wrong) {
      const done = await revoada(command, "--data-dir", directory, ...words);
      expect([done.code, done.out, done.err.split("\n").length, done.err.split(":")[0]]).toEqual([
        code,
        "",
        2,
        `error ${error}`,
      ]);
    }
    expect(() => statSync(directory)).toThrow(/ENOENT/);
  });

  test("says so where its output cannot be written", async () => {
    const path = join(workspace(), "output");
    writeFileSync(path, "");
    const readOnly = openSync(path, "r");
    const done = await revoadaInto(readOnly, "version");
    closeSync(readOnly);
    expect([done.code, done.err]).toEqual([
      1,
      expect.stringMatching(/^error CLI_FILE_UNAVAILABLE: cannot write standard output: .+\n$/),
    ]);
  });
});
