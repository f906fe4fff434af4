import { describe, expect, test } from "vitest";
import { summed, type SoakSample } from "../src/torture/soak.ts";

const mebibyte = 2 ** 20;
const members = [{ name: "node-1", role: "leader" }];

/** Thirty looks at one process, a minute and 100,000 commits apart, with a restless heap. */
function rounds(change: (sample: SoakSample, round: number) => Partial<SoakSample> = () => ({}), count = 30) {
  return Array.from({ length: count }, (_, round): readonly SoakSample[] => {
    const sample: SoakSample = {
      heapBytes: 40 * mebibyte + ((round * 7919) % 13) * 1000,
      residentBytes: 120 * mebibyte,
      handles: 12,
      descriptors: 30 + (round % 3),
      cpuSeconds: 10 * round,
      commitIndex: 100_000 * round,
      acknowledged: 100_000 * round,
      failed: 0,
      atSeconds: 60 * round,
      directoryBytes: 20 * mebibyte,
    };
    return [{ ...sample, ...change(sample, round) }];
  });
}

describe("what a soak says", () => {
  test("a heap that is restless and does not grow is within the aim, and the load is told", () => {
    const figures = summed(rounds(), members);
    expect(figures.processes[0]).toMatchObject({ name: "node-1", role: "leader", verdict: "within", findings: [] });
    expect(figures.processes[0]?.heap.count).toBe(24);
    expect(figures).toMatchObject({ commits: 2_900_000, failed: 0 });
    expect(figures.commitsPerSecond).toBeCloseTo(100_000 / 60, 6);
    expect(figures.cpuCores).toBeCloseTo(1 / 6, 6);
  });

  test("a heap that keeps 20 bytes of every commit exceeds the aim", () => {
    const leaking = rounds(({ heapBytes, commitIndex }) => ({ heapBytes: heapBytes + 20 * commitIndex }));
    expect(summed(leaking, members).processes[0]?.verdict).toBe("exceeded");
  });

  test("growth while warming up does not count", () => {
    const warming = rounds(({ heapBytes }, round) => ({ heapBytes: heapBytes + Math.min(round, 6) * 5 * mebibyte }));
    expect(summed(warming, members).processes[0]?.verdict).toBe("within");
  });

  test("files and bytes on disk that grow are found, and those that come and go are not", () => {
    const growing = rounds((_sample, round) => ({ descriptors: 30 + round, directoryBytes: round * 4 * mebibyte }));
    expect(summed(growing, members).processes[0]?.findings).toEqual([
      "file descriptors grew from 47 to 59",
      "bytes on disk grew from 71303168 to 121634816",
    ]);
  });

  test("too few samples prove nothing", () => {
    expect(summed(rounds(undefined, 10), members).processes[0]?.findings).toEqual([
      "8 samples after warming up, at least 20 are needed",
    ]);
  });
});
