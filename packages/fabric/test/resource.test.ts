import {
  formatResourceRef,
  matchesSelector,
  parseResourceRef,
  resourceKey,
  resourceRange,
  resourceRefOfKey,
  type ResourceRef,
  type ResourceSelector,
} from "@revoada/fabric";
import fc from "fast-check";
import { expect, test } from "vitest";

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const reference: fc.Arbitrary<ResourceRef> = fc
  .record({
    group: fc.option(label, { nil: undefined }),
    kind: fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{0,20}$/),
    name: fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9_:@-]{0,40}[A-Za-z0-9])?$/),
    namespace: fc.option(label, { nil: undefined }),
  })
  .map((value) => parseResourceRef(value));

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

test("a key gives back its reference", () => {
  fc.assert(
    fc.property(reference, (ref) => {
      expect(resourceRefOfKey(resourceKey(ref))).toEqual(ref);
    }),
  );
});

test("two references have one key only where they are equal", () => {
  fc.assert(
    fc.property(reference, reference, (a, b) => {
      expect(compareBytes(resourceKey(a), resourceKey(b)) === 0).toBe(formatResourceRef(a) === formatResourceRef(b));
    }),
  );
});

test("everything that a selector matches lies in its range", () => {
  const selectors = fc.tuple(reference, fc.integer({ min: 0, max: 7 })).map(([ref, mask]): ResourceSelector => ({
    ...(mask & 1 ? { group: ref.group ?? "" } : {}),
    ...(mask & 2 ? { kind: ref.kind } : {}),
    ...(mask & 4 ? { namespace: ref.namespace ?? "" } : {}),
  }));
  fc.assert(
    fc.property(selectors, reference, (selector, ref) => {
      const key = resourceKey(ref);
      const { start, end } = resourceRange(selector);
      if (matchesSelector(selector, ref))
        expect(compareBytes(start, key) <= 0 && compareBytes(key, end) < 0).toBe(true);
    }),
  );
});

test("a full selector's range holds nothing else", () => {
  const ref = parseResourceRef({ group: "apps", kind: "Deployment", name: "web", namespace: "shop" });
  const { start, end } = resourceRange({ group: "apps", kind: "Deployment", namespace: "shop" });
  for (const other of [
    { ...ref, namespace: "shop2" },
    { ...ref, namespace: "sho" },
    { ...ref, kind: "Deploymen" },
    { ...ref, group: "app" },
  ]) {
    const key = resourceKey(other);
    expect(compareBytes(start, key) <= 0 && compareBytes(key, end) < 0).toBe(false);
  }
});

test.each([
  [{ kind: "Pod", name: "" }, "name"],
  [{ kind: "Pod", name: "a/b" }, "name"],
  [{ kind: "Pod", name: "a..b" }, "name"],
  [{ kind: "Pod", name: "a\0b" }, "name"],
  [{ kind: "Pod", name: "-a" }, "name"],
  [{ kind: "Pod", name: "x".repeat(254) }, "name"],
  [{ kind: "Po d", name: "a" }, "kind"],
  [{ kind: 5, name: "a" }, "kind"],
  [{ kind: "Pod", name: "a", namespace: "A" }, "namespace"],
  [{ kind: "Pod", name: "a", namespace: "x".repeat(64) }, "namespace"],
  [{ kind: "Pod", name: "a", group: "a..b" }, "group"],
  [null, "resource"],
])("the reference %o is refused at its %s", (value, part) => {
  expect(() => parseResourceRef(value)).toThrow(
    expect.objectContaining({ code: "FABRIC_INVALID_VALUE", message: expect.stringContaining(part) }),
  );
});

test("bytes that are no key are refused", () => {
  const key = resourceKey({ kind: "Pod", name: "a" });
  for (const bytes of [
    new Uint8Array(),
    key.subarray(1),
    Uint8Array.of(...key, 0),
    key.subarray(0, -1),
    Uint8Array.of(0, 1, 0xff, 0, 1, 97),
  ]) {
    expect(() => resourceRefOfKey(bytes)).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
  }
});
