import { mutations, type Mutation } from "./mutations.ts";
import { runInPool } from "./pool.ts";
import type { ConsensusRunOptions, ConsensusRunResult } from "./world.ts";

/** What became of one planted bug. */
export interface GateResult {
  readonly mutation: Mutation;
  readonly ran: number;
  /** The first seed that broke a promise which this bug breaks, while the same seed holds without it. */
  readonly found: ConsensusRunResult | undefined;
  /** How often runs failed for anything else: by invariant. */
  readonly others: ReadonlyMap<string, number>;
}

export interface GateOptions {
  readonly runs: readonly ConsensusRunOptions[];
  readonly workers: number;
}

async function holdsWithout(seed: number, { runs }: GateOptions): Promise<boolean> {
  let holds = false;
  await runInPool(
    runs.filter((run) => run.seed === seed),
    {
      workers: 1,
      onResult: (result) => {
        holds = result.violation === undefined;
        return true;
      },
    },
  );
  return holds;
}

/** Runs seeds on sources into which `mutation` was planted, until one has found it. */
async function runGate(mutation: Mutation, options: GateOptions): Promise<GateResult> {
  let ran = 0;
  const others = new Map<string, number>();
  let rest = options.runs;
  for (;;) {
    const hits: ConsensusRunResult[] = [];
    const seen = new Set<number>();
    await runInPool(rest, {
      workers: options.workers,
      arguments: ["--mutation", String(mutation.number)],
      onResult: (result) => {
        seen.add(result.seed);
        const invariant = result.violation?.invariant;
        if (invariant !== undefined && mutation.breaks.includes(invariant)) hits.push(result);
        else if (invariant !== undefined) others.set(invariant, (others.get(invariant) ?? 0) + 1);
        return hits.length > 0;
      },
    });
    ran += seen.size;
    // Runs end in any order, yet all before the last one that began have ended: the lowest seed is the same one again.
    for (const hit of hits.toSorted((left, right) => left.seed - right.seed)) {
      if (await holdsWithout(hit.seed, options)) return { mutation, ran, found: hit, others };
    }
    rest = rest.filter(({ seed }) => !seen.has(seed));
    if (hits.length === 0 || rest.length === 0) return { mutation, ran, found: undefined, others };
  }
}

function describeResult({ mutation, ran, found, others }: GateResult, seconds: string): string {
  const { number, title, origin } = mutation;
  const outcome =
    found === undefined
      ? `NOT FOUND in ${ran} seeds`
      : `found by seed ${found.seed}, ${ran} seeds: ${found.violation?.message.split("\n", 1)[0]?.slice(0, 200)}`;
  const aside = [...others].map(([invariant, count]) => `${invariant} ${count} times`).join(", ");
  return `${String(number).padStart(2)} ${title} (${origin}): ${outcome}; ${seconds} s${aside && ` (not counted: ${aside})`}`;
}

/** Plants one known bug after the other, or only one, and says which seed found it. True where each was found. */
export async function runMutations(options: GateOptions & { readonly only: number | undefined }): Promise<boolean> {
  const startMs = performance.now();
  const since = (ms: number): string => ((performance.now() - ms) / 1000).toFixed(0);
  const chosen = mutations.filter(({ number }) => options.only === undefined || number === options.only);
  let found = 0;
  for (const mutation of chosen) {
    const beganMs = performance.now();
    const result = await runGate(mutation, options);
    if (result.found !== undefined) found += 1;
    console.log(describeResult(result, since(beganMs)));
  }
  console.log(`${found} of ${chosen.length} found, ${since(startMs)} s`);
  return found === chosen.length;
}
