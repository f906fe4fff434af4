import type { Address, Clock, Logger, Membership, NodeId } from "@revoada/fabric";
import { loadPeers, savePeers } from "../data-directory/peers-file.ts";

/** News that comes together is written together; what was learnt is still soon safe from a power cut. */
const saveDelayMs = 200;

/** Where others were found, kept across restarts: a first guess for the next start, never more. */
export class PeerCache {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #peers: Map<NodeId, readonly Address[]>;
  #changed = false;
  #cancel: (() => void) | undefined;
  #saving: Promise<void> = Promise.resolve();

  private constructor(
    path: string,
    clock: Clock,
    logger: Logger,
    peers: Iterable<readonly [NodeId, readonly Address[]]>,
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#logger = logger;
    this.#peers = new Map(peers);
  }

  static async open(path: string, clock: Clock, logger: Logger): Promise<PeerCache> {
    return new PeerCache(path, clock, logger, await loadPeers(path));
  }

  entries(): ReadonlyMap<NodeId, readonly Address[]> {
    return this.#peers;
  }

  addressesOf(id: NodeId): readonly Address[] {
    return this.#peers.get(id) ?? [];
  }

  learn(id: NodeId, addresses: readonly Address[]): void {
    if (addresses.length === 0 || this.#peers.get(id)?.join(" ") === addresses.join(" ")) return;
    this.#peers.set(id, [...addresses]);
    this.#saveLater();
  }

  forget(id: NodeId): void {
    if (this.#peers.delete(id)) this.#saveLater();
  }

  /** Follows what gossip says until the signal aborts. */
  async follow(membership: Membership, signal: AbortSignal): Promise<void> {
    try {
      for await (const change of membership.changes({ signal })) {
        if (change.type === "snapshot")
          for (const member of change.view.members.values()) this.#learnOther(change.view.self, member);
        else if (change.type === "changed") this.#learnOther(membership.view().self, change.member);
        else this.forget(change.id);
      }
    } catch (error) {
      if (!signal.aborted) this.#logger.warn("peers are no longer remembered", { error: String(error) });
    }
  }

  /** Writes what has not been written. Best effort. */
  async save(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#saving;
    if (!this.#changed) return;
    this.#changed = false;
    this.#saving = savePeers(this.#path, this.#peers).catch((error: unknown) => {
      this.#logger.warn("the peers file could not be written", { error: String(error) });
    });
    await this.#saving;
  }

  #learnOther(self: NodeId, member: { readonly id: NodeId; readonly addresses: readonly Address[] }): void {
    if (member.id !== self) this.learn(member.id, member.addresses);
  }

  #saveLater(): void {
    this.#changed = true;
    this.#cancel ??= this.#clock.schedule(saveDelayMs, () => {
      this.#cancel = undefined;
      void this.save();
    });
  }
}
