import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Message, OrderName, Orders, Peers, Place, Standing } from "./orders.ts";
import { TortureError, type Watch } from "./watch.ts";

/** The process ended before it answered: whether it has done what it was told is unknown. */
class ProcessEndedError extends Error {
  override readonly name = "ProcessEndedError";
}

/** A replica answered with an error. */
export class RefusalError extends Error {
  override readonly name = "RefusalError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

const logEndLines = 8;
const script = new URL("./worker.ts", import.meta.url);

/** One member of a group: a place on disk, and the process that runs there now, if any. */
export class Member {
  readonly name: string;
  readonly place: Place;
  readonly #watch: Watch;
  readonly #execArgv: readonly string[];
  #child: ChildProcess | undefined;
  #waiting = new Map<number, Waiting>();
  #next = 0;
  /** Set while the process is meant to end, so that an end by itself is told apart. */
  #ending = false;
  /** What the replica last said of itself; undefined until it has started. */
  standing: Standing | undefined;
  peers: Peers = [];

  constructor(name: string, place: Place, watch: Watch, execArgv: readonly string[] = []) {
    this.name = name;
    this.place = place;
    this.#watch = watch;
    this.#execArgv = execArgv;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** True from the start of the replica to the end of its process. */
  get isUp(): boolean {
    return this.standing !== undefined;
  }

  /** Begins a process, which waits for orders. */
  spawn(): void {
    const child = fork(script, {
      execArgv: ["--conditions=@revoada/source", ...this.#execArgv],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
      // Processes that start again and again compile the same modules: once is enough.
      env: { ...process.env, NODE_COMPILE_CACHE: join(dirname(this.place.logFile), "compile-cache") },
    });
    this.#child = child;
    this.#ending = false;
    child.on("message", (message: Message) => this.#receive(child, message));
    child.on("error", () => {});
    child.on("exit", (code, signal) => this.#onExit(child, code ?? signal));
  }

  #receive(child: ChildProcess, message: Message): void {
    // What a process has said before it was killed may still arrive: its answers count, its standing is history.
    if (message.type === "standing") {
      if (child !== this.#child || this.#ending) return;
      this.standing = message.standing;
      this.#watch.notify();
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === "answer") waiting?.resolve(message.result as never);
    else waiting?.reject(new RefusalError(message.code, message.message));
    this.#watch.notify();
  }

  #onExit(child: ChildProcess, how: number | string | null): void {
    if (child !== this.#child) return;
    const byItself = !this.#ending;
    this.#child = undefined;
    this.standing = undefined;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    for (const each of waiting.values()) each.reject(new ProcessEndedError(`${this.name} ended (${how})`));
    if (byItself) this.endedByItself = `${this.name} ended by itself (${how})`;
    this.#watch.notify();
  }

  /** Says how the process ended where nobody had ended it. */
  endedByItself: string | undefined;

  ask<Name extends OrderName>(type: Name, order: Orders[Name]["with"]): Promise<Orders[Name]["answer"]> {
    const child = this.#child;
    if (child === undefined || !child.connected)
      return Promise.reject(new ProcessEndedError(`${this.name} does not run`));
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // An error here means that the process is going: its exit tells everybody who waits.
      child.send({ id, order: { type, ...order } }, undefined, undefined, () => {});
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** `kill -9`, and waits until the kernel says that it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#ending = true;
    this.standing = undefined;
    const gone = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
    child.kill("SIGKILL");
    await gone;
  }

  /** Stops in order. */
  async stop(): Promise<void> {
    await this.ask("stop", {});
    await this.kill();
  }

  #logEnd(): string {
    return readFileSync(this.place.logFile, "utf8").trimEnd().split("\n").slice(-logEndLines).join("\n");
  }

  /** Throws where the process or its replica has given up by itself. */
  check(): void {
    if (this.endedByItself !== undefined) throw new TortureError(this.endedByItself);
    if (this.standing?.role === "stopped")
      throw new TortureError(
        `the replica of ${this.name} has stopped by itself; the end of its log:\n${this.#logEnd()}`,
      );
  }
}
