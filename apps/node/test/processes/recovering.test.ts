import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, formedCluster, revoada, workspace, write, written } from "./revoada.ts";

/** The chain verifies, and says what it rests on. */
async function expectNamed(node: Daemon, file: string, cluster: string): Promise<void> {
  expect((await revoada("chain", "export", file, "--data-dir", node.directory)).code).toBe(0);
  const verified = await revoada("chain", "verify", file, "--cluster", cluster);
  expect(verified.code).toBe(0);
  expect(verified.out).toMatch(/RECOVERY .*went on alone, without a majority, and gave 4 nodes up/);
  expect((await revoada("chain", "verify", file, "--cluster", cluster, "--no-recovery")).code).toBe(1);
}

test("one of two survivors of five goes on alone, the other joins anew, and the chain says for ever what happened", async () => {
  const folder = workspace();
  const nodes = await formedCluster(folder, 5);
  const states = await Promise.all(nodes.map((node) => node.until(() => true)));
  const { cluster } = states[0] ?? { cluster: "" };
  const lost = nodes.filter((_node, at) => states[at]?.replica === "voter");
  const survivors = nodes.filter((node) => !lost.includes(node));
  const [survivor, other] = survivors as [Daemon, Daemon];
  const self = states[nodes.indexOf(survivor)]?.id ?? "";
  await write(survivor, "before");
  const oldToken = await survivor.ask((node) => node.createToken());
  for (const node of survivors)
    await node.until(({ consensus }) => consensus.appliedIndex === consensus.commitIndex && consensus.quorum);

  // While a majority answers the door, there is nothing to recover from.
  expect((await survivor.stop()).code).toBe(0);
  const refused = await revoada("recover", "--lost-majority", "--accept-data-loss", "--data-dir", survivor.directory);
  expect([refused.code, refused.out]).toEqual([
    1,
    expect.stringContaining("nothing was changed: enough voters answer"),
  ]);

  for (const node of lost) {
    node.signal("SIGKILL");
    await node.ended();
    rmSync(node.directory, { recursive: true, force: true });
  }
  const dry = await revoada("recover", "--lost-majority", "--dry-run", "--data-dir", survivor.directory);
  expect([dry.code, dry.out]).toEqual([0, expect.stringContaining("answering  nobody")]);
  const recovered = await revoada("recover", "--lost-majority", "--accept-data-loss", "--data-dir", survivor.directory);
  expect([recovered.code, recovered.out]).toEqual([0, expect.stringContaining("is the only voter now")]);
  const twice = await revoada("recover", "--lost-majority", "--accept-data-loss", "--data-dir", survivor.directory);
  expect([twice.code, twice.err.split(":")[0]]).toEqual([1, "error CLUSTER_OFFLINE_REFUSED"]);

  const alone = new Daemon(survivor.directory);
  const { consensus } = await alone.until(({ mode, role }) => mode === "read-write" && role === "master");
  expect(consensus.voters).toEqual([self]);
  await write(alone, "after");
  expect(await written(alone)).toEqual(["after", "before"]);

  // The other one is nobody here any more, and enters as a new node, with a token that names what happened.
  expect((await other.stop()).code).toBe(0);
  const stale = await new Daemon(join(folder, "stale"), "--join", oldToken, "--listen", "127.0.0.1:0").ended();
  expect(stale.code).not.toBe(0);
  rmSync(other.directory, { recursive: true, force: true });
  const token = await alone.ask((node) => node.createToken());
  const newcomers = ["x", "y"].map(
    (name) => new Daemon(join(folder, name), "--join", token, "--listen", "127.0.0.1:0"),
  );
  for (const node of [alone, ...newcomers])
    await node.until(({ condition, consensus: { voters } }) => condition === "healthy" && voters.length === 3);
  await write(newcomers[0] as Daemon, "together");
  expect(await written(newcomers[1] as Daemon)).toEqual(["after", "before", "together"]);

  await expectNamed(newcomers[0] as Daemon, join(folder, "recovered.chain"), cluster);
  const { tombstones } = await alone.ask((node) => node.formation());
  expect(tombstones.toSorted()).toEqual(
    states
      .map(({ id }) => id)
      .filter((id) => id !== self)
      .toSorted(),
  );

  // After a restart newcomers still believe what they were told, and nothing else.
  for (const node of newcomers) expect((await node.stop()).code).toBe(0);
  const back = newcomers.map(({ directory }) => new Daemon(directory));
  for (const node of back) await node.until(({ condition }) => condition === "healthy");
  for (const node of [alone, ...back]) expect((await node.stop()).code).toBe(0);
});
