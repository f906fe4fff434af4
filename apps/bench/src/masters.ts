import { seededRandom } from "@revoada/fabric/memory";
import { Fleet, Writers } from "@revoada/node/unstable/fleet";
import { noteEnding, TemporaryDirectory } from "./leftovers.ts";
import type { Loss } from "./losses.ts";
import type { Rounds } from "./turns.ts";

/** One loss of a master. */
export interface MasterLoss {
  /** Whether it led the log, too: then an election comes first. */
  readonly led: boolean;
  /** Milliseconds from the signal until another master votes in its seat, in the formation and, once that is sealed, in the log. */
  readonly replacedMs: number;
}

export interface MasterFigures {
  readonly loss: Loss;
  readonly nodes: number;
  /** Says which masters were drawn. */
  readonly seed: number;
  readonly samples: readonly MasterLoss[];
  readonly acknowledged: number;
  readonly unknown: number;
}

const nodes = 7;
const writerCount = 2;
const withinMs = 60_000;
const seed = 7;

/** Loses a master drawn at random among those of seven daemons, again and again, as long as there is time, while others write. */
export async function measureMasters(
  loss: Loss,
  { rounds, withinMs: budgetMs }: Rounds,
  report: (line: string) => void,
): Promise<MasterFigures> {
  const random = seededRandom(seed);
  await using directory = new TemporaryDirectory("masters");
  await using fleet = new Fleet({ directory: directory.path, size: nodes });
  using notes = new DisposableStack();
  for (const daemon of fleet.daemons) notes.defer(noteEnding(() => daemon.signal("SIGKILL")));
  await fleet.form();
  const samples: MasterLoss[] = [];
  let [acknowledged, unknown] = [0, 0];
  const endMs = performance.now() + budgetMs;
  for (let round = 1; round <= rounds; round += 1) {
    if (round > 1 && performance.now() > endMs) {
      report(`no time for more than ${round - 1} of ${rounds} times`);
      break;
    }
    const { daemon: leader, status } = await fleet.whole({ alive: nodes, withinMs });
    const masters = status.members.filter(({ role }) => role === "master");
    const drawn = masters[Math.floor(random.float() * masters.length)];
    const victim = drawn === undefined ? leader : fleet.byId(drawn.id);
    const writers = new Writers(fleet.daemons.filter((daemon) => daemon !== victim));
    writers.start(writerCount);
    await writers.nextAcknowledged();
    const lostMs = performance.now();
    victim.signal(loss === "kill" ? "SIGKILL" : "SIGSTOP");
    await fleet.manned({ alive: nodes - 1, withinMs, without: victim });
    const sample = { led: victim === leader, replacedMs: performance.now() - lostMs };
    await writers.stop();
    samples.push(sample);
    acknowledged += writers.acknowledged.length;
    unknown += writers.unknown.length;
    const who = sample.led ? "the leader" : "a master";
    report(`${loss} of ${who} ${round}/${rounds}: replaced after ${Math.round(sample.replacedMs)} ms`);
    if (loss === "kill") {
      await victim.kill();
      await fleet.restart(victim);
    } else {
      victim.signal("SIGCONT");
    }
  }
  return { loss, nodes, seed, samples, acknowledged, unknown };
}
