/** Whole clusters of cores under loss, duplication, reordering, slow disks, crashes and changes of voters, from seeds. */
import { describe, expect, test } from "vitest";
import type { NodeId } from "@revoada/fabric";
import type { Message } from "../src/core/types.ts";
import { configurationOf } from "../src/core/configuration.ts";
import { electionTimeoutMs, generation, lcg, replica, replicas, TestNode } from "./support/cluster.ts";

interface Flying {
  readonly message: Message;
  readonly atMs: number;
}

/** A cluster whose every choice comes from one seed, checked after each event. */
class Chaos {
  readonly random: () => number;
  readonly nodes: TestNode[] = [];
  /** How fast each node's clock runs: within what the margin of a lease allows for. */
  readonly #speeds = new Map<TestNode, number>();
  /** Nodes that stand still, and until when. */
  readonly #frozen = new Map<TestNode, number>();
  /** What was committed anywhere when a read was asked. */
  readonly #readFloors = new Map<number, number>();
  #maxCommit = 0;
  readonly #leased: boolean;
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed: string[] = [];
  readonly #lastTerm = new Map<NodeId, number>();
  readonly #voted = new Map<string, string>();
  readonly totals = {
    elections: 0,
    committed: 0,
    restarts: 0,
    changes: 0,
    truncations: 0,
    reads: 0,
    leaseReads: 0,
    freezes: 0,
    forgotten: 0,
  };
  #flying: Flying[] = [];
  #nowMs = 0;
  #proposals = 0;
  #generation = 1;
  #blocked = new Set<string>();
  chaotic = true;

  constructor(seed: number, size: number) {
    this.random = lcg(seed);
    this.#leased = seed % 3 !== 0;
    for (let skip = 0; skip < 5; skip += 1) this.random();
    const configuration = configurationOf(replicas(...Array.from({ length: size }, (_, at) => at + 1)));
    for (let n = 1; n <= size + 2; n += 1) {
      const random = lcg(seed * 31 + n * 977);
      const options = n <= size ? { configuration, random } : { random };
      const node = new TestNode(n, {
        ...options,
        limits: { maxMessageBytes: 100, maxInFlightMessages: 4, storageStallMs: 10_000 },
        ...(this.#leased ? { leaseReads: { marginMs: electionTimeoutMs / 10 } } : {}),
      });
      this.nodes.push(node);
      this.#speeds.set(node, 0.96 + (this.random() * 8) / 100);
    }
  }

  /** Its clock goes on while a node stands still, and its events wait. */
  #runs(node: TestNode): boolean {
    node.nowMs = this.#nowMs * (this.#speeds.get(node) ?? 1);
    return (this.#frozen.get(node) ?? 0) <= this.#nowMs;
  }

  #pick<V>(list: readonly V[]): V {
    return list[Math.floor(this.random() * list.length)]!;
  }

  #collect(): void {
    for (const node of this.nodes) {
      for (const message of node.takeSent()) {
        this.#checkSent(node, message);
        const lost = this.chaotic && (this.random() < 0.1 || this.#blocked.has(`${message.from}>${message.to}`));
        if (lost) continue;
        const copies = this.chaotic && this.random() < 0.05 ? 2 : 1;
        for (let copy = 0; copy < copies; copy += 1) {
          this.#flying.push({ message, atMs: this.#nowMs + 1 + this.random() * (this.chaotic ? 60 : 5) });
        }
      }
    }
  }

  step(): void {
    this.#nowMs += 5;
    const running = this.nodes.filter((node) => this.#runs(node));
    const arrived = ({ message, atMs }: Flying): boolean =>
      atMs <= this.#nowMs && running.some((node) => node.id === message.to);
    const due = this.#flying.filter(arrived).toSorted((left, right) => left.atMs - right.atMs);
    this.#flying = this.#flying.filter((each) => !arrived(each));
    // Whoever stood still may be asked before it finds out.
    for (const node of running) if (node.core.isLeader && this.random() < 0.3) this.#read(node);
    for (const { message } of due) {
      const node = this.nodes.find((each) => each.id === message.to)!;
      node.step({ type: "message", message });
      this.#check(node);
    }
    for (const node of running) {
      node.step({ type: "tick" });
      if (node.pendingWrites.length > 0 && (!this.chaotic || this.random() < 0.4))
        node.completeWrites(this.chaotic ? 1 + Math.floor(this.random() * 3) : Infinity);
      this.#check(node);
    }
    if (this.chaotic) this.#disturb();
    this.#collect();
  }

  #disturb(): void {
    const node = this.#pick(this.nodes);
    const dice = this.random();
    if (dice < 0.3) this.propose();
    else if (dice < 0.31) this.#restart(node);
    else if (dice < 0.33) this.#change();
    else if (dice < 0.36)
      this.#blocked = new Set([`${node.id}>${this.#pick(this.nodes).id}`, `${this.#pick(this.nodes).id}>${node.id}`]);
    else if (dice < 0.37) this.#isolate(node);
    else if (dice < 0.4) this.#blocked.clear();
    else if (dice < 0.445) node.step({ type: "transfer", id: 7_000, to: this.#pick(this.nodes).id });
    else if (dice < 0.455) this.#freeze(this.leader() ?? node);
    else if (dice < 0.457) this.#forget(node);
    else if (dice < 0.46) node.step({ type: this.random() < 0.5 ? "stalled" : "clock-jumped" });
    this.#check(node);
  }

  #freeze(node: TestNode): void {
    this.totals.freezes += 1;
    this.#frozen.set(node, this.#nowMs + this.random() * 4 * electionTimeoutMs);
  }

  #forget(node: TestNode): void {
    if (node.core.leader !== undefined) this.totals.forgotten += 1;
    node.step({ type: "forget-leader" });
  }

  #read(node: TestNode): void {
    const id = 1_000_000 + this.#readFloors.size;
    this.#readFloors.set(id, this.#maxCommit);
    const held = node.core.holdsLease(node.nowMs);
    node.step({ type: "read", id });
    if (held) this.totals.leaseReads += 1;
    this.#check(node);
  }

  #isolate(node: TestNode): void {
    this.#blocked = new Set(this.nodes.flatMap((other) => [`${node.id}>${other.id}`, `${other.id}>${node.id}`]));
  }

  #restart(node: TestNode): void {
    this.totals.restarts += 1;
    node.restart();
    node.step({ type: "start" });
  }

  propose(): boolean {
    const leader = this.leader();
    if (leader === undefined) return false;
    this.#proposals += 1;
    leader.step({ type: "propose", id: this.#proposals, payloads: [new TextEncoder().encode(`p${this.#proposals}`)] });
    return true;
  }

  /** Three or five of the nodes, the others learners. */
  #change(): void {
    const leader = this.leader();
    if (leader === undefined) return;
    const numbers = this.nodes.map((node) => node.number).toSorted(() => this.random() - 0.5);
    const voters = numbers.slice(0, this.random() < 0.5 ? 3 : 5).map((n) => replica(n));
    this.#generation += 1;
    leader.step({
      type: "change",
      id: 9_000,
      voters,
      learners: numbers.slice(voters.length).map((n) => replica(n)),
      generation: generation(this.#generation),
    });
  }

  leader(): TestNode | undefined {
    return this.nodes
      .filter((node) => node.core.isLeader)
      .toSorted((left, right) => right.core.term - left.core.term)[0];
  }

  /** Election safety, one vote per term, state-machine safety, monotonic terms, nothing applied before it is durable. */
  #check(node: TestNode): void {
    const { core } = node;
    for (const effect of node.effects) {
      if (effect.type === "change-done") this.totals.changes += 1;
      if (effect.type === "read-ready") this.#checkRead(effect.ids, effect.index);
      if (effect.type === "committed") this.#maxCommit = Math.max(this.#maxCommit, effect.index);
      if (effect.type === "persist" && effect.truncateFrom !== undefined) this.totals.truncations += 1;
    }
    node.effects = [];
    if (core.isLeader) {
      const other = this.#leaders.get(core.term);
      if (other !== undefined && other !== node.id) throw new Error(`two leaders in term ${core.term}`);
      if (other === undefined) {
        this.totals.elections += 1;
        this.#checkComplete(node);
      }
      this.#leaders.set(core.term, node.id);
    }
    if (core.term < (this.#lastTerm.get(node.id) ?? 0) && node.pendingWrites.length === 0)
      throw new Error("a term went back");
    for (const each of node.applied) {
      const text = `${each.term}:${each.kind}:${new TextDecoder().decode(each.payload)}`;
      const known = this.#committed[each.index];
      if (known !== undefined && known !== text) throw new Error(`index ${each.index}: ${known} and ${text}`);
      if (known === undefined) this.totals.committed += 1;
      this.#committed[each.index] = text;
      const stored = node.stored.entries[each.index - 1];
      if (stored?.term !== each.term) throw new Error(`index ${each.index} was applied before it was durable`);
    }
    node.applied = [];
  }

  /** A read sees all that was committed anywhere when it was asked. */
  #checkRead(ids: readonly number[], index: number): void {
    this.totals.reads += ids.length;
    for (const id of ids) {
      const floor = this.#readFloors.get(id) ?? 0;
      if (index < floor) throw new Error(`a read was answered at ${index} although ${floor} had committed`);
    }
  }

  /** Leader completeness: what was applied anywhere in an earlier term is in the log of every later leader. */
  #checkComplete(node: TestNode): void {
    this.#committed.forEach((text, index) => {
      const term = Number(text.slice(0, text.indexOf(":")));
      if (term < node.core.term && node.core.termAt(index) !== term)
        throw new Error(`leader of ${node.core.term} lacks ${index}/${term}`);
    });
  }

  /** What leaves a node: one vote per term, and no term that is not durable there. */
  #checkSent(node: TestNode, message: Message): void {
    const isVote = message.type === "vote-request" || message.type === "vote-response";
    if (isVote && message.pre) return;
    if (node.stored.term < message.term)
      throw new Error(`term ${message.term} left ${node.number} before it was durable`);
    if (message.type !== "vote-response" || !message.granted) return;
    const key = `${node.id}@${message.term}`;
    const before = this.#voted.get(key);
    if (before !== undefined && before !== message.to) throw new Error(`${node.number} voted twice in ${message.term}`);
    this.#voted.set(key, message.to);
  }

  describe(): string {
    return this.nodes
      .map(({ number, core }) => {
        const list = (members: readonly { readonly id: NodeId }[] = []): string =>
          members.map(({ id }) => Number(id)).join("");
        const { configuration } = core;
        return `${number}:${core.role}@${core.term} log ${core.lastIndex}/${core.lastTerm} voters ${list(configuration?.voters)}/${list(configuration?.outgoing)}`;
      })
      .join("; ");
  }

  heal(): void {
    this.chaotic = false;
    this.#blocked.clear();
    this.#frozen.clear();
    for (const node of this.nodes) node.holdWrites = false;
  }
}

/** More of them when asked: `REVOADA_CHAOS_SEEDS=2000`. */
const seeds = Number(process.env["REVOADA_CHAOS_SEEDS"] ?? 24);
const totals: Record<string, number> = {};

describe("chaos, then calm", () => {
  test.each(Array.from({ length: seeds }, (_, at) => at + 1))(
    "seed %i keeps every promise, and converges once it is calm",
    (seed) => {
      const chaos = new Chaos(seed, seed % 2 === 0 ? 3 : 5);
      for (const node of chaos.nodes) node.holdWrites = true;
      for (let step = 0; step < 1500; step += 1) chaos.step();
      chaos.heal();
      for (let step = 0; step < (40 * electionTimeoutMs) / 5; step += 1) chaos.step();
      const leader = chaos.leader();
      expect(leader, `a leader, among ${chaos.describe()}`).toBeDefined();
      expect(chaos.propose()).toBe(true);
      for (let step = 0; step < 100; step += 1) chaos.step();
      expect(leader!.core.commitIndex).toBe(leader!.core.lastIndex);
      expect(leader!.core.configuration!.outgoing).toBeUndefined();
      for (const { id } of leader!.core.configuration!.voters) {
        const voter = chaos.nodes.find((node) => node.id === id)!;
        expect(voter.core.commitIndex, `commit of ${voter.number}`).toBe(leader!.core.commitIndex);
        expect(voter.log()).toEqual(leader!.log());
      }
      for (const [name, value] of Object.entries(chaos.totals)) totals[name] = (totals[name] ?? 0) + value;
    },
  );

  test("the seeds were not idle", () => {
    for (const name of Object.keys(totals)) {
      expect(totals[name], name).toBeGreaterThan(20);
    }
  });
});
