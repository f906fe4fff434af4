import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { nodeId, T, World } from "./support/replicas.ts";
import { runAhead, settings, WatchedMachine } from "./support/snapshots.ts";

/** A machine that survives restarts as of the moment that `copy` was called, where it is durable; an empty one otherwise. */
class KeptMachine extends WatchedMachine {
  copy(): KeptMachine {
    const copy = new KeptMachine(this.durable);
    if (!this.durable) return copy;
    copy.commands = [...this.commands];
    copy.place(this.position());
    return copy;
  }
}

/** What a process left behind that died. */
interface Remains {
  readonly step: string;
  readonly disk: MemoryDisk;
  readonly machine: KeptMachine;
}

const commands = 40;

/**
 * Each death has a world of its own: a store that went back to before what it has acknowledged would be another failure.
 *
 * Two voters that cut their log, and a third node that is taken in and dies when it is about to do step `at` with its disk. Undefined
 * where it came to its end before.
 */
async function dieAt(world: World, at: number, durable: boolean): Promise<Remains | undefined> {
  await runAhead(world, {}, 2, commands);
  const machine = new KeptMachine(durable);
  let steps = -1;
  let remains: Remains | undefined;
  const disk: MemoryDisk = memoryDisk({
    name: "watched",
    random: seededRandom(`installing-${at}`),
    onOperation({ kind, path }) {
      // Before that its store has no name yet, and nobody would know it again.
      if (!world.members.has(3) || remains !== undefined || kind === "read" || kind === "list") return;
      steps += 1;
      if (steps !== at) return;
      remains = { step: `${kind} ${path}`, disk: disk.image("random"), machine: machine.copy() };
      world.network.down(nodeId(3));
      world.member(3).host.stop();
    },
  });
  await world.start(3, settings({ disk, machine }));
  const { consensus } = world.leader()!;
  const { voters, generation } = consensus.status().configuration;
  const next = (generation + 1) as typeof generation;
  await world.run(consensus.changeVoters({ voters, learners: [world.replica(3)], generation: next }));
  await world.until(() => remains !== undefined || machine.commands.length === commands);
  // What is cut and removed afterwards belongs to it.
  await world.clock.advanceAsync(1000);
  return remains;
}

for (const durable of [false, true]) {
  const kind = durable ? "on its disk" : "in memory";
  test(`a process that dies at any step of installing a snapshot into a machine ${kind} comes back by itself, with the old state or the new one`, async () => {
    const steps = new Set<string>();
    const states = new Set<number>();
    for (let at = 0; ; at += 1) {
      const world = new World();
      const remains = await dieAt(world, at, durable);
      if (remains === undefined) break;
      steps.add(remains.step);
      world.members.delete(3);
      const back = await world.start(3, settings({ disk: remains.disk, machine: remains.machine }));
      states.add(back.machine.commands.length);
      expect(await remains.disk.list("snapshots")).not.toContain("incoming.tmp");
      // Nobody is told: its leader finds out how far it is.
      await world.until(() => back.machine.commands.length === commands, 10 * T);
      expect(back.machine.commands).toEqual(world.member(1).machine.commands);
      await world.stop();
    }
    expect([...steps]).toEqual(expect.arrayContaining(["write snapshots/incoming.tmp", "datasync wal/next.tmp"]));
    expect(steps.has("rename snapshots/incoming.tmp")).toBe(!durable);
    expect([...states].toSorted((left, right) => left - right)).toEqual([0, commands]);
  }, 60_000);
}
