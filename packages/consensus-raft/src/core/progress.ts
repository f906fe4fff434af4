import type { NodeId, StoreId } from "@revoada/fabric";

/** What a leader knows of one other replica, and what it has on the way to it. */
export class Progress {
  readonly id: NodeId;
  readonly storeId: StoreId;
  /** Known to be durable there and equal to the leader's log. */
  matchIndex: number = 0;
  /** The next entry to send. */
  nextIndex: number;
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** While probing: a message is out, and the next waits for an answer. */
  probePaused = false;
  /** Entries are being read from the disk for it. */
  reading = false;
  snapshotIndex = 0;
  snapshotDeadlineMs: number = Infinity;
  /** Heard from at least once in this term. */
  active = false;
  lastHeardMs: number;
  /** The last heartbeat round that it answered. */
  round: number = 0;
  /** When the latest round that it answered, and that still counts, was sent. Kept where there are leases only. */
  confirmedMs: number = -Infinity;
  /** The commit index that it was last told of. */
  toldCommit = 0;
  /** `matchIndex` at the last heartbeat answer: without progress since, something was lost on the way. */
  matchAtHeartbeat: number = -1;
  /** Its log failed its check: what it acknowledges does not count. */
  corrupt = false;
  /** The round that must be answered by every other voter before it may count again; 0 where none was begun. */
  repairRound = 0;
  /** From here on it may count again; 0 where that is not established. */
  repairIndex = 0;
  /** Left the configuration: it still learns of that, until then. */
  departingUntilMs: number = Infinity;
  #inFlightLast: number[] = [];
  #inFlightBytes: number[] = [];
  #head = 0;
  #bytes = 0;

  constructor(id: NodeId, storeId: StoreId, nextIndex: number, nowMs: number) {
    this.id = id;
    this.storeId = storeId;
    this.nextIndex = nextIndex;
    this.lastHeardMs = nowMs;
  }

  get inFlightBytes(): number {
    return this.#bytes;
  }

  isFull(maxMessages: number, maxBytes: number): boolean {
    return this.#inFlightLast.length - this.#head >= maxMessages || this.#bytes >= maxBytes;
  }

  sent(lastIndex: number, bytes: number): void {
    this.#inFlightLast.push(lastIndex);
    this.#inFlightBytes.push(bytes);
    this.#bytes += bytes;
    this.nextIndex = lastIndex + 1;
  }

  /** Takes an acknowledgement. True where it told something new. */
  acknowledged(index: number): boolean {
    while (this.#head < this.#inFlightLast.length && (this.#inFlightLast[this.#head] as number) <= index) {
      this.#bytes -= this.#inFlightBytes[this.#head] as number;
      this.#head += 1;
    }
    if (this.#head > 64 && this.#head * 2 > this.#inFlightLast.length) {
      this.#inFlightLast = this.#inFlightLast.slice(this.#head);
      this.#inFlightBytes = this.#inFlightBytes.slice(this.#head);
      this.#head = 0;
    }
    this.nextIndex = Math.max(this.nextIndex, index + 1);
    if (index <= this.matchIndex) return false;
    this.matchIndex = index;
    this.probePaused = false;
    return true;
  }

  becomeProbe(): void {
    const after = this.state === "snapshot" ? this.snapshotIndex : 0;
    this.#resetTo("probe");
    this.nextIndex = Math.max(this.matchIndex, after) + 1;
  }

  becomeReplicate(): void {
    this.#resetTo("replicate");
    this.nextIndex = this.matchIndex + 1;
  }

  becomeSnapshot(deadlineMs: number): void {
    this.#resetTo("snapshot");
    this.snapshotDeadlineMs = deadlineMs;
  }

  /**
   * Takes a refusal of the message that followed `rejected`. False where it is stale: what it refuses was sent in another state
   * or has been acknowledged since.
   */
  refused(rejected: number, hintIndex: number): boolean {
    if (this.state === "snapshot" || rejected <= this.matchIndex) return false;
    if (this.state === "replicate") {
      this.becomeProbe();
      return true;
    }
    if (this.nextIndex - 1 !== rejected) return false;
    this.nextIndex = Math.max(Math.min(rejected, hintIndex + 1), this.matchIndex + 1);
    this.probePaused = false;
    return true;
  }

  /** Its log turned out to be corrupt: nothing that it acknowledged may be relied on any more. */
  becomeCorrupt(): void {
    this.corrupt = true;
    this.matchIndex = 0;
    this.repairRound = 0;
    this.repairIndex = 0;
    this.becomeProbe();
  }

  #resetTo(state: "probe" | "replicate" | "snapshot"): void {
    this.state = state;
    this.probePaused = false;
    this.snapshotIndex = 0;
    this.snapshotDeadlineMs = Infinity;
    this.#inFlightLast = [];
    this.#inFlightBytes = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
