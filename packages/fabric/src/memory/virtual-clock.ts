import { FabricError, InvalidValueError, InvariantError } from "../errors.ts";
import type { Clock } from "../seams/clock.ts";
import { EventQueue, type QueuedEvent } from "./event-queue.ts";

/** What was waited for did not come about within the virtual time that was granted. */
export class ConditionNotMetError extends FabricError {
  constructor(what: string, withinMs: number) {
    super("CLOCK_CONDITION_NOT_MET", `${what} did not happen within ${withinMs} virtual milliseconds`);
  }
}

/**
 * The event loop of one virtual host. As in Node, of what is due at one moment the timers run first, then the input that
 * has arrived, then the turns that were asked for; within a kind, by due time and then by the order of the calls.
 */
export interface VirtualHost extends Clock {
  readonly name: string;
  /** Runs `callback` as input that arrives `delayMs` from now. The returned function takes it back. */
  input(delayMs: number, callback: () => void): () => void;
  /**
   * Holds this host's event loop for `durationMs`, as a long garbage collection or a SIGSTOP does: nothing of it runs
   * until then, its monotonic time goes on, and what was missed runs late, timers before input.
   */
  stall(durationMs: number): void;
  /** Moves the wall clock, and only it. */
  jumpWall(deltaMs: number): void;
  /** Ends the host as SIGKILL does: nothing that it has scheduled, or will schedule, ever runs. */
  stop(): void;
}

/** Limits of a wait in virtual time. */
export interface VirtualWait {
  /** 60,000 unless told. */
  readonly withinMs?: number;
}

/** A clock that moves only when told, with any number of hosts on one time line. */
export interface VirtualClock extends VirtualHost {
  /** Another event loop under the same time. */
  host(name: string): VirtualHost;
  /** Runs all that is due within `durationMs`, in order, without giving promises a chance in between. */
  advance(durationMs: number): void;
  /** As `advance`, and after every single callback lets promises settle, as Node does between callbacks. */
  advanceAsync(durationMs: number): Promise<void>;
  /**
   * Goes on until `condition` holds and resolves with the virtual milliseconds that took. Rejects with
   * `CLOCK_CONDITION_NOT_MET`.
   */
  runUntil(condition: () => boolean, wait?: VirtualWait): Promise<number>;
  /** Goes on until `promise` settles, and settles alike. Rejects with `CLOCK_CONDITION_NOT_MET`. */
  run<T>(promise: Promise<T>, wait?: VirtualWait): Promise<T>;
  /** Callbacks that wait to run, on all hosts. */
  pending(): number;
}

/** More callbacks than this at one moment are a loop that never lets time pass. */
const maxEventsAtOneMoment = 1_000_000;

/** 1 January 2026, 00:00 UTC: a date that looks like one. */
const defaultWallMs = 1_767_225_600_000;

class Host implements VirtualHost {
  readonly name: string;
  readonly #time: Time;
  #wallOffsetMs: number;
  heldUntilMs = 0;
  stopped = false;

  constructor(name: string, time: Time, wallOffsetMs: number) {
    this.name = name;
    this.#time = time;
    this.#wallOffsetMs = wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#time.nowMs;
  }

  wallMs(): number {
    return this.#time.nowMs + this.#wallOffsetMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    return this.#time.add(this, delayMs, "timer", callback);
  }

  input(delayMs: number, callback: () => void): () => void {
    return this.#time.add(this, delayMs, "input", callback);
  }

  nextTurn(callback: () => void): void {
    this.#time.add(this, 0, "turn", callback);
  }

  stall(durationMs: number): void {
    this.heldUntilMs = Math.max(this.heldUntilMs, this.#time.nowMs + checkDuration("durationMs", durationMs));
  }

  jumpWall(deltaMs: number): void {
    if (!Number.isFinite(deltaMs)) throw new InvalidValueError("deltaMs", deltaMs, "a finite number");
    this.#wallOffsetMs += deltaMs;
  }

  stop(): void {
    this.stopped = true;
    this.#time.dropHost(this);
  }
}

/** The time line that hosts share. */
class Time {
  nowMs = 0;
  readonly #queue = new EventQueue<Host>();
  #eventsAtThisMoment = 0;

  add(host: Host, delayMs: number, kind: QueuedEvent<Host>["kind"], callback: () => void): () => void {
    if (Number.isNaN(delayMs)) throw new InvalidValueError("delayMs", delayMs, "a number");
    if (host.stopped || delayMs === Number.POSITIVE_INFINITY) return () => {};
    const event = this.#queue.add(host, this.nowMs + Math.max(0, delayMs), kind, callback);
    return () => this.#queue.cancel(event);
  }

  dropHost(host: Host): void {
    this.#queue.cancelWhere((event) => event.owner === host);
  }

  pending(): number {
    return this.#queue.size;
  }

  /** Runs the next callback that is due by `limitMs`; false where there is none. */
  step(limitMs: number): boolean {
    for (;;) {
      const next = this.#queue.peek();
      if (next === undefined || next.atMs > limitMs) return false;
      if (next.owner.heldUntilMs > next.atMs) {
        this.#queue.postpone(next, next.owner.heldUntilMs);
        continue;
      }
      this.#queue.take();
      this.#moveTo(next.atMs);
      this.#eventsAtThisMoment += 1;
      if (this.#eventsAtThisMoment > maxEventsAtOneMoment) {
        throw new InvariantError(`more than ${maxEventsAtOneMoment} callbacks at ${this.nowMs} ms: time does not pass`);
      }
      next.callback();
      return true;
    }
  }

  finishAt(limitMs: number): void {
    this.#moveTo(limitMs);
  }

  #moveTo(atMs: number): void {
    if (atMs <= this.nowMs) return;
    this.nowMs = atMs;
    this.#eventsAtThisMoment = 0;
  }
}

function checkDuration(path: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidValueError(path, value, "milliseconds, 0 or more");
}

/** Callbacks that are run at most between two looks at the real event loop. */
const turnsPerRound = 64;

/** Resolves when every promise reaction that could run has run: those come before the next macrotask. */
function microtasksDrained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

class World extends Host implements VirtualClock {
  readonly #time: Time;
  readonly #wallMs: number;

  constructor(time: Time, wallMs: number) {
    super("main", time, wallMs);
    this.#time = time;
    this.#wallMs = wallMs;
  }

  host(name: string): VirtualHost {
    return new Host(name, this.#time, this.#wallMs);
  }

  advance(durationMs: number): void {
    const limitMs = this.#time.nowMs + checkDuration("durationMs", durationMs);
    while (this.#time.step(limitMs));
    this.#time.finishAt(limitMs);
  }

  async advanceAsync(durationMs: number): Promise<void> {
    const limitMs = this.#time.nowMs + checkDuration("durationMs", durationMs);
    await this.#drive(limitMs, () => false);
    this.#time.finishAt(limitMs);
    await microtasksDrained();
  }

  async runUntil(condition: () => boolean, wait: VirtualWait = {}): Promise<number> {
    const { withinMs = 60_000 } = wait;
    const startMs = this.#time.nowMs;
    const limitMs = startMs + checkDuration("withinMs", withinMs);
    if (await this.#drive(limitMs, condition)) return this.#time.nowMs - startMs;
    this.#time.finishAt(limitMs);
    throw new ConditionNotMetError("the condition", withinMs);
  }

  async run<T>(promise: Promise<T>, wait: VirtualWait = {}): Promise<T> {
    const { withinMs = 60_000 } = wait;
    let settled = false;
    void Promise.allSettled([promise]).then(() => {
      settled = true;
    });
    const limitMs = this.#time.nowMs + checkDuration("withinMs", withinMs);
    if (await this.#drive(limitMs, () => settled)) return promise;
    this.#time.finishAt(limitMs);
    throw new ConditionNotMetError("the promise settling", withinMs);
  }

  pending(): number {
    return this.#time.pending();
  }

  #drive(limitMs: number, condition: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const turn = (): void => {
        if (isOver) return;
        try {
          const holds = condition();
          if (!holds && this.#time.step(limitMs)) return;
          isOver = true;
          resolve(holds);
        } catch (error) {
          isOver = true;
          reject(error);
        }
      };
      // Node lets promises settle between two immediates of one round too, and a round costs a look at the real world's events.
      const round = (turns: number): void => {
        for (let asked = 0; asked < turns; asked += 1) setImmediate(turn);
        setImmediate(() => {
          if (!isOver) round(Math.min(2 * turns, turnsPerRound));
        });
      };
      round(1);
    });
  }
}

/**
 * A clock for tests and simulations: time stands still until it is advanced, and one sequence of calls gives one order of
 * callbacks.
 *
 * @example
 * ```ts
 * const clock = virtualClock();
 * clock.schedule(100, () => console.log("after 100 virtual milliseconds"));
 * clock.advance(100);
 * ```
 */
export function virtualClock(options: { readonly wallMs?: number } = {}): VirtualClock {
  return new World(new Time(), options.wallMs ?? defaultWallMs);
}
