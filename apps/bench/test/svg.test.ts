import { expect, test } from "vitest";
import { lineChart, stripChart } from "../src/svg/chart.ts";
import { escapeText } from "../src/svg/element.ts";
import { decades, fromZero, place, tickLabel, ticksOf } from "../src/svg/scale.ts";

test("a logarithmic scale puts each decade at an equal distance", () => {
  const scale = { kind: "log", domain: [1, 1000], range: [0, 300] } as const;
  expect([1, 10, 100, 1000].map((value) => Math.round(place(scale, value)))).toEqual([0, 100, 200, 300]);
});

test("a linear scale can run upwards", () => {
  const scale = { kind: "linear", domain: [0, 10], range: [100, 0] } as const;
  expect(place(scale, 2.5)).toBe(75);
});

test("a domain of decades holds all values, and one at the edge needs no further decade", () => {
  expect(decades([3, 400])).toEqual([1, 1000]);
  expect(decades([10, 1000])).toEqual([10, 1000]);
  expect(decades([10])).toEqual([10, 100]);
  expect(decades([0, -1])).toEqual([1, 10]);
});

test("a domain from zero ends at a round number", () => {
  expect(fromZero([3, 173])).toEqual([0, 200]);
  expect(fromZero([])).toEqual([0, 1]);
});

test("ticks stand at decades, within them where those are few, or at round steps", () => {
  expect(ticksOf({ kind: "log", domain: [1, 100_000] })).toEqual([1, 10, 100, 1000, 10_000, 100_000]);
  expect(ticksOf({ kind: "log", domain: [1, 10] })).toEqual([1, 2, 5, 10]);
  expect(ticksOf({ kind: "linear", domain: [0, 200] })).toEqual([0, 50, 100, 150, 200]);
});

test("labels of ticks are short", () => {
  expect([0, 0.1, 5, 1000, 25_000, 1e6].map(tickLabel)).toEqual(["0", "0.1", "5", "1k", "25k", "1M"]);
});

test("text means itself in a picture", () => {
  expect(escapeText('a<b & "c">')).toBe("a&lt;b &amp; &quot;c&quot;&gt;");
});

/** Every element that is opened is closed, in order. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  for (const [, slash, name, rest] of svg.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
    if (slash === "/") {
      if (open.pop() !== name) return false;
    } else if (!rest?.endsWith("/")) {
      open.push(name as string);
    }
  }
  return open.length === 0;
}

test("a chart of lines draws every point once, names each program once, and leaves out what is not known", () => {
  const series = [
    {
      name: "leader",
      kind: 0,
      points: [
        [1, 10],
        [10, 100],
      ] as const,
    },
    {
      name: "a & b",
      kind: 0,
      points: [
        [1, Number.NaN],
        [10, 50],
      ] as const,
    },
  ];
  const svg = lineChart({
    title: "Commits",
    x: { label: "callers", kind: "log" },
    y: { label: "per second", kind: "log" },
    panels: [
      { title: "64 B", series },
      { title: "256 B", series },
    ],
  });
  expect(isWellFormed(svg)).toBe(true);
  // Three points in each panel, and two marks in the legend.
  expect(svg.match(/<circle/g)).toHaveLength(8);
  expect(svg.match(/a &amp; b/g)).toHaveLength(1);
  expect(svg).toContain("prefers-color-scheme:dark");
  expect(svg).not.toContain("NaN");
});

test("a chart of samples draws each of them and leaves out rows without any", () => {
  const svg = stripChart({
    title: "Losses",
    x: { label: "milliseconds", kind: "log" },
    rows: [
      { name: "killed", kind: 0, samples: [300, 100, 200] },
      { name: "nothing", kind: 3, samples: [] },
    ],
  });
  expect(isWellFormed(svg)).toBe(true);
  expect(svg.match(/<circle/g)).toHaveLength(3);
  expect(svg).toContain("p50 200");
  expect(svg).not.toContain("nothing");
});
