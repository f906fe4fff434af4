import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { SignatureVerifier } from "@revoada/fabric";

/** One question of whether a signature is right. */
export type Check = Parameters<SignatureVerifier["verify"]>;

/** Threads that check signatures which they have been given before: the bare rate of several cores. */
export class BareCheckers {
  readonly #workers: readonly Worker[];

  constructor(count: number) {
    const script = new URL("./checking-thread.ts", import.meta.url);
    this.#workers = Array.from({ length: count }, () => new Worker(script));
  }

  /** Shares the checks out, in turn, so that each thread has as many of each kind. */
  async load(checks: readonly Check[]): Promise<void> {
    const count = this.#workers.length;
    await this.#ask((place) =>
      checks
        .filter((_, index) => index % count === place)
        // A view would take the whole file along.
        .map(([signer, message, signature]) => [signer, message.slice(), signature.slice()]),
    );
  }

  /** Resolves once every thread has checked what it was given. */
  async checkAll(): Promise<void> {
    await this.#ask(() => "go");
  }

  async #ask(order: (place: number) => unknown): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker, place) => {
        const answer = once(worker, "message");
        worker.postMessage(order(place), []);
        const [isRight] = (await answer) as [boolean];
        if (!isRight) throw new Error("a signature does not hold");
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
