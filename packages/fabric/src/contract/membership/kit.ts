import type { NodeId } from "../../ids.ts";
import type { Member, Membership, MembershipChange, MemberStatus } from "../../seams/membership.ts";
import { type ContractTime, ContractViolation } from "../case.ts";
import type { MembershipFixture } from "../membership.ts";

/** A test body over a fixture. */
export type Body = (fixture: MembershipFixture) => Promise<void>;

/** The id of one of the five. */
export function nodeAt({ ids }: MembershipFixture, index: number): NodeId {
  const id = ids[index];
  if (id === undefined) throw new ContractViolation(`the fixture has ${ids.length} nodes, the kit needs ${index + 1}`);
  return id;
}

/** How one node sees another; undefined where it does not know it. */
export function seenBy(fixture: MembershipFixture, observer: NodeId, subject: NodeId): Member | undefined {
  return fixture.member(observer).view().members.get(subject);
}

/** The status that one node gives another. */
export function statusOf(fixture: MembershipFixture, observer: NodeId, subject: NodeId): MemberStatus | undefined {
  return seenBy(fixture, observer, subject)?.status;
}

/** Waits until each of `observers` gives `subject` this status. */
export function untilStatus(
  fixture: MembershipFixture,
  observers: readonly NodeId[],
  subject: NodeId,
  status: MemberStatus,
): Promise<void> {
  return fixture.time.until(() => observers.every((observer) => statusOf(fixture, observer, subject) === status));
}

/** Waits until everybody sees everybody alive. */
export function untilAllAlive(fixture: MembershipFixture, ids: readonly NodeId[] = fixture.ids): Promise<void> {
  return fixture.time.until(() =>
    ids.every((observer) => ids.every((subject) => statusOf(fixture, observer, subject) === "alive")),
  );
}

/** Everybody but one. */
export function othersThan(fixture: MembershipFixture, id: NodeId): readonly NodeId[] {
  return fixture.ids.filter((other) => other !== id);
}

/** A stream of changes that is read in the background until it is stopped. */
export class ChangeReader {
  readonly changes: MembershipChange[] = [];
  readonly #controller = new AbortController();
  readonly #time: ContractTime;
  readonly #done: Promise<void>;
  isOver = false;

  constructor(membership: Membership, time: ContractTime) {
    this.#time = time;
    this.#done = this.#follow(membership.changes({ signal: this.#controller.signal }));
    this.#done.catch(() => {});
  }

  /** The statuses that a member was told to have, in order. */
  statusesOf(id: NodeId): readonly MemberStatus[] {
    return this.changes.flatMap((change) =>
      change.type === "changed" && change.member.id === id ? [change.member.status] : [],
    );
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#time.run(this.#done.catch(() => {}));
  }

  async #follow(stream: AsyncIterable<MembershipChange>): Promise<void> {
    try {
      for await (const change of stream) this.changes.push(change);
    } finally {
      this.isOver = true;
    }
  }
}
