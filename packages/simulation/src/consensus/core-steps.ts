import type { Configuration, LogEntry, NodeId } from "@revoada/fabric";

/** What a watcher may ask of a core after each of its steps. */
export interface WatchedCore {
  readonly term: number;
  readonly leader: NodeId | undefined;
  readonly isLeader: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly firstIndex: number;
  readonly durableIndex: number;
  readonly configuration: Configuration | undefined;
  readonly configurationIndex: number;
  readonly storage: "ok" | "corrupt" | "failed";
  termAt(index: number): number | undefined;
  configurationAt(index: number): Configuration | undefined;
}

/** A message as far as a watcher reads it. */
export interface WatchedMessage {
  readonly type: string;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
  readonly pre?: boolean;
  readonly granted?: boolean;
  readonly success?: boolean;
  readonly index?: number;
}

/** Events and effects as far as a watcher reads them. */
export interface WatchedEvent {
  readonly type: string;
  readonly seq?: number;
}

export interface WatchedEffect {
  readonly type: string;
  readonly seq?: number;
  readonly message?: WatchedMessage;
  readonly release?: readonly WatchedMessage[];
  readonly entries?: readonly LogEntry[];
  readonly to?: unknown;
}

export type StepWatcher = (core: WatchedCore, event: WatchedEvent, effects: readonly WatchedEffect[]) => void;

interface CoreClass {
  readonly prototype: WatchedCore & { step(event: WatchedEvent, nowMs: number): readonly WatchedEffect[] };
}

/** The core is not exported by its package; it is reached by path, so that it is the one that the driver runs. */
const corePath = new URL("../../../consensus-raft/src/core/raft-core.ts", import.meta.url).href;
const { RaftCore } = (await import(corePath)) as { readonly RaftCore: CoreClass };

let watcher: StepWatcher | undefined;

const step: CoreClass["prototype"]["step"] = Reflect.get(RaftCore.prototype, "step");
RaftCore.prototype.step = function watchedStep(this: CoreClass["prototype"], event, nowMs) {
  const effects = step.call(this, event, nowMs);
  watcher?.(this, event, effects);
  return effects;
};

/** Shows every step of every core in this process to `watch`, until the returned function is called. One run at a time. */
export function watchCores(watch: StepWatcher): () => void {
  if (watcher !== undefined) throw new Error("another run is under way in this process");
  watcher = watch;
  return () => {
    watcher = undefined;
  };
}
