import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { CatalogStoreFailedError } from "../errors.ts";

type Answer = { readonly done: true; readonly removed: number } | { readonly done: false; readonly reason: string };

/** Sources run as they are, compiled files under their own name. */
const threadUrl = import.meta.url.endsWith(".ts")
  ? new URL("./lmdb-writing-thread.ts", import.meta.url)
  : new URL("./lmdb-writing-thread.js", import.meta.url);

/**
 * The main thread's side of the thread that writes: putting thousands of records takes longer than an event loop that answers
 * heartbeats may be held up.
 */
export class LmdbWriter {
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  #pending: { readonly resolve: (removed: number) => void; readonly reject: (error: unknown) => void } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #failure: CatalogStoreFailedError | undefined;

  constructor(path: string, mapSizeBytes: number) {
    this.#worker = new Worker(threadUrl, { workerData: { path, mapSizeBytes }, name: "revoada-store" });
    // A store that nobody closed must not keep its process from ending.
    this.#worker.unref();
    this.#exited = once(this.#worker, "exit").catch(() => {});
    this.#worker.on("message", (answer: Answer) => {
      if (answer.done) this.#settle(answer.removed);
      else this.#settle(0, new CatalogStoreFailedError(`the store cannot be written: ${answer.reason}`));
    });
    this.#worker.on("error", (cause) =>
      this.#die(`its thread failed: ${cause instanceof Error ? cause.message : String(cause)}`),
    );
    this.#worker.on("exit", () => this.#die("its thread has ended"));
  }

  /** Writes the changes as one transaction; resolves once they are on the disk. Calls take their turn. */
  async write(slabs: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
    await this.#ask(
      { type: "write", slabs },
      slabs.map(({ buffer }) => buffer),
    );
  }

  /** Removes at most `limit` keys from `start` up to `end`, as one transaction, and resolves with their number. */
  trim(start: Uint8Array, end: Uint8Array, limit: number): Promise<number> {
    return this.#ask({ type: "trim", start, end, limit }, []);
  }

  #ask(order: unknown, transfer: readonly ArrayBuffer[]): Promise<number> {
    const turn = this.#turn.then(() => this.#askNow(order, transfer));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #askNow(order: unknown, transfer: readonly ArrayBuffer[]): Promise<number> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#worker.ref();
      this.#worker.postMessage(order, transfer);
    });
  }

  /** Lets the thread close the database and end. */
  async close(): Promise<void> {
    await this.#turn;
    if (this.#failure === undefined) this.#worker.postMessage("close", []);
    this.#worker.ref();
    await this.#exited;
  }

  #die(reason: string): void {
    this.#failure ??= new CatalogStoreFailedError(`the store cannot be written: ${reason}`);
    this.#settle(0, this.#failure);
  }

  #settle(removed: number, error?: CatalogStoreFailedError): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    this.#worker.unref();
    if (error === undefined) pending.resolve(removed);
    else pending.reject(error);
  }
}
