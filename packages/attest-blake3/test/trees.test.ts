import type { Hash } from "@revoada/fabric";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashPair, hasherFor } from "../src/core/hash.ts";
import { appendLeaf, historyRoot, inclusionPath, peakCount, rootFromPath } from "../src/core/history.ts";
import type { IdTree } from "../src/core/id-tree.ts";
import { rootFromWay, treeRoot, wayTo, withId, withoutId } from "../src/core/id-tree.ts";

const leaves = Array.from({ length: 70 }, (_, index) => Buffer.alloc(32, index + 1).toString("hex") as Hash);

/** The recursion of RFC 9162 §2.1.1, word for word. */
function treeHash(of: readonly Hash[]): Hash {
  if (of.length === 1) return of[0] as Hash;
  let split = 1;
  while (split * 2 < of.length) split *= 2;
  const [left, right] = [of.slice(0, split), of.slice(split)].map((part) => Buffer.from(treeHash(part), "hex"));
  return Buffer.from(hashPair(hasherFor("revoada/history-node/1"), left as Uint8Array, right as Uint8Array)).toString(
    "hex",
  ) as Hash;
}

describe("the tree over a chain's blocks", () => {
  test("has the root of RFC 9162 at every size, made leaf by leaf from its peaks", () => {
    let peaks: readonly Hash[] = [];
    for (const [index, leaf] of leaves.entries()) {
      peaks = appendLeaf(peaks, index, leaf);
      expect(peaks).toHaveLength(peakCount(index + 1));
      expect(historyRoot(peaks)).toBe(treeHash(leaves.slice(0, index + 1)));
    }
  });

  test("proves each leaf at its place, and at no other, nor another leaf there", () => {
    for (let size = 1; size <= leaves.length; size += 1) {
      const part = leaves.slice(0, size);
      const root = treeHash(part);
      for (let index = 0; index < size; index += 1) {
        const path = inclusionPath({ base: 0, peaks: [], leaves: part }, part.length, index);
        expect(rootFromPath(part[index] as Hash, index, size, path)).toBe(root);
        expect(rootFromPath(leaves[(index + 1) % 70] as Hash, index, size, path)).not.toBe(root);
        if (size > 1) expect(rootFromPath(part[index] as Hash, (index + 1) % size, size, path)).not.toBe(root);
        expect(rootFromPath(part[index] as Hash, index, size, [...path, root])).not.toBe(root);
        expect(rootFromPath(part[index] as Hash, index, size, path.slice(1))).not.toBe(size > 1 ? root : undefined);
      }
    }
    expect(rootFromPath(leaves[0] as Hash, 3, 3, [])).toBeUndefined();
  });
});

const ids = fc.uniqueArray(
  // Long common beginnings too, which random ids never have.
  fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.integer({ min: 0, max: 255 }).map((last) => new Uint8Array(32).fill(7).with(31, last)),
  ),
  { minLength: 1, maxLength: 12, selector: (id) => Buffer.from(id).toString("hex") },
);

function treeOf(members: readonly Uint8Array[], value = 1): IdTree {
  return members.reduce<IdTree>((tree, id) => withId(tree, id, Uint8Array.of(value)), undefined);
}

describe("the tree over a chain's blocks, the first of which are known by their peaks", () => {
  test("proves every other leaf as the whole tree does", () => {
    let peaks: readonly Hash[] = [];
    for (let base = 0; base < 40; base += 1) {
      const known = { base, peaks, leaves: leaves.slice(base) };
      for (const size of [base + 1, base + 9, 70]) {
        for (let index = base; index < size; index += 11)
          expect(inclusionPath(known, size, index)).toEqual(inclusionPath({ base: 0, peaks: [], leaves }, size, index));
      }
      peaks = appendLeaf(peaks, base, leaves[base] as Hash);
    }
  });
});

describe("the tree over a map of ids", () => {
  test("is the same whatever the order of the changes was", () => {
    fc.assert(
      fc.property(ids, fc.nat(), (members, seed) => {
        const root = treeRoot(treeOf(members));
        expect(treeRoot(treeOf(members.toReversed()))).toEqual(root);
        const [gone, ...rest] = members as [Uint8Array, ...Uint8Array[]];
        expect(treeRoot(withoutId(treeOf(members), gone))).toEqual(treeRoot(treeOf(rest)));
        const changed = members[seed % members.length] as Uint8Array;
        const other = withId(treeOf(members), changed, Uint8Array.of(2));
        expect(treeRoot(other)).not.toEqual(root);
        expect(treeRoot(withId(other, changed, Uint8Array.of(1)))).toEqual(root);
      }),
    );
  });

  test("shows who is there, with the value, and who is not", () => {
    fc.assert(
      fc.property(ids, (members) => {
        const [absent, ...rest] = members as [Uint8Array, ...Uint8Array[]];
        const tree = treeOf(rest);
        for (const id of rest) {
          const way = wayTo(tree, id) ?? { id, value: id, steps: [] };
          expect(way.id).toEqual(id);
          expect(rootFromWay(id, way, way.steps)).toEqual(treeRoot(tree));
          expect(rootFromWay(id, { id, value: Uint8Array.of(9) }, way.steps)).not.toEqual(treeRoot(tree));
        }
        const way = wayTo(tree, absent);
        if (way === undefined) return;
        expect(way.id).not.toEqual(absent);
        expect(rootFromWay(absent, way, way.steps)).toEqual(treeRoot(tree));
      }),
    );
  });

  test("lets no member be shown to be absent by the way of another", () => {
    fc.assert(
      fc.property(ids, (members) => {
        const tree = treeOf(members);
        for (const id of members) {
          for (const other of members) {
            const way = wayTo(tree, other);
            if (id === other || way === undefined) continue;
            expect(rootFromWay(id, way, way.steps)).toBeUndefined();
            expect(rootFromWay(id, way, way.steps.toReversed())).not.toEqual(treeRoot(tree));
            expect(rootFromWay(id, way, way.steps.slice(1))).not.toEqual(treeRoot(tree));
          }
        }
      }),
    );
  });
});
