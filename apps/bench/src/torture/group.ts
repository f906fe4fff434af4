import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ReplicaId } from "@revoada/fabric";
import { Member, RefusalError } from "./member.ts";
import type { Dump, Peers, ReplicaSettings } from "./orders.ts";
import { Watch } from "./watch.ts";

export interface GroupOptions {
  /** For log lines, and for the data unless `directories` says otherwise. Must exist. */
  readonly directory: string;
  readonly directories?: readonly string[];
  readonly settings?: Partial<ReplicaSettings>;
  readonly signal: AbortSignal;
  readonly execArgv?: readonly string[];
  /** How long anything may take that is waited for. */
  readonly withinMs?: number;
}

const size = 3;
const maxFormAttempts = 20;

const defaultSettings: ReplicaSettings = {
  electionTimeoutMs: 1000,
  snapshotIntervalEntries: 1000,
  segmentBytes: 512 * 1024,
  allocateBytes: 128 * 1024,
  payloadBytes: 64,
  keepsHistory: true,
};

/** Three replicas, each a process of its own, on loopback. */
export class Group implements AsyncDisposable {
  readonly watch: Watch = new Watch();
  readonly members: readonly Member[];
  readonly settings: ReplicaSettings;
  readonly #withinMs: number;
  readonly #signal: AbortSignal;
  #formed = false;

  constructor(options: GroupOptions) {
    const { directory, directories } = options;
    this.settings = { ...defaultSettings, ...options.settings };
    this.#withinMs = options.withinMs ?? 60_000;
    this.#signal = options.signal;
    this.members = Array.from({ length: size }, (_, index) => {
      const name = `node-${index + 1}`;
      const place = {
        directory: directories?.[index] ?? join(directory, name),
        logFile: join(directory, `${name}.log`),
        seed: new Uint8Array(32).fill(index + 1),
      };
      return new Member(name, place, this.watch, options.execArgv);
    });
  }

  /** Founds the group, and resolves once all three vote. */
  async form(): Promise<void> {
    await Promise.all(this.members.map(({ place }) => mkdir(place.directory, { recursive: true })));
    const replicas = await this.start(this.members);
    await this.#grow(replicas);
    this.#formed = true;
    await this.whole();
  }

  /** On a busy host the leader may lose its place over it: whoever leads then is asked again, which does no harm. */
  async #grow(replicas: readonly ReplicaId[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const leader = await this.until("a leader that forms the group", () => this.leader());
      if (leader.standing?.voters === size) return;
      try {
        return await leader.ask("grow", { replicas });
      } catch (error) {
        if (!(error instanceof RefusalError) || !error.code.startsWith("RAFT_") || attempt === maxFormAttempts)
          throw error;
      }
    }
  }

  /** Starts the processes of these members and their replicas. */
  async start(members: readonly Member[]): Promise<readonly ReplicaId[]> {
    await Promise.all(
      members.map(async (member) => {
        member.spawn();
        member.peers = (await member.ask("open", { place: member.place })).peers;
      }),
    );
    const peers: Peers = this.members.flatMap((member) => member.peers);
    const others = this.members.filter((member) => !members.includes(member) && member.isUp);
    await Promise.all(others.map((member) => member.ask("peers", { peers })));
    return Promise.all(
      members.map((member, index) =>
        member.ask("start", { founding: !this.#formed && index === 0, peers, settings: this.settings }),
      ),
    );
  }

  /** Resolves with the first answer; looks again whenever a member says something. Fails where a member gave up by itself. */
  until<T>(what: string, condition: () => T | undefined, withinMs: number = this.#withinMs): Promise<T> {
    const checked = (): T | undefined => {
      for (const member of this.members) member.check();
      return condition();
    };
    return this.watch.until(what, checked, { withinMs, signal: this.#signal, state: () => this.describe() });
  }

  get up(): readonly Member[] {
    return this.members.filter((member) => member.isUp);
  }

  /** Whoever leads in the highest term and has a majority behind it. */
  leader(): Member | undefined {
    const leaders = this.up.filter(({ standing }) => standing?.role === "leader" && standing.quorum);
    return leaders.toSorted((a, b) => (b.standing?.term ?? 0) - (a.standing?.term ?? 0))[0];
  }

  /** Waits until all three run and vote, and have applied what the leader had committed when this was called. */
  async whole(): Promise<Member> {
    const leader = await this.until("a leader", () => this.leader());
    const committed = leader.standing?.commitIndex ?? 0;
    return this.until("a whole group", () => (this.#isWhole(committed) ? this.leader() : undefined));
  }

  #isWhole(committed: number): boolean {
    const formed = this.members.every(({ standing }) => {
      if (standing === undefined || standing.storage !== "ok" || standing.appliedIndex < committed) return false;
      return standing.voters === size && !standing.joint && ["leader", "follower"].includes(standing.role);
    });
    return formed && this.leader() !== undefined;
  }

  /** Waits until nothing moves any more and all three have applied the same; only where nobody writes. */
  async settled(): Promise<readonly Dump[]> {
    await this.whole();
    await this.until("the same applied index everywhere", () => {
      const last = this.leader()?.standing?.lastIndex;
      return last !== undefined && this.members.every(({ standing }) => standing?.appliedIndex === last)
        ? true
        : undefined;
    });
    const dumps = await Promise.all(this.members.map((member) => member.ask("dump", {})));
    if (new Set(dumps.map((dump) => dump.appliedIndex)).size > 1) return this.settled();
    return dumps;
  }

  /** `kill -9` of these, all at once. */
  async kill(members: readonly Member[]): Promise<void> {
    await Promise.all(members.map((member) => member.kill()));
  }

  /** Stops all in order and starts them again. */
  async stopAndStart(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    await this.start(this.members);
  }

  describe(): string {
    return this.members
      .map(({ name, standing }) => {
        if (standing === undefined) return `${name} is down`;
        const { role, term, storage, commitIndex, appliedIndex, lastIndex } = standing;
        return `${name} ${role} in term ${term}, storage ${storage}, ${appliedIndex}/${commitIndex}/${lastIndex} applied/committed/last`;
      })
      .join("; ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill(this.members);
  }
}
