import {
  InvariantError,
  type AppliedEntry,
  type LogEntry,
  type LogIndex,
  type StateMachine,
  type Term,
} from "@revoada/fabric";
import { decodeConfiguration } from "../core/configuration-codec.ts";
import { RaftMachineFailedError, RaftStoppedError } from "../errors.ts";

/** Does one thing at a time with the machine: applying, flushing, taking and restoring snapshots, in the order asked for. */
export class MachineRunner<Command, Result> {
  readonly machine: StateMachine<Command, Result>;
  readonly #decode: (bytes: Uint8Array) => Command;
  readonly #failed: (error: RaftMachineFailedError) => void;
  #tasks: { readonly run: () => Promise<void>; readonly drop: () => void }[] = [];
  #busy = false;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(
    machine: StateMachine<Command, Result>,
    decode: (bytes: Uint8Array) => Command,
    failed: (error: RaftMachineFailedError) => void,
  ) {
    this.machine = machine;
    this.#decode = decode;
    this.#failed = failed;
  }

  /**
   * Applies entries and hands over their results. A machine that answers at once is served at once, where nothing else has the
   * machine: no promise stands between a commit and its callers.
   */
  apply(entries: readonly LogEntry[], done: (results: readonly (Result | undefined)[]) => void): void {
    if (this.#busy) {
      this.#enqueue(async () => this.#finish(entries, await this.#applyNow(entries), done));
      return;
    }
    if (this.#stopped) return;
    try {
      const results = this.#applyNow(entries);
      if (results instanceof Promise) this.#enqueue(async () => this.#finish(entries, await results, done));
      else this.#finish(entries, results, done);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Applies entries that have yet to be read, in turn with all else that the machine does: a snapshot that is restored meanwhile is not
   * followed by what it holds already. Nothing is applied where `read`, which must not reject, resolves with nothing.
   */
  applyRead(
    read: () => Promise<readonly LogEntry[] | undefined>,
    done: (entries: readonly LogEntry[], results: readonly (Result | undefined)[]) => void,
  ): void {
    this.#enqueue(async () => {
      const entries = await read();
      if (entries === undefined) return;
      this.#finish(entries, await this.#applyNow(entries), (results) => done(entries, results));
    });
  }

  #finish(
    entries: readonly LogEntry[],
    results: readonly (Result | undefined)[],
    done: (results: readonly (Result | undefined)[]) => void,
  ): void {
    // Nobody must be told the result of somebody else's command.
    if (results.length !== entries.length)
      throw new InvariantError(`the machine gave ${results.length} results for ${entries.length} entries`);
    done(results);
  }

  /** Runs `work` when the machine is free, and resolves as it does. Rejects where the runner has stopped. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue(
        async () => {
          try {
            resolve(await work());
          } catch (error) {
            reject(error);
          }
        },
        () => reject(new RaftStoppedError()),
      );
    });
  }

  stop(): void {
    this.#stopped = true;
    const dropped = this.#tasks;
    this.#tasks = [];
    for (const { drop } of dropped) drop();
  }

  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  #applyNow(entries: readonly LogEntry[]): ReturnType<StateMachine<Command, Result>["apply"]> {
    return this.machine.apply(entries.map((entry) => this.#applied(entry)));
  }

  #applied(entry: LogEntry): AppliedEntry<Command> {
    const { kind, index, term } = entry as LogEntry & { readonly index: LogIndex; readonly term: Term };
    switch (kind) {
      case "command":
        return { kind, index, term, command: this.#decode(entry.payload) };
      case "configuration":
        return { kind, index, term, configuration: decodeConfiguration(entry.payload) };
      case "noop":
        return { kind, index, term };
    }
  }

  #fail(error: unknown): void {
    this.stop();
    this.#failed(new RaftMachineFailedError("apply", error));
  }

  #enqueue(run: () => Promise<void>, drop: () => void = () => {}): void {
    if (this.#stopped) return drop();
    this.#tasks.push({ run, drop });
    if (this.#busy) return;
    this.#busy = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    for (;;) {
      const task = this.#tasks.shift();
      if (task === undefined) break;
      try {
        await task.run();
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#busy = false;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
