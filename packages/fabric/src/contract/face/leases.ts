import type { ResourceRef } from "../../resource.ts";
import type { AppliedResource } from "../../seams/face.ts";
import type { Fence, Lease, LeaseId, LeaseRequest } from "../../seams/lease.ts";
import { check, equal, rejects } from "../case.ts";
import type { FaceFixture } from "../face.ts";
import { type Body, defaultFormat, FaceWatcher, get, running } from "./kit.ts";

/** Longer than any case takes. */
const longMs = 600_000;
const noSuchLease = 4_503_599_627_370_495 as LeaseId;
const noSuchFence: Fence = { duty: "contract", token: { term: 1 as never, index: 1 as never } };

function grant({ face, time }: FaceFixture, request: Partial<LeaseRequest> = {}): Promise<Lease> {
  return time.run(face.leases.grant({ ttlMs: longMs, ...request }));
}

/** Applies one sample with what `terms` say. */
async function applyWith(
  fixture: FaceFixture,
  name: string,
  variant: number,
  terms: { readonly lease?: LeaseId; readonly fence?: Fence } = {},
): Promise<AppliedResource["outcome"] | undefined> {
  const input = { format: defaultFormat(fixture), body: fixture.sample(name, variant).body, ...terms };
  return (await fixture.time.run(fixture.face.apply(input)))[0]?.outcome;
}

async function resourcesOf({ face, time }: FaceFixture, { id }: Lease): Promise<readonly string[]> {
  return (await time.run(face.leases.resources(id))).resources.map(({ name }) => name);
}

/** What a face with leases does; one without them has its own case. */
function leased(body: Body): Body {
  return async (fixture) => {
    if (!fixture.face.leases.supported) return;
    await running(fixture);
    await body(fixture);
  };
}

/** Leases and fences. */
export const leaseCases: Readonly<Record<string, Body>> = {
  "a face without leases refuses everything that needs them": async (fixture) => {
    const { face, time } = fixture;
    if (face.leases.supported) return;
    await running(fixture);
    const code = ["CATALOG_LEASES_UNSUPPORTED"];
    await rejects(time.run(face.leases.grant({ ttlMs: longMs })), code, "a grant");
    await rejects(time.run(face.leases.keepAlive(noSuchLease)), code, "a renewal");
    await rejects(time.run(face.leases.revoke(noSuchLease)), code, "an end");
    await rejects(time.run(face.leases.timeToLive(noSuchLease)), code, "a question");
    await rejects(time.run(face.leases.list()), code, "the list");
    await rejects(time.run(face.leases.resources(noSuchLease)), code, "what is attached");
    await rejects(applyWith(fixture, "a", 1, { lease: noSuchLease }), code, "applying with a lease");
    await rejects(applyWith(fixture, "a", 1, { fence: noSuchFence }), code, "applying under a fence");
    equal(face.counts().resources, 0, "how many resources there are");
    await applyWith(fixture, "a", 1);
    const { ref } = fixture.sample("a", 1);
    await rejects(time.run(face.delete(ref, { fence: noSuchFence })), code, "deleting under a fence");
    equal((await get(fixture, ref)).ref, ref, "what is there");
  },

  "what was applied with a lease says so, and goes with it; everything else stays": leased(async (fixture) => {
    const { face, selector, time } = fixture;
    const lease = await grant(fixture);
    for (const name of ["a", "b"]) await applyWith(fixture, name, 1, { lease: lease.id });
    await applyWith(fixture, "c", 1);
    equal((await get(fixture, fixture.sample("a", 1).ref)).lease, lease.id, "the lease that get says");
    const { items } = await time.run(face.list(selector));
    equal(
      Object.fromEntries(items.map((item) => [item.ref.name, item.lease])),
      { a: lease.id, b: lease.id, c: undefined },
      "the leases of a list",
    );
    equal((await resourcesOf(fixture, lease)).toSorted(), ["a", "b"], "what is attached");
    const watcher = new FaceWatcher(fixture);
    await watcher.until(3);
    equal(
      watcher.events.filter((event) => event.type === "added" && event.lease === lease.id).length,
      2,
      "events with the lease",
    );
    await time.run(face.leases.revoke(lease.id));
    await watcher.until(5);
    const ends = watcher.events.slice(3);
    equal(
      ends.map(({ type }) => type),
      ["deleted", "deleted"],
      "what happens at its end",
    );
    equal(new Set(ends.map(({ revision }) => revision)).size, 1, "how many revisions that takes");
    await watcher.stop();
    equal(
      (await time.run(face.list(selector))).items.map(({ ref }) => ref.name),
      ["c"],
      "what is left",
    );
  }),

  "another lease is a change, also where the content is the same, and none frees what had one": leased(
    async (fixture) => {
      const { face, time } = fixture;
      const [one, other] = [await grant(fixture), await grant(fixture)];
      equal(await applyWith(fixture, "a", 1, { lease: one.id }), "created", "the first");
      equal(await applyWith(fixture, "a", 1, { lease: one.id }), "unchanged", "the same lease again");
      equal(await applyWith(fixture, "a", 1, { lease: other.id }), "updated", "another lease");
      equal(
        [await resourcesOf(fixture, one), await resourcesOf(fixture, other)],
        [[], ["a"]],
        "what is attached to each",
      );
      equal(await applyWith(fixture, "a", 1), "updated", "no lease");
      await time.run(face.leases.revoke(other.id));
      equal((await get(fixture, fixture.sample("a", 1).ref)).lease, undefined, "the lease of what stayed");
    },
  ),

  "a lease is told, renewed and listed while it lives, and is CATALOG_LEASE_NOT_FOUND afterwards": leased(
    async (fixture) => {
      const { face, time } = fixture;
      const lease = await grant(fixture, { holder: "somebody" });
      equal([lease.ttlMs, lease.keys, lease.holder], [longMs, 0, "somebody"], "the lease");
      equal(await time.run(face.leases.keepAlive(lease.id)), { ttlMs: longMs }, "the renewal");
      const { remainingMs, ...told } = await time.run(face.leases.timeToLive(lease.id));
      equal(told, lease, "what is told of it");
      check(remainingMs > 0 && remainingMs <= longMs, `${remainingMs} of ${longMs} ms remain`);
      equal(await time.run(face.leases.list()), { leases: [lease] }, "the list");
      await time.run(face.leases.revoke(lease.id));
      const code = ["CATALOG_LEASE_NOT_FOUND"];
      await rejects(time.run(face.leases.keepAlive(lease.id)), code, "a renewal after the end");
      await rejects(time.run(face.leases.timeToLive(lease.id)), code, "a question after the end");
      await rejects(time.run(face.leases.revoke(lease.id)), code, "a second end");
      await rejects(time.run(face.leases.resources(lease.id)), code, "what is attached after the end");
      await rejects(applyWith(fixture, "a", 1, { lease: lease.id }), code, "applying with it after the end");
      equal(face.counts().resources, 0, "how many resources there are");
    },
  ),

  "leases and what is attached to one come in pages": leased(async (fixture) => {
    const { face, time } = fixture;
    const leases = [await grant(fixture), await grant(fixture), await grant(fixture)];
    const [first] = leases as [Lease];
    const names = ["a", "b", "c"];
    for (const name of names) await applyWith(fixture, name, 1, { lease: first.id });
    const ids: number[] = [];
    let after: LeaseId | undefined;
    do {
      const page = await time.run(face.leases.list({ limit: 2, ...(after === undefined ? {} : { after }) }));
      check(page.leases.length <= 2, `a page of ${page.leases.length} leases`);
      ids.push(...page.leases.map(({ id }) => id));
      after = page.next;
    } while (after !== undefined && ids.length < 10);
    equal(
      ids,
      leases.map(({ id }) => id),
      "the ids on all pages",
    );
    const seen: string[] = [];
    let behind: ResourceRef | undefined;
    do {
      const from = behind === undefined ? {} : { after: behind };
      const page = await time.run(face.leases.resources(first.id, { limit: 2, ...from }));
      check(page.resources.length <= 2, `a page of ${page.resources.length} resources`);
      seen.push(...page.resources.map(({ name }) => name));
      behind = page.next;
    } while (behind !== undefined && seen.length < 10);
    equal(seen, names, "the names on all pages");
  }),

  "a fence lets the holder of a duty write, and nobody who held it before": leased(async (fixture) => {
    const { face, time } = fixture;
    const former = await grant(fixture, { duty: "contract" });
    await rejects(grant(fixture, { duty: "contract" }), ["CATALOG_DUTY_HELD"], "a second holder");
    const late: Fence = { duty: "contract", token: former.token };
    equal(await applyWith(fixture, "a", 1, { fence: late }), "created", "what the holder writes");
    const { ref } = fixture.sample("a", 1);
    const { revision } = await get(fixture, ref);
    await time.run(face.leases.revoke(former.id));
    const { token } = await grant(fixture, { duty: "contract" });
    const code = ["CATALOG_FENCED"];
    await rejects(applyWith(fixture, "a", 2, { fence: late }), code, "what the former holder writes");
    await rejects(applyWith(fixture, "a", 1, { fence: late }), code, "what it writes without a change");
    await rejects(time.run(face.delete(ref, { fence: late })), code, "what it deletes");
    equal((await get(fixture, ref)).revision, revision, "the revision that is there");
    equal(
      await applyWith(fixture, "a", 2, { fence: { duty: "contract", token } }),
      "updated",
      "what the new one writes",
    );
    await time.run(face.delete(ref, { fence: { duty: "contract", token } }));
    equal(face.counts().resources, 0, "how many resources there are");
  }),
};
