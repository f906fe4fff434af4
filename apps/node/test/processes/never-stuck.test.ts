import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isFabricError, prescribedHomelab } from "@revoada/fabric";
import { expect, test } from "vitest";
import type { NodeStatus } from "../../src/daemon/status.ts";
import { formedCluster, revoada, until, workspace, write, type Daemon } from "./revoada.ts";

/** Five voters, as patient as those of the other tests. */
function fiveVoters(folder: string): string {
  const base = prescribedHomelab();
  const path = join(folder, "five.json");
  const consensus = { ...base.consensus, quorumSize: 5, electionTimeoutMs: 1000 };
  writeFileSync(path, JSON.stringify({ ...base, name: "five", consensus }));
  return path;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (isFabricError(error)) return error.code;
    throw error;
  }
}

test("a cluster goes round a quarantined node, grows to five voters while it runs, works below its least size, and without a quorum ends every write", async () => {
  const folder = workspace();
  const nodes = await formedCluster(folder, 5);
  const statuses = await Promise.all(nodes.map((node) => node.until(() => true)));
  const [founder] = nodes as readonly [Daemon, ...Daemon[]];
  const at = (fits: (status: NodeStatus) => boolean): number => statuses.findIndex(fits);
  const ask = (...words: readonly string[]) => revoada(...words, "--data-dir", founder.directory);
  const place = async (id: string) => {
    const { nodes: records } = await founder.ask((node) => node.formation());
    return records.find((record) => record.id === id);
  };

  // Another takes the seat, and whoever was quarantined keeps its copy of the log and votes no more until it is restored.
  const patient =
    statuses[at(({ replica, consensus, id }) => replica === "voter" && consensus.leader !== id)]?.id ?? "";
  expect(await ask("formation", "propose", "quarantine", patient)).toMatchObject({ code: 0, err: "" });
  const { consensus } = await founder.until(
    ({ consensus: { voters, joint } }) => voters.length === 3 && !joint && !voters.includes(patient as never),
  );
  expect(consensus.voters).toHaveLength(3);
  const passedOver = await place(patient);
  expect(passedOver?.flags).toEqual(["quarantined"]);
  expect(passedOver?.replica).not.toBe("voter");
  const tooFew = await ask("formation", "switch-topology", "cluster_5m_nw", "--strategy", fiveVoters(folder));
  expect(tooFew).toMatchObject({ code: 1, out: "" });
  expect(tooFew.err).toContain("needs 5 nodes, 4 living ones may hold any role: 1 more must join first");
  expect((await ask("formation", "propose", "restore", patient)).code).toBe(0);
  await until("the restored node to replicate", async () => {
    const record = await place(patient);
    return record?.state === "active" && record.replica !== "none" && record.flags.length === 0 ? record : undefined;
  });

  const switched = await ask("formation", "switch-topology", "cluster_5m_nw", "--strategy", fiveVoters(folder));
  expect(switched).toMatchObject({ code: 0, err: "" });
  expect(switched.out).toMatch(/declare: an operator[^]*confirm: the shape of raw\/five\/cluster_5m_nw stands\n$/);
  for (const node of nodes) {
    const { condition } = await node.until(
      ({ declaration, consensus: { voters } }) => declaration === "raw/five/cluster_5m_nw" && voters.length === 5,
    );
    expect(condition).toBe("healthy");
  }

  // One of five gone: fewer than the topology needs, and a majority all the same.
  const others = nodes.slice(1);
  others[0]?.signal("SIGKILL");
  await founder.until(({ condition }) => condition === "degraded");
  await write(founder, "degraded");

  // Three of five gone.
  for (const node of others.slice(1, 3)) node.signal("SIGKILL");
  const { consensus: lost } = await founder.until(({ condition }) => condition === "no-quorum");
  expect(lost.quorum).toBe(false);
  const askedMs = performance.now();
  expect(["RAFT_NO_QUORUM", "RAFT_OUTCOME_UNKNOWN"]).toContain(await codeOf(write(founder, "lost")));
  expect(performance.now() - askedMs).toBeLessThan(20_000);
  const stale = await founder.ask((node) => node.face.list({ kind: "ConfigMap" }, { consistency: "stale" }));
  expect(stale.items.map(({ ref }) => ref.name)).toContain("degraded");
  expect(stale.ageMs).toBeGreaterThan(0);
  const health = await ask("health");
  expect(health.code).toBe(5);
  expect(health.out).toMatch(/condition +no-quorum/);
  expect(health.out).toMatch(/quorum no, for \d+s/);

  for (const node of [founder, ...others.slice(3)]) expect((await node.stop()).code).toBe(0);
});
