/** What groups of one host share, and what they do not: a machine, a limit, a disk. */
import { expect, test } from "vitest";
import type { AppliedEntry } from "@revoada/fabric";
import type { MemoryDisk } from "@revoada/fabric/memory";
import { Hosts, groupIdOf, namesOf } from "./support/hosts.ts";
import { ListMachine, nodeId, T, textCodec } from "./support/replicas.ts";

/** Applies what it is given only once it is let. */
class SlowMachine extends ListMachine {
  #blocked: Promise<void> | undefined;
  #free: (() => void) | undefined;

  block(): void {
    this.#blocked = new Promise((resolve) => {
      this.#free = resolve;
    });
  }

  free(): void {
    this.#blocked = undefined;
    this.#free?.();
  }

  override apply(entries: readonly AppliedEntry<string>[]): never {
    const apply = (): readonly (string | undefined)[] => super.apply(entries);
    return (this.#blocked === undefined ? apply() : this.#blocked.then(apply)) as never;
  }
}

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "committed",
    (error: { readonly code: string }) => error.code,
  );
}

function storageOf(hosts: Hosts, n: number, names: readonly string[]): readonly string[] {
  return names.map((name) => hosts.seat(n, name).consensus.status().storage);
}

function agree(hosts: Hosts, names: readonly string[], commands: readonly string[]): boolean {
  return names.every((name) =>
    [...hosts.sites.values()].every(
      (site) => JSON.stringify(site.seats.get(name)?.machine.commands) === JSON.stringify(commands),
    ),
  );
}

test("a group whose machine stands still does not hold the others up", async () => {
  const hosts = new Hosts();
  const names = namesOf(4);
  await hosts.form(names);
  await hosts.run(hosts.seat(1, "group-0").consensus.shutdown());
  const machine = new SlowMachine();
  await hosts.seatOf(1, "group-0", {}, machine);
  await hosts.newLeaders(names);
  await hosts.until(() => machine.commands.length === 1);
  machine.block();
  const stuck = hosts.seat(1, "group-0").consensus.propose("stuck");
  const others = names.slice(1);
  for (let turn = 0; turn < 10; turn += 1)
    await hosts.run(Promise.all(others.map((name) => hosts.seat(1, name).consensus.propose(`${turn}`))), T);
  expect(machine.commands).toEqual(["first"]);
  machine.free();
  expect((await hosts.run(stuck)).result).toBe("2:stuck");
  await hosts.stop();
});

test("a group that has too much under way is refused with RAFT_BACKPRESSURE, the others are not", async () => {
  const hosts = new Hosts();
  await hosts.form(["narrow", "wide"]);
  await hosts.run(hosts.seat(1, "narrow").consensus.shutdown());
  await hosts.seatOf(1, "narrow", { limits: { maxPendingProposals: 3 } });
  await hosts.newLeaders(["narrow"]);
  const ask = (name: string): Promise<readonly string[]> =>
    Promise.all(
      Array.from({ length: 50 }, (_, at) => outcomeOf(hosts.seat(1, name).consensus.propose(`${name} ${at}`))),
    );
  const [narrow, wide] = await hosts.run(Promise.all([ask("narrow"), ask("wide")]));
  expect(narrow.filter((outcome) => outcome === "committed")).toHaveLength(3);
  expect(narrow.filter((outcome) => outcome === "RAFT_BACKPRESSURE")).toHaveLength(47);
  expect(new Set(wide)).toEqual(new Set(["committed"]));
  await hosts.stop();
});

test("a disk that fails makes all groups of its host fail together; they are opened anew together, and refilled", async () => {
  const hosts = new Hosts();
  const names = namesOf(5);
  await hosts.form(names);
  await hosts.clock.advanceAsync(10 * T);
  const one = hosts.site(1);
  one.disk.failSyncs(1);
  const outcomes = hosts.run(
    Promise.all(names.map((name) => outcomeOf(hosts.seat(1, name).consensus.propose("while it fails")))),
  );
  await hosts.until(() => storageOf(hosts, 1, names).includes("failed"));
  await hosts.clock.advanceAsync(1);
  expect(storageOf(hosts, 1, names)).toEqual(names.map(() => "failed"));
  expect(one.metrics.of("revoada_raft_storage_failures_total")).toBe(names.length);
  for (const outcome of await outcomes) expect(["committed", "RAFT_OUTCOME_UNKNOWN"]).toContain(outcome);
  await hosts.until(() => storageOf(hosts, 1, names).every((storage) => storage === "ok"));
  await hosts.newLeaders(names);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose("afterwards"))));
  await hosts.until(() =>
    names.every((name) => [1, 2, 3].every((n) => hosts.seat(n, name).machine.commands.at(-1) === "afterwards")),
  );
  for (const name of names)
    for (const n of [2, 3]) expect(hosts.seat(n, name).machine.commands).toEqual(hosts.seat(1, name).machine.commands);
  // They rest again, as they did before.
  await hosts.clock.advanceAsync(20 * T);
  const ticks = hosts.ticksOf(names);
  await hosts.clock.advanceAsync(10 * T);
  expect(hosts.ticksOf(names)).toBe(ticks);
  await hosts.stop();
});

test("a disk that takes no more writes makes every leader of its host step down, and all groups go on elsewhere", async () => {
  const hosts = new Hosts();
  const names = namesOf(3);
  await hosts.form(names);
  const one = hosts.site(1);
  one.disk.setReadOnly(true);
  const outcomes = names.map((name) => outcomeOf(hosts.seat(1, name).consensus.propose("read only")));
  await hosts.until(() => names.every((name) => (hosts.leaderOf(name)?.n ?? 1) !== 1), 60_000);
  one.disk.setReadOnly(false);
  for (const outcome of await hosts.run(Promise.all(outcomes)))
    expect(["committed", "RAFT_OUTCOME_UNKNOWN"]).toContain(outcome);
  await hosts.until(() => storageOf(hosts, 1, names).every((storage) => storage === "ok"), 60_000);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose("writable"))));
  await hosts.stop();
});

const batchMagic = 0x42564f52;

/** Flips a bit of every batch of the newest segment from the given one on. */
async function spoil(disk: MemoryDisk, from: number): Promise<number> {
  const newest = (await disk.list("groups-wal"))
    .filter((name) => name.endsWith(".wal"))
    .toSorted()
    .at(-1) as string;
  const path = `groups-wal/${newest}`;
  const file = await disk.open(path);
  const bytes = Buffer.from(await file.read(0, await file.size()));
  await file.close();
  let batches = 0;
  for (let at = 512; bytes.readUInt32LE(at) === batchMagic; at += bytes.readUInt32LE(at + 8)) {
    if (batches >= from) disk.corrupt(path, at + 70);
    batches += 1;
  }
  return batches;
}

test("a log that is damaged makes groups of its host corrupt: they do not vote until they are refilled, and are whole then", async () => {
  const hosts = new Hosts();
  const names = namesOf(4);
  await hosts.form(names);
  for (let turn = 0; turn < 5; turn += 1)
    await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose(`${turn}`))));
  const commands = ["first", "0", "1", "2", "3", "4"];
  await hosts.until(() => agree(hosts, names, commands));
  const dead = hosts.kill(2);
  expect(await hosts.run(spoil(dead.disk, 2))).toBeGreaterThan(4);
  // Cut off, so that nobody refills it yet.
  hosts.network.partition([nodeId(2)], [nodeId(1), nodeId(3)]);
  await hosts.restart(dead);
  expect(storageOf(hosts, 2, names)).toEqual(names.map(() => "corrupt"));
  await hosts.clock.advanceAsync(10 * T);
  for (const name of names) expect(["follower", "outsider"]).toContain(hosts.seat(2, name).consensus.status().role);
  hosts.network.heal();
  await hosts.until(() => storageOf(hosts, 2, names).every((storage) => storage === "ok"));
  await hosts.until(() => agree(hosts, names, commands));
  // Its vote counts again.
  hosts.kill(3);
  await hosts.newLeaders(names);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(2, name).consensus.propose("with its vote"))));
  await hosts.until(() => agree(hosts, names, [...commands, "with its vote"]));
  await hosts.stop();
});

test("a group that is forgotten leaves nothing behind, and its id is refused, after a restart too", async () => {
  const hosts = new Hosts();
  await hosts.form(["kept", "dropped"]);
  const three = hosts.site(3);
  const groupId = groupIdOf("dropped");
  await expect(three.host.forget(groupId)).rejects.toMatchObject({ code: "RAFT_DUPLICATE_GROUP" });
  await expect(three.host.forget(new Uint8Array(0))).rejects.toMatchObject({ code: "FABRIC_INVALID_VALUE" });
  await hosts.run(hosts.seat(3, "dropped").consensus.shutdown());
  await hosts.run(three.host.forget(groupId));
  three.seats.delete("dropped");
  const again = (host = three.host): Promise<string> =>
    hosts.run(outcomeOf(host.group({ codec: textCodec, groupId }).start(new ListMachine())));
  expect(await again()).toBe("LOG_FORGOTTEN");
  expect(await three.disk.list(`groups/${Buffer.from(groupId).toString("hex")}/snapshots`)).toEqual([]);
  const restarted = await hosts.restart(hosts.kill(3));
  expect(await again(restarted.host)).toBe("LOG_FORGOTTEN");
  await hosts.newLeaders(["kept", "dropped"]);
  for (const name of ["kept", "dropped"])
    expect(await hosts.run(outcomeOf(hosts.seat(1, name).consensus.propose("on")))).toBe("committed");
  await hosts.until(() => hosts.seat(3, "kept").machine.commands.at(-1) === "on");
  await hosts.stop();
  await expect(restarted.host.forget(groupId)).rejects.toMatchObject({ code: "RAFT_STOPPED" });
});

test("what never was here can be forgotten: it must not come from elsewhere afterwards", async () => {
  const hosts = new Hosts();
  const { host } = await hosts.open(1);
  await hosts.run(host.forget(groupIdOf("never")));
  const consensus = host.group({ codec: textCodec, groupId: groupIdOf("never") });
  expect(await hosts.run(outcomeOf(consensus.start(new ListMachine())))).toBe("LOG_FORGOTTEN");
  await hosts.stop();
});
