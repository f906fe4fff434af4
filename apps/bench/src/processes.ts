import { fork, type ChildProcess } from "node:child_process";
import { cpuSecondsOf, peakResidentBytesOf, residentBytesOf } from "./host.ts";
import { noteProcess } from "./leftovers.ts";

/** An order is answered within this time, or its process has failed. */
const orderTimeoutMs = 180_000;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** What is measured runs as it is published, compiled: to strip types at run time weighs 30 MiB in each process. */
function compiledOf(script: URL): URL {
  return new URL(script.href.replace(/\/src\/(.+)\.ts$/, "/dist/$1.js"));
}

/** A process that takes orders one by one and answers each. */
export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #next = 0;

  constructor(script: URL, nodeArguments: readonly string[] = []) {
    this.#child = fork(compiledOf(script), {
      execArgv: [...nodeArguments],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    const forget = noteProcess(this.pid);
    this.#child.on("message", (message) => this.#onAnswer(message as Answer));
    // An order cannot be sent to a process that has just been killed: its end tells those who wait.
    this.#child.on("error", () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", (code, signal) => {
        forget();
        for (const id of this.#waiting.keys()) this.#take(id)?.reject(new Error(`a worker ended (${code ?? signal})`));
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resident bytes, as the host counts them. */
  get residentBytes(): number {
    return residentBytesOf(this.pid);
  }

  /** The most that it ever had resident. */
  get peakResidentBytes(): number {
    return peakResidentBytesOf(this.pid);
  }

  get cpuSeconds(): number {
    return cpuSecondsOf(this.pid);
  }

  ask(order: unknown): Promise<unknown> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      if (!this.isAlive) return reject(new Error("a worker has ended"));
      const timer = setTimeout(() => {
        this.#take(id)?.reject(new Error(`no answer to ${JSON.stringify(order)} within ${orderTimeoutMs} ms`));
      }, orderTimeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#child.send({ id, order });
    });
  }

  /** Kills it, and resolves once it is gone. */
  async kill(): Promise<void> {
    if (this.isAlive) this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #onAnswer({ id, result, error }: Answer): void {
    if (error === undefined) this.#take(id)?.resolve(result);
    else this.#take(id)?.reject(new Error(error));
  }
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** The other side of a {@link Worker}: carries out orders until its parent is gone. */
export function takeOrders<Order>(carryOut: (order: Order) => Promise<unknown>): void {
  process.on("message", (message: { readonly id: number; readonly order: Order }) => {
    const answer = (rest: Omit<Answer, "id">): void => void process.send?.({ id: message.id, ...rest });
    carryOut(message.order).then(
      (result) => answer({ result }),
      (error: unknown) => answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.on("disconnect", () => process.exit());
}
