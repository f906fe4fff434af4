import { join } from "node:path";
import { loadOrCreateIdentity } from "@revoada/attest-blake3";
import { expect, test } from "vitest";
import { Daemon, formedCluster, revoada, workspace, write } from "./revoada.ts";

test("masters rotate their keys, the leader too, through crashes, and the chain proves who followed whom", async () => {
  const folder = workspace();
  const nodes = await formedCluster(folder, 4);
  const [founder] = nodes as [Daemon];
  const status = await founder.until(() => true);
  const states = await Promise.all(nodes.map((node) => node.until(() => true)));
  const leads = states.findIndex(({ id, consensus }) => consensus.leader === id);
  const follows = states.findIndex(({ role }, at) => role === "master" && at !== leads);
  const [leader, follower] = [nodes[leads], nodes[follows]] as [Daemon, Daemon];
  const taken = new Set<string>();

  // A follower, asked by the command, which waits until all is done.
  const before = states[follows]?.id ?? "";
  const rotated = await revoada("key", "rotate", "--data-dir", follower.directory);
  expect(rotated).toMatchObject({ code: 0, err: "" });
  const next = /is now ([0-9a-f]{64}): it has taken its place/.exec(rotated.out)?.[1] ?? "";
  taken.add(before);
  const { consensus } = await leader.until(({ consensus: { voters } }) => voters.some((id) => id === next));
  expect(consensus.voters).toHaveLength(3);
  expect(consensus.voters).not.toContain(before);
  await write(leader, "after-the-follower");

  // The leader, which hands over first; the daemon is killed between its two lives.
  const led = states[leads]?.id ?? "";
  const { to } = await leader.ask((node) => node.rotateKey());
  leader.signal("SIGKILL");
  await leader.ended();
  taken.add(led);
  const back = new Daemon(leader.directory);
  // Who dies without a word may lose its seat to the one that stands by; its place in the cluster it keeps.
  await back.until(({ id, state }) => id === to && state === "active");
  await write(follower, "after-the-leader");

  // A crash before anything was decided: the key is there, nobody knows it, and the next start goes on with it.
  const third = nodes[
    states.findIndex(({ role }, at) => role === "master" && at !== leads && at !== follows)
  ] as Daemon;
  const last = states[nodes.indexOf(third)]?.id ?? "";
  const { identity } = await loadOrCreateIdentity(join(third.directory, "identity.next.key"));
  third.signal("SIGKILL");
  await third.ended();
  taken.add(last);
  const again = new Daemon(third.directory);
  await again.until(({ id, state }) => id === identity.id && state === "active");

  const living = [back, again, ...nodes.filter((node) => node !== leader && node !== third)];
  for (const node of living)
    await node.until(
      ({ members, mode, consensus: { voters } }) =>
        mode === "read-write" && members.length === 4 && voters.every((id) => !taken.has(id)),
    );
  const formation = await back.ask((node) => node.formation());
  expect(new Set(formation.tombstones)).toEqual(taken);
  const file = join(folder, "rotated.chain");
  expect((await revoada("chain", "export", file, "--data-dir", back.directory)).code).toBe(0);
  const verified = await revoada("chain", "verify", file, "--cluster", status.cluster, "--no-recovery");
  expect(verified).toMatchObject({ code: 0, err: "" });
  for (const node of living) expect((await node.stop()).code).toBe(0);
});
