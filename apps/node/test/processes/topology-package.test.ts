import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, patientStrategy, workspace } from "./revoada.ts";

const topology = "@example/three-regions?eu=1&us=1&ap=1";

test("a topology of another package shapes a cluster, and who does not name it stays out of the cluster", async () => {
  const folder = workspace();
  const listen = ["--listen", "127.0.0.1:0"];
  const start = (name: string, zone: string, ...words: readonly string[]): Daemon =>
    new Daemon(join(folder, name), "--zone", zone, ...listen, ...words);
  const founder = start(
    "a",
    "eu.a",
    ...["--bootstrap", "--strategy", patientStrategy(folder, "homelab"), "--topology", topology],
  );
  await founder.until(({ consensus }) => consensus.quorum);
  const join_ = ["--join", join(folder, "a", "join-token")];

  const unwilling = await start("x", "us.x", ...join_).ended();
  expect(unwilling.err).toContain("error TOPOLOGY_UNKNOWN");
  expect(unwilling.err).toContain(`say --topology "${topology}"`);

  // Two nodes of one region would be a quorum in it: the first shape waits for the others.
  const nodes = [
    founder,
    start("b", "eu.b", ...join_, "--topology", topology),
    start("c", "us.a", ...join_, "--topology", topology),
  ];
  for (const node of nodes)
    await node.until(({ members }) => members.filter(({ status }) => status === "alive").length >= 3);
  expect((await founder.until(() => true)).condition).toBe("forming");
  nodes.push(start("d", "ap.a", ...join_, "--topology", topology));
  for (const node of nodes) {
    const { members } = await node.until(
      ({ mode, members: all }) => mode === "read-write" && all.filter(({ role }) => role === "master").length === 3,
    );
    const regions = members.filter(({ role }) => role === "master").map(({ zone }) => zone.split(".")[0]);
    expect(new Set(regions)).toEqual(new Set(["ap", "eu", "us"]));
  }
  for (const node of nodes) expect((await node.stop()).code).toBe(0);
});
