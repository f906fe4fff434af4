import { parseArgs } from "node:util";
import { suites, type SectionName, type SuiteName } from "./sections.ts";

/** What the command line asks for. */
export interface Command {
  readonly sections: readonly SectionName[];
  readonly quick: boolean;
  /** The run is broken off after this long. */
  readonly limitMs: number;
  readonly json?: string;
  readonly plots?: string;
  readonly report?: string;
  /** Figures of an earlier run, shown again instead of measured. */
  readonly from?: string;
}

/** The command line says what cannot be. */
export class UsageError extends Error {}

const defaultLimitSeconds = 1800;

function sectionsOf(names: readonly string[], only: string | undefined): readonly SectionName[] {
  // What was a suite of its own is a section now.
  const wanted = names.map((name) => (name === "consensus" ? "raft" : name));
  const unknown = wanted.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined)
    throw new UsageError(`no such suite ${JSON.stringify(unknown)} (known: ${Object.keys(suites).join(", ")})`);
  const chosen = (wanted.length === 0 ? Object.keys(suites) : [...new Set(wanted)]) as SuiteName[];
  const sections = chosen.flatMap((name): readonly SectionName[] => suites[name]);
  const picked = only?.split(",") ?? (names.join() === "consensus" ? ["commits"] : undefined);
  const missing = picked?.find((name) => !(sections as readonly string[]).includes(name));
  if (missing !== undefined)
    throw new UsageError(`no such section ${JSON.stringify(missing)} (known: ${sections.join(", ")})`);
  return picked === undefined ? sections : sections.filter((name) => picked.includes(name));
}

/** Reads the command line. Throws {@link UsageError}. */
export function parseCommand(args: readonly string[]): Command {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        json: { type: "string" },
        plots: { type: "string" },
        report: { type: "string" },
        from: { type: "string" },
        "limit-seconds": { type: "string", default: String(defaultLimitSeconds) },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
  const { quick, only, json, plots, report, from, "limit-seconds": limit } = parsed.values;
  const limitMs = Number(limit) * 1000;
  if (!(limitMs > 0)) throw new UsageError(`--limit-seconds is ${JSON.stringify(limit)}, expected a number above 0`);
  return {
    sections: sectionsOf(parsed.positionals, only),
    quick,
    limitMs,
    ...(json === undefined ? {} : { json }),
    ...(plots === undefined ? {} : { plots }),
    ...(report === undefined ? {} : { report }),
    ...(from === undefined ? {} : { from }),
  };
}
