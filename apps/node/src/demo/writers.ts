import { isFabricError } from "@revoada/fabric";
import type { Daemon } from "./process.ts";
import { pause } from "./waiting.ts";

/** Refusals that say for certain that nothing was written and nothing will be. */
const definite = [
  "RAFT_NOT_LEADER",
  "RAFT_NO_QUORUM",
  "RAFT_BACKPRESSURE",
  "RAFT_TOO_LARGE",
  "RAFT_STOPPED",
  "CATALOG_READ_ONLY",
  "FACE_NOT_RUNNING",
  "CONTROL_UNREACHABLE",
  "NODE_UNREACHABLE",
];

/** True where an error says for certain that nothing was written and nothing will be. */
export function isDefiniteRefusal(error: unknown): boolean {
  return isFabricError(error, ...definite);
}

/** A write that was acknowledged. */
export interface Acknowledged {
  readonly name: string;
  readonly value: string;
  readonly revision: number;
}

const encoder = new TextEncoder();
/** Where every entry is written. */
export const writtenNamespace = "log-book";

/** Writers in closed loops; every write is of a resource of its own, so that each can be accounted for afterwards. */
export class Writers {
  readonly acknowledged: Acknowledged[] = [];
  readonly unknown: string[] = [];
  refused = 0;
  readonly #daemons: readonly Daemon[];
  readonly #running: Promise<void>[] = [];
  readonly #waitingForWrite: ((atMs: number) => void)[] = [];
  #stopped = false;
  #next = 0;

  constructor(daemons: readonly Daemon[]) {
    this.#daemons = daemons;
  }

  start(count: number): void {
    for (let writer = 0; writer < count; writer += 1) this.#running.push(this.#write(writer));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** When the next write that *begins* after this call is acknowledged, on the monotonic clock. */
  nextAcknowledged(): Promise<number> {
    return new Promise((resolve) => {
      this.#waitingForWrite.push(resolve);
    });
  }

  async #write(writer: number): Promise<void> {
    for (let turn = 0; !this.#stopped; turn += 1) {
      const daemon = this.#daemons[(writer + turn) % this.#daemons.length] as Daemon;
      if (!daemon.isRunning()) {
        await pause(1);
        continue;
      }
      const name = `entry-${(this.#next += 1)}`;
      const waiting = [...this.#waitingForWrite];
      try {
        const value = `written by writer ${writer} on ${daemon.name}`;
        const revision = await apply(daemon, name, value);
        this.acknowledged.push({ name, value, revision });
        const atMs = performance.now();
        for (const resolve of waiting) resolve(atMs);
        this.#waitingForWrite.splice(
          0,
          this.#waitingForWrite.length,
          ...this.#waitingForWrite.filter((one) => !waiting.includes(one)),
        );
      } catch (error) {
        if (isDefiniteRefusal(error)) this.refused += 1;
        else this.unknown.push(name);
        await pause(2);
      }
    }
  }
}

async function apply(daemon: Daemon, name: string, value: string): Promise<number> {
  const body = encoder.encode(
    JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: writtenNamespace },
      data: { value },
    }),
  );
  const [applied] = await daemon.ask((client) => client.face.apply({ format: "json", body, source: name }));
  return applied?.revision ?? 0;
}

/** Reads back every entry that a daemon's replica holds: name → value. Linearizable: the daemon first catches up. */
export async function readEntries(daemon: Daemon): Promise<ReadonlyMap<string, string>> {
  const entries = new Map<string, string>();
  const decoder = new TextDecoder();
  let next: string | undefined;
  do {
    const page = await daemon.ask((client) =>
      client.face.list(
        { kind: "ConfigMap", namespace: writtenNamespace },
        { format: "json", limit: 500, ...(next === undefined ? {} : { next }) },
      ),
    );
    for (const item of page.items) {
      const document = JSON.parse(decoder.decode(item.body)) as { readonly data: { readonly value: string } };
      entries.set(item.ref.name, document.data.value);
    }
    next = page.next;
  } while (next !== undefined);
  return entries;
}
