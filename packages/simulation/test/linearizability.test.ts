import { applyCall, checkLinearizable, emptyValue, type Call, type Operation } from "@revoada/simulation";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

/** Writes histories down: `[from, to]` are moments, `to` is Infinity where nobody knows what became of it. */
type Line = readonly [from: number, to: number, call: Call, answer?: string, key?: string];

const get: Call = { kind: "get" };
const put = (value: string): Call => ({ kind: "put", value });
const append = (value: string): Call => ({ kind: "append", value });
const swap = (expected: string, value: string): Call => ({ kind: "compare-and-swap", expected, value });
const never = Infinity;

function historyOf(lines: readonly Line[]): readonly Operation[] {
  return lines.map(([invokedAt, respondedAt, call, answer, key = "k"], id) => ({
    id,
    key,
    call,
    invokedAt,
    respondedAt,
    ...(answer === undefined ? {} : { answer }),
  }));
}

const good: Readonly<Record<string, readonly Line[]>> = {
  "an empty history": [],
  "a read of nothing": [[1, 2, get, ""]],
  "a write and a read after it": [
    [1, 2, put("a"), "true"],
    [3, 4, get, "a"],
  ],
  "a read beside a write that sees the old value": [
    [1, 4, put("a"), "true"],
    [2, 3, get, ""],
  ],
  "a read beside a write that sees the new value": [
    [1, 4, put("a"), "true"],
    [2, 3, get, "a"],
  ],
  "two writes at once, the later response overwritten": [
    [1, 4, put("a"), "true"],
    [2, 3, put("b"), "true"],
    [5, 6, get, "b"],
  ],
  "two writes at once, the earlier response overwritten": [
    [1, 4, put("a"), "true"],
    [2, 3, put("b"), "true"],
    [5, 6, get, "a"],
  ],
  "two appends at once in either order": [
    [1, 4, append("a"), "ba"],
    [2, 3, append("b"), "b"],
    [5, 6, get, "ba"],
  ],
  "a swap that wins and one that loses": [
    [1, 4, swap("", "a"), "true"],
    [2, 3, swap("", "b"), "false:a"],
    [5, 6, get, "a"],
  ],
  "an unknown write that never took effect": [
    [1, never, put("a")],
    [2, 3, get, ""],
    [4, 5, get, ""],
  ],
  "an unknown write that took effect at once": [
    [1, never, put("a")],
    [2, 3, get, "a"],
  ],
  "an unknown write that took effect late": [
    [1, never, put("a")],
    [2, 3, put("b"), "true"],
    [4, 5, get, "b"],
    [6, 7, get, "a"],
  ],
  "an unknown swap that took effect": [
    [1, 2, put("a"), "true"],
    [3, never, swap("a", "b")],
    [4, 5, get, "b"],
  ],
  "an unknown append that took effect once": [
    [1, never, append("a")],
    [2, 3, append("b"), "ab"],
    [4, 5, get, "ab"],
  ],
  "registers do not concern each other": [
    [1, 2, put("a"), "true", "x"],
    [3, 4, get, "", "y"],
    [5, 6, get, "a", "x"],
  ],
  "an order that only one of many finds": [
    [1, 10, put("a"), "true"],
    [1, 10, put("b"), "true"],
    [1, 10, put("c"), "true"],
    [2, 3, get, "c"],
    [4, 5, get, "a"],
    [6, 7, get, "b"],
  ],
  "responses and invocations of one moment overlap": [
    [1, 2, put("a"), "true"],
    [2, 3, get, ""],
  ],
};

const bad: Readonly<Record<string, readonly Line[]>> = {
  "a read of what nobody wrote": [[1, 2, get, "a"]],
  "a stale read": [
    [1, 2, put("a"), "true"],
    [3, 4, put("b"), "true"],
    [5, 6, get, "a"],
  ],
  "a lost write": [
    [1, 2, put("a"), "true"],
    [3, 4, get, ""],
  ],
  "a read of the future": [
    [1, 2, get, "a"],
    [3, 4, put("a"), "true"],
  ],
  "a value that is seen and then unseen": [
    [1, 6, put("a"), "true"],
    [2, 3, get, "a"],
    [4, 5, get, ""],
  ],
  "two readers that disagree on the order of two writes": [
    [1, 2, put("a"), "true"],
    [3, 10, put("b"), "true"],
    [3, 10, put("c"), "true"],
    [11, 12, get, "b"],
    [13, 14, get, "c"],
  ],
  "a lost append": [
    [1, 2, append("a"), "a"],
    [3, 4, append("b"), "b"],
  ],
  "an append that took effect twice": [
    [1, 2, append("a"), "a"],
    [3, 4, get, "aa"],
  ],
  "an unknown append that took effect twice": [
    [1, never, append("a")],
    [2, 3, get, "aa"],
  ],
  "two swaps from one value": [
    [1, 2, put("a"), "true"],
    [3, 6, swap("a", "b"), "true"],
    [4, 5, swap("a", "c"), "true"],
  ],
  "a swap that lost and still took effect": [
    [1, 2, put("a"), "true"],
    [3, 4, swap("b", "c"), "false:a"],
    [5, 6, get, "c"],
  ],
  "a swap that is told a value which is gone": [
    [1, 2, put("a"), "true"],
    [3, 4, put("b"), "true"],
    [5, 6, swap("x", "y"), "false:a"],
  ],
  "a register with two heads": [
    [1, 2, put("a"), "true"],
    [3, 4, put("b"), "true"],
    [5, 8, get, "a"],
    [6, 7, get, "b"],
  ],
  "a read of a write that was refused": [
    [1, 2, put("a"), "true"],
    // The refused put of "b" does not belong into a history.
    [3, 4, get, "b"],
  ],
  "an unknown write that took effect before it was asked for": [
    [1, 2, get, "a"],
    [3, never, put("a")],
  ],
  "an unknown write that was undone": [
    [1, never, put("a")],
    [2, 3, get, "a"],
    [4, 5, get, ""],
  ],
  "an increment that two saw as theirs": [
    [1, 4, append("a"), "a"],
    [2, 3, append("b"), "b"],
  ],
  "one register of several": [
    [1, 2, put("a"), "true", "x"],
    [3, 4, get, "a", "x"],
    [5, 6, get, "a", "y"],
  ],
};

describe("the checker accepts", () => {
  test.each(Object.entries(good))("%s", (_name, lines) => {
    expect(checkLinearizable(historyOf(lines)).verdict).toBe("linearizable");
  });
});

describe("the checker refuses", () => {
  test.each(Object.entries(bad))("%s", (_name, lines) => {
    expect(checkLinearizable(historyOf(lines)).verdict).toBe("not-linearizable");
  });
});

test("a refusal names the register and operations around the place where no order goes on", () => {
  const verdict = checkLinearizable(historyOf(bad["one register of several"] ?? []));
  expect(verdict).toMatchObject({ key: "y" });
  expect(verdict.verdict === "linearizable" ? [] : verdict.stuckAt.map(({ id }) => id)).toContain(2);
});

test("what cannot be decided within the budget is undecided, not fine", () => {
  const lines = Array.from({ length: 12 }, (_, at): Line => [1, 20, append(String.fromCodePoint(97 + at))]);
  const history = historyOf([...lines, [21, 22, get, "zz"]]).map((operation) =>
    // Known to have happened, with answers that nobody has kept.
    operation.call.kind === "append" ? { ...operation, respondedAt: 20 } : operation,
  );
  expect(checkLinearizable(history, { budget: 100 }).verdict).toBe("undecided");
});

test("a thousand operations of ten clients are decided", () => {
  const operations: Operation[] = [];
  let state = emptyValue;
  for (let id = 0; id < 1000; id += 1) {
    const call = id % 3 === 0 ? put(`p${id};`) : id % 3 === 1 ? get : append(`a${id};`);
    const result = applyCall(state, call);
    state = result.state;
    operations.push({ id, key: "k", call, invokedAt: id * 2 - 10, respondedAt: id * 2 + 10, answer: result.answer });
  }
  expect(checkLinearizable(operations).verdict).toBe("linearizable");
});

/** Tries every order: right by being simple. */
function bruteForce(history: readonly Operation[]): boolean {
  const search = (left: readonly Operation[], state: string): boolean => {
    const definite = left.filter(({ respondedAt }) => respondedAt !== Infinity);
    if (definite.length === 0) return true;
    const firstResponse = Math.min(...definite.map(({ respondedAt }) => respondedAt));
    return left.some((operation) => {
      if (operation.invokedAt > firstResponse) return false;
      const result = applyCall(state, operation.call);
      if (operation.answer !== undefined && operation.answer !== result.answer) return false;
      return search(
        left.filter((other) => other !== operation),
        result.state,
      );
    });
  };
  return search(history, emptyValue);
}

const value = fc.constantFrom("a", "b", "c");
const anyCall: fc.Arbitrary<Call> = fc.oneof(
  fc.constant(get),
  value.map(put),
  value.map(append),
  fc.tuple(fc.constantFrom("", "a", "b"), value).map(([expected, next]) => swap(expected, next)),
);

/** Answers that a register might have given: half of the histories are fine. */
const anyHistory: fc.Arbitrary<readonly Operation[]> = fc
  .array(
    fc.record({
      call: anyCall,
      invokedAt: fc.integer({ min: 0, max: 12 }),
      lasts: fc.integer({ min: 0, max: 8 }),
      isUnknown: fc.boolean(),
      lies: fc.integer({ min: 0, max: 9 }),
      lie: fc.constantFrom("", "a", "b", "ab", "true", "false:a"),
      place: fc.integer({ min: 0, max: 8 }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((drafts) => {
    let state = emptyValue;
    const byPlace = drafts.toSorted((left, right) => left.invokedAt + left.place - (right.invokedAt + right.place));
    return byPlace.map(({ call, invokedAt, lasts, isUnknown, lies, lie }, id) => {
      const result = applyCall(state, call);
      const isLost = isUnknown && lies % 2 === 0;
      if (!isLost) state = result.state;
      const shared = { id, key: "k", call, invokedAt };
      if (isUnknown) return { ...shared, respondedAt: Infinity };
      return { ...shared, respondedAt: invokedAt + lasts, answer: lies === 0 ? lie : result.answer };
    });
  });

test("the checker and one that tries every order agree", () => {
  let [fine, broken] = [0, 0];
  fc.assert(
    fc.property(anyHistory, (history) => {
      const expected = bruteForce(history);
      if (expected) fine += 1;
      else broken += 1;
      expect(checkLinearizable(history).verdict).toBe(expected ? "linearizable" : "not-linearizable");
    }),
    { numRuns: 3000, seed: 7 },
  );
  expect(Math.min(fine, broken)).toBeGreaterThan(300);
});
