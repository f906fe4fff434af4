import { createServer, type AddressInfo } from "node:net";
import type { DaemonHost } from "@revoada/node/unstable/fleet";
import { noteEnding } from "../leftovers.ts";
import { attempt, command, missing } from "./host.ts";

/** Where daemons run, and what stands between them. */
export interface Network extends Disposable {
  readonly describe: string;
  /** Where the daemon at this place runs and listens. */
  hostOf(index: number): DaemonHost;
  /** The address at which a daemon listens. */
  addressOf(index: number): { readonly host: string; readonly port: number };
  /** Where a program of ours can listen so that every daemon reaches it. */
  readonly here: string;
  /** Each of these packets is lost on its way in, silently. Replaces what was told before. */
  drop(rules: readonly Drop[]): void;
}

/** Packets that do not come in: at `to`, those of `from`, or a share of all. */
export interface Drop {
  readonly to: number;
  readonly from?: readonly number[];
  /** In per cent; all unless told. */
  readonly share?: number;
}

const port = 7400;

/** A namespace with an address of its own for each daemon, all on one bridge of this host. */
class Namespaces implements Network {
  readonly describe: string;
  readonly #count: number;
  readonly #tag = `rvc${process.pid}`;
  // Two runs at once do not meet: the network is that of the process.
  readonly #prefix = `10.98.${process.pid % 250}`;
  readonly #forget: () => void;

  constructor(count: number) {
    this.#count = count;
    this.describe = `${count} network namespaces on a bridge`;
    this.#forget = noteEnding(() => this.#remove());
    const bridge = `${this.#tag}b`;
    command("ip", ["link", "add", bridge, "type", "bridge"]);
    command("ip", ["addr", "add", `${this.here}/24`, "dev", bridge]);
    command("ip", ["link", "set", bridge, "up"]);
    for (let index = 0; index < count; index += 1) this.#add(index, bridge);
  }

  get here(): string {
    return `${this.#prefix}.254`;
  }

  hostOf(index: number): DaemonHost {
    return {
      launcher: ["ip", "netns", "exec", this.#name(index)],
      listen: `${this.#address(index)}:${port}`,
    };
  }

  addressOf(index: number): { readonly host: string; readonly port: number } {
    return { host: this.#address(index), port };
  }

  drop(rules: readonly Drop[]): void {
    for (let index = 0; index < this.#count; index += 1) {
      const lines = rules.filter(({ to }) => to === index).map((rule) => `    ${this.#ruleOf(rule)}\n`);
      const chain = `  chain in {\n    type filter hook input priority 0;\n${lines.join("")}  }\n`;
      const table = `table inet chaos {}\ndelete table inet chaos\ntable inet chaos {\n${chain}}\n`;
      command("ip", ["netns", "exec", this.#name(index), "nft", "-f", "-"], table);
    }
  }

  [Symbol.dispose](): void {
    this.#forget();
    this.#remove();
  }

  #ruleOf({ from, share }: Drop): string {
    const sources = from?.map((index) => this.#address(index)).join(", ");
    return [
      ...(sources === undefined ? [] : [`ip saddr { ${sources} }`]),
      ...(share === undefined ? [] : [`iifname "eth0" numgen random mod 100 < ${share}`]),
      "drop",
    ].join(" ");
  }

  #name(index: number): string {
    return `${this.#tag}-${index + 1}`;
  }

  #address(index: number): string {
    return `${this.#prefix}.${index + 1}`;
  }

  #add(index: number, bridge: string): void {
    const [name, outer] = [this.#name(index), `${this.#tag}v${index + 1}`];
    command("ip", ["netns", "add", name]);
    command("ip", ["link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name]);
    command("ip", ["link", "set", outer, "master", bridge, "up"]);
    command("ip", ["-n", name, "addr", "add", `${this.#address(index)}/24`, "dev", "eth0"]);
    command("ip", ["-n", name, "link", "set", "lo", "up"]);
    command("ip", ["-n", name, "link", "set", "eth0", "up"]);
  }

  #remove(): void {
    for (let index = 0; index < this.#count; index += 1) {
      attempt(
        () => command("ip", ["link", "del", `${this.#tag}v${index + 1}`]),
        () => command("ip", ["netns", "del", this.#name(index)]),
      );
    }
    attempt(() => command("ip", ["link", "del", `${this.#tag}b`]));
  }
}

/** All daemons beside each other on loopback: nothing can be cut. */
class Loopback implements Network {
  readonly describe = "loopback";
  readonly here = "127.0.0.1";
  readonly #ports: readonly number[];

  constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  hostOf(index: number): DaemonHost {
    return { listen: `127.0.0.1:${this.addressOf(index).port}` };
  }

  addressOf(index: number): { readonly host: string; readonly port: number } {
    return { host: this.here, port: this.#ports[index] ?? 0 };
  }

  drop(): void {
    throw new Error("nothing can be dropped on loopback");
  }

  [Symbol.dispose](): void {
    // Nothing was made.
  }
}

/** A port that nobody has just now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port: found } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return found;
}

/** Namespaces where the host gives them, else loopback. */
export async function makeNetwork(count: number): Promise<Network> {
  if (missing("namespaces") === undefined) return new Namespaces(count);
  const ports: number[] = [];
  while (ports.length < count) {
    const found = await freePort();
    if (!ports.includes(found)) ports.push(found);
  }
  return new Loopback(ports);
}
