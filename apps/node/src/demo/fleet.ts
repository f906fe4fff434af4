/**
 * Daemons as processes on loopback: for the demonstration, the benchmark and tests of real processes. Unstable.
 *
 * @packageDocumentation
 */
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { MemberStatusLine, NodeStatus } from "../daemon/status.ts";
import { DemonstrationError } from "./failure.ts";
import { Daemon, type DaemonHost } from "./process.ts";
import { until } from "./waiting.ts";

export interface FleetOptions {
  readonly directory: string;
  readonly size: number;
  readonly topology?: string;
  /** A strategy by name or file; homelab unless told. */
  readonly strategy?: string;
  /** How many masters, and as many voters, the topology and the strategy ask for; 3 unless told. */
  readonly masters?: number;
  readonly extraArguments?: readonly string[];
  /** Where each daemon runs, by its place in the fleet; on loopback unless told. */
  readonly hostOf?: (index: number) => DaemonHost;
}

export type { Daemon, DaemonHost } from "./process.ts";
export { until } from "./waiting.ts";
export { isDefiniteRefusal, readEntries, Writers, writtenNamespace } from "./writers.ts";

/** A status and the daemon that gave it. */
export interface Observed {
  readonly daemon: Daemon;
  readonly status: NodeStatus;
}

/** What a formation is waited for with. */
export interface ShapeOptions {
  /** How many members should be alive and in a role. */
  readonly alive: number;
  readonly withinMs?: number;
  /** Is not asked, because it is known not to answer. */
  readonly without?: Daemon;
}

/** How long starting and forming may take on a busy machine. */
const formWithinMs = 60_000;

/** Daemons on loopback that become one cluster: the first one founds it, the others join with its token. */
export class Fleet implements AsyncDisposable {
  readonly daemons: readonly Daemon[];
  readonly #options: FleetOptions;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.daemons = Array.from(
      { length: options.size },
      (_, index) =>
        new Daemon(`node-${index + 1}`, join(options.directory, `node-${index + 1}`), options.hostOf?.(index)),
    );
  }

  get founder(): Daemon {
    return this.daemons[0] as Daemon;
  }

  /** Starts everybody and resolves once each answers on its control socket. */
  async form(): Promise<void> {
    const { directory, topology = "cluster_3m_nw", strategy = "homelab" } = this.#options;
    await mkdir(directory, { recursive: true });
    this.founder.start([
      "--bootstrap",
      "--topology",
      topology,
      "--strategy",
      strategy,
      ...listening(this.founder),
      ...this.#standing(this.founder),
    ]);
    const token = this.founder.tokenFile();
    await this.#untilUp(this.founder, () => access(token).then(() => true));
    for (const [index, daemon] of this.daemons.entries()) {
      if (index > 0) daemon.start(["--join", token, ...listening(daemon), ...this.#standing(daemon)]);
    }
    await Promise.all(this.daemons.map((daemon) => this.#identify(daemon)));
  }

  /** Starts a daemon again from its data directory. */
  async restart(daemon: Daemon): Promise<void> {
    daemon.start(this.#standing(daemon));
    await this.#identify(daemon);
  }

  async restartAll(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => this.restart(daemon)));
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.stop()));
  }

  running(): readonly Daemon[] {
    return this.daemons.filter((daemon) => daemon.isRunning());
  }

  byId(id: string): Daemon {
    const daemon = this.daemons.find((candidate) => candidate.id === id);
    if (daemon === undefined) throw new DemonstrationError(`no daemon has the id ${id}`);
    return daemon;
  }

  /** The status of whoever leads in the highest term; `without` is not asked, because it is known not to answer. */
  async leader(options: { readonly withinMs?: number; readonly without?: Daemon } = {}): Promise<Observed> {
    const { withinMs = formWithinMs, without } = options;
    const asked = this.running().filter((daemon) => daemon !== without);
    return until("a leader", withinMs, async () => {
      const answers = await Promise.all(
        asked
          .filter((daemon) => daemon.isRunning())
          .map(async (daemon) => ({ daemon, status: await daemon.status().catch(() => undefined) })),
      );
      return answers
        .filter((answer): answer is Observed => answer.status?.consensus.role === "leader")
        .toSorted((a, b) => b.status.consensus.term - a.status.consensus.term)[0];
    });
  }

  /** Waits until the leader says that the formation is as declared: see {@link isWhole}. */
  async whole(options: ShapeOptions): Promise<Observed> {
    return this.#until(`a whole formation of ${options.alive}`, isWhole, options);
  }

  /** Waits until the leader says that every seat is taken: see {@link isManned}. */
  async manned(options: ShapeOptions): Promise<Observed> {
    return this.#until(`a manned formation of ${options.alive}`, isManned, options);
  }

  async #until(what: string, isThere: typeof isWhole, options: ShapeOptions): Promise<Observed> {
    const { alive, withinMs = formWithinMs, without } = options;
    return until(what, withinMs, async () => {
      const observed = await this.leader({ withinMs, ...(without === undefined ? {} : { without }) });
      return isThere(observed.status, alive, this.#options.masters) ? observed : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.kill()));
  }

  /** What a daemon is told at every start. */
  #standing(daemon: Daemon): readonly string[] {
    const extra = [...(this.#options.extraArguments ?? []), ...(daemon.host.extraArguments ?? [])];
    return ["--zone", `zone-${(this.daemons.indexOf(daemon) % 3) + 1}`, ...extra];
  }

  async #identify(daemon: Daemon): Promise<void> {
    await this.#untilUp(daemon, async () => {
      daemon.id = (await daemon.status()).id;
      return true;
    });
  }

  async #untilUp(daemon: Daemon, attempt: () => Promise<true>): Promise<void> {
    const ended = await until(daemon.name, formWithinMs, async () => {
      // A daemon that ended by itself will not come any more: say so at once instead of at the deadline.
      const failure = await daemon.failure();
      return failure ?? (await attempt());
    });
    if (ended instanceof DemonstrationError) throw ended;
  }
}

function listening({ host }: Daemon): readonly string[] {
  return ["--listen", host.listen ?? "127.0.0.1:0"];
}

function serves(member: MemberStatusLine): boolean {
  return member.state === "active" && member.status === "alive";
}

/**
 * So many living masters hold as many votes, in the formation and in the log's configuration, and everybody else who lives has a role.
 * The log's configuration follows a change of voters only once that is sealed; other blocks may still wait for their seal.
 */
export function isManned(status: NodeStatus, alive: number, wanted = 3): boolean {
  const masters = status.members.filter((member) => member.role === "master" && serves(member));
  const voters = status.members.filter((member) => member.replica === "voter");
  return (
    status.members.filter(serves).length === alive &&
    masters.length === wanted &&
    voters.length === wanted &&
    voters.every((voter) => masters.includes(voter) && status.consensus.voters.includes(voter.id)) &&
    status.consensus.voters.length === wanted &&
    !status.consensus.joint
  );
}

/** As declared for masters and workers: manned, and every block is sealed. */
export function isWhole(status: NodeStatus, alive: number, wanted = 3): boolean {
  return isManned(status, alive, wanted) && status.chain.sealedHeight === status.chain.height;
}
