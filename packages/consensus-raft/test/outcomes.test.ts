import { expect, test } from "vitest";
import { isFabricError, silentMetrics, type Consensus, type NodeId, type Transport } from "@revoada/fabric";
import { memoryDisk, seededRandom, virtualClock } from "@revoada/fabric/memory";
import { forwardProtocol, raft, type RaftNotLeaderError } from "@revoada/consensus-raft";
import { resolveOptions } from "../src/driver/options.ts";
import { Proposals } from "../src/driver/proposals.ts";
import { encodeOutcomes, type ForwardedOutcome } from "../src/wire/forward.ts";
import { ListMachine, nodeId, T, textCodec, World, type Member, type MemberOptions } from "./support/replicas.ts";

const noGroup = new Uint8Array(0);

/** What a proposal came to: "committed", a code, or what its caller gave as the reason. */
function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "committed",
    (error: unknown) => (isFabricError(error) ? error.code : (error as Error).message),
  );
}

/** A caller that waits: its outcome is looked at later. */
function waiting(
  log: Consensus<string, string>,
  command = "x",
  options?: Parameters<typeof log.propose>[1],
): Promise<string> {
  return outcomeOf(log.propose(command, options));
}

/** Somebody who is taken for the leader and answers as he likes. */
async function impostor(world: World, answer: (payload: Uint8Array) => Promise<Uint8Array>): Promise<NodeId> {
  const id = nodeId(9);
  const transport: Transport = world.network.transport(id, { clock: world.clock.host("impostor") });
  await world.run(transport.start());
  transport.handle(forwardProtocol, { onRequest: answer });
  return id;
}

/** A replica of no group that forwards to `leader`. */
async function asker(world: World, leader: NodeId, options: MemberOptions = {}): Promise<Member> {
  return world.start(1, { hintLeader: () => leader, ...options });
}

async function toldBy(outcomes: readonly ForwardedOutcome[]): Promise<string> {
  const world = new World();
  const leader = await impostor(world, () => Promise.resolve(encodeOutcomes(noGroup, outcomes)));
  const one = await asker(world, leader);
  return finish(world, await world.run(waiting(one.consensus)));
}

/** Ends the world, having looked that a refused command is nowhere. */
async function finish(world: World, outcome: string): Promise<string> {
  world.network.heal();
  await world.clock.advanceAsync(20 * T);
  const times = [...world.members.values()].map(
    ({ machine }) => machine.commands.filter((text) => text === "x").length,
  );
  const most = Math.max(0, ...times);
  expect(most).toBeLessThanOrEqual(1);
  if (outcome !== "committed" && outcome !== "RAFT_OUTCOME_UNKNOWN") expect(most).toBe(0);
  await world.stop();
  return outcome;
}

async function alone(world: World): Promise<Member> {
  const one = await world.form([1, 2, 3]);
  world.network.partition([one.id], [nodeId(2), nodeId(3)]);
  return one;
}

async function leaderless(world: World, options: MemberOptions = {}): Promise<Member> {
  const one = await world.form([1, 2, 3], () => options);
  world.network.partition([one.id], [nodeId(2)], [nodeId(3)]);
  await world.until(() => one.consensus.status().role !== "leader");
  return one;
}

const refusal = (code: string): ForwardedOutcome => ({ ok: false, code, message: "told so", retryable: true });

const ways: Readonly<Record<string, Readonly<Record<string, () => Promise<string>>>>> = {
  committed: {
    "on the leader": async () => {
      const world = new World();
      const one = await world.form([1]);
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "through the successor, where the leader has left": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3]);
      await world.run(one.consensus.transferLeadership(nodeId(2)));
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "although the leader that had appended it stepped down, because it commits soon": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3]);
      const outcome = waiting(one.consensus);
      await world.clock.advanceAsync(0);
      await world.run(one.consensus.transferLeadership(nodeId(2)));
      return finish(world, await world.run(outcome));
    },
  },
  RAFT_NOT_LEADER: {
    "where forwarding is off and another leads": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3], () => ({ forward: false }));
      const error = await world.run(
        world
          .member(2)
          .consensus.propose("x")
          .catch((each: unknown) => each),
      );
      expect((error as RaftNotLeaderError).leader).toBe(one.id);
      return finish(world, (error as RaftNotLeaderError).code);
    },
    "where forwarding is off and the next leader is another": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3], () => ({ forward: false }));
      world.network.partition([one.id], [nodeId(2), nodeId(3)]);
      await world.until(() => one.consensus.status().role !== "leader");
      await world.newLeader(one);
      const outcome = waiting(one.consensus);
      await world.clock.advanceAsync(T / 5);
      world.network.heal();
      return finish(world, await world.run(outcome));
    },
  },
  RAFT_NO_QUORUM: {
    "after four election timeouts without a leader": async () => {
      const world = new World();
      const one = await leaderless(world);
      const startMs = world.clock.monotonicMs();
      const outcome = await world.run(waiting(one.consensus, "x", { timeoutMs: 60_000 }));
      const tookMs = world.clock.monotonicMs() - startMs;
      expect(tookMs).toBeGreaterThanOrEqual(4 * T);
      expect(tookMs).toBeLessThan(5 * T);
      return finish(world, outcome);
    },
    "after the caller's own time without a leader": async () => {
      const world = new World();
      const one = await leaderless(world);
      return finish(world, await world.run(waiting(one.consensus, "x", { timeoutMs: T })));
    },
    "without a leader and without forwarding": async () => {
      const world = new World();
      const one = await leaderless(world, { forward: false });
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the one who is taken for the leader never leads": async () => {
      const world = new World();
      const leader = await impostor(world, () =>
        Promise.resolve(encodeOutcomes(noGroup, [refusal("RAFT_NOT_LEADER")])),
      );
      const one = await asker(world, leader);
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the one who is taken for the leader cannot be reached": async () => {
      const world = new World();
      const one = await asker(world, nodeId(7));
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the leader says so": () => toldBy([refusal("RAFT_NO_QUORUM")]),
  },
  RAFT_BACKPRESSURE: {
    "with too many that wait": async () => {
      const world = new World();
      const one = await leaderless(world, { limits: { maxWaitingProposals: 2 } });
      const others = [waiting(one.consensus, "a"), waiting(one.consensus, "b")];
      const outcome = await waiting(one.consensus);
      expect(await world.run(Promise.all(others))).toEqual(["RAFT_NO_QUORUM", "RAFT_NO_QUORUM"]);
      return finish(world, outcome);
    },
    "with too many bytes that wait": async () => {
      const world = new World();
      const one = await leaderless(world, { limits: { maxWaitingBytes: 10 } });
      void waiting(one.consensus, "1234567890");
      return finish(world, await waiting(one.consensus));
    },
    "with too many under way": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3], () => ({ limits: { maxPendingProposals: 2 } }));
      world.network.partition([one.id], [nodeId(2), nodeId(3)]);
      void waiting(one.consensus, "a");
      await world.clock.advanceAsync(1);
      void waiting(one.consensus, "b");
      return finish(world, await waiting(one.consensus));
    },
    "with too many bytes that have not committed": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3], () => ({ limits: { maxUncommittedBytes: 100 } }));
      world.network.partition([one.id], [nodeId(2), nodeId(3)]);
      void waiting(one.consensus, "a".repeat(60));
      await world.clock.advanceAsync(1);
      return finish(world, await world.run(waiting(one.consensus, "x".padEnd(60, "."))));
    },
    "with too many requests to a leader that does not answer": async () => {
      const world = new World();
      const leader = await impostor(world, () => new Promise(() => {}));
      const one = await asker(world, leader, { limits: { maxForwardsInFlight: 1 } });
      void waiting(one.consensus, "a");
      await world.clock.advanceAsync(1);
      return finish(world, await world.run(waiting(one.consensus, "x", { timeoutMs: 8 * T })));
    },
    "where the leader says so": () => toldBy([refusal("RAFT_BACKPRESSURE")]),
  },
  RAFT_TOO_LARGE: {
    "above the limit of this replica": async () => {
      const world = new World();
      const one = await world.form([1], () => ({ limits: { maxCommandBytes: 3 } }));
      return finish(world, await waiting(one.consensus, "xxxx"));
    },
    "above the limit of the leader": async () => {
      const world = new World();
      await world.form([1, 2, 3], (n) => (n === 1 ? { limits: { maxCommandBytes: 3 } } : {}));
      return finish(world, await world.run(waiting(world.member(2).consensus, "xxxx")));
    },
  },
  RAFT_BAD_COMMAND: {
    "where the codec throws": async () => {
      const world = new World();
      const encodeCommand = (): Uint8Array => {
        throw new Error("cannot be encoded");
      };
      const one = await world.form([1], () => ({ codec: { ...textCodec, encodeCommand } }));
      return finish(world, await waiting(one.consensus));
    },
    "where the codec gives no bytes": async () => {
      const world = new World();
      const one = await world.form([1], () => ({ codec: { ...textCodec, encodeCommand: () => "x" as never } }));
      return finish(world, await waiting(one.consensus));
    },
    "where the leader cannot read it": async () => {
      const world = new World();
      const decodeCommand = (bytes: Uint8Array): string => {
        if (textCodec.decodeCommand(bytes) === "x") throw new Error("no such command");
        return textCodec.decodeCommand(bytes);
      };
      await world.form([1, 2, 3], (n) => (n === 1 ? { codec: { ...textCodec, decodeCommand } } : {}));
      return finish(world, await world.run(waiting(world.member(2).consensus)));
    },
  },
  RAFT_STOPPED: {
    "before the start": async () => {
      const world = new World();
      const transport = world.network.transport(nodeId(1), { clock: world.clock.host("one") });
      const base = { id: nodeId(1), transport, clock: world.clock, random: seededRandom(1), codec: textCodec };
      const log = raft<string, string>({ ...base, disk: memoryDisk({ random: seededRandom(2) }) });
      const outcome = await waiting(log);
      const started = outcomeOf(log.start(new ListMachine()));
      const starting = await waiting(log);
      const shutdown = log.shutdown();
      expect(await world.run(Promise.all([started, shutdown.then(() => "ended"), waiting(log)]))).toEqual([
        "RAFT_STOPPED",
        "ended",
        "RAFT_STOPPED",
      ]);
      expect(starting).toBe("RAFT_STOPPED");
      await world.stop();
      return outcome;
    },
    "after the shutdown": async () => {
      const world = new World();
      const one = await world.form([1]);
      await world.run(one.consensus.shutdown());
      return finish(world, await waiting(one.consensus));
    },
    "at a shutdown, while it waits for a leader": async () => {
      const world = new World();
      const one = await leaderless(world);
      const outcome = waiting(one.consensus);
      await world.clock.advanceAsync(T / 5);
      await world.run(one.consensus.shutdown());
      return finish(world, await outcome);
    },
    "after the machine threw": async () => {
      const world = new World();
      const machine = new ListMachine();
      const one = await world.form([1], () => ({ machine }));
      machine.apply = () => {
        throw new Error("broken");
      };
      expect(await world.run(waiting(one.consensus, "a"))).toBe("RAFT_OUTCOME_UNKNOWN");
      return finish(world, await waiting(one.consensus));
    },
  },
  RAFT_OUTCOME_UNKNOWN: {
    "where the leader that had appended it is cut off": async () => {
      const world = new World();
      const one = await alone(world);
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where it does not commit in the caller's time": async () => {
      const world = new World();
      const one = await alone(world);
      return finish(world, await world.run(waiting(one.consensus, "x", { timeoutMs: 10 })));
    },
    "where its caller stops waiting after it was appended": async () => {
      const world = new World();
      const one = await alone(world);
      const controller = new AbortController();
      const outcome = waiting(one.consensus, "x", { signal: controller.signal });
      await world.clock.advanceAsync(1);
      controller.abort(new Error("enough"));
      return finish(world, await outcome);
    },
    "where its caller stops waiting after it was forwarded": async () => {
      const world = new World();
      const leader = await impostor(world, () => new Promise(() => {}));
      const one = await asker(world, leader);
      const controller = new AbortController();
      const outcome = waiting(one.consensus, "x", { signal: controller.signal });
      await world.clock.advanceAsync(5);
      controller.abort(new Error("enough"));
      return finish(world, await outcome);
    },
    "where it was forwarded and the leader is killed": async () => {
      const world = new World();
      const one = await world.form([1, 2, 3]);
      one.host.stall(60_000);
      const outcome = waiting(world.member(2).consensus);
      await world.clock.advanceAsync(T / 5);
      world.kill(1);
      return finish(world, await world.run(outcome));
    },
    "where it was forwarded, shares its request with a more patient one, and its own time is over": async () => {
      const world = new World();
      const leader = await impostor(world, () => new Promise(() => {}));
      const one = await asker(world, leader);
      void waiting(one.consensus, "patient", { timeoutMs: 60_000 });
      const startMs = world.clock.monotonicMs();
      const outcome = await world.run(waiting(one.consensus, "x", { timeoutMs: 2 * T }));
      expect(world.clock.monotonicMs() - startMs).toBeLessThan(4 * T);
      return finish(world, outcome);
    },
    "where the answer is noise": async () => {
      const world = new World();
      const leader = await impostor(world, () => Promise.resolve(Uint8Array.of(1, 2, 3)));
      const one = await asker(world, leader);
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the answer is about more commands": () => toldBy([refusal("RAFT_NO_QUORUM"), refusal("RAFT_NO_QUORUM")]),
    "where the answer is about none": () => toldBy([]),
    "where the answer is a code that says nothing": () => toldBy([refusal("SOMETHING_ELSE")]),
    "where the leader says so": () => toldBy([refusal("RAFT_OUTCOME_UNKNOWN")]),
    "where the leader could not encode the result": async () => {
      const world = new World();
      const encodeResult = (): Uint8Array => {
        throw new Error("cannot be encoded");
      };
      const one = await world.form([1, 2, 3], () => ({ codec: { ...textCodec, encodeResult } }));
      const outcome = await world.run(waiting(world.member(2).consensus));
      expect(one.machine.commands).toEqual(["x"]);
      expect(one.consensus.status().role).toBe("leader");
      return finish(world, outcome);
    },
    "where the result cannot be decoded": async () => {
      const world = new World();
      const decodeResult = (): string => {
        throw new Error("cannot be decoded");
      };
      await world.form([1, 2, 3], () => ({ codec: { ...textCodec, decodeResult } }));
      return finish(world, await world.run(waiting(world.member(2).consensus)));
    },
    "where the machine throws at it": async () => {
      const world = new World();
      const machine = new ListMachine();
      const one = await world.form([1], () => ({ machine }));
      machine.apply = () => {
        throw new Error("broken");
      };
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the machine does not give one result for each entry": async () => {
      const world = new World();
      const machine = new ListMachine();
      const one = await world.form([1], () => ({ machine }));
      machine.apply = () => [];
      return finish(world, await world.run(waiting(one.consensus)));
    },
    "where the log fails": async () => {
      const world = new World();
      let broken = false;
      const disk = memoryDisk({
        random: seededRandom("failing"),
        onOperation: ({ kind }) => {
          if (broken && kind === "datasync") throw new Error("EIO: the disk has failed");
        },
      });
      const one = await world.form([1], () => ({ disk }));
      broken = true;
      const outcome = await world.run(waiting(one.consensus));
      broken = false;
      return finish(world, outcome);
    },
    "at a shutdown, after it was appended": async () => {
      const world = new World();
      const one = await alone(world);
      const outcome = waiting(one.consensus);
      await world.clock.advanceAsync(1);
      await world.run(one.consensus.shutdown());
      return finish(world, await outcome);
    },
    "at a shutdown, after it was forwarded": async () => {
      const world = new World();
      const leader = await impostor(world, () => new Promise(() => {}));
      const one = await asker(world, leader);
      const outcome = waiting(one.consensus);
      await world.clock.advanceAsync(5);
      await world.run(one.consensus.shutdown());
      return finish(world, await outcome);
    },
  },
  enough: {
    "where its caller stops waiting while it waits for a leader": async () => {
      const world = new World();
      const one = await leaderless(world);
      const controller = new AbortController();
      const outcome = waiting(one.consensus, "x", { signal: controller.signal });
      await world.clock.advanceAsync(T);
      controller.abort(new Error("enough"));
      return finish(world, await outcome);
    },
    "where its caller had stopped waiting before": async () => {
      const world = new World();
      const one = await world.form([1]);
      return finish(world, await waiting(one.consensus, "x", { signal: AbortSignal.abort(new Error("enough")) }));
    },
  },
  FABRIC_INVALID_VALUE: Object.fromEntries(
    [0, -1, Number.NaN, Infinity, "soon" as never].map((timeoutMs) => [
      `where it may take ${String(timeoutMs)} ms`,
      async () => {
        const world = new World();
        const one = await world.form([1]);
        expect(await outcomeOf(one.consensus.readBarrier({ timeoutMs }))).toBe("FABRIC_INVALID_VALUE");
        expect(await outcomeOf(one.consensus.transferLeadership(nodeId(2), { timeoutMs }))).toBe(
          "FABRIC_INVALID_VALUE",
        );
        return finish(world, await waiting(one.consensus, "x", { timeoutMs }));
      },
    ]),
  ),
};

for (const [outcome, cases] of Object.entries(ways)) {
  for (const [when, run] of Object.entries(cases)) {
    test(`a proposal comes to ${outcome} ${when}`, async () => {
      expect(await run()).toBe(outcome);
    });
  }
}

test("twenty thousand callers of one signal that give up at once cost no look through all the others", async () => {
  const world = new World();
  const one = await leaderless(world, { limits: { maxWaitingProposals: 20_000 } });
  const controller = new AbortController();
  const outcomes = Array.from({ length: 20_000 }, () => waiting(one.consensus, "x", { signal: controller.signal }));
  const patient = waiting(one.consensus, "patient");
  expect(await patient).toBe("RAFT_BACKPRESSURE");
  controller.abort(new Error("enough"));
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["enough"]));
  // Their places are free again.
  expect(await world.run(waiting(one.consensus, "next"))).toBe("RAFT_NO_QUORUM");
  await world.stop();
});

test("what was appended and then overtaken, by another's entries or by a snapshot, is of unknown outcome at once", async () => {
  const clock = virtualClock();
  const offers: number[] = [];
  const proposals = new Proposals<string>({
    clock,
    limits: resolveOptions({ clock, codec: textCodec, disk: memoryDisk() } as never).limits,
    metrics: silentMetrics,
    electionTimeoutMs: T,
    dispatch: (event) => void (event.type === "propose" && offers.push(event.id)),
    watch() {},
    isLeader: () => true,
    leader: () => undefined,
    notLeader: () => new Error("never asked"),
    forward: () => new Promise(() => {}),
    decodeResult: (bytes) => textCodec.decodeResult(bytes),
  });
  const propose = (): Promise<string> =>
    outcomeOf(new Promise((resolve, reject) => proposals.submit(textCodec.encodeCommand("x"), {}, resolve, reject)));
  const first = propose();
  proposals.flush();
  proposals.onProposed({ type: "proposed", id: offers[0]!, firstIndex: 5, term: 1, count: 1 });
  // It led again without having noticed that its entry at 5 went: only its new entry there may tell anything from now on.
  const second = propose();
  proposals.flush();
  proposals.onProposed({ type: "proposed", id: offers[1]!, firstIndex: 5, term: 3, count: 1 });
  expect([await first, proposals.pending]).toEqual(["RAFT_OUTCOME_UNKNOWN", 1]);
  proposals.onInstalled(5);
  expect([await second, proposals.pending, proposals.needsSweep]).toEqual(["RAFT_OUTCOME_UNKNOWN", 0, false]);
});
