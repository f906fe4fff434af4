/**
 * `pnpm chaos [--only NAME,...] [--nodes N] [--seed S] [--json FILE]`: a cluster of real processes for each scenario, a fault, a
 * timeline of what every node saw of it, and a verdict.
 */
import { writeFileSync } from "node:fs";
import { boundRun } from "../leftovers.ts";
import { inScratch } from "../torture/scratch.ts";
import { chosen, helpText, parseChaosCommand, type ChaosCommand, type Choice } from "./command.ts";
import { missing } from "./host.ts";
import { Stage } from "./stage.ts";
import { linesOf, printed, type Line } from "./timeline.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What came of one scenario. */
interface Outcome {
  readonly name: string;
  readonly nodes: number;
  readonly seconds?: number;
  readonly network?: string;
  readonly skipped?: string;
  readonly acknowledged?: number;
  readonly unknown?: number;
  readonly refused?: number;
  /** The longest time in which no write was acknowledged, at any node. */
  readonly longestGapMs?: number;
  readonly timeline?: readonly Line[];
  readonly findings: readonly string[];
}

async function play({ scenario, nodes }: Choice, { seed, keep }: ChaosCommand): Promise<Outcome> {
  const { name, about, needs, setting } = scenario;
  const why = needs.map((need) => missing(need)).find((reason) => reason !== undefined);
  say(`\n# ${name}, ${nodes} nodes: ${about}`);
  if (why !== undefined) {
    say(`LEFT OUT: ${why}`);
    return { name, nodes, skipped: why, findings: [] };
  }
  const beganMs = performance.now();
  const unfit = (outcome: Outcome | undefined): boolean => outcome === undefined || outcome.findings.length > 0;
  const kept = (outcome: Outcome | undefined): boolean => keep && unfit(outcome);
  const playIn = async (directory: string): Promise<Outcome> => {
    await using stage = await Stage.open({ ...setting, nodes }, { directory, seed });
    const findings = await findingsOf(stage, scenario);
    const timeline = linesOf(stage.timeline.changes, stage.timeline.deeds);
    for (const line of timeline) say(printed(line));
    const { acknowledged, unknown, refused, longestGapMs } = stage.ledger;
    say(
      `${acknowledged} operations acknowledged, ${unknown} unknown, ${refused} refused; longest time without an acknowledged write ${Math.round(longestGapMs)} ms`,
    );
    for (const finding of findings) say(`WRONG: ${finding}`);
    const seconds = Math.round((performance.now() - beganMs) / 1000);
    say(
      `verdict: ${findings.length === 0 ? "as it should be" : `${findings.length} findings`} (${seconds} s, ${stage.network.describe})`,
    );
    const counts = { acknowledged, unknown, refused, longestGapMs: Math.round(longestGapMs) };
    return { name, nodes, seconds, network: stage.network.describe, ...counts, timeline, findings };
  };
  return inScratch("chaos", playIn, kept);
}

/** What goes wrong on the way is a finding too: what was seen until then is worth more than an error. */
async function findingsOf(stage: Stage, { play: make }: Choice["scenario"]): Promise<readonly string[]> {
  try {
    return await stage.judge(await make(stage));
  } catch (error) {
    return [`broken off: ${error instanceof Error ? error.message : String(error)}`];
  }
}

async function run(command: ChaosCommand): Promise<boolean> {
  const outcomes: Outcome[] = [];
  say(`seed ${command.seed}`);
  for (const choice of chosen(command)) {
    try {
      outcomes.push(await play(choice, command));
    } catch (error) {
      const finding = `not set up: ${error instanceof Error ? error.message : String(error)}`;
      say(`WRONG: ${finding}`);
      outcomes.push({ name: choice.scenario.name, nodes: choice.nodes, findings: [finding] });
    }
    if (command.json !== undefined)
      writeFileSync(command.json, `${JSON.stringify({ seed: command.seed, outcomes }, undefined, 1)}\n`);
  }
  say("");
  for (const { name, nodes, skipped, findings } of outcomes) {
    const verdict =
      skipped !== undefined ? `left out: ${skipped}` : findings.length === 0 ? "as it should be" : "WRONG";
    say(`${name.padEnd(20)} ${nodes} nodes  ${verdict}`);
  }
  const wrong = outcomes.filter(({ findings }) => findings.length > 0).length;
  const skipped = outcomes.filter((outcome) => outcome.skipped !== undefined).length;
  say(`${outcomes.length - skipped} played, ${skipped} left out, ${wrong} wrong`);
  return wrong === 0;
}

async function main(): Promise<void> {
  const command = parseChaosCommand(process.argv.slice(2));
  if (command === "help") return say(helpText());
  if (typeof command === "string") {
    process.stderr.write(`error CLI_BAD_VALUE: ${command}\n`);
    process.exitCode = 2;
    return;
  }
  const unbound = boundRun(command.maxMinutes * 60_000, say, () => {});
  try {
    process.exitCode = (await run(command)) ? 0 : 1;
  } finally {
    unbound();
  }
}

await main();
