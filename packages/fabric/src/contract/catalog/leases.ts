import type { CatalogOperation, CatalogTransaction } from "../../seams/catalog.ts";
import { compareTokens, type Fence, type Lease, type LeaseId, type LeaseRequest } from "../../seams/lease.ts";
import { bytesOf, check, equal, rejects, textOf } from "../case.ts";
import type { CatalogFixture } from "../catalog.ts";
import { type Body, find, put, remove, Watcher, write } from "./kit.ts";

/** Longer than any case takes. */
const longMs = 600_000;

function grant({ catalog, time }: CatalogFixture, request: Partial<LeaseRequest> = {}): Promise<Lease> {
  return time.run(catalog.leases.grant({ ttlMs: longMs, ...request }));
}

function leasedPut(key: string, value: string, lease: LeaseId): CatalogOperation {
  return { type: "put", key: bytesOf(key), value: bytesOf(value), lease };
}

function fenceOf({ duty = "", token }: Lease): Fence {
  return { duty, token };
}

function fencedPut(key: string, value: string, fence: Fence): CatalogTransaction {
  return { compare: [], then: [put(key, value)], else: [], fence };
}

async function keysOf({ catalog, time }: CatalogFixture, lease: Lease): Promise<readonly string[]> {
  return (await time.run(catalog.leases.keys(lease.id))).map(textOf);
}

/** What a catalog with leases does; one without them has its own case. */
function leased(body: Body): Body {
  return async (fixture) => {
    if (fixture.catalog.leases.supported) await body(fixture);
  };
}

const noSuchLease = 4_503_599_627_370_495 as LeaseId;
const stale: Fence = { duty: "contract", token: { term: 1 as never, index: 1 as never } };

/** Grants, renewals and ends. */
const leaseLifeCases: Readonly<Record<string, Body>> = {
  "a catalog without leases refuses everything that needs them": async (fixture) => {
    const { catalog, time } = fixture;
    const { leases } = catalog;
    if (leases.supported) return;
    const code = ["CATALOG_LEASES_UNSUPPORTED"];
    await rejects(time.run(leases.grant({ ttlMs: longMs })), code, "a grant");
    await rejects(time.run(leases.keepAlive(noSuchLease)), code, "a renewal");
    await rejects(time.run(leases.revoke(noSuchLease)), code, "an end");
    await rejects(time.run(leases.timeToLive(noSuchLease)), code, "a question");
    await rejects(time.run(leases.keys(noSuchLease)), code, "the keys");
    await rejects(time.run(leases.list()), code, "the list");
    equal(leases.duties(), [], "the duties");
    await rejects(write(fixture, leasedPut("a", "1", noSuchLease)), code, "a put with a lease");
    await rejects(time.run(catalog.txn(fencedPut("a", "1", stale))), code, "a write under a fence");
    equal(await find(fixture, "a"), undefined, "the key");
  },

  "a lease is granted without keys, listed while it lives, and gone once it is revoked": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const lease = await grant(fixture, { holder: "somebody" });
    equal([lease.ttlMs, lease.keys, lease.holder], [longMs, 0, "somebody"], "the lease");
    equal(await time.run(catalog.leases.list()), [lease], "the list");
    const { remainingMs, ...told } = await time.run(catalog.leases.timeToLive(lease.id));
    equal(told, lease, "what is told of it");
    check(remainingMs > 0 && remainingMs <= longMs, `${remainingMs} of ${longMs} ms remain`);
    await time.run(catalog.leases.revoke(lease.id));
    equal(await time.run(catalog.leases.list()), [], "the list after its end");
  }),

  "an entry says which lease it was put with": leased(async (fixture) => {
    const lease = await grant(fixture);
    await write(fixture, leasedPut("a", "1", lease.id), put("b", "1"));
    equal((await find(fixture, "a"))?.lease, lease.id, "the lease of the key that has one");
    equal((await find(fixture, "b"))?.lease, undefined, "the lease of the key that has none");
  }),

  "the keys of a revoked lease go in one revision, and no others": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const lease = await grant(fixture);
    const { revision } = await write(
      fixture,
      leasedPut("a", "1", lease.id),
      leasedPut("c", "1", lease.id),
      put("b", "1"),
    );
    const watcher = new Watcher(catalog, time);
    const end = await time.run(catalog.leases.revoke(lease.id));
    equal(end.revision, revision + 1, "the revision of the end");
    await watcher.until(1);
    equal(watcher.lines, [`${revision + 1}: -a -c`], "what was seen");
    equal((await find(fixture, "b"))?.version, 1, "the version of the other key");
    await watcher.stop();
  }),

  "a lease without keys ends without a revision": leased(async (fixture) => {
    const lease = await grant(fixture);
    const before = fixture.catalog.revision();
    equal((await fixture.time.run(fixture.catalog.leases.revoke(lease.id))).revision, before, "the revision");
    equal(fixture.catalog.revision(), before, "the catalog's revision");
  }),

  "a key belongs to the lease that it was put with last, and to none after a put without one": leased(
    async (fixture) => {
      const { catalog, time } = fixture;
      const [one, other] = [await grant(fixture), await grant(fixture)];
      const puts = ["moved", "freed", "gone", "kept"].map((key) => leasedPut(key, "1", one.id));
      await write(fixture, ...puts);
      await write(fixture, leasedPut("moved", "2", other.id), put("freed", "2"), remove("gone"));
      equal(await keysOf(fixture, one), ["kept"], "keys of the first");
      equal(await keysOf(fixture, other), ["moved"], "keys of the second");
      await time.run(catalog.leases.revoke(one.id));
      equal((await find(fixture, "moved"))?.version, 2, "the key that moved");
      equal((await find(fixture, "freed"))?.version, 2, "the key that was freed");
      equal(await find(fixture, "kept"), undefined, "the key that stayed");
    },
  ),

  "a lease that is not renewed expires with its keys, one that is goes on": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const [renewed, left, bell] = [
      await grant(fixture, { ttlMs: 3_000 }),
      await grant(fixture, { ttlMs: 3_000 }),
      await grant(fixture, { ttlMs: 1_000 }),
    ];
    await write(fixture, leasedPut("renewed", "1", renewed.id), leasedPut("left", "1", left.id));
    const { revision } = await write(fixture, leasedPut("bell", "1", bell.id), leasedPut("rope", "1", bell.id));
    await time.until(() => catalog.counts().keys === 2);
    equal(catalog.revision(), revision + 1, "the revision after the first end");
    equal((await time.run(catalog.leases.keepAlive(renewed.id))).ttlMs, 3_000, "the time of a renewal");
    await time.until(() => catalog.counts().keys === 1);
    equal((await find(fixture, "renewed"))?.version, 1, "the version of the key whose lease was renewed");
    await rejects(
      time.run(catalog.leases.keepAlive(left.id)),
      ["CATALOG_LEASE_NOT_FOUND"],
      "a renewal that is too late",
    );
  }),

  "a lease that there is none of is CATALOG_LEASE_NOT_FOUND, and nothing is written": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const code = ["CATALOG_LEASE_NOT_FOUND"];
    await rejects(write(fixture, put("b", "1"), leasedPut("a", "1", noSuchLease)), code, "a put");
    await rejects(time.run(catalog.leases.keepAlive(noSuchLease)), code, "a renewal");
    await rejects(time.run(catalog.leases.revoke(noSuchLease)), code, "an end");
    await rejects(time.run(catalog.leases.timeToLive(noSuchLease)), code, "a question");
    await rejects(time.run(catalog.leases.keys(noSuchLease)), code, "the keys");
    equal(catalog.counts().keys, 0, "keys");
  }),

  "a duration beyond the bounds is CATALOG_LEASE_LIMIT": leased(async (fixture) => {
    const { catalog, time } = fixture;
    for (const ttlMs of [0, 999, 2_592_000_001])
      await rejects(time.run(catalog.leases.grant({ ttlMs })), ["CATALOG_LEASE_LIMIT"], `${ttlMs} ms`);
  }),
};

/** Who holds what, and what former holders cannot do. */
const dutyCases: Readonly<Record<string, Body>> = {
  "a duty is held by one lease at a time, under tokens that strictly rise": leased(async (fixture) => {
    const { catalog, time } = fixture;
    let before = await grant(fixture);
    for (let round = 0; round < 3; round += 1) {
      const lease = await grant(fixture, { duty: "contract", holder: `holder ${round}` });
      check(compareTokens(before.token, lease.token) < 0, `token ${lease.token.index} follows ${before.token.index}`);
      await rejects(
        time.run(catalog.leases.grant({ ttlMs: longMs, duty: "contract" })),
        ["CATALOG_DUTY_HELD"],
        "a second holder",
      );
      const { id, token } = lease;
      equal(catalog.leases.duties(), [{ duty: "contract", lease: id, token, holder: `holder ${round}` }], "duties");
      await time.run(catalog.leases.revoke(id));
      equal(catalog.leases.duties(), [], "duties after the end");
      before = lease;
    }
  }),

  "those who listen are told when a duty is taken and when it becomes free": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const seen: (readonly string[])[] = [];
    const stop = catalog.leases.onDutiesChange(() => seen.push(catalog.leases.duties().map(({ duty }) => duty)));
    const lease = await grant(fixture, { duty: "contract" });
    await grant(fixture);
    await time.run(catalog.leases.revoke(lease.id));
    stop();
    await grant(fixture, { duty: "contract" });
    equal(seen, [["contract"], []], "what was told");
  }),

  "a write of the holder is taken, one of a former holder is CATALOG_FENCED and does nothing": leased(
    async (fixture) => {
      const { catalog, time } = fixture;
      const code = ["CATALOG_FENCED"];
      const former = await grant(fixture, { duty: "contract" });
      await time.run(catalog.txn(fencedPut("a", "former", fenceOf(former))));
      await time.run(catalog.leases.revoke(former.id));
      await rejects(
        time.run(catalog.txn(fencedPut("a", "late", fenceOf(former)))),
        code,
        "a write while nobody holds it",
      );
      const holder = await grant(fixture, { duty: "contract" });
      const before = catalog.revision();
      await rejects(
        time.run(catalog.txn(fencedPut("a", "late", fenceOf(former)))),
        code,
        "a write of the former holder",
      );
      await rejects(
        time.run(catalog.compact(before, { fence: fenceOf(former) })),
        code,
        "a compaction of the former holder",
      );
      const neither = { ...fencedPut("b", "1", fenceOf(former)), compare: [], else: [put("c", "1")] };
      await rejects(time.run(catalog.txn(neither)), code, "both branches");
      equal([catalog.revision(), catalog.counts().keys], [before, 1], "the revision and the keys");
      const taken = await time.run(catalog.txn(fencedPut("a", "holder", fenceOf(holder))));
      equal(taken.revision, before + 1, "the revision of the holder's write");
      await time.run(catalog.compact(taken.revision, { fence: fenceOf(holder) }));
    },
  ),

  "a fence names its duty: the token of another is CATALOG_FENCED": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const [one, other] = [await grant(fixture, { duty: "contract" }), await grant(fixture, { duty: "another" })];
    const crossed = { duty: "contract", token: other.token };
    await rejects(time.run(catalog.txn(fencedPut("a", "1", crossed))), ["CATALOG_FENCED"], "a crossed fence");
    await time.run(catalog.txn(fencedPut("a", "1", fenceOf(one))));
  }),

  "a duty becomes free when its lease expires": leased(async (fixture) => {
    const { catalog, time } = fixture;
    const former = await grant(fixture, { duty: "contract", ttlMs: 1_000 });
    await time.until(() => catalog.leases.duties().length === 0);
    const holder = await grant(fixture, { duty: "contract" });
    check(compareTokens(former.token, holder.token) < 0, "the token does not rise");
  }),
};

/** Leases and fences, or, where there are none, that they are refused. */
export const leaseCases: Readonly<Record<string, Body>> = { ...leaseLifeCases, ...dutyCases };
