import type { MachinePosition, MachineSnapshot, Metrics } from "@revoada/fabric";
import { ListMachine, type Member, type MemberOptions, type World } from "./replicas.ts";

/** Remembers what was counted, by name and labels, and the highest value of each gauge. */
export class Counts implements Metrics {
  readonly #values = new Map<string, number>();

  count(name: string, value = 1, labels: Readonly<Record<string, string>> = {}): void {
    this.#values.set(keyOf(name, labels), this.of(name, labels) + value);
  }

  gauge(name: string, value: number, labels: Readonly<Record<string, string>> = {}): void {
    this.#values.set(keyOf(name, labels), value);
    const highest = keyOf(`${name} at most`, labels);
    this.#values.set(highest, Math.max(this.#values.get(highest) ?? 0, value));
  }

  observe(): void {}

  of(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.#values.get(keyOf(name, labels)) ?? 0;
  }

  /** Snapshots of a kind. */
  snapshots(kind: string): number {
    return this.of("revoada_raft_snapshots_total", { kind });
  }

  /** Bytes of snapshots that were sent and acknowledged, or taken. */
  bytes(direction: "in" | "out"): number {
    return this.of("revoada_raft_snapshot_bytes_total", { direction });
  }

  /** The most transfers that there were at once. */
  transfers(direction: "in" | "out"): number {
    return this.of("revoada_raft_snapshot_transfers at most", { direction });
  }
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name} ${JSON.stringify(labels)}`;
}

/** A list whose snapshots are counted, and whose restoring can be made to take its time or to fail. */
export class WatchedMachine extends ListMachine {
  snapshots = 0;
  snapshotBytes = 0;
  /** Called before the first chunk is read. */
  beforeRestore: () => Promise<void> = () => Promise.resolve();

  override async snapshot(): Promise<MachineSnapshot> {
    this.snapshots += 1;
    this.snapshotBytes = JSON.stringify(this.commands).length;
    return super.snapshot();
  }

  override async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.beforeRestore();
    await super.restore(position, chunks);
  }
}

/** What each node of these tests is made with: a log that is cut soon, and chunks that are small. */
export const small = {
  snapshotIntervalEntries: 20,
  limits: { trailingEntries: 5, snapshotChunkBytes: 100 },
} as const;

/** Voters whose log has been cut: whoever joins them needs a snapshot. */
export interface Ahead {
  readonly leader: Member;
  readonly machine: WatchedMachine;
  readonly counts: Counts;
}

/** Two voters, or more, that went through `commands` commands; their machines survive restarts. The leader is watched. */
export async function runAhead(world: World, options: MemberOptions = {}, voters = 2, commands = 150): Promise<Ahead> {
  const machine = new WatchedMachine(true);
  const counts = new Counts();
  const numbers = Array.from({ length: voters }, (_unused, at) => at + 1);
  const leader = await world.form(numbers, (n) => ({
    ...settings(options),
    machine: n === 1 ? machine : new WatchedMachine(true),
    ...(n === 1 ? { metrics: counts } : {}),
  }));
  for (let at = 0; at < commands; at += 1) await world.run(leader.consensus.propose(`command-${at}`));
  await world.until(() => leader.consensus.status().firstIndex > commands / 2);
  return { leader, machine, counts };
}

/** Small limits, and what a test wants beyond them. */
export function settings(options: MemberOptions): MemberOptions {
  return { ...small, ...options, limits: { ...small.limits, ...options.limits } };
}

/** One that joined, and what is known of it. */
export interface Joined {
  readonly member: Member;
  readonly machine: WatchedMachine;
  readonly counts: Counts;
}

/** Starts nodes with empty stores and has the leader take them in as learners. */
export async function join(
  world: World,
  numbers: readonly number[],
  options: (n: number) => MemberOptions = () => ({}),
): Promise<readonly Joined[]> {
  const joined: Joined[] = [];
  for (const n of numbers) {
    const machine = new WatchedMachine(true);
    const counts = new Counts();
    const member = await world.start(n, { ...settings({ metrics: counts, machine, ...options(n) }) });
    joined.push({ member, machine: member.machine as WatchedMachine, counts });
  }
  const { consensus } = world.leader()!;
  const { voters, generation } = consensus.status().configuration;
  await world.run(
    consensus.changeVoters({
      voters,
      learners: numbers.map((n) => world.replica(n)),
      generation: (generation + 1) as typeof generation,
    }),
  );
  return joined;
}
