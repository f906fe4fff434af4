import type { FormationState } from "@revoada/cluster";
import type { ConsensusStatus, Logger, Metrics, Transport } from "@revoada/fabric";
import { memoryNetwork, virtualClock, type VirtualClock, type VirtualHost } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { ClockCheck } from "../src/loop/clock-check.ts";
import { formed, TestNode, type ClusterKit } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";

const names = ["a", "b", "c", "d", "e"] as const;

/** Voters over one time line, each with a wall clock of its own; who leads is said by the test. */
class Voters {
  readonly clock: VirtualClock = virtualClock();
  readonly network = memoryNetwork({ clock: this.clock, latencyMs: 1 });
  readonly hosts = new Map<string, VirtualHost>();
  readonly transports = new Map<string, Transport>();
  readonly checks = new Map<string, ClockCheck>();
  readonly lines: string[] = [];
  readonly gauges = new Map<string, number>();
  readonly #listeners: ((status: ConsensusStatus) => void)[] = [];
  readonly voters: readonly string[];
  #leader: string | undefined;
  #term = 1;

  constructor(voters: readonly string[]) {
    this.voters = voters;
  }

  static async of(count: number): Promise<Voters> {
    const voters = new Voters(names.slice(0, count));
    for (const name of voters.voters) await voters.#add(name);
    return voters;
  }

  async #add(name: string): Promise<void> {
    const host = this.clock.host(name);
    this.hosts.set(name, host);
    const transport = this.network.transport(nodeId(name));
    this.transports.set(name, transport);
    await this.clock.run(transport.start());
    const say = (level: string) => (_message: string, fields?: Readonly<Record<string, unknown>>) =>
      void this.lines.push(`${name} ${level} ${String(fields?.["aheadMs"])}`);
    const logger: Logger = { ...quiet, warn: say("warn"), info: say("info") };
    const metrics: Metrics = {
      count() {},
      observe() {},
      gauge: (key, value) => void this.gauges.set(`${name} ${key}`, value),
    };
    const consensus = {
      status: () => this.#statusOf(name),
      onChange: (listener: (status: ConsensusStatus) => void) => {
        this.#listeners.push(listener);
        return () => undefined;
      },
    };
    this.checks.set(name, new ClockCheck({ transport, consensus, clock: host, logger, metrics }));
  }

  #statusOf(name: string): ConsensusStatus {
    const voters = this.voters.map((voter) => ({ id: nodeId(voter) }));
    const role = this.#leader === name ? "leader" : "follower";
    return { id: nodeId(name), role, term: this.#term, configuration: { voters } } as unknown as ConsensusStatus;
  }

  /** Has a node lead in a new term, or nobody. */
  async elect(name: string | undefined): Promise<ClockCheck> {
    this.#term += 1;
    this.#leader = name;
    for (const listener of this.#listeners) listener(this.#statusOf(name ?? "a"));
    await this.clock.advanceAsync(10);
    return this.check(name ?? "a");
  }

  check(name: string): ClockCheck {
    const check = this.checks.get(name);
    if (check === undefined) throw new Error(`there is no ${name}`);
    return check;
  }

  jump(name: string, deltaMs: number): void {
    this.hosts.get(name)?.jumpWall(deltaMs);
  }

  wallMs(): number {
    return Math.floor(this.clock.wallMs());
  }
}

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
const hourMs = 3_600_000;

test("a leader whose clock is more than five seconds from the voters' median says so once, and again when it is back", async () => {
  const voters = await Voters.of(3);
  const check = await voters.elect("a");
  expect(check.verdict()).toEqual({ aheadMs: 0, trusted: true });
  for (const [jumpMs, aheadMs, trusted] of [
    [5_000, 5_000, true],
    [500, 5_500, false],
    [hourMs, hourMs + 5_500, false],
    [-hourMs - 5_500, 0, true],
    [-6_000, -6_000, false],
  ] as const) {
    voters.jump("a", jumpMs);
    await voters.clock.advanceAsync(6_000);
    expect(check.verdict()).toMatchObject({ trusted });
    expect(Math.abs((check.verdict()?.aheadMs ?? 0) - aheadMs)).toBeLessThanOrEqual(2);
    expect(voters.gauges.get("a revoada_cluster_clock_trusted")).toBe(trusted ? 1 : 0);
    await voters.clock.advanceAsync(20_000);
  }
  expect(voters.lines.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(["a warn", "a info", "a warn"]);
});

test("one wrong clock among the voters does not speak against the leader's, two of three do", async () => {
  const voters = await Voters.of(3);
  voters.jump("b", hourMs);
  const check = await voters.elect("a");
  expect(check.verdict()).toMatchObject({ trusted: true });
  voters.jump("c", hourMs);
  await voters.clock.advanceAsync(6_000);
  expect(check.verdict()).toMatchObject({ trusted: false });
});

test("the time of a leader runs on while its wall clock is set, and is the wall clock's again once the voters agree", async () => {
  const voters = await Voters.of(3);
  const check = await voters.elect("a");
  const startMs = check.nowMs(0);
  expect(Math.abs(startMs - voters.wallMs())).toBeLessThanOrEqual(1);
  for (const deltaMs of [hourMs, -2 * hourMs]) {
    voters.jump("a", deltaMs);
    await voters.clock.advanceAsync(10_000);
    expect(Math.abs(check.nowMs(0) - voters.wallMs())).toBeLessThanOrEqual(1);
  }
  voters.jump("a", hourMs + 4_000);
  await voters.clock.advanceAsync(6_000);
  expect(check.nowMs(0)).toBe(voters.wallMs() + 4_000);
});

test("a new leader that is ahead begins with the committed time, which a leader before may have put ahead too", async () => {
  const voters = await Voters.of(3);
  const committedMs = voters.wallMs() - 20_000;
  voters.jump("b", hourMs);
  const check = await voters.elect("b");
  expect(check.verdict()).toMatchObject({ trusted: false });
  expect(check.nowMs(committedMs)).toBe(committedMs);
  await voters.clock.advanceAsync(7_000);
  expect(check.nowMs(committedMs)).toBe(committedMs + 7_000);
  expect(check.nowMs(committedMs + 9_000)).toBe(committedMs + 9_000);
  const next = await voters.elect("c");
  const aheadMs = voters.wallMs() + hourMs;
  expect(next.nowMs(aheadMs)).toBe(aheadMs);
  await voters.clock.advanceAsync(30_000);
  expect(next.nowMs(aheadMs)).toBe(aheadMs + 30_000);
  expect(check.verdict()).toBe(undefined);
});

test("what was found stands while too few voters answer, and slow answers count as near as they may be", async () => {
  const voters = await Voters.of(5);
  const check = await voters.elect("a");
  voters.network.partition(
    ["a", "e"].map((name) => nodeId(name)),
    ["b", "c", "d"].map((name) => nodeId(name)),
  );
  voters.jump("a", hourMs);
  await voters.clock.advanceAsync(20_000);
  expect(check.verdict()).toEqual({ aheadMs: 0, trusted: true });
  expect(Math.abs(check.nowMs(0) - voters.wallMs())).toBeLessThanOrEqual(1);
  voters.network.heal();
  await voters.clock.advanceAsync(20_000);
  expect(check.verdict()).toMatchObject({ trusted: false });
});

test("whoever votes alone decides by its own clock from the first moment on", async () => {
  const voters = await Voters.of(1);
  voters.jump("a", hourMs);
  const check = await voters.elect("a");
  expect(check.nowMs(0)).toBe(voters.wallMs() + hourMs);
  expect(check.verdict()).toEqual({ aheadMs: 0, trusted: true });
});

test("an answer that is none is not counted", async () => {
  const voters = await Voters.of(3);
  for (const name of ["b", "c"]) voters.check(name).stop();
  for (const name of ["b", "c"])
    voters.transports
      .get(name)
      ?.handle({ name: "/revoada/clock/1", channel: "consensus" }, { onRequest: async () => Uint8Array.of(1) });
  const check = await voters.elect("a");
  expect(check.verdict()).toBe(undefined);
});

test("a leader whose clock was set an hour ahead lets in with tokens that are good, and says so in its health", async () => {
  const { kit, nodes } = await formed("b", "c");
  const token = await kit.token({ ttlMs: 600_000 });
  const { timeMs } = stateOf(kit);
  kit.founder.host.jumpWall(hourMs);
  await kit.clock.advanceAsync(15_000);
  expect(kit.founder.cluster.health().clock).toMatchObject({ trusted: false });
  expect(nodes[1]?.cluster.health().clock).toBe(undefined);
  const newcomer = new TestNode(kit, "d");
  newcomer.joined = await kit.run(newcomer.ask(token));
  const after = stateOf(kit);
  expect(after.formation.nodes.has(nodeId("d"))).toBe(true);
  expect(after.timeMs).toBeGreaterThan(timeMs);
  expect(after.timeMs).toBeLessThanOrEqual(kit.clock.wallMs() + 1);
  kit.founder.host.jumpWall(-hourMs);
  await kit.clock.advanceAsync(15_000);
  expect(kit.founder.cluster.health().clock).toMatchObject({ trusted: true });
  await kit.clock.advanceAsync(600_000);
  await expect(kit.run(new TestNode(kit, "e").ask(token))).rejects.toThrow();
});

function stateOf(kit: ClusterKit): FormationState {
  const { state } = kit.founder.cluster.running().machine.formation;
  if (state === undefined) throw new Error("there is no genesis");
  return state;
}
