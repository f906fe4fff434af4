import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { cpuSecondsOf, pause, residentBytesOf } from "../host.ts";
import { noteProcess, TemporaryDirectory } from "../leftovers.ts";
import type { LoadOptions, LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";
import type { Member, Program } from "../turns.ts";
import { EtcdClient } from "./client.ts";
import type { EtcdOrder } from "./caller.ts";

const patienceMs = 60_000;

/** The version of the `etcd` on the path; undefined where there is none. */
export function etcdVersion(): string | undefined {
  try {
    const said = execFileSync("etcd", ["--version"], { encoding: "utf8", timeout: 10_000 });
    return /^etcd Version: (\S+)/m.exec(said)?.[1];
  } catch {
    return undefined;
  }
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { readonly port: number }).port));
        }),
    ),
  );
  for (const server of servers) server.close();
  return ports;
}

/** One member: its process, which is replaced where it is restarted. */
export class EtcdMember implements Member {
  readonly name: string;
  readonly endpoint: string;
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(name: string, directory: string, client: number, peer: number, cluster: string) {
    this.name = name;
    this.endpoint = `127.0.0.1:${client}`;
    this.#arguments = [
      ...["--name", name, "--data-dir", join(directory, name)],
      ...["--listen-client-urls", `http://${this.endpoint}`, "--advertise-client-urls", `http://${this.endpoint}`],
      ...[
        "--listen-peer-urls",
        `http://127.0.0.1:${peer}`,
        "--initial-advertise-peer-urls",
        `http://127.0.0.1:${peer}`,
      ],
      ...["--initial-cluster", cluster, "--initial-cluster-state", "new", "--initial-cluster-token", "revoada-bench"],
      // The only settings beside addresses: room for all that is written, and silence.
      ...["--quota-backend-bytes", String(8 * 2 ** 30), "--logger", "zap", "--log-level", "error"],
    ];
  }

  start(): void {
    const child = spawn("etcd", this.#arguments, { stdio: "ignore" });
    const forget = noteProcess(child.pid ?? 0);
    this.#ended = new Promise((resolve) => {
      child.once("exit", () => {
        forget();
        resolve();
      });
    });
    child.on("error", () => {});
    this.#child = child;
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#ended;
  }

  get cpuSeconds(): number {
    return cpuSecondsOf(this.#child?.pid ?? 0);
  }

  get residentBytes(): number {
    return residentBytesOf(this.#child?.pid ?? 0);
  }
}

/** Three members of etcd with its default timings and its default fsync, and a process of callers. */
export class EtcdCluster implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #clients: EtcdClient[] = [];
  members: readonly EtcdMember[] = [];
  readonly caller: Worker;

  static async open(): Promise<EtcdCluster> {
    const cluster = new EtcdCluster();
    try {
      await cluster.#start();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  private constructor() {
    this.#directory = new TemporaryDirectory("etcd");
    this.caller = new Worker(new URL("./caller.ts", import.meta.url));
  }

  async #start(): Promise<void> {
    const ports = await freePorts(6);
    const cluster = [0, 1, 2].map((index) => `m${index}=http://127.0.0.1:${ports[3 + index]}`).join(",");
    this.members = [0, 1, 2].map((index) => {
      const client = ports[index] as number;
      return new EtcdMember(`m${index}`, this.#directory.path, client, ports[3 + index] as number, cluster);
    });
    for (const member of this.members) {
      member.start();
      this.#clients.push(new EtcdClient(member.endpoint));
    }
    await this.whole();
  }

  /** Resolves once all members follow one leader. */
  async whole(): Promise<{ readonly leader: EtcdMember; readonly followers: readonly EtcdMember[] }> {
    const untilMs = performance.now() + patienceMs;
    while (performance.now() < untilMs) {
      const statuses = await Promise.all(this.#clients.map((client) => client.status().catch(() => undefined)));
      const leaderId = statuses[0]?.leaderId ?? 0n;
      const at = statuses.findIndex((status) => status?.memberId === leaderId);
      if (at >= 0 && leaderId !== 0n && statuses.every((status) => status?.leaderId === leaderId)) {
        const leader = this.members[at] as EtcdMember;
        return { leader, followers: this.members.filter((member) => member !== leader) };
      }
      await pause(50);
    }
    throw new Error(`etcd was not whole within ${patienceMs} ms`);
  }

  ask(order: EtcdOrder): Promise<unknown> {
    return this.caller.ask(order);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    await this.caller.kill();
    await Promise.all(this.members.map((member) => member.kill()));
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Callers of the leader. */
export class EtcdProgram implements Program {
  readonly name = "etcd";
  readonly caller: Member;
  readonly #cluster: EtcdCluster;
  readonly #reads: boolean;
  #connected = "";

  constructor(cluster: EtcdCluster, reads = false) {
    this.#cluster = cluster;
    this.#reads = reads;
    this.caller = cluster.caller;
  }

  async members(): Promise<readonly Member[]> {
    const { leader, followers } = await this.#cluster.whole();
    if (this.#connected !== leader.endpoint) {
      await this.#cluster.ask({ type: "connect", endpoints: [leader.endpoint] });
      this.#connected = leader.endpoint;
    }
    return [leader, ...followers];
  }

  async load(options: LoadOptions): Promise<LoadResult> {
    return (await this.#cluster.ask({ type: "load", options, reads: this.#reads })) as LoadResult;
  }
}
