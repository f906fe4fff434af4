import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

test("nodes of one image found one cluster together, and a wiped one of them founds no second", async () => {
  const folder = workspace();
  const strategy = patientStrategy(folder, "homelab");
  const hosts: { readonly directory: string; readonly address: string; readonly id: string }[] = [];
  for (const name of ["a", "b", "c"]) {
    const directory = join(folder, name);
    const made = await revoada("key", "create", "--data-dir", directory);
    expect(made).toMatchObject({ code: 0, err: "" });
    hosts.push({ directory, address: `127.0.0.1:${await freePort()}`, id: made.out.trim() });
  }
  const peers = join(folder, "peers");
  const secret = join(folder, "secret");
  writeFileSync(peers, hosts.map(({ id, address }) => `${id} ${address}\n`).join(""));
  writeFileSync(secret, "a secret that only these three hold\n");
  const start = ({ directory, address }: (typeof hosts)[number], more: readonly string[] = []): Daemon => {
    const expected = ["--bootstrap-expect", "3", "--expect-peers", peers, "--expect-secret", secret];
    return new Daemon(directory, ...expected, "--listen", address, "--strategy", strategy, ...more);
  };

  const daemons = hosts.map((host) => start(host));
  const clusters = new Set<string>();
  for (const daemon of daemons) {
    const { cluster, members } = await daemon.until(
      ({ mode, members: all }) =>
        mode === "read-write" && all.length === 3 && all.every(({ role }) => role === "master"),
    );
    clusters.add(cluster);
    expect(members.map(({ id }) => id).toSorted()).toEqual(hosts.map(({ id }) => id).toSorted());
  }
  expect(clusters.size).toBe(1);

  // The founder's machine is set up anew from its image: its key is there, and nothing else.
  const founder = hosts.toSorted((a, b) => (a.id < b.id ? -1 : 1))[0];
  const at = hosts.findIndex(({ id }) => id === founder?.id);
  const [wiped, host] = [daemons[at], hosts[at]];
  if (wiped === undefined || host === undefined) throw new Error("there is no founder");
  expect((await wiped.stop()).code).toBe(0);
  for (const name of ["node.rvd", "wal", "store", "expect.rvd", "join-token", "peers"])
    rmSync(join(host.directory, name), { recursive: true, force: true });
  const refused = await start(host).ended();
  expect([refused.code, refused.err.split(":")[0]]).toEqual([1, "error NODE_EXPECT_REFUSED"]);

  for (const daemon of daemons) if (daemon !== wiped) expect((await daemon.stop()).code).toBe(0);
});

test("nodes that hold different secrets found nothing, and their logs say why", async () => {
  const folder = workspace();
  const hosts: { readonly directory: string; readonly address: string; readonly id: string }[] = [];
  for (const name of ["a", "b"]) {
    const directory = join(folder, name);
    const made = await revoada("key", "create", "--data-dir", directory);
    hosts.push({ directory, address: `127.0.0.1:${await freePort()}`, id: made.out.trim() });
    writeFileSync(join(folder, `${name}.secret`), `the secret of ${name}, which is of its own\n`);
  }
  const peers = join(folder, "peers");
  writeFileSync(peers, hosts.map(({ id, address }) => `${id} ${address}\n`).join(""));
  const daemons = hosts.map(({ directory, address }) => {
    const secret = `${directory}.secret`;
    const expected = ["--bootstrap-expect", "2", "--expect-peers", peers, "--expect-secret", secret];
    return new Daemon(directory, ...expected, "--listen", address);
  });
  const follower = daemons[(hosts[0]?.id ?? "") < (hosts[1]?.id ?? "") ? 1 : 0];
  await follower?.said(/another secret or other keys/);
  for (const daemon of daemons) daemon.signal("SIGTERM");
  for (const daemon of daemons) expect((await daemon.ended()).code).not.toBe(null);
});
