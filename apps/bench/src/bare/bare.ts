import { join } from "node:path";
import type { LoadOptions, LoadResult } from "../load.ts";
import { TemporaryDirectory } from "../leftovers.ts";
import { Worker } from "../processes.ts";
import type { Member, Program } from "../turns.ts";

/** Three processes of the bare program. The first one leads, always. */
export class BareProgram implements Program, AsyncDisposable {
  readonly name = "bare";
  readonly #directory: TemporaryDirectory;
  readonly #workers: readonly Worker[];
  #logs = 0;

  static async open(): Promise<BareProgram> {
    const program = new BareProgram();
    try {
      await program.#connect();
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return program;
  }

  private constructor() {
    this.#directory = new TemporaryDirectory("bare");
    this.#workers = [0, 1, 2].map(() => new Worker(new URL("./replica.ts", import.meta.url)));
  }

  async #connect(): Promise<void> {
    const [leader, ...followers] = this.#workers as [Worker, Worker, Worker];
    await this.#beginLogs();
    const ports = await Promise.all(followers.map((follower) => follower.ask({ type: "follow" })));
    await leader.ask({ type: "lead", ports });
  }

  /** It never forgets, so each load begins a log of its own and the disk does not fill up. */
  async #beginLogs(): Promise<void> {
    this.#logs += 1;
    await Promise.all(
      this.#workers.map((worker, index) =>
        worker.ask({ type: "open", path: join(this.#directory.path, `log-${index}-${this.#logs}`) }),
      ),
    );
  }

  members(): Promise<readonly Member[]> {
    return Promise.resolve(this.#workers);
  }

  async load(options: LoadOptions): Promise<LoadResult> {
    await this.#beginLogs();
    return (await (this.#workers[0] as Worker).ask({ type: "load", options })) as LoadResult;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#directory[Symbol.asyncDispose]();
  }
}
