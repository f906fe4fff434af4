import type { NodeId } from "@revoada/fabric";
import { HeardClaims, OwnClaims } from "./claims.ts";
import type { Beat, BeatAnswer } from "./host-frame.ts";

/** Numbers that the other side takes for old, up to these. */
export interface Told {
  readonly seq: number;
  readonly version: number;
}

/** What a host knows of one other host. */
export class Peer {
  readonly id: NodeId;
  /** Anything at all. */
  heardMs: number;

  /** What this host claims towards it. */
  readonly own: OwnClaims;
  seq: number;
  answeredSeq = 0;
  /** When it last answered a beat, on `own` as it had it then. */
  answeredMs: number = -Infinity;
  /** False where its answers have failed to come for so long that nobody relies on them. */
  answers = false;
  /** When this host last said something for itself to it. */
  saidMs: number = -Infinity;
  /** A word must go out with the next frame. */
  isDue = false;

  /** What it claims towards this host, in the life that `epoch` names. */
  readonly heard: HeardClaims = new HeardClaims();
  epoch: string | undefined;
  beatSeq = 0;
  beatMs: number = -Infinity;
  /** False where its beats have failed to come for so long that nobody relies on them. */
  beats = false;
  owesAnswer = false;

  /** `told` is what may have been told to this peer before it was forgotten: it may remember what this host does not. */
  constructor(id: NodeId, nowMs: number, told: Told = { seq: 0, version: 0 }) {
    this.id = id;
    this.heardMs = nowMs;
    this.own = new OwnClaims(told.version);
    this.seq = told.seq;
  }

  /** True where this host has to say regularly that it is alive. */
  get wantsBeats(): boolean {
    return this.own.size > 0 || this.own.isBehind;
  }

  nextBeat(): Beat | undefined {
    if (!this.wantsBeats) return undefined;
    this.seq += 1;
    const { version, acknowledged } = this.own;
    return { seq: this.seq, version, base: acknowledged, changes: this.own.changes() };
  }

  answer(): BeatAnswer | undefined {
    if (!this.owesAnswer || this.epoch === undefined) return undefined;
    this.owesAnswer = false;
    return { epoch: this.epoch, seq: this.beatSeq, version: this.heard.version, refused: this.heard.refused() };
  }
}
