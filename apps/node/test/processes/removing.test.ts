import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";

const listen = ["--listen", "127.0.0.1:0"];

test("a master that an operator removes loses its seat to another, is cut off by all, and never comes back", async () => {
  const folder = workspace();
  const directory = (name: string): string => join(folder, name);
  const strategy = patientStrategy(folder, "homelab");
  const founder = new Daemon(directory("a"), "--bootstrap", "--strategy", strategy, ...listen);
  await founder.until(({ consensus }) => consensus.quorum);
  const token = join(directory("a"), "join-token");
  const others = ["b", "c", "d"].map((name) => new Daemon(directory(name), "--join", token, ...listen));
  for (const node of [founder, ...others])
    await node.until(({ members, mode }) => mode === "read-write" && members.every(({ state }) => state === "active"));
  const statuses = await Promise.all(others.map((node) => node.until(({ members }) => members.length === 4)));
  const at = statuses.findIndex(({ role, consensus, id }) => role === "master" && consensus.leader !== id);
  const [victim, gone] = [others[at], statuses[at]?.id ?? ""];
  if (victim === undefined) throw new Error("nobody but the founder is a master");

  const removed = await revoada("node", "remove", gone.slice(0, 12), "--data-dir", founder.directory);
  expect(removed).toMatchObject({ code: 0, err: "", out: `node ${gone} was removed for ever\n` });
  const staying = [founder, ...others.filter((node) => node !== victim)];
  for (const node of staying) {
    const { consensus } = await node.until(
      ({ members }) => members.length === 3 && members.every(({ id }) => id !== gone),
    );
    expect(consensus.voters).toHaveLength(3);
    expect(consensus.voters).not.toContain(gone);
  }
  expect((await founder.until(({ condition }) => condition === "healthy")).mode).toBe("read-write");

  // With its directory it is nobody's member; with a good token its key is still the removed one.
  expect((await victim.stop()).code).toBe(0);
  const back = new Daemon(victim.directory, "--join", token);
  await back.until(({ consensus }) => !consensus.quorum);
  const formation = await founder.ask((node) => node.formation());
  expect(formation.tombstones).toEqual([gone]);
  expect(formation.nodes.map(({ id }) => id)).not.toContain(gone);
  const again = await revoada("node", "remove", gone, "--data-dir", founder.directory);
  expect(again.code).toBe(0);

  for (const node of [back, ...staying]) expect((await node.stop()).code).toBe(0);
});
