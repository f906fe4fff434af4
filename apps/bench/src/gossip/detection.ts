import type { ClusterId, NodeId } from "@revoada/fabric";
import { hostMs, pause } from "../host.ts";
import { Worker } from "../processes.ts";
import type { Scope } from "../scope.ts";
import type { GossipOrder, Opened, Seen } from "./orders.ts";
import { measureSerf, type SerfFigures } from "./serf.ts";

/** Times in milliseconds, one for each time that it was done. */
export interface DetectionFigures {
  /** SIGKILL of one of five → the last of the other four knows it dead. */
  readonly killedMs: readonly number[];
  /** SIGSTOP → the last of the other four knows it dead. */
  readonly silentMs: readonly number[];
  /** SIGCONT of a member that was taken for dead → everybody knows it alive. */
  readonly backMs: readonly number[];
  /** A new value of a key → the last of the others has it. */
  readonly newsMs: readonly number[];
  /** At rest, each node: the share of a core, and what gossip sends. */
  readonly restCoreShare: number;
  readonly restBytesPerSecond: number;
  readonly serf?: SerfFigures;
}

const script = new URL("./member.ts", import.meta.url);
const size = 5;
const clusterId = "be".repeat(32) as ClusterId;

interface GossipMember {
  readonly seed: Uint8Array;
  worker: Worker;
  id: NodeId;
  addresses: readonly string[];
}

/** Five processes that gossip over TLS on loopback. */
class GossipGroup implements AsyncDisposable {
  readonly members: GossipMember[] = [];
  #generation = Math.floor(Date.now() / 1_000);

  static async open(): Promise<GossipGroup> {
    const group = new GossipGroup();
    try {
      for (let index = 0; index < size; index += 1) {
        const seed = new Uint8Array(32).fill(index + 101);
        const member = { seed, worker: new Worker(script), id: "" as NodeId, addresses: [] };
        group.members.push(member);
        await group.#listen(member);
      }
      for (const member of group.members) await group.#start(member);
      await group.whole();
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
    return group;
  }

  async #listen(member: GossipMember): Promise<void> {
    const listen = member.addresses.length > 0 ? member.addresses : ["127.0.0.1:0"];
    const { id, addresses } = (await ask(member, { type: "open", seed: member.seed, listen })) as Opened;
    member.id = id;
    member.addresses = addresses;
  }

  async #start(member: GossipMember): Promise<number> {
    this.#generation += 1;
    const peers = this.members.filter((each) => each !== member).map(({ id, addresses }) => [id, addresses] as const);
    await ask(member, { type: "start", clusterId, generation: this.#generation, peers });
    return this.#generation;
  }

  others(than: GossipMember): readonly GossipMember[] {
    return this.members.filter((member) => member !== than);
  }

  /** When the last of the others came to see it so. */
  async allSee(member: GossipMember, status: "alive" | "dead", generation = 0): Promise<readonly Seen[]> {
    return Promise.all(
      this.others(member).map(
        async (other) => (await ask(other, { type: "seen", member: member.id, status, generation })) as Seen,
      ),
    );
  }

  async whole(): Promise<void> {
    for (const member of this.members) await this.allSee(member, "alive");
  }

  async restart(member: GossipMember): Promise<void> {
    member.worker = new Worker(script);
    await this.#listen(member);
    await this.allSee(member, "alive", await this.#start(member));
    await this.whole();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ worker }) => worker.kill()));
  }
}

function ask(member: GossipMember, order: GossipOrder): Promise<unknown> {
  return member.worker.ask(order);
}

function last(seen: readonly Seen[], sinceMs: number, evidence?: Seen["evidence"]): number {
  const other = seen.find((each) => each.evidence !== evidence);
  if (other !== undefined) throw new Error(`known by evidence ${other.evidence} where ${evidence} was made`);
  return Math.max(...seen.map(({ atMs }) => atMs)) - sinceMs;
}

/** Not in step with rounds, so that the times differ. */
async function settle(): Promise<void> {
  await pause(400 + Math.random() * 200);
}

async function killOnce(group: GossipGroup, victim: GossipMember): Promise<number> {
  await settle();
  const known = group.allSee(victim, "dead");
  const killedMs = hostMs();
  await victim.worker.kill();
  const tookMs = last(await known, killedMs, "closed");
  await group.restart(victim);
  return tookMs;
}

async function silenceOnce(
  group: GossipGroup,
  victim: GossipMember,
): Promise<{ readonly silentMs: number; readonly backMs: number }> {
  await settle();
  const known = group.allSee(victim, "dead");
  const stoppedMs = hostMs();
  process.kill(victim.worker.pid, "SIGSTOP");
  const silentMs = last(await known, stoppedMs, "silent");
  const continuedMs = hostMs();
  process.kill(victim.worker.pid, "SIGCONT");
  const backMs = last(await group.allSee(victim, "alive"), continuedMs);
  await group.whole();
  return { silentMs, backMs };
}

async function tellOnce(group: GossipGroup, speaker: GossipMember, value: string): Promise<number> {
  await pause(Math.random() * 200);
  const heard = group
    .others(speaker)
    .map(async (other) => (await ask(other, { type: "heard", member: speaker.id, key: "news", value })) as Seen);
  const setMs = (await ask(speaker, { type: "set", key: "news", value })) as number;
  return last(await Promise.all(heard), setMs);
}

async function rest(
  group: GossipGroup,
  ms: number,
): Promise<Pick<DetectionFigures, "restCoreShare" | "restBytesPerSecond">> {
  const sent = async (): Promise<number> => {
    const all = await Promise.all(group.members.map(async (member) => (await ask(member, { type: "sent" })) as number));
    return all.reduce((sum, each) => sum + each, 0);
  };
  const cpu = (): number => group.members.reduce((sum, { worker }) => sum + worker.cpuSeconds, 0);
  await pause(2_000);
  const [bytesBefore, cpuBefore, beganMs] = [await sent(), cpu(), hostMs()];
  await pause(ms);
  const seconds = (hostMs() - beganMs) / 1_000;
  const per = size * seconds;
  return { restCoreShare: (cpu() - cpuBefore) / per, restBytesPerSecond: ((await sent()) - bytesBefore) / per };
}

function victimOf(group: GossipGroup, round: number): GossipMember {
  return group.members[round % size] as GossipMember;
}

function told(values: readonly number[]): string {
  return values.map((each) => Math.round(each)).join(", ");
}

/** Five real processes: losses of both kinds, news, and rest; with a `serf` on the path, three agents of it. */
export async function measureDetection({ quick, serf, say }: Scope): Promise<DetectionFigures> {
  const ours = await measureOurs(quick, say);
  if (serf === undefined) return ours;
  return { ...ours, serf: await measureSerf(serf, quick ? 1 : 5, say) };
}

async function measureOurs(quick: boolean, say: Scope["say"]): Promise<DetectionFigures> {
  await using group = await GossipGroup.open();
  const atRest = await rest(group, quick ? 2_000 : 10_000);
  say(`at rest: ${(atRest.restCoreShare * 100).toFixed(1)} % of a core, ${Math.round(atRest.restBytesPerSecond)} B/s`);
  const newsMs: number[] = [];
  for (let round = 0; round < (quick ? 5 : 50); round += 1)
    newsMs.push(await tellOnce(group, victimOf(group, round), String(round)));
  say(`ms until news is everywhere: ${told(newsMs)}`);
  const killedMs: number[] = [];
  for (let round = 0; round < (quick ? 3 : 20); round += 1)
    killedMs.push(await killOnce(group, victimOf(group, round)));
  say(`ms from kill to known dead everywhere: ${told(killedMs)}`);
  const silentMs: number[] = [];
  const backMs: number[] = [];
  for (let round = 0; round < (quick ? 1 : 5); round += 1) {
    const once = await silenceOnce(group, victimOf(group, round));
    silentMs.push(once.silentMs);
    backMs.push(once.backMs);
  }
  say(`ms from stop to known dead everywhere: ${told(silentMs)}; back after ${told(backMs)}`);
  return { killedMs, silentMs, backMs, newsMs, ...atRest };
}
