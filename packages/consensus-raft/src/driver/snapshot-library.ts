import type { Clock, LogBase, MachineSnapshot } from "@revoada/fabric";
import { RaftBadSnapshotError, RaftStoppedError } from "../errors.ts";
import { SnapshotFile, type SnapshotPlace } from "./snapshot-files.ts";

/** What the library needs of those around it. */
export interface LibrarySurroundings extends SnapshotPlace {
  readonly clock: Clock;
  readonly limits: {
    readonly snapshotChunkBytes: number;
    readonly snapshotKeepMs: number;
    readonly snapshotViewMs: number;
  };
  /** A name that no other snapshot has, ever. */
  newId(): string;
  takeSnapshot(): Promise<MachineSnapshot>;
  baseOf(position: LogBase): LogBase;
  /** True where the log leads on from `index`. */
  reaches(index: number): boolean;
}

/**
 * One snapshot on its way from the machine into a file, and from there to any number of followers, while it is still being written
 * too. The machine's view is held for as long as writing takes, and not for as long as the slowest follower does.
 */
export class OutgoingSnapshot {
  readonly id: string;
  readonly file: SnapshotFile;
  /** Resolves once the file is whole. */
  readonly written: Promise<void>;
  failure: unknown;
  users = 0;
  usedMs: number;
  #waiting: (() => void)[] = [];

  constructor(id: string, file: SnapshotFile, nowMs: number, fill: (grown: () => void) => Promise<void>) {
    this.id = id;
    this.file = file;
    this.usedMs = nowMs;
    this.written = fill(() => this.#grown()).then(
      () => this.#grown(),
      (error: unknown) => {
        this.failure = error;
        this.#grown();
        throw error;
      },
    );
    // Whoever needs the file looks at `failure`.
    this.written.catch(() => undefined);
  }

  get whole(): boolean {
    return this.file.digest !== undefined;
  }

  /** Resolves when there is more to read, or when there will never be. */
  async grown(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.push(wake);
      signal.addEventListener("abort", wake);
    });
    signal.throwIfAborted();
  }

  #grown(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Keeps at most one snapshot that can be sent: all followers share it, and one that was cut off finds it again for a while. */
export class SnapshotLibrary {
  readonly #around: LibrarySurroundings;
  #current: OutgoingSnapshot | undefined;
  #making: Promise<OutgoingSnapshot> | undefined;
  /** Superseded, but still being sent. */
  readonly #leaving = new Set<OutgoingSnapshot>();
  #cancelTimer: (() => void) | undefined;
  #made = 0;
  #stopped = false;

  constructor(around: LibrarySurroundings) {
    this.#around = around;
  }

  /** The lowest index of a snapshot that somebody may still need the log behind. */
  get pinnedIndex(): number {
    return Math.min(Infinity, ...[this.#current, ...this.#leaving].map((each) => each?.file.base.index ?? Infinity));
  }

  /** A snapshot that can be sent, with its user counted: {@link release} it. */
  async acquire(): Promise<OutgoingSnapshot> {
    const known = this.#current;
    const useful = known !== undefined && known.failure === undefined && this.#around.reaches(known.file.base.index);
    const found = useful ? known : await this.take();
    found.users += 1;
    return found;
  }

  release(snapshot: OutgoingSnapshot): void {
    snapshot.users -= 1;
    snapshot.usedMs = this.#around.clock.monotonicMs();
    if (this.#leaving.has(snapshot) && snapshot.users === 0) void this.#drop(snapshot);
    else this.#watch();
  }

  /** Takes a new snapshot, in the place of the one that there is. Who asks meanwhile shares it. */
  take(): Promise<OutgoingSnapshot> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #make(): Promise<OutgoingSnapshot> {
    const { clock, limits } = this.#around;
    if (this.#stopped) throw new RaftStoppedError(undefined);
    const view = await this.#around.takeSnapshot();
    try {
      const base = this.#around.baseOf(view.position);
      this.#made += 1;
      const file = await SnapshotFile.create(this.#around, `outgoing-${this.#made}`, base, limits.snapshotChunkBytes);
      const made = new OutgoingSnapshot(this.#around.newId(), file, clock.monotonicMs(), (grown) =>
        this.#fill(file, view, grown),
      );
      if (this.#current !== undefined) this.#retire(this.#current);
      this.#current = made;
      made.written.catch(() => this.#retire(made));
      this.#watch();
      return made;
    } catch (error) {
      view.dispose();
      throw error;
    }
  }

  async #fill(file: SnapshotFile, view: MachineSnapshot, grown: () => void): Promise<void> {
    const { clock, limits } = this.#around;
    const untilMs = clock.monotonicMs() + limits.snapshotViewMs;
    try {
      await file.fill(view.chunks(), clock, () => {
        grown();
        if (this.#stopped) throw new RaftStoppedError(undefined);
        if (clock.monotonicMs() > untilMs)
          throw new RaftBadSnapshotError(`the machine was not read within ${limits.snapshotViewMs} ms`);
      });
      await file.finish();
    } finally {
      view.dispose();
    }
  }

  #retire(snapshot: OutgoingSnapshot): void {
    if (this.#current === snapshot) this.#current = undefined;
    if (snapshot.users > 0) this.#leaving.add(snapshot);
    else void this.#drop(snapshot);
  }

  /** Ends a snapshot: one that has got its name is left where it is. */
  async #drop(snapshot: OutgoingSnapshot): Promise<void> {
    this.#leaving.delete(snapshot);
    if (this.#current === snapshot) this.#current = undefined;
    await snapshot.written.catch(() => undefined);
    const { file } = snapshot;
    // After a restart it is removed, if it cannot be now.
    await (file.path.endsWith(".snap") ? file.close() : file.discard()).catch(() => undefined);
  }

  /** One that nobody has used for a while makes room. */
  #watch(): void {
    const { clock, limits } = this.#around;
    if (this.#cancelTimer !== undefined || this.#stopped) return;
    this.#cancelTimer = clock.schedule(limits.snapshotKeepMs, () => {
      this.#cancelTimer = undefined;
      const current = this.#current;
      if (current === undefined) return;
      const idleMs = clock.monotonicMs() - current.usedMs;
      if (current.users === 0 && idleMs >= limits.snapshotKeepMs) this.#retire(current);
      else this.#watch();
    });
  }

  /** Lets go of everything. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    const all = [...this.#leaving, ...(this.#current === undefined ? [] : [this.#current])];
    await Promise.all(all.map((each) => this.#drop(each)));
  }
}
