import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Lan, whyNoNamespaces, type Host } from "./lan.ts";
import { Daemon, patientStrategy, revoada, workspace } from "./revoada.ts";

/** One machine: a host in the network, a data directory with its key, and the daemon that runs on it. */
interface Machine {
  readonly host: Host;
  readonly directory: string;
  readonly id: string;
  address: string;
}

/** Five daemons that start at once take their time where the machine does other things too. */
const patienceMs = 50_000;

const why = whyNoNamespaces();
if (why !== undefined) process.stderr.write(`skipped: nodes that find each other in namespaces: ${why}\n`);

/** Five machines of one image: they know each other's keys and one secret, and not where anybody is. */
class Site {
  readonly folder: string = workspace();
  readonly lan: Lan = new Lan({ left: 3, right: 2 });
  readonly machines: Machine[] = [];
  readonly daemons: Daemon[] = [];

  private constructor() {
    // Registered before any daemon is: those are ended first.
    onTestFinished(() => this.lan[Symbol.dispose]());
  }

  static async make(): Promise<Site> {
    const site = new Site();
    const folders = site.lan.hosts.map((_, at) => join(site.folder, `n${at + 1}`));
    const keys = await Promise.all(folders.map((directory) => revoada("key", "create", "--data-dir", directory)));
    for (const [at, host] of site.lan.hosts.entries()) {
      const [directory = "", made] = [folders[at], keys[at]];
      expect(made).toMatchObject({ code: 0, err: "" });
      site.machines.push({ host, directory, id: made?.out.trim() ?? "", address: "" });
      site.move(at, `10.98.0.${at + 1}`);
    }
    writeFileSync(join(site.folder, "nodes"), site.machines.map(({ id }) => `${id}\n`).join(""));
    writeFileSync(join(site.folder, "secret"), "a secret that only these five hold\n");
    return site;
  }

  /** Gives a machine another address. */
  move(at: number, address: string): void {
    const machine = this.machine(at);
    machine.address = address;
    this.lan.address(machine.host, address);
  }

  machine(at: number): Machine {
    const machine = this.machines[at];
    if (machine === undefined) throw new Error(`there is no machine ${at}`);
    return machine;
  }

  /** Starts every machine's daemon; none is told of an address but what `more` says. */
  start(more: (machine: Machine) => readonly string[]): void {
    const expected = [
      ...["--bootstrap-expect", "5", "--expect-peers", join(this.folder, "nodes")],
      ...["--expect-secret", join(this.folder, "secret"), "--strategy", patientStrategy(this.folder, "homelab")],
    ];
    for (const machine of this.machines) {
      const { directory, host, address } = machine;
      const place = { directory, namespace: host.namespace };
      this.daemons.push(new Daemon(place, ...expected, "--listen", `${address}:7400`, ...more(machine)));
    }
  }

  /** Has a machine answer questions of mDNS with lies. Resolves with how many packets it sent, once it ends. */
  async forge({ host, address }: Machine): Promise<number> {
    const program = join(import.meta.dirname, "programs", "mdns-forger.ts");
    const child = spawn("ip", ["netns", "exec", host.namespace, process.execPath, program, address], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 60_000,
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
    await once(child, "close");
    return Number(said);
  }

  async stop(): Promise<void> {
    await Promise.all(this.daemons.splice(0).map((daemon) => daemon.stop()));
  }

  /** Waits until everybody sees five alive and holding the log, of one cluster that takes writes. */
  async whole(): Promise<string> {
    const clusters = new Set<string>();
    for (const daemon of this.daemons) {
      const { cluster } = await daemon.until(
        ({ mode, members }) =>
          mode === "read-write" &&
          members.length === 5 &&
          members.every(({ status, replica }) => status === "alive" && (replica === "voter" || replica === "learner")),
        patienceMs,
      );
      clusters.add(cluster);
    }
    expect(clusters.size).toBe(1);
    return [...clusters].join();
  }
}

describe.skipIf(why !== undefined)("five nodes that were given no seeds", () => {
  test("find each other through the DHT, of which they know one peer, and found one cluster", async () => {
    const site = await Site.make();
    const { address: known } = site.machine(0);
    site.start(({ address }) => ["--libp2p-listen", `${address}:7401`, "--libp2p-peer", `/ip4/${known}/tcp/7401`]);
    await site.whole();
    await site.stop();
  });

  test("found one cluster by mDNS, come up again as two islands at other addresses, and merge over a new cable", async () => {
    const site = await Site.make();
    const forged = site.forge(site.machine(1));
    site.start(() => ["--discover", "mdns"]);
    const cluster = await site.whole();
    // Somebody on the network lied all the while.
    expect(await forged).toBeGreaterThan(100);
    await site.stop();

    // Everybody forgets where the others were, and is somewhere else.
    for (const [at, { directory }] of site.machines.entries()) {
      rmSync(join(directory, "peers"), { force: true });
      site.move(at, `10.98.0.${at + 101}`);
    }
    site.lan.cut();
    site.start(() => ["--discover", "mdns"]);
    const sideOf = new Map(site.machines.map(({ id, host }) => [id, host.side]));
    for (const [at, daemon] of site.daemons.entries()) {
      const { side } = site.machine(at).host;
      await daemon.until(({ members }) => {
        const alive = members.filter(({ status }) => status === "alive").map(({ id }) => id);
        return alive.length === (side === "left" ? 3 : 2) && alive.every((id) => sideOf.get(id) === side);
      }, patienceMs);
    }
    site.lan.heal();
    expect(await site.whole()).toBe(cluster);
    await site.stop();
  });
});
