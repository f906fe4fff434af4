import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, formedCluster, revoada, workspace, write, written } from "./revoada.ts";

const listen = ["--listen", "127.0.0.1:0"];

test("a leader that leaves hands over, gives its seat to another and goes, while writes go on", async () => {
  const folder = workspace();
  const nodes = await formedCluster(folder, 4);
  const states = await Promise.all(nodes.map((node) => node.until(() => true)));
  const at = states.findIndex(({ id, consensus }) => consensus.leader === id);
  const [leader, gone] = [nodes[at] as Daemon, states[at]?.id ?? ""];
  const staying = nodes.filter((node) => node !== leader);
  const acknowledged: string[] = [];
  const left = revoada("leave", "--data-dir", leader.directory);
  for (let count = 0; count < 20; count += 1) {
    const name = `w${String(count).padStart(2, "0")}`;
    await write(staying[count % staying.length] as Daemon, name);
    acknowledged.push(name);
  }
  expect(await left).toMatchObject({ code: 0, err: "", out: "the node has left its cluster and stops\n" });
  expect((await leader.ended()).code).toBe(0);
  for (const node of staying) {
    const { consensus, members } = await node.until(
      ({ formation, condition }) => formation.nodes === 3 && condition === "healthy",
    );
    expect(consensus.voters).toHaveLength(3);
    expect(consensus.voters).not.toContain(gone);
    expect(members.filter(({ role }) => role === "master")).toHaveLength(3);
    expect(await written(node)).toEqual(acknowledged);
  }
  // Three seats and three nodes: whoever of them wanted to leave now would take a vote along.
  const last = await revoada("leave", "--data-dir", (staying[0] as Daemon).directory, "--timeout", "5s");
  expect([last.code, last.err.split(":")[0]]).toEqual([1, "error CLUSTER_LEAVE_REFUSED"]);
  for (const node of staying) expect((await node.stop()).code).toBe(0);
});

test("a worker's token makes workers for good, and tokens change while a node is away", async () => {
  const folder = workspace();
  const nodes = await formedCluster(folder, 3);
  const [founder, second, away] = nodes as [Daemon, Daemon, Daemon];
  const create = ["token", "create", "--data-dir", founder.directory];
  const wrong = await revoada(...create, "--role", "king");
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("master, worker, observer")]);
  const made = await revoada(...create, "--role", "worker", "--label", "rack 7");
  expect(made).toMatchObject({ code: 0, err: "" });
  const listed = await revoada("token", "list", "--data-dir", second.directory);
  expect(listed.out).toMatch(/good +64 +\S+ +worker +rack 7/);
  const worker = new Daemon(join(folder, "worker"), "--join", made.out.trim(), ...listen);
  const { id } = await worker.until(({ role }) => role === "worker");
  const promoted = await revoada(
    "formation",
    "propose",
    "reassign",
    id,
    "--role",
    "master",
    "--data-dir",
    founder.directory,
  );
  expect([promoted.code, promoted.err]).toEqual([1, expect.stringContaining("its token lets it be worker only")]);

  // Tokens are rotated while a master is away; it comes back and knows no other ones than the rest.
  expect((await away.stop()).code).toBe(0);
  const old = (await founder.ask((node) => node.tokens())).map((token) => token.id);
  for (const token of old) await founder.ask((node) => node.revokeToken(token));
  const fresh = await founder.ask((node) => node.createToken({ label: "new" }));
  const back = new Daemon(away.directory);
  await back.until(({ consensus, condition }) => consensus.quorum && condition === "healthy");
  expect((await back.ask((node) => node.tokens())).map(({ label }) => label)).toEqual(["new"]);
  const refused = await new Daemon(join(folder, "late"), "--join", made.out.trim(), ...listen).ended();
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("error JOIN_REFUSED")]);
  const late = new Daemon(join(folder, "in-time"), "--join", fresh, ...listen);
  await late.until(({ state }) => state === "active");
  // With one more that may vote, a lost master's seat is taken by that one, and never by the limited worker.
  back.signal("SIGKILL");
  await back.ended();
  await founder.until(({ members }) => members.find((member) => member.id === id)?.replica === "none");
  const { members } = await founder.until(
    ({ members: all }) => all.filter(({ role, replica }) => role === "master" && replica === "voter").length === 3,
  );
  expect(members.find((member) => member.id === id)).toMatchObject({ role: "worker", replica: "none" });
  for (const node of [founder, second, worker, late]) expect((await node.stop()).code).toBe(0);
});
