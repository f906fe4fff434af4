import { InvariantError } from "@revoada/fabric";
import type { CommandHeader } from "./envelope.ts";
import { defaultSessionLimits, resultOverheadBytes, sessionOverheadBytes, type SessionLimits } from "./limits.ts";

/** What one command of a session came to. It is pending between the two halves of one step of apply, and never outside of it. */
export interface Slot {
  readonly session: number;
  readonly sequence: number;
  /** The entry that was applied. */
  readonly index: number;
  readonly term: number;
  state: "pending" | "kept" | "not-kept";
  result: Uint8Array;
}

interface Session {
  readonly id: number;
  /** The last entry that used it. */
  lastIndex: number;
  acknowledged: number;
  readonly slots: Map<number, Slot>;
  bytes: number;
  /** Pictures taken before this number share it: it is copied before it changes. */
  epoch: number;
}

/** One session as it is stored and compared. */
export interface SessionRecord {
  readonly id: number;
  readonly lastIndex: number;
  readonly acknowledged: number;
  /** In order of their sequence numbers. */
  readonly slots: readonly Slot[];
}

/** The table at one moment, whatever happens to it afterwards. */
export interface SessionPicture {
  readonly limits: SessionLimits;
  /** The longest idle first. */
  readonly sessions: readonly SessionRecord[];
}

/** Why a command of a session is not applied and its result not told. */
export type SessionRefusal = "expired" | "stale" | "window" | "not-kept";

/** What is to be done about a command of a session. */
export type SessionDecision =
  | { readonly kind: "apply"; readonly slot: Slot }
  | { readonly kind: "repeat"; readonly slot: Slot }
  | { readonly kind: "refused"; readonly reason: SessionRefusal };

const nothing = new Uint8Array(0);

function costOf(slot: Slot): number {
  return resultOverheadBytes + slot.result.length;
}

/**
 * Who has proposed what, and what came of it (dissertation §6.3).
 *
 * A function of the log and nothing else: two tables that were given the same entries are equal, however these were cut into
 * steps. The driver takes care of the one thing that depends on it: results become known only after a step, and may push out
 * other sessions, so a step goes on only while {@link hasRoom} says that they cannot.
 */
export class SessionTable {
  /** In order of their last use: the longest idle first. */
  #sessions = new Map<number, Session>();
  #limits: SessionLimits = defaultSessionLimits;
  #bytes = 0;
  #epoch = 0;
  readonly #tracksChanges: boolean;
  #changed = new Set<number>();
  #limitsChanged = false;
  #expired = 0;

  /** With `tracksChanges`, {@link takeChanges} must be called after every step: what it would tell is kept until then. */
  constructor(options: { readonly tracksChanges: boolean }) {
    this.#tracksChanges = options.tracksChanges;
  }

  get limits(): SessionLimits {
    return this.#limits;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Sessions that were expired here, since this table was made. */
  get expired(): number {
    return this.#expired;
  }

  /** Opens the session that the entry at `index` asks for, under its limits. */
  open(index: number, limits: SessionLimits): void {
    this.#limits = limits;
    this.#limitsChanged = true;
    const session: Session = {
      id: index,
      lastIndex: index,
      acknowledged: 0,
      slots: new Map(),
      bytes: sessionOverheadBytes,
      epoch: this.#epoch,
    };
    this.#sessions.set(index, session);
    this.#bytes += session.bytes;
    this.#noteChange(index);
    this.#expire();
  }

  /** Ends a session. False where there was none. */
  close(id: number): boolean {
    const session = this.#sessions.get(id);
    if (session === undefined) return false;
    this.#remove(session);
    return true;
  }

  /** True where another command fits beside `pending` ones whatever their results: none of them can expire a session. */
  hasRoom(pending: number): boolean {
    const worst = (pending + 1) * (this.#limits.maxResultBytes + resultOverheadBytes);
    return this.#bytes + worst <= this.#limits.maxBytes;
  }

  /** Looks a command up: first time, repeat, or neither. One that is to be applied is then {@link complete}d. */
  begin(header: CommandHeader, index: number, term: number): SessionDecision {
    const { sequence } = header;
    const known = this.#sessions.get(header.session);
    if (known === undefined) return { kind: "refused", reason: "expired" };
    const session = this.#use(known, index);
    this.#acknowledge(session, header.acknowledged);
    if (sequence <= session.acknowledged) return { kind: "refused", reason: "stale" };
    const slot = session.slots.get(sequence);
    if (slot !== undefined) return { kind: "repeat", slot };
    if (sequence > session.acknowledged + this.#limits.maxInFlight) return { kind: "refused", reason: "window" };
    const fresh: Slot = { session: session.id, sequence, index, term, state: "pending", result: nothing };
    session.slots.set(sequence, fresh);
    this.#account(session, resultOverheadBytes);
    return { kind: "apply", slot: fresh };
  }

  /** The command was applied. Without `result`, or with too large a one, only that is remembered. */
  complete(slot: Slot, result: Uint8Array | undefined): void {
    if (slot.state !== "pending") throw new InvariantError(`sequence ${slot.sequence} was completed before`);
    const keep = result !== undefined && result.length <= this.#limits.maxResultBytes;
    slot.state = keep ? "kept" : "not-kept";
    // Its own copy: what the codec made may be part of something larger, or change.
    slot.result = keep ? result.slice() : nothing;
    const session = this.#sessions.get(slot.session);
    if (session?.slots.get(slot.sequence) !== slot) return;
    this.#account(session, slot.result.length);
    this.#expire();
  }

  /** The table as it is. Cheap: nothing is copied before it changes. */
  capture(): SessionPicture {
    this.#epoch += 1;
    const held = [...this.#sessions.values()];
    return {
      limits: this.#limits,
      get sessions(): readonly SessionRecord[] {
        return held.map(recordOf);
      },
    };
  }

  /** What a store must write to be equal again: sessions that changed, those that are gone, and the limits where they did. */
  takeChanges(): {
    readonly limits: SessionLimits | undefined;
    readonly changed: readonly SessionRecord[];
    readonly removed: readonly number[];
  } {
    const changed: SessionRecord[] = [];
    const removed: number[] = [];
    for (const id of this.#changed) {
      const session = this.#sessions.get(id);
      if (session === undefined) removed.push(id);
      else changed.push(recordOf(session));
    }
    const limits = this.#limitsChanged ? this.#limits : undefined;
    this.#changed = new Set();
    this.#limitsChanged = false;
    return { limits, changed, removed };
  }

  /** Replaces everything by what was read back. The records have been checked, each for itself and their order too. */
  load(picture: SessionPicture): void {
    this.#sessions = new Map();
    this.#limits = picture.limits;
    this.#bytes = 0;
    this.#changed = new Set();
    this.#limitsChanged = false;
    for (const { id, lastIndex, acknowledged, slots } of picture.sessions) {
      const session: Session = {
        id,
        lastIndex,
        acknowledged,
        slots: new Map(slots.map((slot) => [slot.sequence, slot])),
        bytes: slots.reduce((sum, slot) => sum + costOf(slot), sessionOverheadBytes),
        epoch: this.#epoch,
      };
      this.#sessions.set(id, session);
      this.#bytes += session.bytes;
    }
  }

  /** Moves a session behind all others, in a copy where a picture shares it. */
  #use(session: Session, index: number): Session {
    const own =
      session.epoch === this.#epoch ? session : { ...session, slots: new Map(session.slots), epoch: this.#epoch };
    own.lastIndex = index;
    this.#sessions.delete(session.id);
    this.#sessions.set(session.id, own);
    this.#noteChange(session.id);
    return own;
  }

  #acknowledge(session: Session, acknowledged: number): void {
    if (acknowledged <= session.acknowledged) return;
    session.acknowledged = acknowledged;
    for (const [sequence, slot] of session.slots) {
      if (sequence > acknowledged) continue;
      session.slots.delete(sequence);
      this.#account(session, -costOf(slot));
    }
  }

  #account(session: Session, bytes: number): void {
    session.bytes += bytes;
    this.#bytes += bytes;
  }

  /** Some more than must go, so that a full table does not make every command a step of its own. */
  #expire(): void {
    const { maxSessions, maxBytes } = this.#limits;
    const floorBytes = this.#bytes > maxBytes ? maxBytes - Math.floor(maxBytes / 8) : maxBytes;
    for (const session of this.#sessions.values()) {
      if (this.#sessions.size <= maxSessions && this.#bytes <= floorBytes) return;
      // The one in use goes last, and only where it is too much by itself.
      if (this.#sessions.size === 1 && this.#bytes <= maxBytes) return;
      this.#remove(session);
      this.#expired += 1;
    }
  }

  #remove(session: Session): void {
    this.#sessions.delete(session.id);
    this.#bytes -= session.bytes;
    this.#noteChange(session.id);
  }

  #noteChange(id: number): void {
    if (this.#tracksChanges) this.#changed.add(id);
  }
}

function recordOf(session: Session): SessionRecord {
  const { id, lastIndex, acknowledged } = session;
  const slots = [...session.slots.values()].toSorted((left, right) => left.sequence - right.sequence);
  return { id, lastIndex, acknowledged, slots };
}
