import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { NodeId, ReplicaId } from "@revoada/fabric";
import { TemporaryDirectory } from "../leftovers.ts";
import { Worker } from "../processes.ts";
import type { Scope } from "../scope.ts";
import type { Order, Phase, StoreKind } from "./replica.ts";

/** The phases that two replicas went through while one got the other's state. */
export interface SnapshotFigures {
  readonly store: StoreKind;
  readonly keys: number;
  /** Nobody does anything: what the machine's own noise comes to. */
  readonly idle: Phase;
  /** The leader makes its state durable: a file, or a flush of the store. */
  readonly saved: Phase;
  /** The leader takes a snapshot and streams it. */
  readonly sent: Phase;
  readonly received: Phase;
  readonly installed: Phase;
  readonly terms: number;
}

const keysPerOrder = 50_000;
const script = new URL("./replica.ts", import.meta.url);

function phaseOf(phases: readonly Phase[], name: string): Phase {
  const found = phases.find((phase) => phase.name === name);
  if (found === undefined) throw new Error(`the phase ${name} was not seen`);
  return found;
}

async function until(condition: () => Promise<boolean>, withinMs: number): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`it did not come about within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function measure(store: StoreKind, keys: number): Promise<SnapshotFigures> {
  await using directory = new TemporaryDirectory("snapshot");
  await using stack = new AsyncDisposableStack();
  const workers = [0, 1].map(() => stack.use(new Worker(script)));
  const tell = (at: number, order: Order): Promise<unknown> => (workers[at] as Worker).ask(order);
  const peers: (readonly [NodeId, readonly string[]])[] = [];
  for (const at of [0, 1]) {
    const path = join(directory.path, `node-${at}`);
    await mkdir(path);
    const opened = await tell(at, { type: "open", path, seed: new Uint8Array(32).fill(at + 1), store });
    const { id, addresses } = opened as { readonly id: NodeId; readonly addresses: readonly string[] };
    peers.push([id, addresses]);
  }
  // In portions: an order is answered within a bounded time, however busy the host is.
  for (let from = 0; from < keys; from += keysPerOrder)
    await tell(0, { type: "fill", from, to: Math.min(keys, from + keysPerOrder) });
  const first = (await tell(0, { type: "start", founding: true, peers })) as ReplicaId;
  await until(async () => ((await tell(0, { type: "status" })) as { role: string }).role === "leader", 60_000);
  await tell(0, { type: "phase", name: "idle" });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await tell(0, { type: "phase", name: "saved" });
  await tell(0, { type: "compact" });
  const second = (await tell(1, { type: "start", founding: false, peers })) as ReplicaId;
  await tell(0, { type: "load", on: true });
  await tell(1, { type: "phase", name: "receive" });
  await tell(0, { type: "phase", name: "sent" });
  await tell(0, { type: "grow", replicas: [first, second] });
  const target = ((await tell(0, { type: "status" })) as { appliedIndex: number }).appliedIndex;
  await until(
    async () => ((await tell(1, { type: "status" })) as { appliedIndex: number }).appliedIndex >= target,
    600_000,
  );
  const leader = (await tell(0, { type: "phases" })) as readonly Phase[];
  await tell(0, { type: "load", on: false });
  const follower = (await tell(1, { type: "phases" })) as readonly Phase[];
  const idle = phaseOf(leader, "idle");
  return {
    store,
    keys,
    idle,
    saved: phaseOf(leader, "saved"),
    sent: phaseOf(leader, "sent"),
    received: phaseOf(follower, "receive"),
    installed: phaseOf(follower, "install"),
    terms: phaseOf(leader, "sent").term - idle.term,
  };
}

/** How long event loops stand still while the state of a million keys is saved, sent, received and installed under a small load. */
export async function measureSnapshots({ quick, say }: Scope): Promise<readonly SnapshotFigures[]> {
  const keys = quick ? 100_000 : 1_000_000;
  const figures: SnapshotFigures[] = [];
  for (const store of ["lmdb", "memory"] as const) {
    const measured = await measure(store, keys);
    figures.push(measured);
    const { saved, sent, received, installed } = measured;
    const stalls = [saved, sent, received, installed].map(({ longestStallMs }) => Math.round(longestStallMs));
    say(`${keys} keys in ${store}: saved, sent, received, installed with stalls of ${stalls.join(", ")} ms at most`);
  }
  return figures;
}
