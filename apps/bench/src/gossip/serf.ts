import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { hostMs, pause } from "../host.ts";
import { noteProcess } from "../leftovers.ts";
import type { Scope } from "../scope.ts";

/** Of three agents with the profile `local`. Milliseconds. */
export interface SerfFigures {
  readonly version: string;
  /** SIGKILL → the last of the other two says that the member has failed. */
  readonly killedMs: readonly number[];
}

const patienceMs = 60_000;

/** The version of the `serf` on the path; undefined where there is none. */
export function serfVersion(): string | undefined {
  try {
    const said = execFileSync("serf", ["version"], { encoding: "utf8", timeout: 10_000 });
    return /^(?:Serf )?v?(\d\S*)/m.exec(said)?.[1];
  } catch {
    return undefined;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { readonly port: number }).port));
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An agent, and what it says. */
class SerfAgent {
  readonly name: string;
  readonly address: string;
  readonly #rpc: string;
  readonly #waiting = new Map<string, (atMs: number) => void>();
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(name: string, port: number, rpcPort: number) {
    this.name = name;
    this.address = `127.0.0.1:${port}`;
    this.#rpc = `127.0.0.1:${rpcPort}`;
  }

  start(join: readonly string[]): void {
    const child = spawn(
      "serf",
      [
        "agent",
        ...[`-node=${this.name}`, `-bind=${this.address}`, `-rpc-addr=${this.#rpc}`, "-profile=local"],
        ...join.map((address) => `-retry-join=${address}`),
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const forget = noteProcess(child.pid ?? 0);
    this.#ended = new Promise((resolve) => {
      child.once("exit", () => {
        forget();
        resolve();
      });
    });
    child.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => this.#heard(line));
    this.#child = child;
  }

  #heard(line: string): void {
    const event = /EventMember(\w+): (\S+)/.exec(line);
    const name = `${event?.[1]} ${event?.[2]}`;
    this.#waiting.get(name)?.(hostMs());
    this.#waiting.delete(name);
  }

  /** When it says next that a member has failed, joined, … */
  says(event: "Failed" | "Join", name: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.name} did not say ${event} ${name} within ${patienceMs} ms`)),
        patienceMs,
      );
      this.#waiting.set(`${event} ${name}`, (atMs) => {
        clearTimeout(timer);
        resolve(atMs);
      });
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#ended;
  }
}

/** Kills one of three agents again and again. */
export async function measureSerf(version: string, times: number, say: Scope["say"]): Promise<SerfFigures> {
  const agents: SerfAgent[] = [];
  for (let index = 1; index <= 3; index += 1)
    agents.push(new SerfAgent(`agent-${index}`, await freePort(), await freePort()));
  const [first, second, third] = agents as [SerfAgent, SerfAgent, SerfAgent];
  const killedMs: number[] = [];
  try {
    const joined = [first.says("Join", second.name), first.says("Join", third.name), second.says("Join", third.name)];
    first.start([]);
    second.start([first.address]);
    third.start([first.address]);
    await Promise.all(joined);
    for (let time = 1; time <= times; time += 1) {
      await pause(1_000 + Math.random() * 500);
      const failed = [first, second].map((agent) => agent.says("Failed", third.name));
      const atMs = hostMs();
      await third.kill();
      killedMs.push(Math.max(...(await Promise.all(failed))) - atMs);
      const back = [first, second].map((agent) => agent.says("Join", third.name));
      third.start([first.address]);
      await Promise.all(back);
    }
  } finally {
    await Promise.all(agents.map((agent) => agent.kill()));
  }
  say(`serf, ms from kill to failed at both others: ${killedMs.map((each) => Math.round(each)).join(", ")}`);
  return { version, killedMs };
}
