import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { NodeId, ReplicaId } from "@revoada/fabric";
import { pause } from "../host.ts";
import { TemporaryDirectory } from "../leftovers.ts";
import type { LoadOptions, LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";
import type { Member, Program } from "../turns.ts";
import type { GroupTiming, Order, ReplicaStatus } from "./orders.ts";

const script = new URL("./replica.ts", import.meta.url);
/** How long anything of a group may take before the run is given up. */
const patienceMs = 60_000;
const maxFormAttempts = 10;

/** One of three: its process, which is replaced where it is restarted, and what stays of it. */
export interface GroupMember {
  readonly seed: Uint8Array;
  readonly path: string;
  worker: Worker;
  id: NodeId;
  addresses: readonly string[];
}

/** What a restart took, from the moment that the process had loaded its code. */
export interface Restart {
  /** Until the log was open: read, and checked. */
  readonly openMs: number;
  /** Until everything that the leader had committed at its end had been applied. */
  readonly appliedMs: number;
}

/** Three processes of `@revoada/consensus-raft`, over TLS, with fsync. */
export class RaftGroup implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #timing: GroupTiming;
  readonly #profile: readonly string[];
  readonly members: GroupMember[] = [];

  static async open(timing: GroupTiming, nodeArguments: readonly string[] = []): Promise<RaftGroup> {
    const group = new RaftGroup(timing, nodeArguments);
    try {
      await group.#found();
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
    return group;
  }

  private constructor(timing: GroupTiming, nodeArguments: readonly string[]) {
    this.#directory = new TemporaryDirectory("raft");
    this.#timing = timing;
    this.#profile = nodeArguments;
  }

  async #found(): Promise<void> {
    for (let index = 0; index < 3; index += 1) {
      const path = join(this.#directory.path, `node-${index}`);
      mkdirSync(path);
      const seed = new Uint8Array(32).fill(index + 1);
      this.members.push({ seed, path, worker: new Worker(script, this.#profile), id: "" as NodeId, addresses: [] });
    }
    await Promise.all(this.members.map((member) => this.#listen(member)));
    const started = await Promise.all(this.members.map((member, index) => this.#start(member, index === 0)));
    await this.#grow(started.map(({ replica }) => replica));
    await this.whole();
  }

  /** On a busy host the leader may lose its place over it: whoever leads then is asked again. */
  async #grow(replicas: readonly ReplicaId[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const leader = await this.leader();
      if (((await ask(leader, { type: "status" })) as ReplicaStatus).voters === replicas.length) return;
      try {
        await ask(leader, { type: "grow", replicas });
        return;
      } catch (error) {
        if (attempt === maxFormAttempts) throw error;
      }
    }
  }

  /** The same address again after a restart, so that the others find it. */
  async #listen(member: GroupMember): Promise<void> {
    const listen = member.addresses.length > 0 ? member.addresses : ["127.0.0.1:0"];
    const { id, addresses } = (await ask(member, { type: "open", path: member.path, seed: member.seed, listen })) as {
      readonly id: NodeId;
      readonly addresses: readonly string[];
    };
    member.id = id;
    member.addresses = addresses;
  }

  async #start(
    member: GroupMember,
    founding: boolean,
  ): Promise<{ readonly replica: ReplicaId; readonly openMs: number }> {
    const peers = this.members.map(({ id, addresses }) => [id, addresses] as const);
    return (await ask(member, { type: "start", founding, peers, timing: this.#timing })) as {
      readonly replica: ReplicaId;
      readonly openMs: number;
    };
  }

  /** The member that leads, once one does. */
  async leader(): Promise<GroupMember> {
    return (await this.#statuses((statuses) => statuses.some(({ status }) => status.role === "leader"))).leader;
  }

  /** Resolves once all members follow one leader and have applied what it has committed. */
  async whole(): Promise<{ readonly leader: GroupMember; readonly followers: readonly GroupMember[] }> {
    const { leader } = await this.#statuses((statuses) => {
      const leading = statuses.find(({ status }) => status.role === "leader");
      const { id } = leading?.member ?? {};
      const { commitIndex = 0 } = leading?.status ?? {};
      return (
        statuses.length === this.members.length &&
        statuses.every(({ status }) => status.leader === id && status.appliedIndex >= commitIndex)
      );
    });
    return { leader, followers: this.members.filter((member) => member !== leader) };
  }

  async #statuses(
    enough: (statuses: readonly { readonly member: GroupMember; readonly status: ReplicaStatus }[]) => boolean,
  ): Promise<{ readonly leader: GroupMember }> {
    const untilMs = performance.now() + patienceMs;
    while (performance.now() < untilMs) {
      const alive = this.members.filter(({ worker }) => worker.isAlive);
      const statuses = await Promise.all(
        alive.map(async (member) => ({ member, status: (await ask(member, { type: "status" })) as ReplicaStatus })),
      );
      // Of two that believe to lead, the one in the later term does.
      statuses.sort((a, b) => b.status.term - a.status.term);
      const leader = statuses.find(({ status }) => status.role === "leader")?.member;
      if (leader !== undefined && enough(statuses)) return { leader };
      await pause(10);
    }
    throw new Error(`the group was not whole within ${patienceMs} ms`);
  }

  /** Starts a member again that was killed. */
  async restart(member: GroupMember): Promise<Restart> {
    const leader = await this.leader();
    const { commitIndex } = (await ask(leader, { type: "status" })) as ReplicaStatus;
    member.worker = new Worker(script, this.#profile);
    await this.#listen(member);
    const { openMs } = await this.#start(member, false);
    const appliedMs = (await ask(member, { type: "reached", index: commitIndex })) as number;
    return { openMs, appliedMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ worker }) => worker.kill()));
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Tells a member's process what to do. */
export function ask(member: GroupMember, order: Order): Promise<unknown> {
  return member.worker.ask(order);
}

/** Callers of a group, in the leader's process or in a follower's, writing or reading. */
export class RaftProgram implements Program {
  readonly name: string;
  readonly #group: RaftGroup;
  readonly #at: "leader" | "follower";
  readonly #reads: boolean;

  constructor(name: string, group: RaftGroup, at: "leader" | "follower", reads = false) {
    this.name = name;
    this.#group = group;
    this.#at = at;
    this.#reads = reads;
  }

  async members(): Promise<readonly Member[]> {
    const { leader, followers } = await this.#group.whole();
    return [leader, ...followers].map(({ worker }) => worker);
  }

  async load(options: LoadOptions): Promise<LoadResult> {
    const { leader, followers } = await this.#group.whole();
    const caller = this.#at === "leader" ? leader : (followers[0] as GroupMember);
    return (await ask(caller, { type: "load", options, reads: this.#reads })) as LoadResult;
  }
}
