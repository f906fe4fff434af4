import { createHash, type Hash } from "node:crypto";

/** How many of the latest events are kept to be shown when a run fails. */
const keptEvents = 400;

/** What happened in a run, as a hash over every event: two runs of one seed must give the same. */
export class Trace {
  readonly #hash: Hash = createHash("sha256");
  readonly #latest: string[] = [];
  #events = 0;

  /** Takes an event in and keeps it to be shown. */
  record(atMs: number, node: string, event: string): void {
    this.#latest.push(this.hash(atMs, node, event));
    if (this.#latest.length > 2 * keptEvents) this.#latest.splice(0, keptEvents);
  }

  /** Takes an event in that is too frequent to be shown. */
  hash(atMs: number, node: string, event: string): string {
    const line = `${atMs.toFixed(3)} ${node} ${event}`;
    this.#hash.update(line).update("\n");
    this.#events += 1;
    return line;
  }

  get events(): number {
    return this.#events;
  }

  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /** The latest events, oldest first. */
  latest(count: number = keptEvents): readonly string[] {
    return this.#latest.slice(-count);
  }
}
