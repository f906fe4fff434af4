import { parseArgs } from "node:util";
import { formationScenarios } from "./formation-scenarios.ts";
import { membershipScenarios } from "./membership-scenarios.ts";
import type { Scenario } from "./scenario.ts";

/** What the command line asks for. */
export interface ChaosCommand {
  /** All unless told. */
  readonly only?: readonly string[];
  /** Plays with this many nodes whatever is played with as many; with every number unless told. */
  readonly nodes?: number;
  readonly seed: number;
  readonly maxMinutes: number;
  readonly json?: string;
  /** Leaves directories and logs of scenarios with findings where they are. */
  readonly keep: boolean;
}

/** A scenario and with how many nodes it is played. */
export interface Choice {
  readonly scenario: Scenario;
  readonly nodes: number;
}

const scenarios: readonly Scenario[] = [...membershipScenarios, ...formationScenarios];
const defaultMaxMinutes = 45;

/** Every scenario that is asked for, in order. */
export function chosen({ only, nodes }: Pick<ChaosCommand, "only" | "nodes">): readonly Choice[] {
  return scenarios
    .filter(({ name }) => only?.includes(name) ?? true)
    .flatMap((scenario) => scenario.sizes.map((size) => ({ scenario, nodes: size })))
    .filter((choice) => nodes === undefined || choice.nodes === nodes);
}

/** What `--help` says. */
export function helpText(): string {
  const list = scenarios.map(({ name, sizes, about }) => `  ${name.padEnd(20)} ${sizes.join(", ").padEnd(5)} ${about}`);
  return [
    "pnpm chaos: clusters of real processes, faults, timelines and verdicts",
    "",
    "  --only NAME,...     these scenarios; all unless told",
    "  --nodes N           only with this many nodes (5 or 7)",
    "  --seed S            what callers do; the time unless told",
    `  --max-minutes M     broken off after this long; ${defaultMaxMinutes} unless told`,
    "  --keep              leaves data and logs of a scenario with findings where they are",
    "  --json FILE         timelines and verdicts",
    "",
    "Exit status: 0 where every verdict is good, 1 where one is not, 2 for a wrong command line, 130 and 143 where interrupted.",
    "A scenario that this host cannot play is left out by name. How long a formation takes to replace a master that was killed is",
    "measured by pnpm bench masters.",
    "",
    "  scenario             nodes",
    ...list,
  ].join("\n");
}

function wholeNumber(text: string | undefined, from: number, to: number): number | undefined {
  const value = Number(text);
  return text !== undefined && Number.isSafeInteger(value) && value >= from && value <= to ? value : undefined;
}

/** Reads the command line. Answers `help`, or with words that say what is wrong. */
export function parseChaosCommand(args: readonly string[], nowMs: number = Date.now()): ChaosCommand | string {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        only: { type: "string" },
        nodes: { type: "string" },
        seed: { type: "string", default: String(nowMs % 2 ** 32) },
        "max-minutes": { type: "string", default: String(defaultMaxMinutes) },
        json: { type: "string" },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    return (error as Error).message;
  }
  if (values.help) return "help";
  const only = values.only?.split(",");
  const strange = only?.find((name) => !scenarios.some((scenario) => scenario.name === name));
  if (strange !== undefined)
    return `no such scenario ${JSON.stringify(strange)} (known: ${scenarios.map(({ name }) => name).join(", ")})`;
  const nodes = wholeNumber(values.nodes, 5, 7);
  if (values.nodes !== undefined && nodes === undefined)
    return `--nodes takes 5 or 7, not ${JSON.stringify(values.nodes)}`;
  const seed = wholeNumber(values.seed, 0, 2 ** 32 - 1);
  if (seed === undefined) return `--seed takes a whole number below 2^32, not ${JSON.stringify(values.seed)}`;
  const maxMinutes = wholeNumber(values["max-minutes"], 1, 24 * 60);
  if (maxMinutes === undefined)
    return `--max-minutes takes a whole number of minutes, not ${JSON.stringify(values["max-minutes"])}`;
  const command: ChaosCommand = {
    ...{ seed, maxMinutes, keep: values.keep },
    ...(only === undefined ? {} : { only }),
    ...(nodes === undefined ? {} : { nodes }),
    ...(values.json === undefined ? {} : { json: values.json }),
  };
  return chosen(command).length === 0 ? `nothing is played with ${values.nodes} nodes` : command;
}
