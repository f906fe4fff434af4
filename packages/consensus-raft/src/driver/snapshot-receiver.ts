import { crc32 } from "node:zlib";
import type { Clock, LogBase, Logger, Metrics, NodeId, PeerContext, StoreId } from "@revoada/fabric";
import { RaftBackpressureError, RaftBadSnapshotError } from "../errors.ts";
import type { RaftLimits } from "./options.ts";
import { maxChunkBytes, SnapshotFile, type SnapshotPlace } from "./snapshot-files.ts";
import { decodeRequest, encodeAnswer, type SnapshotAnswer, type SnapshotRequest } from "./snapshot-frames.ts";

/** What receiving needs of the replica around it. */
export interface ReceiverSurroundings extends SnapshotPlace {
  readonly clock: Clock;
  readonly limits: RaftLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  storeId(): StoreId;
  /** True where this replica itself leads in this term, or in a later one: nobody else has anything to send it. */
  leadsSince(term: number): boolean;
  /** Takes a snapshot that is whole, and says at once whether it is going to be installed. */
  offer(received: ReceivedSnapshot): boolean;
}

/** A snapshot that has arrived and passed its check. */
export interface ReceivedSnapshot {
  readonly id: string;
  readonly from: NodeId;
  readonly fromStore: StoreId;
  readonly term: number;
  readonly file: SnapshotFile;
}

type Request<Step extends SnapshotRequest["step"]> = Extract<SnapshotRequest, { readonly step: Step }>;

interface Incoming extends ReceivedSnapshot {
  term: number;
  lastMs: number;
}

/** What became of a transfer whose bytes are all here. */
interface Settled {
  readonly id: string;
  readonly from: NodeId;
  state: "installing" | "done" | "failed";
  restoredBytes: number;
}

/** True where a file is what a sender says of its snapshot: a name that is used again for another one does not continue it. */
function isOf(file: SnapshotFile, base: LogBase, chunkBytes: number): boolean {
  return file.base.index === base.index && file.base.term === base.term && file.chunkBytes === chunkBytes;
}

/** Requests of peers that may wait here: a window of a well-behaved sender, and repetitions of it. */
const maxWaitingRequests = 64;

/**
 * Takes the steps of transfers to this replica, one at a time and into one file. What has arrived is kept for a while when the sender
 * falls silent, and goes on when the same sender comes back with the same snapshot; any other one begins anew. It does not outlive
 * the process: a restart begins with nothing.
 */
export class SnapshotReceiver {
  readonly #around: ReceiverSurroundings;
  #incoming: Incoming | undefined;
  #settled: Settled | undefined;
  /** Steps take their turn. */
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(around: ReceiverSurroundings) {
    this.#around = around;
  }

  receive(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    if (this.#waiting >= maxWaitingRequests)
      return Promise.reject(new RaftBackpressureError(`${maxWaitingRequests} steps of snapshot transfers`));
    this.#waiting += 1;
    return this.#inTurn(async () => {
      const { groupId } = this.#around;
      const answer = await this.#take(decodeRequest(groupId, payload), context.peer);
      return encodeAnswer(groupId, answer);
    }).finally(() => {
      this.#waiting -= 1;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #take(request: SnapshotRequest, from: NodeId): Promise<SnapshotAnswer> {
    if (this.#stopped) throw new RaftBadSnapshotError("this replica is not running");
    const settled = this.#settled;
    if (settled?.id === request.id && settled.from === from)
      return Promise.resolve(this.#answerSettled(settled, request.step));
    switch (request.step) {
      case "begin":
        return this.#begin(request, from);
      case "chunk":
        return this.#chunk(this.#known(request.id, from), request);
      case "end":
        return this.#end(this.#known(request.id, from), request);
    }
  }

  #answerSettled(settled: Settled, step: SnapshotRequest["step"]): SnapshotAnswer {
    // Told once: who begins with it again must have a reason.
    if (settled.state !== "installing" && step === "begin") this.#settled = undefined;
    if (settled.state !== "failed") return { offset: settled.restoredBytes, phase: settled.state };
    this.#settled = undefined;
    throw new RaftBadSnapshotError("the machine did not take the snapshot");
  }

  #known(id: string, from: NodeId): Incoming {
    const incoming = this.#incoming;
    if (incoming === undefined || incoming.id !== id || incoming.from !== from)
      throw new RaftBadSnapshotError("no such transfer");
    incoming.lastMs = this.#around.clock.monotonicMs();
    return incoming;
  }

  #refuseRival(term: number): void {
    if (this.#around.leadsSince(term))
      throw new RaftBadSnapshotError(`this replica leads, and not in a term before ${term}`);
  }

  async #begin(request: Request<"begin">, from: NodeId): Promise<SnapshotAnswer> {
    const { clock, limits } = this.#around;
    const { id, term, base, chunkBytes, fromStore } = request;
    if (request.toStore !== this.#around.storeId())
      throw new RaftBadSnapshotError("the snapshot is meant for another store");
    this.#refuseRival(term);
    if (chunkBytes === 0 || chunkBytes > maxChunkBytes) throw new RaftBadSnapshotError(`chunks of ${chunkBytes} bytes`);
    if (this.#settled?.state === "installing") throw new RaftBadSnapshotError("a snapshot is being installed");
    const known = this.#incoming;
    const nowMs = clock.monotonicMs();
    if (
      known?.id === id &&
      known.from === from &&
      known.fromStore === fromStore &&
      isOf(known.file, base, chunkBytes)
    ) {
      known.term = Math.max(known.term, term);
      known.lastMs = nowMs;
      return { offset: known.file.length, phase: "receiving" };
    }
    const lively = known !== undefined && nowMs - known.lastMs < limits.snapshotStallMs;
    if (known !== undefined && lively && known.from !== from && known.term >= term)
      throw new RaftBadSnapshotError("another transfer is under way");
    await this.#abandon();
    const file = await SnapshotFile.create(this.#around, "incoming", base, chunkBytes);
    this.#incoming = { id, from, fromStore, term, file, lastMs: nowMs };
    this.#watch();
    this.#gauge(1);
    return { offset: 0, phase: "receiving" };
  }

  async #chunk(incoming: Incoming, { offset, sum, bytes }: Request<"chunk">): Promise<SnapshotAnswer> {
    const { limits, metrics } = this.#around;
    const { file } = incoming;
    const held = file.length;
    // One that is repeated because its answer was lost, or one behind a chunk that was lost itself.
    const ahead = offset > held && offset <= held + maxWaitingRequests * file.chunkBytes;
    if (offset < held || ahead) return { offset: held, phase: "receiving" };
    if (crc32(bytes) !== sum) throw new RaftBadSnapshotError(`the chunk at ${offset} fails its check`);
    try {
      if (offset > held) throw new RaftBadSnapshotError(`a chunk at ${offset} after ${held}`);
      if (offset + bytes.length > limits.maxSnapshotBytes)
        throw new RaftBadSnapshotError(`more than ${limits.maxSnapshotBytes} bytes`);
      await file.append(bytes);
    } catch (error) {
      await this.#abandon();
      throw error;
    }
    metrics.count("revoada_raft_snapshot_bytes_total", bytes.length, { direction: "in" });
    return { offset: file.length, phase: "receiving" };
  }

  async #end(incoming: Incoming, { length, digest }: Request<"end">): Promise<SnapshotAnswer> {
    const { file } = incoming;
    try {
      this.#refuseRival(incoming.term);
      if (length !== file.length) throw new RaftBadSnapshotError(`${file.length} bytes arrived of ${length}`);
      if (Buffer.compare(await file.finish(), digest) !== 0)
        throw new RaftBadSnapshotError("the snapshot fails its check as a whole");
    } catch (error) {
      await this.#abandon();
      throw error;
    }
    this.#around.metrics.count("revoada_raft_snapshots_total", 1, { kind: "received" });
    const settled: Settled = { id: incoming.id, from: incoming.from, state: "installing", restoredBytes: 0 };
    // From here on it is the replica's; the core decides before `offer` returns.
    this.#incoming = undefined;
    this.#settled = settled;
    this.#gauge(0);
    if (!this.#around.offer(incoming)) {
      settled.state = "done";
      await this.#discard(file);
    }
    return { offset: settled.restoredBytes, phase: settled.state === "done" ? "done" : "installing" };
  }

  /** The machine has read so much of what is being installed. */
  restored(bytes: number): void {
    if (this.#settled?.state === "installing") this.#settled.restoredBytes += bytes;
  }

  /** Installing has ended. */
  settle(success: boolean): void {
    if (this.#settled?.state === "installing") this.#settled.state = success ? "done" : "failed";
  }

  /** Somebody leads: what another sender has begun before is of no use any more. */
  onLeader(leader: NodeId | undefined, term: number): void {
    const known = this.#incoming;
    if (known === undefined || leader === undefined || leader === known.from || term < known.term) return;
    void this.#inTurn(async () => {
      if (this.#incoming === known) await this.#abandon();
    });
  }

  #watch(): void {
    const { clock, limits } = this.#around;
    if (this.#cancelTimer !== undefined || this.#stopped) return;
    this.#cancelTimer = clock.schedule(limits.snapshotKeepMs, () => {
      this.#cancelTimer = undefined;
      void this.#inTurn(async () => {
        const known = this.#incoming;
        if (known === undefined) return;
        if (clock.monotonicMs() - known.lastMs >= limits.snapshotKeepMs) await this.#abandon();
        else this.#watch();
      });
    });
  }

  async #abandon(): Promise<void> {
    const known = this.#incoming;
    if (known === undefined) return;
    this.#incoming = undefined;
    this.#gauge(0);
    await this.#discard(known.file);
  }

  async #discard(file: SnapshotFile): Promise<void> {
    // One that cannot be removed now is removed when its name is needed again, or at the next start.
    await file
      .discard()
      .catch((error: unknown) => this.#around.logger.warn("a snapshot file could not be removed", { error }));
  }

  #gauge(transfers: number): void {
    this.#around.metrics.gauge("revoada_raft_snapshot_transfers", transfers, { direction: "in" });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#inTurn(() => this.#abandon());
  }
}
