import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Metrics } from "@revoada/fabric";
import { nodeId, T, World, type MemberOptions } from "./support/replicas.ts";

/** The last value of each gauge, the sum of each counter, how often each histogram was told something. */
class Seen implements Metrics {
  readonly values = new Map<string, number>();

  #add(name: string, value: number): void {
    this.values.set(name, (this.values.get(name) ?? 0) + value);
  }
  count(name: string, value = 1): void {
    this.#add(name, value);
  }
  observe(name: string): void {
    this.#add(name, 1);
  }
  gauge(name: string, value: number): void {
    this.values.set(name, value);
  }
  of(name: string): number | undefined {
    return this.values.get(`revoada_raft_${name}`);
  }
}

function watched(): { readonly seen: readonly Seen[]; readonly options: (n: number) => MemberOptions } {
  const seen = [0, 1, 2, 3].map(() => new Seen());
  return { seen, options: (n) => ({ metrics: seen[n]! }) };
}

test("gauges follow what they show, on the leader and on a follower that is never due for a tick", async () => {
  const world = new World();
  const { seen, options } = watched();
  const one = await world.form([1, 2, 3], options);
  for (let at = 0; at < 5; at += 1) await world.run(one.consensus.propose(`command ${at}`));
  await world.clock.advanceAsync(T);
  for (const n of [1, 2, 3]) {
    const status = world.member(n).consensus.status();
    const told = seen[n]!;
    expect([n, told.of("term"), told.of("leader")]).toEqual([n, status.term, n === 1 ? 1 : 0]);
    expect([told.of("commit_index"), told.of("applied_index")]).toEqual([status.commitIndex, status.appliedIndex]);
    expect([told.of("commit_lag_entries"), told.of("apply_lag_entries"), told.of("durable_lag_entries")]).toEqual([
      0, 0, 0,
    ]);
    expect([told.of("log_corrupt"), told.of("log_failed"), told.of("proposals_pending")]).toEqual([0, 0, 0]);
    expect(told.of("leader_changes_total")).toBe(1);
  }
  expect([seen[1]!.of("elections_total"), seen[2]!.of("elections_total")]).toEqual([1, undefined]);
  expect(seen[1]!.of("persist_bytes")).toBe(seen[1]!.of("persist_entries"));
  await world.stop();
});

test("what waits and what is not committed shows while it is so, and no longer", async () => {
  const world = new World();
  const { seen, options } = watched();
  const one = await world.form([1, 2, 3], options);
  world.network.partition([one.id], [nodeId(2)], [nodeId(3)]);
  const appended = one.consensus.propose("a").catch(() => undefined);
  await world.clock.advanceAsync(1);
  const told = seen[1]!;
  expect([told.of("proposals_pending"), told.of("proposals_waiting"), told.of("commit_lag_entries")]).toEqual([
    1, 0, 1,
  ]);
  expect(told.of("uncommitted_bytes")).toBeGreaterThan(0);
  await world.until(() => one.consensus.status().role !== "leader");
  const waits = one.consensus.propose("b").catch(() => undefined);
  await world.clock.advanceAsync(T);
  expect([told.of("leader"), told.of("proposals_waiting"), told.of("uncommitted_bytes")]).toEqual([0, 1, 0]);
  await world.run(Promise.all([appended, waits]));
  await world.clock.advanceAsync(T);
  expect([told.of("proposals_pending"), told.of("proposals_waiting")]).toEqual([0, 0]);
  expect(told.of("proposals_refused_total")).toBe(2);
  await world.stop();
});

test("every metric that the package tells is described, and every one that is described is told", () => {
  const folder = new URL("../src/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const namesIn = (text: string): string[] =>
    [...text.matchAll(/\brevoada_raft_[a-z0-9_]*[a-z0-9]\b/g)].map(([name]) => name);
  const told = new Set(files.flatMap((name) => namesIn(readFileSync(new URL(name, folder), "utf8"))));
  const described = new Set(namesIn(readFileSync(new URL("../docs/metrics.md", import.meta.url), "utf8")));
  expect([...told].filter((name) => !described.has(name))).toEqual([]);
  expect([...described].filter((name) => !told.has(name))).toEqual([]);
});
