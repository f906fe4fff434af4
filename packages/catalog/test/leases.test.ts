import { catalog, catalogMachine, localCatalog, memoryStore, type CatalogFront } from "@revoada/catalog";
import {
  FabricError,
  type ApplyContext,
  type LeaseId,
  type Leadership,
  type LogIndex,
  type MachineStore,
  type Term,
} from "@revoada/fabric";
import { virtualClock, type VirtualClock } from "@revoada/fabric/memory";
import { describe, expect, test } from "vitest";
import { decodeCommand, encodeCommand, type CatalogCommand } from "../src/core/command.ts";
import { readLeaseKeys, writeLease, writeTotals } from "../src/core/lease-records.ts";
import { catalogLimits } from "../src/core/limits.ts";
import { decodeCurrent, decodeHistory, encodeCurrent, encodeHistory } from "../src/core/records.ts";
import { decodeOutcome } from "../src/core/result.ts";
import { leaseKeysTree } from "../src/core/store-keys.ts";
import { all, put, show, text } from "./support.ts";

const oneSecond = 1_000;
const leased = (key: string, lease: LeaseId) => ({ type: "put", key: text(key), value: text("1"), lease }) as const;

/** Some nodes of one log in one place: what is proposed is applied by all at once, in the term of whoever leads. */
class Replicas {
  readonly clock: VirtualClock = virtualClock();
  readonly fronts: readonly CatalogFront[];
  readonly stores: readonly MachineStore[];
  readonly log: { readonly command: CatalogCommand; readonly term: number }[] = [];
  /** Called before a command is appended; a throw refuses it. */
  onPropose: (command: CatalogCommand) => void = () => undefined;
  /** Called after a command was applied; a throw hides its outcome. */
  onApplied: (command: CatalogCommand) => void = () => undefined;
  /** Awaited before leadership is confirmed. */
  confirming: Promise<void> = Promise.resolve();
  leader = 0;
  term = 1;
  readonly #listeners = new Set<() => void>();

  constructor(count = 2) {
    const made = Array.from({ length: count }, (_, node) => {
      const store = memoryStore();
      const machine = catalogMachine();
      machine.restored(store);
      return { node, store, machine };
    });
    this.stores = made.map(({ store }) => store);
    const propose = async (bytes: Uint8Array): Promise<Uint8Array> => {
      const command = decodeCommand(bytes)!;
      this.onPropose(command);
      this.log.push({ command, term: this.term });
      const context = {
        index: this.log.length as LogIndex,
        term: this.term as Term,
        timeMs: 0,
        writable: true,
      } as ApplyContext;
      const answers = made.map(({ store, machine }) => {
        const answer = store.transact((transaction) => machine.apply(transaction, bytes, context));
        machine.committed();
        return answer;
      });
      this.onApplied(command);
      return answers[0]!;
    };
    this.fronts = made.map(({ node, store, machine }) =>
      catalog({
        machine,
        store,
        clock: this.clock,
        propose,
        readBarrier: async () => undefined,
        leadership: this.#leadership(node),
      }),
    );
  }

  elect(node: number): void {
    this.leader = node;
    this.term += 1;
    for (const listener of this.#listeners) listener();
  }

  #leadership(node: number): Leadership {
    const term = (): Term | undefined => (this.leader === node ? (this.term as Term) : undefined);
    return {
      term,
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      confirm: async () => {
        const before = term();
        await this.confirming;
        if (before === undefined || term() !== before)
          throw new FabricError("RAFT_NOT_LEADER", "it does not lead", { retryable: true });
        return before;
      },
      ask: (request) => this.fronts[this.leader]!.answerLease(request),
    };
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.clock.run(work, { withinMs: 60_000 });
  }

  expiries(): number {
    return this.log.filter(({ command }) => command.type === "expire").length;
  }
}

describe("leases of replicas", () => {
  test("are renewed through any node, and no renewal is an entry of the log", async () => {
    const replicas = new Replicas();
    const [leader, follower] = replicas.fronts as [CatalogFront, CatalogFront];
    const { id } = await replicas.run(leader.leases.grant({ ttlMs: 3 * oneSecond }));
    for (let round = 0; round < 10; round += 1) {
      await replicas.clock.advanceAsync(2 * oneSecond);
      await replicas.run((round % 2 === 0 ? leader : follower).leases.keepAlive(id));
    }
    expect(replicas.log).toHaveLength(1);
    await replicas.clock.advanceAsync(4 * oneSecond);
    expect(await replicas.run(follower.leases.list())).toEqual([]);
    expect(replicas.expiries()).toBe(1);
  });

  test("begin anew with each leader, so that a renewal by the one before is never cut short", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: 3 * oneSecond }));
    for (const node of [1, 0, 1]) {
      await replicas.clock.advanceAsync(2 * oneSecond);
      replicas.elect(node);
    }
    await replicas.clock.advanceAsync(2 * oneSecond);
    expect((await replicas.run(leases.timeToLive(id))).remainingMs).toBe(oneSecond);
    await replicas.clock.advanceAsync(2 * oneSecond);
    expect(await replicas.run(leases.list())).toEqual([]);
  });

  test("are not ended by a command of a leader that has been replaced, whoever appends it", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: oneSecond }));
    let late: CatalogCommand | undefined;
    replicas.onPropose = (command) => {
      if (command.type !== "expire" || late !== undefined) return;
      late = command;
      replicas.elect(1);
    };
    await replicas.clock.runUntil(() => late !== undefined, { withinMs: 5_000 });
    // The old leader's command reached the log in the new leader's term, and the lease has its full time again.
    expect(replicas.log.at(-1)).toEqual({ command: late, term: 2 });
    await replicas.clock.advanceAsync(500);
    expect((await replicas.run(leases.timeToLive(id))).id).toBe(id);
    await replicas.clock.advanceAsync(2 * oneSecond);
    expect(await replicas.run(leases.list())).toEqual([]);
  });

  test("cannot be renewed between the finding that they are over and the commit of their end", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: oneSecond }));
    let refusals = 0;
    replicas.onPropose = (command) => {
      if (command.type !== "expire" || refusals >= 3) return;
      refusals += 1;
      throw new FabricError("RAFT_NO_QUORUM", "nobody took it", { retryable: true });
    };
    await replicas.clock.runUntil(() => refusals === 1, { withinMs: 5_000 });
    const renewal = leases.keepAlive(id, { timeoutMs: 20_000 });
    await expect(replicas.run(renewal)).rejects.toMatchObject({ code: "CATALOG_LEASE_NOT_FOUND" });
    expect(refusals).toBe(3);
  });

  test("of which it is unknown whether they have ended cannot be renewed before it is known", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: oneSecond }));
    let hidden = 0;
    replicas.onApplied = (command) => {
      if (command.type !== "expire" || hidden > 0) return;
      hidden += 1;
      throw new FabricError("RAFT_OUTCOME_UNKNOWN", "nobody knows");
    };
    await replicas.clock.runUntil(() => hidden === 1, { withinMs: 5_000 });
    await expect(replicas.run(leases.keepAlive(id))).rejects.toMatchObject({ code: "CATALOG_LEASE_NOT_FOUND" });
  });

  test("a renewal that cannot be decided in time says so and is no refusal for ever", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: oneSecond }));
    replicas.onPropose = (command) => {
      if (command.type === "expire") throw new FabricError("RAFT_NO_QUORUM", "nobody took it", { retryable: true });
    };
    await replicas.clock.advanceAsync(2 * oneSecond);
    await expect(replicas.run(leases.keepAlive(id, { timeoutMs: 500 }))).rejects.toMatchObject({
      code: "RAFT_NO_QUORUM",
      retryable: true,
    });
  });

  test("a renewal counts only where leadership is confirmed after it came", async () => {
    const replicas = new Replicas();
    const { leases } = replicas.fronts[0]!;
    const { id } = await replicas.run(leases.grant({ ttlMs: 5 * oneSecond }));
    let confirm = (): void => undefined;
    replicas.confirming = new Promise((resolve) => {
      confirm = resolve;
    });
    const renewal = leases.keepAlive(id, { timeoutMs: 1 });
    replicas.elect(1);
    confirm();
    await expect(replicas.run(renewal)).rejects.toMatchObject({ code: "RAFT_NOT_LEADER" });
  });

  test("begin anew where the leader's process stood still, and are not ended for it", async () => {
    const replicas = new Replicas(1);
    const clock = replicas.clock.host("leader");
    const machine = catalogMachine();
    const store = memoryStore();
    machine.restored(store);
    let index = 0;
    const front = catalog({
      machine,
      store,
      clock,
      readBarrier: async () => undefined,
      propose: async (bytes) => {
        const context = { index: (index += 1), term: 1, timeMs: 0, writable: true } as unknown as ApplyContext;
        const answer = store.transact((transaction) => machine.apply(transaction, bytes, context));
        machine.committed();
        return answer;
      },
      leadership: {
        term: () => 1 as Term,
        onChange: () => () => undefined,
        confirm: async () => 1 as Term,
        ask: () => Promise.reject(new FabricError("RAFT_NOT_LEADER", "it leads itself")),
      },
    });
    const { id } = await replicas.run(front.leases.grant({ ttlMs: 2 * oneSecond }));
    await replicas.clock.advanceAsync(oneSecond);
    clock.stall(10 * oneSecond);
    await replicas.clock.advanceAsync(10 * oneSecond + 200);
    // What was sent while it stood still is read now, and is not too late.
    expect((await replicas.run(front.leases.keepAlive(id))).ttlMs).toBe(2 * oneSecond);
    front.close();
  });
});

describe("leases in the store", () => {
  test("keys and history without a lease are stored as they were before there were leases", () => {
    const current = { createRevision: 1, modRevision: 2, version: 3, place: 4 };
    const history = { type: "put", key: text("k"), createRevision: 1, version: 1, value: text("v") } as const;
    expect(encodeCurrent(current)).toHaveLength(29);
    expect(encodeHistory(history)[0]).toBe(1);
    expect(decodeCurrent(encodeCurrent(current))).toEqual(current);
    expect(decodeHistory(encodeHistory(history))).toEqual(history);
    expect(decodeCurrent(encodeCurrent({ ...current, lease: 7 }))).toEqual({ ...current, lease: 7 });
    expect(decodeHistory(encodeHistory({ ...history, lease: 7 }))).toEqual({ ...history, lease: 7 });
  });

  test("a lease takes so many keys and no more, and the transaction that would bring one more does nothing", async () => {
    const store = memoryStore();
    const front = localCatalog({ clock: virtualClock(), store });
    const lease = await front.leases.grant({ ttlMs: 600_000 });
    const { id } = lease;
    await front.txn({ compare: [], then: [leased("first", id)], else: [] });
    store.transact((transaction) => writeLease(transaction, { ...lease, keys: catalogLimits.leaseKeys - 1 }));
    await front.txn({ compare: [], then: [leased("last", id)], else: [] });
    const over = { compare: [], then: [put("other", "1"), leased("one more", id)], else: [] };
    await expect(front.txn(over)).rejects.toMatchObject({ code: "CATALOG_LEASE_LIMIT" });
    expect(await front.get(text("other"))).toBeUndefined();
    // A key that it has already is no further one.
    await front.txn({ compare: [], then: [leased("first", id)], else: [] });
    const before = front.revision();
    expect((await front.leases.revoke(id)).revision).toBe(before + 1);
    expect(front.counts().keys).toBe(0);
    front.close();
  });

  test("a restore brings keys without leases, and lets holders keep their duties", async () => {
    const store = memoryStore();
    const front = localCatalog({ clock: virtualClock(), store });
    const lease = await front.leases.grant({ ttlMs: 600_000, duty: "work", holder: "me" });
    await front.txn({ compare: [], then: [leased("a", lease.id)], else: [] });
    await front.restore(front.snapshot());
    expect(await front.leases.list()).toEqual([lease]);
    expect([...store.range(leaseKeysTree)]).toEqual([]);
    const fence = { duty: "work", token: lease.token };
    await front.txn({ compare: [], then: [put("b", "1")], else: [], fence });
    await front.leases.revoke(lease.id);
    expect((await all(front)).map(([key]) => key)).toEqual(["a", "b"]);
    front.close();
  });

  test("tokens go on rising over a restart of a catalog without a log", async () => {
    const store = memoryStore();
    const before = localCatalog({ clock: virtualClock(), store });
    for (let count = 0; count < 5; count += 1) await before.txn({ compare: [], then: [put("a", "1")], else: [] });
    const { id, token } = await before.leases.grant({ ttlMs: oneSecond });
    await before.leases.revoke(id);
    before.close();
    const after = localCatalog({ clock: virtualClock(), store });
    expect((await after.leases.grant({ ttlMs: oneSecond })).token.index).toBe(token.index + 1);
    after.close();
  });

  test("more leases than there may be are refused, and one that ends makes room", () => {
    const store = memoryStore();
    const machine = catalogMachine();
    let index = 0;
    const run = (command: CatalogCommand) => {
      const context = { index: (index += 1), term: 1, writable: true } as unknown as ApplyContext;
      return decodeOutcome(
        store.transact((transaction) => machine.apply(transaction, encodeCommand(command), context)),
      );
    };
    const grant: CatalogCommand = { type: "grant", ttlMs: oneSecond };
    run(grant);
    const newest = { term: 1, index };
    store.transact((transaction) => writeTotals(transaction, { count: catalogLimits.leases, newest }));
    expect(run(grant)).toMatchObject({ type: "refused", refusal: { code: "CATALOG_LEASE_LIMIT" } });
    expect(run({ type: "revoke", lease: 1 as LeaseId })).toMatchObject({ type: "ended", leases: [1] });
    expect(run(grant)).toMatchObject({ type: "granted" });
  });

  test("an expiry ends the leases that it names, each with its keys in a revision of its own", async () => {
    const replicas = new Replicas();
    const [front] = replicas.fronts as [CatalogFront];
    const granted = [];
    for (let count = 0; count < 3; count += 1)
      granted.push(await replicas.run(front.leases.grant({ ttlMs: oneSecond })));
    for (const { id } of granted)
      await front.txn({ compare: [], then: [leased(`${id}/a`, id), leased(`${id}/b`, id)], else: [] });
    const before = front.revision();
    await replicas.clock.runUntil(() => front.counts().keys === 0, { withinMs: 5_000 });
    expect([replicas.expiries(), front.revision()]).toEqual([1, before + 3]);
    for (const store of replicas.stores)
      for (const { id } of granted) expect([...readLeaseKeys(store, id)].map(show)).toEqual([]);
  });

  test("commands of leases that are malformed are no commands", () => {
    const valid = [
      { type: "grant", ttlMs: 1_000, duty: "work", holder: "me" },
      { type: "revoke", lease: 3 },
      { type: "expire", term: 2, leases: [1, 2] },
      { type: "compact", revision: 1, sweep: 1, fence: { duty: "work", token: { term: 1, index: 2 } } },
    ] as unknown as CatalogCommand[];
    for (const command of valid) {
      const bytes = encodeCommand(command);
      expect(decodeCommand(bytes)).toEqual(command);
      for (let length = 0; length < bytes.length; length += 1)
        expect(decodeCommand(bytes.subarray(0, length))).toBeUndefined();
    }
  });
});
