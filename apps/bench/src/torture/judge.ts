import { checkLinearizable } from "@revoada/simulation";
import type { History } from "./register-machine.ts";
import { nextHash } from "./register-machine.ts";

/** What became of an operation. `refused`: the caller was told for certain that it has not happened. */
export type Outcome = "pending" | "acknowledged" | "unknown" | "refused";

/** One operation as its caller saw it. Times on one clock, in milliseconds. */
export interface Operation {
  readonly kind: "write" | "read";
  /** Of a write; 0 for a read. */
  readonly id: number;
  readonly key: number;
  readonly invokedMs: number;
  endedMs: number;
  outcome: Outcome;
  /** How many writes the machine had taken, the own one with it. */
  ordinal: number;
  /** What a read saw. */
  value: number;
}

/** More than this many findings say no more. */
const maxFindings = 20;

/** The history of one replica, and whose it is. */
export interface NamedHistory extends History {
  readonly name: string;
}

class Findings {
  readonly lines: string[] = [];

  add(line: string): void {
    if (this.lines.length < maxFindings) this.lines.push(line);
  }
}

/**
 * What is wrong, in words; nothing where all is well. Every replica must tell the same history; it holds each acknowledged write
 * once, where its caller was told, refused ones never, unknown ones at most once; and it is a linearization: an operation that
 * had ended before another one began does not come after it, and a read saw the last write before it.
 *
 * The history is the witness: nothing has to be searched for, so any number of operations can be judged. It is what
 * replicas say of themselves, so each register is also judged by what its callers were told alone.
 */
export function judge(operations: readonly Operation[], histories: readonly NamedHistory[]): readonly string[] {
  const findings = new Findings();
  const [first] = histories;
  if (first === undefined) return ["there is no history"];
  for (const history of histories) compare(findings, first, history);
  checkHash(findings, first);
  const ordinalOf = locate(findings, operations, first);
  for (const operation of operations) checkOutcome(findings, operation, first, ordinalOf);
  checkReads(findings, operations, first);
  checkOrder(findings, operations, ordinalOf);
  checkRegisters(findings, operations);
  const done = operations.filter(({ outcome }) => outcome === "acknowledged").length;
  if (2 * done < operations.length)
    findings.add(`only ${done} of ${operations.length} operations succeeded: that proves little`);
  return findings.lines;
}

function compare(findings: Findings, first: NamedHistory, other: NamedHistory): void {
  if (first.hash !== other.hash)
    findings.add(`${first.name} and ${other.name} differ: ${first.hash} and ${other.hash}`);
  if (first.ids.length !== other.ids.length)
    findings.add(`${first.name} holds ${first.ids.length} writes and ${other.name} ${other.ids.length}`);
  const at = first.ids.findIndex((id, index) => id !== other.ids[index] || first.keys[index] !== other.keys[index]);
  if (at >= 0) findings.add(`${first.name} and ${other.name} hold different writes at ${at + 1}`);
}

/** The hash that a replica kept, over restarts and snapshots, is that of the history that it tells. */
function checkHash(findings: Findings, history: NamedHistory): void {
  let hash: Uint8Array = new Uint8Array(32);
  history.ids.forEach((id, at) => (hash = nextHash(hash, { id, key: history.keys[at] ?? 0 })));
  const own = Buffer.from(hash).toString("hex");
  if (own !== history.hash) findings.add(`${history.name} says ${history.hash} of a history that hashes to ${own}`);
}

/** Where each write stands. */
function locate(
  findings: Findings,
  operations: readonly Operation[],
  history: NamedHistory,
): ReadonlyMap<number, number> {
  const keys = new Map(operations.filter(({ kind }) => kind === "write").map(({ id, key }) => [id, key]));
  const ordinalOf = new Map<number, number>();
  history.ids.forEach((id, at) => {
    const known = ordinalOf.get(id);
    if (known !== undefined) findings.add(`write ${id} stands at ${known} and again at ${at + 1}`);
    else ordinalOf.set(id, at + 1);
    if (keys.get(id) !== history.keys[at]) findings.add(`nobody wrote ${id} to register ${history.keys[at]}`);
  });
  return ordinalOf;
}

function checkOutcome(
  findings: Findings,
  operation: Operation,
  history: NamedHistory,
  ordinalOf: ReadonlyMap<number, number>,
): void {
  const { kind, id, outcome, ordinal } = operation;
  if (outcome === "pending") findings.add(`the ${kind} ${id} never ended`);
  if (kind !== "write") return;
  if (outcome === "acknowledged" && history.ids[ordinal - 1] !== id)
    findings.add(
      `lost: write ${id} was acknowledged at ${ordinal}, where ${history.ids[ordinal - 1] ?? "nothing"} stands`,
    );
  if (outcome === "refused" && ordinalOf.has(id))
    findings.add(`write ${id} was refused and stands at ${ordinalOf.get(id)}`);
}

/** Every read saw what the writes up to its ordinal had left in its register. */
function checkReads(findings: Findings, operations: readonly Operation[], history: NamedHistory): void {
  const reads = operations.filter(({ kind, outcome }) => kind === "read" && outcome === "acknowledged");
  const registers = new Map<number, number>();
  let taken = 0;
  for (const read of reads.toSorted((a, b) => a.ordinal - b.ordinal)) {
    for (; taken < Math.min(read.ordinal, history.ids.length); taken += 1)
      registers.set(history.keys[taken] ?? 0, history.ids[taken] ?? 0);
    const expected = registers.get(read.key) ?? 0;
    if (read.ordinal > history.ids.length || read.value !== expected)
      findings.add(`a read of register ${read.key} at ${read.ordinal} saw ${read.value}, where ${expected} stood`);
  }
}

/** In the order of the history, nothing comes after what began only when it had ended. */
function checkOrder(
  findings: Findings,
  operations: readonly Operation[],
  ordinalOf: ReadonlyMap<number, number>,
): void {
  const placed: { readonly operation: Operation; readonly ordinal: number }[] = [];
  for (const operation of operations) {
    const acknowledged = operation.outcome === "acknowledged";
    const ordinal = operation.kind === "write" ? ordinalOf.get(operation.id) : operation.ordinal;
    if (ordinal !== undefined && (acknowledged || operation.kind === "write")) placed.push({ operation, ordinal });
  }
  const rank = ({ operation }: (typeof placed)[number]): number => (operation.kind === "write" ? 0 : 1);
  placed.sort((a, b) => a.ordinal - b.ordinal || rank(a) - rank(b) || a.operation.invokedMs - b.operation.invokedMs);
  let latest: (typeof placed)[number] | undefined;
  for (const each of placed) {
    // Nobody knows when an unknown write ended, only that it took effect.
    const endedMs = each.operation.outcome === "acknowledged" ? each.operation.endedMs : Infinity;
    if (latest !== undefined && endedMs < latest.operation.invokedMs) {
      findings.add(
        `out of order: the ${each.operation.kind} at ${each.ordinal} had ended before the ${latest.operation.kind} at ${latest.ordinal} began`,
      );
    }
    if (latest === undefined || each.operation.invokedMs > latest.operation.invokedMs) latest = each;
  }
}

/** Whether some order explains what the callers of each register saw, whatever the replicas say. Undecided counts as not. */
function checkRegisters(findings: Findings, operations: readonly Operation[]): void {
  // One length for all, so that no value is part of another one.
  const text = (value: number): string => (value === 0 ? "" : String(value).padStart(10, "0"));
  const seen = operations.flatMap(({ kind, id, key, invokedMs, endedMs, outcome, value }, at) => {
    if (outcome === "refused" || (outcome !== "acknowledged" && kind === "read")) return [];
    const call = kind === "read" ? ({ kind: "get" } as const) : ({ kind: "put", value: text(id) } as const);
    const common = { id: at, key: String(key), call, invokedAt: invokedMs };
    if (outcome !== "acknowledged") return [{ ...common, respondedAt: Infinity }];
    return [{ ...common, respondedAt: endedMs, answer: kind === "read" ? text(value) : "true" }];
  });
  const verdict = checkLinearizable(seen);
  if (verdict.verdict !== "linearizable")
    findings.add(`what callers of register ${verdict.key} saw is ${verdict.verdict}`);
}
