import { join } from "node:path";
import { expect, test } from "vitest";
import type { NodeStatus } from "../../src/daemon/status.ts";
import { Daemon, patientStrategy, revoada, until, workspace } from "./revoada.ts";

const listen = ["--listen", "127.0.0.1:0"];

test("where operators sign, a shape waits for one, a killed master is replaced without, and both stand in the chain", async () => {
  const folder = workspace();
  const place = (name: string): string => join(folder, name);
  const key = place("operator.key");
  expect((await revoada("operator", "create", key)).code).toBe(0);
  const strategy = patientStrategy(folder, "homelab", { requireOperatorSignature: true });
  const asked = ["--strategy", strategy, "--operator-key", `${key}.pub`];
  const founder = new Daemon(place("a"), "--bootstrap", ...asked, ...listen);
  await founder.until(({ consensus }) => consensus.quorum);
  const token = join(place("a"), "join-token");
  const others = ["b", "c", "d"].map((name) => new Daemon(place(name), "--join", token, ...listen));
  for (const node of others) await node.until(({ members }) => members.length === 4);

  // Everybody is in, and nothing moves until an operator approves of the shape.
  const shape = await until("the shape of four to wait", () =>
    founder.ask(async (node) =>
      (await node.pending()).waiting.find(({ statement }) => statement.transitions.length === 4),
    ),
  );
  expect(shape.kind).toBe("form");
  expect((await founder.until(() => true)).consensus.voters).toHaveLength(1);
  const signed = await revoada("chain", "cosign", "--key", key, "--data-dir", founder.directory);
  expect(signed).toMatchObject({ code: 0, err: "" });
  const isFormed = ({ mode, members, consensus }: NodeStatus): boolean =>
    mode === "read-write" && consensus.voters.length === 3 && members.every(({ state }) => state === "active");
  const { id, consensus } = await founder.until(isFormed);
  const statuses = await Promise.all(others.map((node) => node.until(isFormed)));
  const at = statuses.findIndex((status) => status.role === "master" && status.id !== consensus.leader);
  const [victim, dead] = [others[at], statuses[at]?.id ?? ""];
  if (victim === undefined || dead === id) throw new Error("nobody but the founder is a master");

  victim.signal("SIGKILL");
  const replaced = await founder.until(
    ({ consensus: { voters }, members, chain }) =>
      voters.length === 3 &&
      voters.every((voter) => voter !== dead) &&
      members.some((member) => member.id === dead && member.state === "failed" && member.replica === "none") &&
      chain.sealedHeight === chain.height,
  );
  expect(replaced.chain.operatorSignedHeight).toBeLessThan(replaced.chain.sealedHeight);
  const { blocks } = await founder.ask((node) => node.explain(dead));
  expect(blocks.find(({ verb }) => verb === "promote")?.operator).toBe("approved");
  expect(blocks.at(-1)?.operator).toBe("awaited");

  const file = place("cluster.chain");
  const verify = async (): Promise<string> => {
    expect((await revoada("chain", "export", file, "--data-dir", founder.directory)).code).toBe(0);
    return (await revoada("chain", "verify", file, "--cluster", replaced.cluster)).out;
  };
  expect(await verify()).toContain("sealed by voters, awaiting an operator from height");
  const head = await revoada("chain", "cosign", "--key", key, "--head-only", "--data-dir", founder.directory);
  expect(head).toMatchObject({ code: 0, err: "" });
  expect((await founder.until(() => true)).chain.operatorSignedHeight).toBeGreaterThanOrEqual(
    replaced.chain.sealedHeight,
  );
  expect(await verify()).toMatch(/the chain verifies[^]*signed up to \d+/);

  const gone = await revoada("node", "remove", dead, "--key", key, "--data-dir", founder.directory);
  expect(gone).toMatchObject({ code: 0, err: "", out: `node ${dead} was removed for ever\n` });

  for (const node of [founder, ...others.filter((other) => other !== victim)]) expect((await node.stop()).code).toBe(0);
});
