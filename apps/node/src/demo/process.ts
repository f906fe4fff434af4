import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isFabricError } from "@revoada/fabric";
import { connectNode, type NodeClient } from "../client.ts";
import type { NodeStatus } from "../daemon/status.ts";
import { DemonstrationError } from "./failure.ts";

const entry = new URL("../main.ts", import.meta.url).pathname;

/** Where and how a daemon runs, where that is not simply here. */
export interface DaemonHost {
  /** Words before the program, as `ip netns exec NAME`. It must *become* the daemon: signals go to the process that is started. */
  readonly launcher?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it listens; a free port on loopback unless told. */
  readonly listen?: string;
  /** What it is told at every start, beside its zone. */
  readonly extraArguments?: readonly string[];
}

/** A `revoada up` as a process of its own. */
export class Daemon {
  readonly name: string;
  readonly directory: string;
  readonly logFile: string;
  readonly host: DaemonHost;
  #child: ChildProcess | undefined;
  #client: NodeClient | undefined;
  id = "";

  constructor(name: string, directory: string, host: DaemonHost = {}) {
    this.host = host;
    this.name = name;
    this.directory = directory;
    this.logFile = `${directory}.log`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts the daemon; its log goes to a file beside its data directory. */
  start(args: readonly string[]): void {
    const log = openSync(this.logFile, "a");
    // A group of its own: Ctrl-C at the terminal is for the demonstration, which stops its daemons in order.
    const program = [process.execPath, ...process.execArgv, entry, "up", "--data-dir", this.directory, ...args];
    const [first = "", ...words] = [...(this.host.launcher ?? []), ...program];
    this.#child = spawn(first, words, {
      stdio: ["ignore", log, log],
      detached: true,
      // Daemons that start together and again and again compile the same modules: once is enough.
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: join(dirname(this.directory), "compile-cache"),
        ...this.host.environment,
      },
    });
    closeSync(log);
  }

  /** The control client; connects where it is not connected yet. */
  async client(): Promise<NodeClient> {
    this.#client ??= await connectNode(this.directory);
    return this.#client;
  }

  async status(): Promise<NodeStatus> {
    return this.ask((client) => client.status());
  }

  /** Asks over the control socket; a connection that broke is thrown away and made again by the next call. */
  async ask<T>(work: (client: NodeClient) => Promise<T>): Promise<T> {
    const client = await this.client();
    try {
      return await work(client);
    } catch (error) {
      if (isFabricError(error, "CONTROL_CLOSED", "CONTROL_TIMEOUT", "CONTROL_PROTOCOL")) this.forgetClient();
      throw error;
    }
  }

  forgetClient(): void {
    const client = this.#client;
    this.#client = undefined;
    // Nobody waits for a connection that is given up.
    void client?.[Symbol.asyncDispose]().then(undefined, () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning()) this.#child?.kill(signal);
  }

  /** Ends the process as a power cut does, and waits until the kernel says that it is gone. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended();
    this.forgetClient();
  }

  /** Stops in order. */
  async stop(): Promise<void> {
    this.forgetClient();
    this.signal("SIGTERM");
    await this.ended();
  }

  async ended(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning()) return;
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
  }

  /** What to say where the process ended by itself: the end of its log. Undefined while it runs. */
  async failure(): Promise<DemonstrationError | undefined> {
    if (this.isRunning()) return undefined;
    const log = await readFile(this.logFile, "utf8").catch(() => "");
    return new DemonstrationError(
      `${this.name} ended by itself; the end of its log:\n${log.trimEnd().split("\n").slice(-12).join("\n")}`,
    );
  }

  tokenFile(): string {
    return join(this.directory, "join-token");
  }
}
