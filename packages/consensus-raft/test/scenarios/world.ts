import type { LogBase, NodeId } from "@revoada/fabric";
import type { Event, Message } from "../../src/core/types.ts";
import { nodeId, storeIdOf, TestNode, type NodeOptions } from "../support/cluster.ts";
import { messageText, traceText } from "./trace.ts";

/** Real cores, whose messages wait until they are delivered or lost on purpose. Says what happened, line by line. */
export class ScenarioWorld {
  readonly #nodes = new Map<number, TestNode>();
  #flying: Message[] = [];
  #lines: string[] = [];
  #cut = new Set<number>();

  takeLines(): readonly string[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  say(line: string): void {
    this.#lines.push(line);
  }

  add(n: number, options: NodeOptions): TestNode {
    const node = new TestNode(n, options);
    // Held writes and held applying show each of their steps; what completes at once goes without saying.
    node.onTrace = (item) => {
      if (item.kind !== "durable" || node.holdWrites) this.say(`${n}: ${traceText(node, item)}`);
    };
    this.#nodes.set(n, node);
    return node;
  }

  node(n: number): TestNode {
    const node = this.#nodes.get(n);
    if (node === undefined) throw new Error(`there is no node ${n}`);
    return node;
  }

  get numbers(): readonly number[] {
    return [...this.#nodes.keys()];
  }

  step(n: number, event: Event): void {
    this.node(n).step(event);
    this.#collect();
  }

  /** Does something with a node that may make it send. */
  act(n: number, work: (node: TestNode) => void): void {
    work(this.node(n));
    this.#collect();
  }

  #collect(): void {
    for (const node of this.#nodes.values()) this.#flying.push(...node.takeSent());
  }

  cut(numbers: readonly number[]): void {
    this.#cut = new Set(numbers);
  }

  /** Takes the messages that `matches` from what is under way. */
  #take(matches: (message: Message) => boolean): readonly Message[] {
    const taken = this.#flying.filter(matches);
    this.#flying = this.#flying.filter((message) => !taken.includes(message));
    return taken;
  }

  drop(matches: (message: Message) => boolean): void {
    for (const message of this.#take(matches)) this.say(`lost ${messageText(message)}`);
  }

  /** Delivers what is under way now and matches, but nothing that follows from it. True where there was something. */
  deliver(matches: (message: Message) => boolean): boolean {
    const batch = this.#take(matches);
    for (const message of batch) this.#receive(message);
    return batch.length > 0;
  }

  #receive(message: Message): void {
    const [from, to] = [message.from, message.to].map((id: NodeId) => Number.parseInt(id, 16)) as [number, number];
    const node = this.#nodes.get(to);
    if (node === undefined || this.#cut.has(from) !== this.#cut.has(to))
      return this.say(`lost ${messageText(message)}`);
    this.say(`${to}: gets ${messageText(message)}`);
    this.step(to, { type: "message", message });
  }

  /** Delivers to these nodes, and completes what is held there, until nothing is left to be done. */
  stabilize(numbers: readonly number[]): void {
    const ids = new Set(numbers.map(nodeId));
    for (let round = 0; round < 100; round += 1) {
      const wrote = numbers.filter((n) => this.#nodes.has(n)).some((n) => this.complete(n));
      if (!this.deliver((message) => ids.has(message.to)) && !wrote) return;
    }
    throw new Error("the nodes do not come to rest");
  }

  /** Completes held writes and held applying of one node. True where there was something. */
  complete(n: number): boolean {
    const node = this.node(n);
    const held = node.pendingWrites.length > 0 || node.pendingApply !== undefined;
    this.act(n, () => {
      node.completeWrites();
      node.completeApply();
    });
    return held;
  }

  /** The stream of a snapshot arrived as a whole: the sender's applied state. */
  receiveSnapshot(from: number, to: number): void {
    const sender = this.node(from).core;
    const index = sender.appliedIndex;
    const configuration = sender.configurationAt(index);
    const base = { index, term: sender.termAt(index), ...(configuration && { configuration }) } as LogBase;
    this.say(`${to}: gets the snapshot of ${from} at ${base.index}/${base.term}`);
    const { term } = sender;
    this.step(to, { type: "snapshot-received", from: nodeId(from), fromStore: storeIdOf(from), term, base });
  }
}
