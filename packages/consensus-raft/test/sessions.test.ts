import { expect, test } from "vitest";
import type { Committed } from "@revoada/fabric";
import { memoryDisk, memoryNetwork, seededRandom, virtualClock } from "@revoada/fabric/memory";
import { forwardProtocol, raftHost, type Session, type SessionedConsensus } from "@revoada/consensus-raft";
import { encodeEnvelope, type CommandHeader } from "../src/sessions/core/envelope.ts";
import { decodeOutcomes, encodeForward, type ForwardedOutcome } from "../src/wire/forward.ts";
import { AnnexListMachine } from "./support/annex-machine.ts";
import { ListMachine, nodeId, T, textCodec, World, type Member, type MemberOptions } from "./support/replicas.ts";

const noGroup = new Uint8Array(0);
const withSessions: MemberOptions = { sessions: {} };

function log(member: Member): SessionedConsensus<string, string> {
  return member.consensus as SessionedConsensus<string, string>;
}

async function opened(world: World, member: Member): Promise<Session<string, string>> {
  return world.run(log(member).openSession({ timeoutMs: 20_000 }));
}

/** Sends bytes to `to` as another replica would, so that a test may say everything twice. */
async function forwardTo(world: World, from: Member, to: Member, payload: Uint8Array): Promise<ForwardedOutcome> {
  const request = encodeForward(noGroup, { type: "propose", timeoutMs: 5000, commands: [payload] });
  const answer = await world.run(from.transport.request(to.id, forwardProtocol, request));
  return decodeOutcomes(answer, noGroup, 1)[0]!;
}

function commandBytes(header: CommandHeader, text: string): Uint8Array {
  return encodeEnvelope({ kind: "command", ...header, command: textCodec.encodeCommand(text) });
}

test("commands of a session are applied in a group with sessions, beside plain ones, on every replica", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, world.member(2));
  const first = await world.run(session.propose("a"));
  const plain = await world.run(one.consensus.propose("b"));
  const second = await world.run(session.propose("c"));
  expect([first.result, plain.result, second.result]).toEqual(["1:a", "2:b", "3:c"]);
  expect(first.index).toBeGreaterThan(session.id);
  await world.until(() => [1, 2, 3].every((n) => world.member(n).machine.commands.length === 3));
  await world.stop();
});

test("a command that arrives twice is applied once, and both are told of that one time", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, one);
  const bytes = commandBytes({ session: session.id, sequence: 1, acknowledged: 0 }, "once");
  const first = await forwardTo(world, world.member(2), one, bytes);
  const again = await forwardTo(world, world.member(3), one, bytes);
  expect(one.machine.commands).toEqual(["once"]);
  const told: Committed<string> = await world.run(session.propose("once"));
  expect([first.ok && first.index, told.result]).toEqual([told.index, "1:once"]);
  expect(again.ok).toBe(true);
  await world.stop();
});

for (const [kind, machine] of [
  ["in memory", () => new ListMachine()],
  ["that is durable", () => new AnnexListMachine()],
] as const) {
  test(`with a machine ${kind}, all are killed and started again, and still know what was applied`, async () => {
    const world = new World();
    const machines = new Map([1, 2, 3].map((n) => [n, machine()]));
    const options = (n: number): MemberOptions => ({
      sessions: {},
      snapshotIntervalEntries: 5,
      limits: { trailingEntries: 1 },
      machine: machines.get(n)!,
    });
    const one = await world.form([1, 2, 3], options);
    const session = await opened(world, one);
    for (let at = 1; at <= 12; at += 1) await world.run(session.propose(`command ${at}`));
    await world.until(() => [1, 2, 3].every((n) => world.member(n).consensus.status().firstIndex > 8));
    // A machine in memory has lost everything; one that is durable is the same object again.
    const dead = [1, 2, 3].map((n) => world.kill(n));
    for (const { n, disk } of dead) {
      if (!dead[0]!.machine.durable) machines.set(n, machine());
      await world.start(n, { ...options(n), disk });
    }
    const leader = await world.newLeader();
    const repeat = commandBytes({ session: session.id, sequence: 12, acknowledged: 11 }, "command 12");
    const outsider = world.member([1, 2, 3].find((n) => n !== leader.n)!);
    expect(await forwardTo(world, outsider, leader, repeat)).toMatchObject({ ok: true });
    expect(leader.machine.commands).toEqual(Array.from({ length: 12 }, (_, at) => `command ${at + 1}`));
    await world.stop();
  });

  test(`with a machine ${kind}, a follower that was sent a snapshot leads, and answers a repeat as the one before it`, async () => {
    const world = new World();
    const options = (): MemberOptions => ({
      sessions: {},
      snapshotIntervalEntries: 5,
      limits: { trailingEntries: 1 },
      machine: machine(),
    });
    const one = await world.form([1, 2, 3], options);
    const session = await opened(world, one);
    const dead = world.kill(3);
    let last = await world.run(session.propose("command 1"));
    for (let at = 2; at <= 20; at += 1) last = await world.run(session.propose(`command ${at}`));
    await world.until(() => one.consensus.status().firstIndex > dead.consensus.status().lastIndex + 1);
    // Its disk is behind the log of the others by now; a durable machine's is with it.
    const back = await world.start(3, {
      ...options(),
      machine: dead.machine.durable ? dead.machine : machine(),
      disk: dead.disk,
    });
    await world.until(() => back.machine.commands.length === 20);
    expect(back.machine.restored).toBeGreaterThan(0);
    await world.run(one.consensus.transferLeadership(back.id));
    const repeat = commandBytes({ session: session.id, sequence: 20, acknowledged: 19 }, "command 20");
    const first = await forwardTo(world, one, back, repeat);
    const again = await forwardTo(world, one, back, repeat);
    expect(again.ok && Buffer.from(again.result).includes("20:command 20")).toBe(true);
    expect(first.ok && again.ok && again.index > first.index && first.index > last.index).toBe(true);
    expect(await world.run(session.propose("command 21"))).toMatchObject({ result: "21:command 21" });
    await world.stop();
  });
}

test("a durable machine that keeps no annex is refused at the start", async () => {
  const world = new World();
  await expect(world.start(1, { sessions: {}, machine: new ListMachine(true) })).rejects.toMatchObject({
    code: "FABRIC_INVALID_VALUE",
    path: "machine.keepsAnnex",
  });
});

test("the session that was idle longest expires when there are too many, and its client is told so", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => ({ sessions: { maxSessions: 2 } }));
  const [first, second] = [await opened(world, one), await opened(world, world.member(2))];
  await world.run(second.propose("a"));
  await world.run(first.propose("b"));
  const third = await opened(world, world.member(3));
  await expect(world.run(second.propose("never"))).rejects.toMatchObject({ code: "RAFT_SESSION_EXPIRED" });
  expect([first.expired, second.expired, third.expired]).toEqual([false, true, false]);
  await expect(second.propose("never")).rejects.toMatchObject({ code: "RAFT_SESSION_EXPIRED" });
  await world.run(first.propose("c"));
  await world.run(third.propose("d"));
  expect(one.machine.commands).toEqual(["a", "b", "c", "d"]);
  await world.stop();
});

test("a session that is closed leaves its place to others, and takes no more commands", async () => {
  const world = new World();
  const one = await world.form([1], () => ({ sessions: { maxSessions: 2 } }));
  const [first, second] = [await opened(world, one), await opened(world, one)];
  const last = second.propose("last");
  await world.run(second.close());
  expect((await last).result).toBe("1:last");
  await opened(world, one);
  await world.run(first.propose("a"));
  await expect(second.propose("b")).rejects.toMatchObject({ code: "RAFT_SESSION_EXPIRED" });
  await world.stop();
});

test("a close waits for what is under way no longer than its own time, or until its caller gives up", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => ({ sessions: {} }));
  const [first, second] = [await opened(world, world.member(2)), await opened(world, world.member(2))];
  world.network.partition([one.id], [nodeId(2)], [nodeId(3)]);
  const stuck = [first, second].map((session) =>
    session.propose("stuck", { timeoutMs: 200 * T }).catch((error: { code: string }) => error.code),
  );
  const sinceMs = world.clock.monotonicMs();
  await expect(world.run(first.close({ timeoutMs: 5 * T }))).rejects.toMatchObject({ code: "RAFT_NO_QUORUM" });
  const reason = new Error("enough");
  const controller = new AbortController();
  const closing = second.close({ signal: controller.signal }).catch((error: unknown) => error);
  controller.abort(reason);
  expect(await world.run(closing)).toBe(reason);
  expect(world.clock.monotonicMs() - sinceMs).toBeLessThan(10 * T);
  world.network.heal();
  await world.run(Promise.all(stuck));
  await world.stop();
});

test("more commands than the window holds wait for their turn, and those that wait too long were never sent", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => ({ sessions: { maxInFlight: 3 } }));
  const session = await opened(world, world.member(2));
  const texts = Array.from({ length: 20 }, (_, at) => `command ${at}`);
  const told = await world.run(Promise.all(texts.map((text) => session.propose(text))));
  expect(told.map(({ result }) => result.split(":")[1])).toEqual(texts);
  world.network.partition([one.id], [nodeId(2)], [nodeId(3)]);
  const stuck = texts.map((text) =>
    session.propose(`late ${text}`, { timeoutMs: 10 * T }).catch((error: { code: string }) => error.code),
  );
  const codes = (await world.run(Promise.all(stuck))) as string[];
  expect(codes.slice(3).every((code) => code === "RAFT_BACKPRESSURE")).toBe(true);
  world.network.heal();
  await world.run(session.propose("after", { timeoutMs: 100 * T }));
  const { commands } = one.machine;
  expect(commands.filter((text) => texts.slice(3).some((each) => text === `late ${each}`))).toEqual([]);
  await world.stop();
});

test("a session whose time is over says that the outcome is unknown only where something may have been appended", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, one);
  world.network.partition([one.id], [nodeId(2), nodeId(3)]);
  await expect(world.run(session.propose("maybe", { timeoutMs: 3 * T }))).rejects.toMatchObject({
    code: "RAFT_OUTCOME_UNKNOWN",
  });
  await world.until(() => one.consensus.status().role !== "leader");
  await expect(world.run(session.propose("never", { timeoutMs: 10 * T }))).rejects.toMatchObject({
    code: "RAFT_NO_QUORUM",
  });
  await expect(session.propose("never", { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  await world.stop();
});

test("a result that is too large to keep is told once, and its repeat is told that it took effect", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => ({ sessions: { maxResultBytes: 4 } }));
  const session = await opened(world, world.member(2));
  const bytes = commandBytes({ session: session.id, sequence: 1, acknowledged: 0 }, "a long command");
  await forwardTo(world, world.member(3), one, bytes);
  await expect(world.run(session.propose("a long command"))).rejects.toMatchObject({ code: "RAFT_RESULT_NOT_KEPT" });
  expect(one.machine.commands).toEqual(["a long command"]);
  await world.stop();
});

test("a replica that stops ends its clients' calls", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, one);
  await world.run(one.consensus.shutdown());
  await expect(session.propose("a")).rejects.toMatchObject({ code: "RAFT_STOPPED" });
  await session[Symbol.asyncDispose]();
  await world.stop();
});

test("a client that leaves its scope closes its session", async () => {
  const world = new World();
  const one = await world.form([1], () => withSessions);
  const session = await opened(world, one);
  await world.run(session.propose("a"));
  await world.run(Promise.resolve(session[Symbol.asyncDispose]()));
  expect(session.expired).toBe(true);
  await world.stop();
});

test("a group of a host that runs many may have sessions", async () => {
  const clock = virtualClock();
  const transport = memoryNetwork({ clock }).transport(nodeId(1), { clock });
  await clock.run(transport.start());
  const disk = memoryDisk({ random: seededRandom("disk") });
  const host = raftHost({ id: nodeId(1), transport, clock, random: seededRandom(1), disk });
  const machine = new ListMachine();
  const group = host.group<string, string>({
    groupId: Uint8Array.of(7),
    codec: textCodec,
    sessions: {},
    bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as never }),
  });
  await clock.run(group.start(machine));
  const session = await clock.run(group.openSession());
  const told = await clock.run(session.propose("a"));
  expect([told.result, machine.commands]).toEqual(["1:a", ["a"]]);
  await clock.run(group.shutdown());
  expect(host.groups()).toEqual([]);
  await clock.run(host.shutdown());
  await clock.run(transport.shutdown());
});
