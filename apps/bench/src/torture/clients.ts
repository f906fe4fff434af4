import type { Group } from "./group.ts";
import type { Operation, Outcome } from "./judge.ts";
import { type Member, RefusalError } from "./member.ts";
import { registerCount } from "./register-machine.ts";

/** Refusals that say for certain that nothing was appended. */
const definiteCodes = new Set([
  "RAFT_NOT_LEADER",
  "RAFT_NO_QUORUM",
  "RAFT_BACKPRESSURE",
  "RAFT_TOO_LARGE",
  "RAFT_STOPPED",
]);

/** Between two operations of one client, so that the processes and not the clients are what is busy. */
const thinkMs = 4;
const readShare = 0.2;

/** Callers that write and read through any member that runs, one operation at a time each, and remember what they were told. */
export class Clients implements Disposable {
  readonly operations: Operation[] = [];
  /** Outcomes that no caller should meet. */
  readonly surprises: string[] = [];
  readonly #group: Group;
  readonly #random: () => number;
  readonly #settled = new Map<Outcome, number>();
  #stopping = false;
  #loops: Promise<void>[] = [];
  #nextId = 1;
  #lastAcknowledged: Operation | undefined;
  #longestGapMs = 0;

  constructor(group: Group, random: () => number) {
    this.#group = group;
    this.#random = random;
  }

  start(count: number): void {
    this.#stopping = false;
    this.#loops = Array.from({ length: count }, () => this.#loop());
  }

  /** Lets every operation come to its end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#group.watch.notify();
    await Promise.all(this.#loops);
    this.#loops = [];
  }

  /** Lets them end without waiting for it, as where a run is broken off. */
  [Symbol.dispose](): void {
    this.#stopping = true;
  }

  count(outcome: Outcome): number {
    return this.#settled.get(outcome) ?? 0;
  }

  /** Resolves with the time at which a write was acknowledged that began at `sinceMs` or later. */
  async writesBack(sinceMs: number): Promise<number> {
    return this.#group.until("an acknowledged write", () => {
      const last = this.#lastAcknowledged;
      return last !== undefined && last.invokedMs >= sinceMs ? last.endedMs : undefined;
    });
  }

  /** Resolves once so many more writes were acknowledged. */
  async acknowledgedMore(count: number): Promise<void> {
    const goal = this.count("acknowledged") + count;
    await this.#group.until(`${count} acknowledged operations`, () =>
      this.count("acknowledged") >= goal ? true : undefined,
    );
  }

  /** The longest time without an acknowledged write since this was last asked. */
  takeLongestGapMs(): number {
    const gapMs = this.#longestGapMs;
    this.#longestGapMs = 0;
    return gapMs;
  }

  async #loop(): Promise<void> {
    while (!this.#stopping) {
      const up = this.#group.up;
      const member = up[Math.floor(this.#random() * up.length)];
      if (member === undefined) {
        // Nobody runs: whoever waits for the group says when that takes too long.
        await new Promise<void>((resolve) => {
          setTimeout(resolve, thinkMs);
        });
        continue;
      }
      await this.#operate(member);
      await new Promise<void>((resolve) => {
        setTimeout(resolve, thinkMs);
      });
    }
  }

  async #operate(member: Member): Promise<void> {
    const reads = this.#random() < readShare;
    const operation: Operation = {
      kind: reads ? "read" : "write",
      id: reads ? 0 : this.#nextId++,
      key: Math.floor(this.#random() * registerCount),
      invokedMs: performance.now(),
      endedMs: Infinity,
      outcome: "pending",
      ordinal: 0,
      value: 0,
    };
    this.operations.push(operation);
    try {
      if (reads) Object.assign(operation, await member.ask("read", { key: operation.key }));
      else Object.assign(operation, await member.ask("write", { id: operation.id, key: operation.key }));
      this.#settle(operation, "acknowledged");
    } catch (error) {
      this.#settle(operation, this.#outcomeOf(error));
    }
  }

  #outcomeOf(error: unknown): Outcome {
    // The process ended under it: it may have been done.
    if (!(error instanceof RefusalError)) return "unknown";
    if (definiteCodes.has(error.code)) return "refused";
    if (error.code !== "RAFT_OUTCOME_UNKNOWN") this.surprises.push(`${error.code}: ${error.message}`);
    return "unknown";
  }

  #settle(operation: Operation, outcome: Outcome): void {
    operation.endedMs = performance.now();
    operation.outcome = outcome;
    this.#settled.set(outcome, this.count(outcome) + 1);
    if (outcome === "acknowledged" && operation.kind === "write") {
      const sinceMs = this.#lastAcknowledged?.endedMs ?? operation.endedMs;
      this.#longestGapMs = Math.max(this.#longestGapMs, operation.endedMs - sinceMs);
      this.#lastAcknowledged = operation;
    }
    this.#group.watch.notify();
  }
}
