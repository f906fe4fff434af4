import { describe, expect, test } from "vitest";
import { judge, type NamedHistory, type Operation } from "../src/torture/judge.ts";
import { nextHash } from "../src/torture/register-machine.ts";

function history(name: string, writes: readonly (readonly [id: number, key: number])[]): NamedHistory {
  let hash: Uint8Array = new Uint8Array(32);
  for (const [id, key] of writes) hash = nextHash(hash, { id, key });
  return {
    name,
    ids: Uint32Array.from(writes, ([id]) => id),
    keys: Uint8Array.from(writes, ([, key]) => key),
    hash: Buffer.from(hash).toString("hex"),
  };
}

function write(id: number, key: number, [invokedMs, endedMs]: readonly [number, number], ordinal: number): Operation {
  return { kind: "write", id, key, invokedMs, endedMs, outcome: "acknowledged", ordinal, value: 0 };
}

function read(key: number, [invokedMs, endedMs]: readonly [number, number], ordinal: number, value: number): Operation {
  return { kind: "read", id: 0, key, invokedMs, endedMs, outcome: "acknowledged", ordinal, value };
}

const good: readonly Operation[] = [
  write(1, 5, [0, 10], 1),
  write(2, 6, [1, 9], 2),
  read(5, [11, 12], 2, 1),
  write(3, 5, [20, 30], 3),
  read(5, [21, 22], 2, 1),
  read(5, [31, 32], 3, 3),
];
const taken = [
  [1, 5],
  [2, 6],
  [3, 5],
] as const;

function verdict(operations: readonly Operation[], ...histories: readonly NamedHistory[]): readonly string[] {
  return judge(operations, histories);
}

describe("a judge of histories", () => {
  test("finds nothing wrong where operations that overlap took effect in either order", () => {
    expect(verdict(good, history("a", taken), history("b", taken))).toEqual([]);
  });

  test("finds nothing wrong where unknown writes took effect once, late or never, and refused ones never", () => {
    const operations: Operation[] = [
      ...good,
      { ...write(4, 1, [0, 1], 0), outcome: "unknown" },
      { ...write(5, 1, [0, 1], 0), outcome: "unknown" },
      { ...write(6, 1, [0, 1], 0), outcome: "refused" },
    ];
    expect(verdict(operations, history("a", [...taken, [4, 1]]))).toEqual([]);
  });

  test("finds an acknowledged write that is lost", () => {
    expect(verdict(good, history("a", taken.slice(0, 2)))).toContainEqual(
      "lost: write 3 was acknowledged at 3, where nothing stands",
    );
  });

  test("finds a write that stands twice", () => {
    expect(verdict(good, history("a", [...taken, [2, 6]]))).toEqual(["write 2 stands at 2 and again at 4"]);
  });

  test("finds a refused write that took effect", () => {
    const operations = [...good, { ...write(4, 1, [0, 1], 0), outcome: "refused" as const }];
    expect(verdict(operations, history("a", [...taken, [4, 1]]))).toEqual(["write 4 was refused and stands at 4"]);
  });

  test("finds a write that nobody made", () => {
    expect(verdict(good, history("a", [...taken, [9, 1]]))).toEqual(["nobody wrote 9 to register 1"]);
  });

  test("finds replicas that differ, in what they hold and in what they hash it to", () => {
    const other = history("b", [taken[0], taken[2], taken[1]]);
    const findings = verdict(good, history("a", taken), other);
    expect(findings[0]).toMatch(/^a and b differ: /);
    expect(findings).toContainEqual("a and b hold different writes at 2");
    const lying = { ...history("a", taken), hash: history("c", []).hash };
    expect(verdict(good, lying)).toEqual([expect.stringMatching(/^a says 0+ of a history that hashes to /)]);
  });

  test("finds a read of an old value, and one of a value that never stood there", () => {
    const stale = [...good, read(5, [40, 41], 2, 1)];
    expect(verdict(stale, history("a", taken))).toEqual([
      "out of order: the write at 3 had ended before the read at 2 began",
      "out of order: the read at 3 had ended before the read at 2 began",
      "what callers of register 5 saw is not-linearizable",
    ]);
    const wrong = [...good, read(5, [40, 41], 3, 1)];
    expect(verdict(wrong, history("a", taken))).toEqual([
      "a read of register 5 at 3 saw 1, where 3 stood",
      "what callers of register 5 saw is not-linearizable",
    ]);
  });

  test("finds writes that took effect against the order in which they were made", () => {
    const operations = [write(1, 5, [20, 30], 1), write(2, 5, [0, 10], 2)];
    expect(
      verdict(
        operations,
        history("a", [
          [1, 5],
          [2, 5],
        ]),
      ),
    ).toEqual(["out of order: the write at 2 had ended before the write at 1 began"]);
  });

  test("finds an unknown write that took effect before it was made", () => {
    const operations = [{ ...write(1, 5, [20, 30], 0), outcome: "unknown" as const }, write(2, 5, [0, 10], 2)];
    expect(
      verdict(
        operations,
        history("a", [
          [1, 5],
          [2, 5],
        ]),
      ),
    ).toContainEqual("out of order: the write at 2 had ended before the write at 1 began");
  });

  test("finds an operation that never ended, and a run that proves little because most failed", () => {
    const pending = { ...write(4, 1, [0, Infinity], 0), outcome: "pending" as const };
    expect(verdict([...good, pending], history("a", taken))).toEqual(["the write 4 never ended"]);
    const refused = { ...pending, outcome: "refused" as const };
    expect(verdict([refused, refused], history("a", []))).toEqual([
      "only 0 of 2 operations succeeded: that proves little",
    ]);
  });
});
