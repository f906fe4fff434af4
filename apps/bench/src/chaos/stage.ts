import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@revoada/fabric/memory";
import { Fleet, until, type Daemon } from "@revoada/node/unstable/fleet";
import { noteEnding } from "../leftovers.ts";
import { Mounts } from "../torture/host.ts";
import { describeBlock, evictedSince, hastyShifts, type Block } from "./chain.ts";
import { ToldClock } from "./host.ts";
import { Ledger } from "./ledger.ts";
import { makeNetwork, type Network } from "./network.ts";
import { SlowLink, type Delay } from "./slow-link.ts";
import { Timeline, type Change } from "./timeline.ts";

/** How a cluster is set up for a scenario. */
export interface Setting {
  readonly nodes: number;
  readonly topology?: string;
  readonly strategy?: string;
  /** As many masters and voters as topology and strategy ask for; 3 unless told. */
  readonly masters?: number;
  /** The clock of each node, in seconds ahead of the host's; the host's own unless told. */
  readonly clocks?: (index: number) => number;
  /** What stands before each node. */
  readonly delay?: Delay;
  /** Every data directory is on a file system of its own in memory, of so many bytes. */
  readonly diskBytes?: number;
}

/** What a scenario says about what happened, for the verdict. */
export interface Expectation {
  /** Whether the design lets `observer` take `subject` for dead. */
  readonly mayDie: (observer: string, subject: string) => boolean;
  /** Who must have been taken for dead, or the scenario shows nothing. */
  readonly mustDie?: readonly string[];
  /** No role may shift at all. */
  readonly noShift?: boolean;
  /** What else is wrong. */
  readonly findings?: readonly string[];
}

const entry = new URL("../../../node/src/main.ts", import.meta.url).pathname;
/** Least time between two shifts of one node that no failure forces. */
const dampingMs = 5000;
const chainVerifyTimeoutMs = 60_000;

/** Waits. */
export function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, forMs);
  });
}

/** A cluster of real processes, its network, callers and timeline, for one scenario. Whatever it made is gone when it is disposed of. */
export class Stage implements AsyncDisposable {
  readonly setting: Setting;
  readonly fleet: Fleet;
  readonly network: Network;
  readonly ledger: Ledger;
  readonly timeline: Timeline;
  readonly clocks: readonly ToldClock[];
  readonly mounts: Mounts;
  readonly #directory: string;
  readonly #cleanup = new AsyncDisposableStack();
  #formedHeight = 0;

  private constructor(
    setting: Setting,
    directory: string,
    parts: {
      readonly fleet: Fleet;
      readonly network: Network;
      readonly clocks: readonly ToldClock[];
      readonly mounts: Mounts;
      readonly random: () => number;
    },
  ) {
    this.setting = setting;
    this.#directory = directory;
    this.fleet = parts.fleet;
    this.network = parts.network;
    this.clocks = parts.clocks;
    this.mounts = parts.mounts;
    this.timeline = new Timeline(this.fleet.daemons);
    this.ledger = new Ledger(this.fleet.daemons, parts.random);
  }

  /** Makes a network, starts daemons in it and resolves once they stand as declared, with callers at work. */
  static async open(
    setting: Setting,
    { directory, seed }: { readonly directory: string; readonly seed: number },
  ): Promise<Stage> {
    const random = seededRandom(seed);
    await using cleanup = new AsyncDisposableStack();
    const network = cleanup.use(await makeNetwork(setting.nodes));
    const mounts = cleanup.use(new Mounts());
    const clocks =
      setting.clocks === undefined
        ? []
        : everyNode(setting, (index) => new ToldClock(join(directory, `clock-${index + 1}`)));
    const links =
      setting.delay === undefined
        ? []
        : await slowLinks(setting, setting.delay, { network, random: () => random.float() });
    for (const link of links) cleanup.use(link);
    const fleet = cleanup.use(
      new Fleet({
        ...{ directory: join(directory, "nodes"), size: setting.nodes },
        ...(setting.topology !== undefined && { topology: setting.topology }),
        ...(setting.strategy !== undefined && { strategy: setting.strategy }),
        ...(setting.masters !== undefined && { masters: setting.masters }),
        hostOf: (index) => {
          const link = links[index];
          return {
            ...network.hostOf(index),
            ...(clocks[index] !== undefined && { environment: clocks[index].environment }),
            ...(link !== undefined && { extraArguments: ["--advertise", `${network.here}:${link.port}`] }),
          };
        },
      }),
    );
    clocks.forEach((clock, index) => clock.jump(setting.clocks?.(index) ?? 0));
    if (setting.diskBytes !== undefined)
      for (const daemon of fleet.daemons) await mounts.tmpfs(daemon.directory, setting.diskBytes);
    const stage = new Stage(setting, directory, { fleet, network, clocks, mounts, random: () => random.float() });
    for (const daemon of fleet.daemons) cleanup.defer(noteEnding(() => daemon.signal("SIGKILL")));
    await fleet.form();
    await stage.whole();
    await stage.#spread();
    stage.#formedHeight = (await stage.blocks()).length;
    stage.timeline.start();
    stage.ledger.start();
    stage.#cleanup.use(cleanup.move());
    return stage;
  }

  /** How a daemon is called in what is printed. */
  name(daemon: Daemon): string {
    return this.timeline.nameOf(daemon);
  }

  index(daemon: Daemon): number {
    return this.fleet.daemons.indexOf(daemon);
  }

  /** Says what is being done, on the timeline. */
  note(deed: string): void {
    this.timeline.note(deed);
  }

  /** Resolves once everybody lives and the formation is as declared. */
  async whole(withinMs = 60_000): Promise<void> {
    await this.fleet.whole({ alive: this.setting.nodes, withinMs });
  }

  /** Resolves once no vote is about to move to another zone: that would be taken for a consequence of the fault. */
  async #spread(withinMs = 60_000): Promise<void> {
    await until("votes in as many zones as can be", withinMs, async () => {
      const { status } = await this.fleet.leader();
      const votes = new Map(status.members.map(({ zone }) => [zone, 0]));
      for (const { zone, replica } of status.members)
        if (replica === "voter") votes.set(zone, (votes.get(zone) ?? 0) + 1);
      return Math.max(...votes.values()) - Math.min(...votes.values()) < 2 || undefined;
    });
    await this.whole(withinMs);
  }

  /** Who leads, who votes beside it, and who does not, as the leader says. */
  async cast(): Promise<{
    readonly leader: Daemon;
    readonly voters: readonly Daemon[];
    readonly others: readonly Daemon[];
  }> {
    const { daemon: leader, status } = await this.fleet.leader();
    const voting = new Set<string>(status.consensus.voters);
    const rest = this.fleet.daemons.filter((daemon) => daemon !== leader);
    return {
      leader,
      voters: rest.filter(({ id }) => voting.has(id)),
      others: rest.filter(({ id }) => !voting.has(id)),
    };
  }

  /** Cuts these groups off from each other; within a group all is well. */
  cut(...groups: readonly (readonly Daemon[])[]): void {
    const sides = groups.map((group) => group.map((daemon) => this.index(daemon)));
    this.note(`cut: ${groups.map((group) => group.map((each) => this.name(each)).join(" ")).join(" | ")}`);
    this.network.drop(
      sides.flatMap((side) => {
        const beyond = sides.filter((other) => other !== side).flat();
        return side.map((to) => ({ to, from: beyond }));
      }),
    );
  }

  heal(): void {
    this.note("the network is whole");
    this.network.drop([]);
  }

  /** Waits until callers of a daemon's side get an acknowledgement again. */
  async writesGoOn(withinMs = 30_000): Promise<void> {
    const before = this.ledger.acknowledged;
    await until("an acknowledged operation", withinMs, async () => this.ledger.acknowledged > before || undefined);
  }

  async blocks(): Promise<readonly Block[]> {
    const { daemon } = await this.fleet.leader();
    return (await daemon.ask((client) => client.chainShow())).blocks;
  }

  /**
   * What is wrong at the end; nothing where all is well. Everybody must be there again, the formation as declared, every
   * acknowledged write present, the history linearizable, all replicas equal, the chain valid from its bytes alone, nobody taken for
   * dead whom the design protects.
   */
  async judge(expected: Expectation): Promise<readonly string[]> {
    const findings = [...(expected.findings ?? [])];
    const attempt = async (what: () => Promise<readonly string[]>): Promise<void> => {
      try {
        findings.push(...(await what()));
      } catch (error) {
        findings.push(error instanceof Error ? error.message : String(error));
      }
    };
    await attempt(async () => {
      await this.whole();
      await this.writesGoOn();
      return [];
    });
    this.note("as declared");
    await this.ledger.stop();
    this.timeline.stop();
    await attempt(() => this.#unhealthy());
    await attempt(async () => this.ledger.judge((await this.fleet.leader()).daemon));
    await attempt(() => this.#unequal());
    await attempt(() => this.#chain(expected));
    findings.push(...falseDeaths(this.timeline.changes, expected));
    return findings;
  }

  async #unhealthy(): Promise<readonly string[]> {
    const reports = await Promise.all(
      this.fleet.daemons.map(async (daemon) => {
        const { ok, condition, broken } = await daemon.ask((client) => client.health());
        const why = broken === undefined ? condition : `${broken.name}: ${broken.message}`;
        return ok && condition === "healthy" ? [] : [`${this.name(daemon)} is not healthy: ${why}`];
      }),
    );
    return reports.flat();
  }

  /** State hashes compare at one index only: asks until all replicas stand at the same. */
  async #unequal(): Promise<readonly string[]> {
    const { status } = await this.fleet.leader();
    const holding = new Set<string>(status.members.filter(({ replica }) => replica !== "none").map(({ id }) => id));
    const replicas = this.fleet.daemons.filter(({ id }) => holding.has(id));
    return until("replicas at one index", 30_000, async () => {
      const states = await Promise.all(replicas.map((daemon) => daemon.ask((client) => client.stateHash())));
      const [first] = states;
      if (first === undefined || states.some(({ appliedIndex }) => appliedIndex !== first.appliedIndex))
        return undefined;
      return states.every(({ hash }) => hash === first.hash) ? [] : [`replicas differ at index ${first.appliedIndex}`];
    });
  }

  async #chain({ mayDie, noShift }: Expectation): Promise<readonly string[]> {
    const { daemon, status } = await this.fleet.leader();
    const nameOf = (id: string): string => this.timeline.nameOfId(id);
    const blocks = (await this.blocks()).slice(this.#formedHeight);
    const file = join(this.#directory, "cluster.chain");
    await writeFile(file, await daemon.ask((client) => client.chainExport()));
    const refusal = await refusalOf(file, status.cluster);
    const mayBeEvicted = (subject: string): boolean =>
      this.fleet.daemons.some((observer) => this.name(observer) !== subject && mayDie(this.name(observer), subject));
    const evicted = evictedSince(blocks, 0).map(nameOf);
    // Where clocks are told, times of blocks say nothing about time.
    const isTimed = this.setting.clocks === undefined;
    for (const block of blocks) this.timeline.note(describeBlock(block, nameOf), isTimed ? block.timeMs : undefined);
    return [
      ...(refusal === undefined ? [] : [`the chain does not verify: ${refusal}`]),
      ...evicted.filter((name) => !mayBeEvicted(name)).map((name) => `${name} was evicted, and the design protects it`),
      ...(noShift === true && blocks.length > 0 ? [`${blocks.length} shifts where there should be none`] : []),
      ...(isTimed ? hastyShifts(blocks, dampingMs, nameOf) : []),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.timeline.stop();
    const ended = this.ledger.stop();
    // Daemons that stand still would keep their callers waiting: they go first.
    await this.#cleanup.disposeAsync();
    await ended;
  }
}

function everyNode<T>({ nodes }: Setting, make: (index: number) => T): readonly T[] {
  return Array.from({ length: nodes }, (_, index) => make(index));
}

async function slowLinks(
  { nodes }: Setting,
  delay: Delay,
  { network, random }: { readonly network: Network; readonly random: () => number },
): Promise<readonly SlowLink[]> {
  const links: SlowLink[] = [];
  for (let index = 0; index < nodes; index += 1)
    links.push(await SlowLink.open(network.here, network.addressOf(index), { delay, random }));
  return links;
}

/** Who was taken for dead although the design protects it, and who was not although it was away. */
export function falseDeaths(changes: readonly Change[], { mayDie, mustDie = [] }: Expectation): readonly string[] {
  const deaths = changes.filter(({ aspect, to }) => aspect === "liveness" && to === "dead");
  const wrong = deaths
    .filter(({ observer, subject }) => !mayDie(observer, subject))
    .map(({ observer, subject, atMs }) => `${observer} took ${subject} for dead at ${(atMs / 1000).toFixed(1)} s`);
  const missed = mustDie.filter((name) => !deaths.some(({ subject }) => subject === name));
  return [...wrong, ...missed.map((name) => `nobody noticed that ${name} was away`)];
}

/** Verifies a chain as an operator would, by the command line alone. Undefined where it verifies. */
function refusalOf(file: string, cluster: string): Promise<string | undefined> {
  const args = [...process.execArgv, entry, "chain", "verify", file, "--cluster", cluster];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: chainVerifyTimeoutMs }, (error, out, err) => {
      resolve(error === null ? undefined : `${out}${err}`.trim());
    });
  });
}
