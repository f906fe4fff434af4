import { hostMs } from "./host.ts";

/** Writes that may be out at once: whoever waits for a leader does not pile up without end. */
const maxOut = 500;

/** Begins a write at regular times, whatever became of those before, and remembers when each was acknowledged. */
export class SteadyWriter {
  readonly #write: (turn: number) => Promise<unknown>;
  readonly #timer: NodeJS.Timeout;
  readonly #acknowledged: { readonly begunMs: number; readonly endedMs: number }[] = [];
  #waiting: { readonly sinceMs: number; readonly resolve: (endedMs: number) => void }[] = [];
  #out = 0;
  #turn = 0;
  #failed = 0;

  constructor(write: (turn: number) => Promise<unknown>, everyMs: number) {
    this.#write = write;
    this.#timer = setInterval(() => this.#begin(), everyMs);
  }

  #begin(): void {
    if (this.#out >= maxOut) return;
    this.#out += 1;
    this.#turn += 1;
    const begunMs = hostMs();
    this.#write(this.#turn).then(
      () => this.#end(begunMs),
      () => {
        this.#out -= 1;
        this.#failed += 1;
      },
    );
  }

  #end(begunMs: number): void {
    this.#out -= 1;
    const endedMs = hostMs();
    this.#acknowledged.push({ begunMs, endedMs });
    for (const { sinceMs, resolve } of this.#waiting) if (begunMs >= sinceMs) resolve(endedMs);
    this.#waiting = this.#waiting.filter(({ sinceMs }) => begunMs < sinceMs);
  }

  /** When the first write that began after `sinceMs`, by the host's clock, was acknowledged. */
  nextAfter(sinceMs: number): Promise<number> {
    const already = this.#acknowledged.find(({ begunMs }) => begunMs >= sinceMs);
    if (already !== undefined) return Promise.resolve(already.endedMs);
    return new Promise((resolve) => {
      this.#waiting.push({ sinceMs, resolve });
    });
  }

  /** Ends, and tells when writes were acknowledged. */
  stop(): { readonly acknowledgedMs: readonly number[]; readonly failed: number } {
    clearInterval(this.#timer);
    return { acknowledgedMs: this.#acknowledged.map(({ endedMs }) => endedMs), failed: this.#failed };
  }
}
