import { fork, type ChildProcess } from "node:child_process";

/** A process that takes orders one by one and answers each. */
export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 0;

  constructor(script: URL) {
    this.#child = fork(script, {
      execArgv: ["--conditions=@revoada/source"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    this.#child.on(
      "message",
      (message: { readonly id: number; readonly result?: unknown; readonly error?: string }) => {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.error === undefined) waiting?.resolve(message.result);
        else waiting?.reject(new Error(message.error));
      },
    );
    this.#child.on("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`a worker ended (${code ?? signal})`));
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  ask(order: unknown): Promise<unknown> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, order });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => {
      this.#child.once("exit", () => resolve());
    });
    this.#child.kill("SIGKILL");
    await ended;
  }
}
