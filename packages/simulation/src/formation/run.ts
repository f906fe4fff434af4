import type { ChainVerdict } from "@revoada/fabric";
import { seededRandom } from "@revoada/fabric/memory";
import { BrokenPromiseError } from "@revoada/topology/testing";
import { noFormationTotals, type FormationTotals } from "./totals.ts";
import { FormationWorld } from "./world.ts";
import { InvariantViolation, require } from "../violation.ts";

export interface FormationRunOptions {
  readonly seed: number;
  /** Virtual length of the chaos phase; 60 s unless told. */
  readonly chaosMs?: number;
}

export interface FormationRunResult {
  readonly seed: number;
  /** The topology, how many nodes, and how many voters are asked for. */
  readonly scenario: string;
  readonly traceHash: string;
  readonly totals: FormationTotals;
  readonly virtualMs: number;
  /** What broke, where something did. */
  readonly violation?: { readonly invariant: string; readonly message: string; readonly latest: readonly string[] };
}

/** One run from one seed: found, break things, heal, and see that the shape stands again. Never throws for a broken promise. */
export function runFormationSeed({ seed, chaosMs = 60_000 }: FormationRunOptions): FormationRunResult {
  const totals = noFormationTotals();
  const world = new FormationWorld(seed, seededRandom(seed), totals);
  const result = () => ({
    seed,
    scenario: world.scenario,
    traceHash: world.trace.digest(),
    totals,
    virtualMs: world.nowMs,
  });
  try {
    world.found();
    world.chaos(chaosMs);
    world.heal();
    verify(world.verifyChain());
    totals.chainsVerified += 1;
    return result();
  } catch (error) {
    const invariant = brokenPromise(error);
    const isKnown = error instanceof Error && invariant !== undefined;
    const message = error instanceof Error ? (isKnown ? error.message : (error.stack ?? error.message)) : String(error);
    return { ...result(), violation: { invariant: invariant ?? "no-crash", message, latest: world.trace.latest(40) } };
  }
}

function brokenPromise(error: unknown): string | undefined {
  if (error instanceof InvariantViolation) return error.invariant;
  return error instanceof BrokenPromiseError ? error.promise : undefined;
}

function verify(verdict: ChainVerdict): void {
  require(verdict.ok, "chain-verifies", () =>
    verdict.ok ? "" : `${verdict.fault.reason} at ${verdict.fault.height}: ${verdict.fault.message}`);
}
