import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";

const listen = ["--listen", "127.0.0.1:0"];

test("nodes join with a token, take their places, serve each other's resources, and one leaves for good", async () => {
  const folder = workspace();
  const directory = (name: string): string => join(folder, name);
  const strategy = patientStrategy(folder, "homelab");
  const founder = new Daemon(directory("a"), "--bootstrap", "--strategy", strategy, ...listen);
  await founder.until(({ consensus }) => consensus.quorum);
  // Until the first shape stands, nothing is written.
  const early = await revoada("apply", "-f", strategy, "--data-dir", directory("a"));
  expect(early.code).not.toBe(0);
  const token = join(directory("a"), "join-token");
  const others = ["b", "c", "d"].map((name) => new Daemon(directory(name), "--join", token, ...listen));
  const nodes = [founder, ...others];
  const isWhole = (members: readonly { readonly state: string; readonly status: string }[]): boolean =>
    members.length === 4 && members.every(({ state, status }) => state === "active" && status === "alive");
  for (const node of nodes) await node.until(({ members, mode }) => mode === "read-write" && isWhole(members));
  const { members, cluster } = await founder.until(() => true);
  expect(members.filter(({ role }) => role === "master")).toHaveLength(3);
  const worker = members.find(({ role }) => role === "worker");

  const body = Buffer.from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n");
  await founder.ask((node) => node.face.apply({ format: "yaml", body }));
  for (const node of nodes) {
    const found = await node.ask((client) => client.face.get({ kind: "ConfigMap", name: "a" }, { format: "json" }));
    expect(JSON.parse(Buffer.from(found.body).toString("utf8"))).toMatchObject({ data: { x: "y" } });
  }

  const statuses = await Promise.all(nodes.map((node) => node.until(() => true)));
  const leaving = nodes[statuses.findIndex(({ id }) => id === worker?.id)];
  if (leaving === undefined || leaving === founder) throw new Error("the founder became a worker");
  const left = await revoada("leave", "--data-dir", leaving.directory);
  expect(left).toMatchObject({ code: 0, err: "" });
  expect((await leaving.ended()).code).toBe(0);
  await founder.until((status) => status.formation.nodes === 3 && status.condition === "healthy");
  const back = await new Daemon(leaving.directory).ended();
  expect([back.code, back.err.split(":")[0]]).toEqual([1, "error NODE_LEFT"]);

  // A directory that is of another cluster than the token is left as it is.
  const stranger = new Daemon(
    directory("e"),
    "--bootstrap",
    "--topology",
    "solo",
    "--strategy",
    patientStrategy(folder, "solo"),
    ...listen,
  );
  await stranger.until(({ consensus }) => consensus.quorum);
  await stranger.stop();
  const foreign = await new Daemon(directory("e"), "--join", token).ended();
  expect([foreign.code, foreign.err.split(":")[0]]).toEqual([1, "error NODE_OTHER_CLUSTER"]);
  expect(foreign.err).toContain(cluster);

  for (const node of nodes.filter((candidate) => candidate !== leaving)) expect((await node.stop()).code).toBe(0);
});
