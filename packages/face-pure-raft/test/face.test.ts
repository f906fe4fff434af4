import { FabricError, resourceKey, type ResourceWatchEvent, type Revision } from "@revoada/fabric";
import { defaultFormats } from "@revoada/format";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePageToken, encodePageToken } from "../src/page-token.ts";
import { decodeStored, encodeStored } from "../src/stored.ts";
import {
  bytesOf,
  codeOf,
  collect,
  machine,
  machines,
  makeFace,
  startedFace,
  take,
  textOf,
} from "./support/fixtures.ts";

const a = { kind: "Machine", name: "a" } as const;
const revision = (value: number): Revision => value as Revision;

describe("apply", () => {
  test("makes one revision for all documents, and leaves what is unchanged at its own", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machines("a", "b"));
    const applied = await face.apply({
      format: "yaml",
      body: Buffer.concat([machine("a", 1).body, bytesOf("---\n"), machines("b", "c").body]),
    });
    expect(applied.map(({ ref, outcome, revision: at }) => `${ref.name} ${outcome} ${at}`)).toEqual([
      "a updated 2",
      "b unchanged 1",
      "c created 2",
    ]);
    expect(catalog.revision()).toBe(2);
  });

  test("that changes nothing asks for no transaction", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machines("a"));
    const before = catalog.transactions;
    await face.apply(machines("a"));
    expect(catalog.transactions).toBe(before);
  });

  test("refuses a body that names one resource twice", async () => {
    const { face, catalog } = await startedFace();
    await expect(face.apply({ ...machines("a", "b", "a"), source: "all.yaml" })).rejects.toMatchObject({
      code: "FACE_DUPLICATE_RESOURCE",
      message: "all.yaml: Machine a stands twice in one body",
    });
    expect(catalog.revision()).toBe(0);
  });

  test("looks again where others come first, and says what it found then", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machine("a", 1));
    let intrusions = 3;
    catalog.beforeTxn = () => {
      if (intrusions-- > 0)
        catalog.put(resourceKey(a), encodeStored("yaml", { ref: a, value: { rack: 100 + intrusions } }));
    };
    const [applied] = await face.apply(machine("a", 2));
    expect(applied).toMatchObject({ outcome: "updated", revision: 5 });
  });

  test("gives up with a conflict that may be tried again where others never stop", async () => {
    const { face, catalog } = await startedFace();
    let rack = 0;
    catalog.beforeTxn = () => catalog.put(resourceKey(a), encodeStored("yaml", { ref: a, value: { rack: ++rack } }));
    await expect(face.apply(machine("a", -1))).rejects.toMatchObject({ code: "FACE_CONFLICT", retryable: true });
  });

  test("does not call a resource unchanged on the word of a replica that is behind", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machine("a", 1));
    await face.apply(machine("a", 2));
    catalog.staleAt = 1;
    const [applied] = await face.apply(machine("a", 1));
    expect(applied).toMatchObject({ outcome: "updated", revision: 3 });
  });

  test("with ifRevision looks past a replica that is behind before it refuses", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machine("a", 1));
    await face.apply(machine("a", 2));
    catalog.staleAt = 1;
    expect(await codeOf(face.apply({ ...machine("a", 3), ifRevision: revision(1) }))).toBe("FACE_CONFLICT");
    const [applied] = await face.apply({ ...machine("a", 3), ifRevision: revision(2) });
    expect(applied).toMatchObject({ outcome: "updated" });
  });

  test("answers a stale read with what it has and how old that is", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machine("a", 1));
    await face.apply(machine("a", 2));
    [catalog.staleAt, catalog.ageMs] = [1, 1500];
    const ref = { kind: "Machine", name: "a" };
    expect(await face.get(ref, { consistency: "stale" })).toMatchObject({ revision: 1, ageMs: 1500 });
    expect(await face.list({}, { consistency: "stale" })).toMatchObject({ revision: 1, ageMs: 1500 });
    expect(await face.get(ref)).not.toHaveProperty("ageMs");
    expect(await face.list({})).not.toHaveProperty("ageMs");
  });

  test("with ifRevision 0 creates and never replaces", async () => {
    const { face } = await startedFace();
    await face.apply({ ...machine("a", 1), ifRevision: revision(0) });
    await expect(face.apply({ ...machine("a", 2), ifRevision: revision(0) })).rejects.toThrow(
      "Machine a: expected revision 0, it is at 1",
    );
  });

  test("rejects as the catalog does", async () => {
    const { face, catalog } = await startedFace();
    catalog.refusal = new FabricError("RAFT_NO_QUORUM", "no leader", { retryable: true });
    await expect(face.apply(machines("a"))).rejects.toBe(catalog.refusal);
    await expect(face.delete(a)).rejects.toBe(catalog.refusal);
  });
});

describe("get", () => {
  test("gives YAML, JSON and native of what came as any of them", async () => {
    const { face } = await startedFace();
    await face.apply({ format: "json", body: bytesOf('{"name":"a","kind":"Machine","zone":{"b":1,"a":[true,null]}}') });
    expect(textOf((await face.get(a)).body)).toContain('"zone"');
    expect(textOf((await face.get(a, { format: "yaml" })).body)).toBe(
      "kind: Machine\nname: a\nzone:\n  a:\n    - true\n    - null\n  b: 1\n",
    );
    const { body } = await face.get(a, { format: "native" });
    expect(defaultFormats().get("native").decode(body, "a")[0]?.ref).toEqual(a);
  });

  test("of a value with bytes in a format that cannot say them is FORMAT_INVALID, and a list gives it in its own", async () => {
    const { face } = await startedFace();
    const native = defaultFormats()
      .get("native")
      .encode([{ ref: a, value: { key: Uint8Array.of(1, 2) } }]);
    await face.apply({ format: "native", body: native });
    await face.apply(machines("b"));
    expect(await codeOf(face.get(a, { format: "json" }))).toBe("FORMAT_INVALID");
    const { items } = await face.list({}, { format: "json" });
    expect(items.map(({ ref, format }) => `${ref.name} ${format}`)).toEqual(["a native", "b json"]);
    expect(items[0]?.body).toEqual(native);
  });

  test("of bytes that no release wrote says so, and of a newer release's too", async () => {
    const { face, catalog } = await startedFace();
    catalog.put(resourceKey(a), Uint8Array.of(0xff, 1, 2));
    expect(await codeOf(face.get(a))).toBe("FACE_STORED_INVALID");
    catalog.put(resourceKey(a), Uint8Array.of(0x81, 2));
    expect(await codeOf(face.get(a))).toBe("FACE_NEWER_FORMAT");
  });
});

describe("what is stored", () => {
  test("has the bytes that it always had", () => {
    const stored = encodeStored("yaml", { ref: a, value: { kind: "Machine", name: "a" } });
    expect(Buffer.from(stored).toString("hex")).toBe("84016479616d6c00a2646b696e64674d616368696e65646e616d656161");
    const exact = encodeStored("native", { ref: a, value: null, exact: Uint8Array.of(1, 2, 3) });
    expect(Buffer.from(exact).toString("hex")).toBe("8401666e61746976650143010203");
  });

  test("comes back as it was put, whatever the value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const back = decodeStored(encodeStored("json", { ref: a, value: value as never }), a);
        expect(JSON.stringify("value" in back && sortKeys(back.value))).toBe(JSON.stringify(sortKeys(value)));
      }),
    );
  });
});

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? 0 : value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, sortKeys(item)] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}

describe("list", () => {
  const many = Array.from({ length: 300 }, (_, index) => `m${String(index).padStart(3, "0")}`);

  test("in pages of any size gives every match once and in order, across all batches", async () => {
    const { face } = await startedFace({ pageItems: 1_000 });
    await face.apply(machines(...many));
    await face.apply({ format: "yaml", body: bytesOf("kind: Zone\nname: z\nnamespace: n\n") });
    for (const [selector, limit, expected] of [
      [{}, 7, 301],
      [{ kind: "Machine" }, 64, 300],
      [{ namespace: "n" }, 1, 1],
      [{ group: "", kind: "Machine" }, 300, 300],
      [{ kind: "Nothing" }, 1, 0],
    ] as const) {
      const names: string[] = [];
      let next: string | undefined;
      do {
        const page = await face.list(selector, { limit, ...(next === undefined ? {} : { next }) });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        names.push(...page.items.map(({ ref }) => Buffer.from(resourceKey(ref)).toString("latin1")));
        next = page.next;
      } while (next !== undefined);
      expect(names.length).toBe(expected);
      expect(names).toEqual([...new Set(names)].toSorted());
    }
  });

  test("ends a page where its bodies are large, with one item at least", async () => {
    const { face } = await startedFace({ pageBytes: 40 });
    await face.apply(machines("a", "b", "c"));
    const page = await face.list({});
    expect(page.items.map(({ ref }) => ref.name)).toEqual(["a"]);
    expect(page.next).toBeTypeOf("string");
  });

  test("refuses tokens that it did not give, and limits that are none", async () => {
    const { face } = await startedFace();
    await face.apply(machines("a", "b"));
    const { next = "" } = await face.list({ group: "", kind: "Machine" }, { limit: 1 });
    expect(await codeOf(face.list({ group: "", kind: "Zone" }, { next }))).toBe("FACE_INVALID_PAGE_TOKEN");
    expect(await codeOf(face.list({}, { next: "x".repeat(2_000) }))).toBe("FACE_INVALID_PAGE_TOKEN");
    expect(await codeOf(face.list({}, { limit: 0 }))).toBe("FABRIC_INVALID_VALUE");
    const future = encodePageToken({ revision: revision(99), after: resourceKey(a) });
    expect(await codeOf(face.list({}, { next: future }))).toBe("CATALOG_FUTURE_REVISION");
  });

  test("of a page whose revision was compacted meanwhile is CATALOG_COMPACTED", async () => {
    const { face, catalog } = await startedFace();
    await face.apply(machines("a", "b"));
    const { next = "" } = await face.list({}, { limit: 1 });
    await face.apply(machines("c"));
    await catalog.compact(catalog.revision());
    expect(await codeOf(face.list({}, { next }))).toBe("CATALOG_COMPACTED");
  });

  test("takes no text for a token but its own", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodePageToken(text)).toThrow("page token");
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 600 }), (at, after) => {
        expect(decodePageToken(encodePageToken({ revision: revision(at), after }))).toEqual({ revision: at, after });
      }),
    );
  });
});

describe("watch", () => {
  test("starts again behind a reset where history is compacted under a slow consumer", async () => {
    const { face, catalog } = await startedFace({ pageItems: 1 });
    await face.apply(machines("a", "b"));
    const controller = new AbortController();
    const events = face.watch({}, { signal: controller.signal })[Symbol.asyncIterator]();
    const seen: string[] = [];
    const step = async (): Promise<void> => {
      const { value } = (await events.next()) as { readonly value: ResourceWatchEvent };
      seen.push(value.type === "reset" ? `reset ${value.reason} ${value.revision}` : `${value.type} ${value.ref.name}`);
    };
    await step();
    await face.delete(a);
    await catalog.compact(catalog.revision());
    for (let count = 0; count < 2; count++) await step();
    expect(seen).toEqual(["added a", "reset compacted 2", "added b"]);
    controller.abort();
  });

  test("tells a restore as a reset with its state", async () => {
    const { face } = await startedFace();
    await face.apply(machines("a"));
    const snapshot = await collect(face.snapshot());
    await face.apply(machines("b"));
    const { signal } = new AbortController();
    const watching = take(face.watch({}, { fromRevision: revision(3), signal }), 2);
    await face.restore(
      (async function* () {
        yield* snapshot;
      })(),
    );
    expect((await watching).map((event) => event.type)).toEqual(["reset", "added"]);
  });

  test("that is aborted ends, and one whose face goes down is told so", async () => {
    const { face } = await startedFace();
    const controller = new AbortController();
    const ended = collect(face.watch({}, { signal: controller.signal }));
    const told = collect(face.watch({}, { signal: new AbortController().signal }));
    controller.abort();
    expect(await ended).toEqual([]);
    const code = codeOf(told);
    await face.shutdown();
    expect(await code).toBe("FACE_NOT_RUNNING");
    expect(face.counts().subscribers).toBe(0);
  });
});

test("options that are no sizes are refused", () => {
  expect(() => makeFace({ pageItems: 0 })).toThrow("pageItems: expected a whole number from 1, got 0");
});
