import {
  isFabricError,
  resourceKey,
  type CatalogTransaction,
  type Duty,
  type DutyContext,
  type Fence,
  type FencingToken,
} from "@revoada/fabric";
import type { WrittenHistory } from "./history.ts";
import type { SimulatedNode } from "./node.ts";
import type { Totals } from "./totals.ts";
import { require } from "../violation.ts";

/** The singleton whose holders write with fences, as long as they hold it and longer. */
const writingDuty = "writer";

const key = resourceKey({ kind: "Duty", name: writingDuty });
const encoder = new TextEncoder();
const writeEveryMs = 150;
const writeTimeoutMs = 2_000;
/** So many writes are tried by a holder that takes no notice of its end. */
const stubbornWrites = 20;

/** What one holder wrote, as it stands in the log and in the value: its token, and a number that no other write has. */
export interface FencedWrite {
  /** Where in the log the lease was granted. */
  readonly grantedAt: number;
  readonly number: number;
}

const pattern = /fenced=(\d+)=(\d+);/;

/** The value of a fenced write. */
export function fencedValue({ grantedAt, number }: FencedWrite): string {
  return `fenced=${grantedAt}=${number};`;
}

/** The fenced write that a text speaks of; undefined where it speaks of none. */
export function parseFencedWrite(text: string): FencedWrite | undefined {
  const [, grantedAt, number] = pattern.exec(text) ?? [];
  return number === undefined ? undefined : { grantedAt: Number(grantedAt), number: Number(number) };
}

/**
 * Checks that no write of a former holder was taken: tokens never fall from one accepted write to the next, and between the grant of a
 * token and an accepted write under it no other was granted. `grants` are the places in the log at which the duty was granted, and
 * `indexOf` tells where in the log a write stands. Returns how many were accepted.
 */
export function checkFencedWrites(
  node: string,
  history: WrittenHistory,
  grants: readonly number[],
  indexOf: (number: number) => number | undefined,
): number {
  let newest = 0;
  let accepted = 0;
  for (const [value, revision] of [...history.revisionOf].toSorted(([, left], [, right]) => left - right)) {
    const write = parseFencedWrite(value);
    if (write === undefined) continue;
    accepted += 1;
    const { grantedAt, number } = write;
    require(grantedAt >= newest, "tokens-rise", () => `${node} has ${value} at ${revision}, ${newest} wrote before`);
    newest = grantedAt;
    const at = indexOf(number);
    require(at !== undefined && at > grantedAt, "fenced-in-log", () =>
      `${node} has ${value} at ${revision}, which stands at ${at} in the log`);
    const later = grants.find((other) => other > grantedAt && other < (at ?? 0));
    require(later === undefined, "no-stale-write", () =>
      `${node} took ${value} at log index ${at}, the duty was granted anew at ${later}`);
  }
  return accepted;
}

/** One singleton on all nodes: each holder writes under its token, and goes on for a while when it must not any more. */
export class DutyWorkload {
  /** Where in the log the duty was granted, in the order in which holders began. */
  readonly grants: number[] = [];
  readonly #totals: Totals;
  readonly #onViolation: (error: unknown) => void;
  #stopped = false;
  #numbers = 0;

  constructor(totals: Totals, onViolation: (error: unknown) => void) {
    this.#totals = totals;
    this.#onViolation = onViolation;
  }

  /** Nobody writes any more, though one of them goes on holding the duty. */
  stop(): void {
    this.#stopped = true;
  }

  duty(node: SimulatedNode): Duty {
    return {
      name: writingDuty,
      kind: "singleton",
      start: (context) => {
        this.#took(context);
        void this.#write(node, context);
        return Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() });
      },
    };
  }

  #took({ token, node }: DutyContext): void {
    this.#totals.takeovers += 1;
    try {
      require(token !== undefined, "holders-have-tokens", () => `${node} began without a token`);
      if (token === undefined) return;
      require(!this.grants.includes(token.index), "one-holder-a-token", () =>
        `${node} began under token ${token.term}/${token.index}, as another had`);
      this.grants.push(token.index);
    } catch (error) {
      this.#onViolation(error);
    }
  }

  async #write(node: SimulatedNode, context: DutyContext): Promise<void> {
    const { token, signal, clock } = context;
    if (token === undefined) return;
    for (let late = 0; late < stubbornWrites && !this.#stopped; late += signal.aborted ? 1 : 0) {
      await this.#writeOnce(node, context, token);
      // Timers of a process that has died never fire: so ends what it did.
      await new Promise<void>((resolve) => void clock.schedule(writeEveryMs, resolve));
    }
  }

  async #writeOnce(node: SimulatedNode, { duty, signal, catalog }: DutyContext, token: FencingToken): Promise<void> {
    this.#numbers += 1;
    const value = encoder.encode(fencedValue({ grantedAt: token.index, number: this.#numbers }));
    const write: CatalogTransaction = { compare: [], then: [{ type: "put", key, value }], else: [] };
    // What the clock of a former holder would forbid is tried all the same: only the fence is to stop it.
    const fence: Fence = { duty, token };
    const options = { timeoutMs: writeTimeoutMs };
    await node.whileUp(
      async () => {
        if (signal.aborted) await node.catalog().txn({ ...write, fence }, options);
        else await catalog.txn(write, options);
        this.#totals.fencedWrites += 1;
      },
      (error) => {
        if (isFabricError(error, "CATALOG_FENCED")) this.#totals.fencedRefusals += 1;
      },
    );
  }
}
