import { expect, test } from "vitest";
import type { Generation } from "@revoada/fabric";
import { memoryDisk, memoryNetwork, seededRandom, virtualClock } from "@revoada/fabric/memory";
import { raft, raftHost } from "@revoada/consensus-raft";
import { Hosts, groupIdOf, namesOf } from "./support/hosts.ts";
import { ListMachine, nodeId, T, textCodec } from "./support/replicas.ts";

test("groups of one host keep their logs apart, and each commits on all of its replicas", async () => {
  const hosts = new Hosts();
  const names = namesOf(5);
  await hosts.form(names);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(2, name).consensus.propose(`${name}, from elsewhere`))));
  await hosts.until(() =>
    names.every((name) => [1, 2, 3].every((n) => hosts.seat(n, name).machine.commands.length === 2)),
  );
  for (const name of names) {
    for (const n of [1, 2, 3])
      expect(hosts.seat(n, name).machine.commands).toEqual(["first", `${name}, from elsewhere`]);
  }
  await hosts.stop();
});

test("what many groups say to one peer in one turn leaves in one frame", async () => {
  const hosts = new Hosts();
  const names = namesOf(20);
  await hosts.form(names);
  await hosts.clock.advanceAsync(3 * T);
  const before = hosts.site(1).metrics.of("revoada_raft_host_frames_total");
  // Twenty proposals in one turn: twenty appends to each of two peers, and twenty commits told to them.
  await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose("x"))));
  const sent = hosts.site(1).metrics.of("revoada_raft_host_frames_total") - before;
  expect(sent).toBeGreaterThanOrEqual(2);
  expect(sent).toBeLessThan(20);
  await hosts.stop();
});

test("a group is there once: a second one of its id is refused, and may be made once the first is shut down", async () => {
  const hosts = new Hosts();
  await hosts.form(["one"]);
  const { host } = hosts.site(1);
  const again = (): unknown => host.group({ codec: textCodec, groupId: groupIdOf("one") });
  expect(again).toThrow(expect.objectContaining({ code: "RAFT_DUPLICATE_GROUP" }));
  expect(host.groups()).toEqual([groupIdOf("one")]);
  await hosts.run(hosts.seat(1, "one").consensus.shutdown());
  expect(host.groups()).toEqual([]);
  await hosts.seatOf(1, "one");
  await hosts.newLeaders(["one"]);
  await hosts.until(() => hosts.seat(1, "one").machine.commands.length === 1);
  await hosts.stop();
});

test("a host that was shut down makes no group, and its groups are stopped", async () => {
  const hosts = new Hosts();
  await hosts.form(["one"]);
  const { host } = hosts.site(1);
  await hosts.run(host.shutdown());
  expect(() => host.group({ codec: textCodec, groupId: groupIdOf("two") })).toThrow(
    expect.objectContaining({ code: "RAFT_STOPPED" }),
  );
  expect(hosts.seat(1, "one").consensus.status().role).toBe("stopped");
  await hosts.stop();
});

test("a group id of no bytes, or of more than 32, is refused", async () => {
  const hosts = new Hosts();
  const { host } = await hosts.open(1);
  for (const groupId of [new Uint8Array(0), new Uint8Array(33)]) {
    expect(() => host.group({ codec: textCodec, groupId })).toThrow(
      expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
    );
  }
  await hosts.stop();
});

test("frames of a group that is not here are counted, and a proposal forwarded to it finds the leader elsewhere", async () => {
  const hosts = new Hosts();
  await hosts.form(["here", "gone"]);
  await hosts.run(hosts.seat(1, "gone").consensus.shutdown());
  const committed = await hosts.run(hosts.seat(2, "gone").consensus.propose("after all"));
  expect(committed.result).toBe("2:after all");
  await hosts.clock.advanceAsync(4 * T);
  expect(hosts.site(1).metrics.of("revoada_raft_frames_dropped_total:group")).toBeGreaterThan(0);
  const here = await hosts.run(hosts.seat(2, "here").consensus.propose("undisturbed"));
  expect(here.result).toBe("2:undisturbed");
  await hosts.stop();
});

test("a lone replica and a host share a transport", async () => {
  const clock = virtualClock();
  const transport = memoryNetwork({ clock }).transport(nodeId(1));
  await clock.run(transport.start());
  const disk = memoryDisk();
  const common = { id: transport.localId, transport, clock, disk, electionTimeoutMs: T };
  const alone = raft<string, string>({
    ...common,
    random: seededRandom(1),
    codec: textCodec,
    bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as never }),
  });
  const host = raftHost({ ...common, random: seededRandom(2) });
  const group = host.group<string, string>({
    groupId: groupIdOf("beside"),
    codec: textCodec,
    bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as never }),
  });
  await clock.run(Promise.all([alone.start(new ListMachine()), group.start(new ListMachine())]));
  const [one, other] = await clock.run(Promise.all([alone.propose("a"), group.propose("b")]));
  expect([one.result, other.result]).toEqual(["1:a", "1:b"]);
  await clock.run(Promise.all([alone.shutdown(), host.shutdown()]));
});

test("a stall of the process is noticed once, whatever the number of groups", async () => {
  const hosts = new Hosts();
  await hosts.form(namesOf(10));
  await hosts.clock.advanceAsync(3 * T);
  const { loop, metrics } = hosts.site(1);
  loop.stall(0.8 * T);
  await hosts.clock.advanceAsync(3 * T);
  expect(metrics.of("revoada_raft_stalls_total")).toBe(1);
  for (const name of namesOf(10)) expect(hosts.leaderOf(name)?.n).toBe(1);
  await hosts.stop();
});

test("a process that stands still while a group is being opened stops nothing: neither that group nor another", async () => {
  const hosts = new Hosts();
  let release: (() => void) | undefined;
  let holds = false;
  const disk = memoryDisk({
    random: seededRandom("held"),
    onOperation: ({ kind }) => {
      if (!holds || kind !== "list") return undefined;
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    },
  });
  await hosts.open(1, { disk });
  await hosts.found(["one"], [1]);
  holds = true;
  const two = hosts.site(1).host.group<string, string>({
    codec: textCodec,
    groupId: groupIdOf("two"),
    bootstrap: (self) => ({ voters: [self], learners: [], generation: 1 as Generation }),
  });
  const started = two.start(new ListMachine());
  await hosts.until(() => release !== undefined);
  hosts.site(1).loop.stall(2 * T);
  await hosts.clock.advanceAsync(4 * T);
  holds = false;
  release?.();
  await hosts.run(started);
  await hosts.run(two.propose("in two"));
  await hosts.run(hosts.seat(1, "one").consensus.propose("in one"));
  await hosts.stop();
});
