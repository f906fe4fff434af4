import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prescribedHomelab } from "@revoada/fabric";
import { Fleet, readEntries, until, Writers } from "@revoada/node/unstable/fleet";
import { expect, test } from "vitest";

/** Real processes share the machine with other tests: what is tested is what survives, not how fast. */
const patient = {
  ...prescribedHomelab(),
  name: "patient",
  consensus: { protocol: "raft", quorumSize: 3, electionTimeoutMs: 1000, snapshotIntervalEntries: 200 },
};

test("every write that five nodes acknowledged is on every replica after all of them were killed at once", async () => {
  const directory = await mkdtemp(join(tmpdir(), "revoada-power-cut-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const strategy = join(directory, "strategy.json");
  await writeFile(strategy, JSON.stringify(patient));
  const fleet = stack.use(new Fleet({ directory, size: 5, strategy }));
  await fleet.form();
  await fleet.whole({ alive: 5 });

  const writers = new Writers(fleet.daemons);
  writers.start(8);
  await until("500 writes", 60_000, async () => (writers.acknowledged.length >= 500 ? true : undefined));
  const stopped = writers.stop();
  await Promise.all(fleet.daemons.map((daemon) => daemon.kill()));
  await stopped;

  await fleet.restartAll();
  const { status } = await fleet.whole({ alive: 5 });
  expect(status.mode).toBe("read-write");
  for (const daemon of fleet.daemons) {
    const entries = await readEntries(daemon);
    const lost = writers.acknowledged.filter(({ name, value }) => entries.get(name) !== value);
    expect(lost, `lost on ${daemon.name}`).toEqual([]);
  }
  const hashes = await until("one state", 30_000, async () => {
    const states = await Promise.all(fleet.daemons.map((daemon) => daemon.ask((client) => client.stateHash())));
    return new Set(states.map((state) => state.appliedIndex)).size === 1 ? states : undefined;
  });
  expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
});
