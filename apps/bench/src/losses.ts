import { Fleet, Writers } from "@revoada/node/unstable/fleet";
import { noteEnding, TemporaryDirectory } from "./leftovers.ts";
import type { Rounds } from "./turns.ts";

/** How the leader is lost. `kill`: its kernel closes its connections at once; `pause`: nothing is heard of it any more. */
export type Loss = "kill" | "pause";

/** One loss of the leader under load. Milliseconds from the signal. */
export interface LossSample {
  /** Until a write that began after the loss was acknowledged. */
  readonly writeBackMs: number;
  /** Until three living masters vote and every block is sealed. */
  readonly reformedMs: number;
}

export interface LossFigures {
  readonly loss: Loss;
  readonly samples: readonly LossSample[];
  readonly acknowledged: number;
  readonly unknown: number;
}

const writerCount = 4;
const withinMs = 60_000;

/** Loses the leader of five daemons again and again, as long as there is time, while others write, and lets it come back in between. */
export async function measureLosses(
  loss: Loss,
  { rounds, withinMs: budgetMs }: Rounds,
  report: (line: string) => void,
): Promise<LossFigures> {
  await using directory = new TemporaryDirectory("loss");
  await using fleet = new Fleet({ directory: directory.path, size: 5 });
  using notes = new DisposableStack();
  for (const daemon of fleet.daemons) notes.defer(noteEnding(() => daemon.signal("SIGKILL")));
  await fleet.form();
  const samples: LossSample[] = [];
  let acknowledged = 0;
  let unknown = 0;
  const endMs = performance.now() + budgetMs;
  for (let round = 1; round <= rounds; round += 1) {
    if (round > 1 && performance.now() > endMs) {
      report(`no time for more than ${round - 1} of ${rounds} times`);
      break;
    }
    const { daemon: victim } = await fleet.whole({ alive: 5, withinMs });
    const writers = new Writers(fleet.daemons.filter((daemon) => daemon !== victim));
    writers.start(writerCount);
    await writers.nextAcknowledged();
    const lostMs = performance.now();
    victim.signal(loss === "kill" ? "SIGKILL" : "SIGSTOP");
    const writeBack = writers.nextAcknowledged();
    // Where the formation fails first, nobody waits for this any more.
    writeBack.catch(() => {});
    await fleet.whole({ alive: 4, withinMs, without: victim });
    const reformedMs = performance.now() - lostMs;
    const sample = { writeBackMs: (await writeBack) - lostMs, reformedMs };
    await writers.stop();
    samples.push(sample);
    acknowledged += writers.acknowledged.length;
    unknown += writers.unknown.length;
    report(
      `${loss} ${round}/${rounds}: writes back after ${Math.round(sample.writeBackMs)} ms, re-formed after ${Math.round(reformedMs)} ms`,
    );
    if (loss === "kill") {
      await victim.kill();
      await fleet.restart(victim);
    } else {
      victim.signal("SIGCONT");
    }
  }
  return { loss, samples, acknowledged, unknown };
}
