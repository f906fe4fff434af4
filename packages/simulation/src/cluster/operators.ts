import { isFabricError, type JoinToken, type LimitedRole, type NodeId } from "@revoada/fabric";
import type { SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { SimulatedNode } from "./node.ts";
import type { Totals } from "./totals.ts";

export interface OperatorsOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly totals: Totals;
  /** Who stands at which place. Where a machine is removed for ever, the one that replaces it is put here. */
  readonly nodes: SimulatedNode[];
  /** Another machine for a place. */
  readonly replace: (index: number) => SimulatedNode;
  readonly note: (node: string, event: string) => void;
  readonly restart: (node: SimulatedNode) => void;
  readonly onFailure: (error: unknown) => void;
}

/** How long an operator waits for one command, and before the next attempt. */
const commandTimeoutMs = 10_000;
const retryMs = 1_000;
/** How long a removed machine goes on as if nothing had happened, and starts once more. */
const ghostMs = 3_000;
const tokenLifeMs = 3_600_000;

/**
 * The people who run the cluster: they rotate keys, remove machines for ever and put new ones in their places, while everything breaks.
 * Whatever they are told did not work they do again, until it has.
 */
export class Operators {
  readonly #options: OperatorsOptions;
  /** Places where something is under way. */
  readonly #busy = new Set<number>();
  readonly #ghosts: SimulatedNode[] = [];

  constructor(options: OperatorsOptions) {
    this.#options = options;
  }

  /** True where nothing is under way. */
  isQuiet(): boolean {
    return this.#busy.size === 0;
  }

  /** Puts rotations, and removals where there is somebody to spare, down for the time of chaos. */
  schedule(chaosMs: number, options: { readonly mayRemove: (node: SimulatedNode) => boolean }): void {
    const { clock, random, nodes } = this.#options;
    const at = (share: number, work: () => void): void => void clock.schedule(chaosMs * share, work);
    for (let time = 0; time < 2; time += 1)
      at(0.1 + 0.4 * time + 0.2 * random.float(), () => this.#begin(random.pick(nodes), (node) => this.#rotate(node)));
    if (!nodes.some(options.mayRemove)) return;
    at(0.3 + 0.3 * random.float(), () => {
      const candidates = nodes.filter((node) => options.mayRemove(node) && !this.#busy.has(node.index));
      if (candidates.length > 0) this.#begin(random.pick(candidates), (node) => this.#remove(node));
    });
  }

  /** Machines that were removed are taken away. */
  clear(): void {
    for (const ghost of this.#ghosts) if (ghost.isUp()) ghost.crash("nothing-lost");
  }

  /** Makes a token on any node that answers. Undefined where none could. */
  async token(limitedTo?: LimitedRole): Promise<JoinToken | undefined> {
    const { random, nodes } = this.#options;
    const up = nodes.filter((node) => node.isUp());
    if (up.length === 0) return undefined;
    const node = random.pick(up);
    let token: JoinToken | undefined;
    await node.whileUp(
      async () => {
        const limit = limitedTo === undefined ? {} : { limitedTo };
        token = await node.cluster().createToken({ ttlMs: tokenLifeMs, uses: 2, ...limit });
      },
      () => undefined,
    );
    return token;
  }

  /** Lets a machine in, asking until somebody does. */
  async admit(node: SimulatedNode, limitedTo?: LimitedRole): Promise<void> {
    const { totals, note } = this.#options;
    while (!node.belongs) {
      const token = await this.token(limitedTo);
      try {
        if (token === undefined) throw new Error("no token");
        await node.join(token);
      } catch {
        // Nobody could decide, or the answer was lost: the same machine asks again, with another token.
        if (!node.belongs) node.crash("nothing-lost");
        await this.#pause();
      }
    }
    totals.newcomers += 1;
    note(node.id, "was let in");
  }

  #begin(node: SimulatedNode, work: (node: SimulatedNode) => Promise<void>): void {
    if (this.#busy.has(node.index)) return;
    this.#busy.add(node.index);
    work(node)
      .catch(this.#options.onFailure)
      .finally(() => this.#busy.delete(node.index));
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.schedule(retryMs, resolve));
  }

  async #rotate(node: SimulatedNode): Promise<void> {
    const { note, totals, restart } = this.#options;
    const before = node.id;
    note(before, "is to have another key");
    while (!(await this.#tryToRotate(node, before))) await this.#pause();
    if (node.id === before) return note(before, "keeps its key");
    totals.rotations += 1;
    note(node.id, `is the next key of ${before.slice(-8)}`);
    // Under its next key it is down until it is started.
    if (!node.isUp()) restart(node);
  }

  /** True where it is over: the node has another key, or was refused one. */
  async #tryToRotate(node: SimulatedNode, before: NodeId): Promise<boolean> {
    let isOver = false;
    if (node.isUp())
      await node.whileUp(
        async () => {
          isOver = await node.rotate({ timeoutMs: commandTimeoutMs });
        },
        // The process died: the next one goes on.
        () => undefined,
      );
    return isOver || node.id !== before;
  }

  async #remove(node: SimulatedNode): Promise<void> {
    const { note, totals, nodes, replace, restart } = this.#options;
    note(node.id, "is to be removed");
    while (!(await this.#tryToRemove(node))) await this.#pause();
    totals.removals += 1;
    note(node.id, "was removed for ever");
    this.#ghosts.push(node);
    const newcomer = replace(node.index);
    nodes[node.index] = newcomer;
    this.#options.clock.schedule(ghostMs, () => {
      if (node.isUp()) node.crash("nothing-lost");
      restart(node);
    });
    await this.admit(newcomer);
  }

  /** True where it is known that the node was removed. */
  async #tryToRemove(node: SimulatedNode): Promise<boolean> {
    const { nodes, random } = this.#options;
    const others = nodes.filter((other) => other !== node && other.isUp());
    if (others.length === 0) return false;
    const via = random.pick(others);
    let isOver = false;
    await via.whileUp(
      async () => {
        await via.cluster().remove(node.id, { timeoutMs: commandTimeoutMs });
        isOver = true;
      },
      (error) => {
        // By an earlier attempt whose answer was lost.
        if (isFabricError(error, "CLUSTER_UNKNOWN_NODE")) isOver = true;
      },
    );
    return isOver;
  }
}
