import type { Clock, Generation, NodeId, ReplicaId } from "@revoada/fabric";
import type { Effect, Event } from "../core/types.ts";
import {
  RaftBackpressureError,
  RaftChangeInProgressError,
  RaftOutcomeUnknownError,
  RaftTransferFailedError,
  type RaftStoppedError,
} from "../errors.ts";

interface Request {
  readonly kind: "change" | "transfer";
  readonly to: NodeId | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

export interface ControlSurroundings {
  readonly clock: Clock;
  dispatch(event: Event): void;
  notLeader(): Error;
}

/** Ids of these never meet those of proposals and reads. */
const firstControlId: number = 2 ** 41;
const maxRequests = 64;

/** Changes of voters and transfers of leadership, and who waits for them. */
export class Control {
  readonly #around: ControlSurroundings;
  readonly #requests = new Map<number, Request>();
  #nextId = firstControlId;
  #stopped: RaftStoppedError | undefined;

  constructor(around: ControlSurroundings) {
    this.#around = around;
  }

  change(
    change: {
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
      readonly generation: Generation;
    },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { voters, learners, generation } = change;
    return this.#request("change", undefined, signal, undefined, (id) => ({
      type: "change",
      id,
      voters,
      learners,
      generation,
    }));
  }

  transfer(to: NodeId, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#request("transfer", to, signal, timeoutMs, (id) => ({ type: "transfer", id, to }));
  }

  #request(
    kind: Request["kind"],
    to: NodeId | undefined,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    eventOf: (id: number) => Event,
  ): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (this.#requests.size >= maxRequests)
      return Promise.reject(new RaftBackpressureError(`${maxRequests} changes and transfers`));
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const onAbort = (): void =>
        this.#fail(id, new RaftOutcomeUnknownError("its caller stopped waiting", signal?.reason));
      const cancelTimer = this.#startTimer(id, to, timeoutMs);
      const release = (): void => {
        cancelTimer?.();
        signal?.removeEventListener("abort", onAbort);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#requests.set(id, { kind, to, resolve, reject, release });
      this.#around.dispatch(eventOf(id));
    });
  }

  #startTimer(id: number, to: NodeId | undefined, timeoutMs: number | undefined): (() => void) | undefined {
    if (timeoutMs === undefined || to === undefined) return undefined;
    return this.#around.clock.schedule(timeoutMs, () =>
      this.#fail(id, new RaftTransferFailedError(to, `not within ${timeoutMs} ms`)),
    );
  }

  onChangeDone(id: number): void {
    this.#succeed(id);
  }

  onTransferDone(effect: Extract<Effect, { readonly type: "transfer-done" }>): void {
    const request = this.#requests.get(effect.id);
    if (effect.success) this.#succeed(effect.id);
    else if (request?.to !== undefined)
      this.#fail(effect.id, new RaftTransferFailedError(request.to, "it did not catch up or campaign in time"));
  }

  onRejected(effect: Extract<Effect, { readonly type: "reject" }>): void {
    const request = this.#requests.get(effect.id);
    if (request === undefined) return;
    this.#fail(effect.id, this.#errorOf(request, effect.reason));
  }

  #errorOf(request: Request, reason: Extract<Effect, { readonly type: "reject" }>["reason"]): Error {
    if (reason === "not-leader") return this.#around.notLeader();
    if (reason === "lost-leadership") return new RaftOutcomeUnknownError("the leader lost its place during the change");
    if (request.to !== undefined) {
      return new RaftTransferFailedError(
        request.to,
        reason === "not-a-voter" ? "it does not vote" : "another transfer is under way",
      );
    }
    return new RaftChangeInProgressError();
  }

  /** Somebody else leads, or nobody does: a transfer shows in who. */
  onRoleChanged(leads: boolean, leader: NodeId | undefined): void {
    if (leads || leader === undefined) return;
    for (const [id, request] of this.#requests) {
      if (request.kind !== "transfer" || request.to === undefined) continue;
      if (request.to === leader) this.#succeed(id);
      else this.#fail(id, new RaftTransferFailedError(request.to, "another voter was elected"));
    }
  }

  /** The core that was asked is gone. */
  abandon(cause: unknown): void {
    for (const [id, { to }] of this.#requests) {
      const why = "the log failed";
      this.#fail(id, to === undefined ? new RaftOutcomeUnknownError(why, cause) : new RaftTransferFailedError(to, why));
    }
  }

  stop(error: RaftStoppedError): void {
    this.#stopped = error;
    for (const [id, request] of this.#requests) {
      this.#fail(id, request.kind === "change" ? new RaftOutcomeUnknownError("the replica stopped", error) : error);
    }
  }

  #succeed(id: number): void {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    request?.release();
    request?.resolve();
  }

  #fail(id: number, error: unknown): void {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    request?.release();
    request?.reject(error);
  }
}
