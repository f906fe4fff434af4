import { element, escapeText, label } from "./element.ts";
import { mark } from "./marks.ts";
import { decades, fromZero, place, tickLabel, ticksOf, type Scale } from "./scale.ts";
import { styleSheet } from "./style.ts";

/** An axis: what it measures, with its unit. */
export interface Axis {
  readonly label: string;
  readonly kind: Scale["kind"];
}

/** Points of one program, in order. `kind` tells it apart in every panel of a picture. */
export interface Series {
  readonly name: string;
  readonly kind: number;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** One set of axes. */
export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

/** Panels side by side that share their axes, so that they can be compared. */
export interface LineChart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly panels: readonly Panel[];
}

/** A row of samples, each a mark. */
export interface StripChart {
  readonly title: string;
  readonly x: Axis;
  readonly rows: readonly { readonly name: string; readonly kind: number; readonly samples: readonly number[] }[];
}

/** A panel that stands alone may be wide. */
const aloneWidth = 640;
const panelWidth = 300;
const panelHeight = 240;
const left = 64;
const gap = 34;
const top = 92;
const bottom = 52;

function documentOf(width: number, height: number, title: string, inside: readonly string[]): string {
  const attributes = {
    xmlns: "http://www.w3.org/2000/svg",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
  };
  const head = [
    element("title", {}, escapeText(title)),
    `<style>${styleSheet}</style>`,
    element("rect", { class: "back", width, height }),
    label(title, { class: "title", x: 20, y: 28 }),
  ];
  return `${element("svg", attributes, [...head, ...inside])}\n`;
}

function legend(entries: readonly { readonly name: string; readonly kind: number }[], y: number): string[] {
  const parts: string[] = [];
  let x = 26;
  for (const { name, kind } of entries) {
    parts.push(mark(kind, x, y - 4), label(name, { x: x + 11, y }));
    x += 34 + name.length * 7;
  }
  return parts;
}

function horizontalAxis(scale: Scale, axis: Axis, y: number, above: number): string[] {
  const parts = [element("line", { class: "axis", x1: scale.range[0], x2: scale.range[1], y1: y, y2: y })];
  for (const tick of ticksOf(scale)) {
    const x = place(scale, tick);
    parts.push(element("line", { class: "rule", x1: x, x2: x, y1: above, y2: y }));
    parts.push(label(tickLabel(tick), { class: "tick", x, y: y + 16, "text-anchor": "middle" }));
  }
  const middle = (scale.range[0] + scale.range[1]) / 2;
  parts.push(label(axis.label, { class: "soft", x: middle, y: y + 36, "text-anchor": "middle" }));
  return parts;
}

function verticalAxis(scale: Scale, x: number, right: number, withLabels: boolean): string[] {
  const parts: string[] = [];
  for (const tick of ticksOf(scale)) {
    const y = place(scale, tick);
    parts.push(element("line", { class: "rule", x1: x, x2: right, y1: y, y2: y }));
    if (withLabels) parts.push(label(tickLabel(tick), { class: "tick", x: x - 8, y: y + 4, "text-anchor": "end" }));
  }
  return parts;
}

function drawSeries({ kind, points }: Series, x: Scale, y: Scale): string[] {
  const drawn = points.filter(([, value]) => Number.isFinite(value) && (y.kind === "linear" || value > 0));
  const at = drawn.map(([px, py]) => [place(x, px), place(y, py)] as const);
  const path = at.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
  return [element("polyline", { class: `line s${kind}`, points: path }), ...at.map(([px, py]) => mark(kind, px, py))];
}

function domainOf(axis: Axis, values: readonly number[]): readonly [number, number] {
  const finite = values.filter((value) => Number.isFinite(value));
  return axis.kind === "log" ? decades(finite) : fromZero(finite);
}

function widthOf(chart: LineChart): number {
  return chart.panels.length === 1 ? aloneWidth : panelWidth;
}

function drawPanel(
  panel: Panel,
  chart: LineChart,
  at: number,
  domains: readonly (readonly [number, number])[],
): string[] {
  const wide = widthOf(chart);
  const from = left + at * (wide + gap);
  const [xDomain, yDomain] = domains as [readonly [number, number], readonly [number, number]];
  const x: Scale = { kind: chart.x.kind, domain: xDomain, range: [from, from + wide] };
  const y: Scale = { kind: chart.y.kind, domain: yDomain, range: [top + panelHeight, top] };
  return [
    ...(panel.title === "" ? [] : [label(panel.title, { class: "panel", x: from, y: top - 12 })]),
    ...verticalAxis(y, from, from + wide, at === 0),
    ...horizontalAxis(x, chart.x, top + panelHeight, top),
    ...panel.series.flatMap((series) => drawSeries(series, x, y)),
  ];
}

/** Draws lines over one or two logarithmic or linear axes. */
export function lineChart(chart: LineChart): string {
  const points = chart.panels.flatMap(({ series }) => series.flatMap((each) => each.points));
  const domains = [
    domainOf(
      chart.x,
      points.map(([x]) => x),
    ),
    domainOf(
      chart.y,
      points.map(([, y]) => y),
    ),
  ];
  const width = left + chart.panels.length * widthOf(chart) + (chart.panels.length - 1) * gap + 26;
  const names = new Map(chart.panels.flatMap(({ series }) => series.map(({ name, kind }) => [name, kind] as const)));
  const middle = top + panelHeight / 2;
  return documentOf(width, top + panelHeight + bottom, chart.title, [
    ...legend(
      [...names].map(([name, kind]) => ({ name, kind })),
      54,
    ),
    label(chart.y.label, {
      class: "soft",
      x: 18,
      y: middle,
      transform: `rotate(-90 18 ${middle})`,
      "text-anchor": "middle",
    }),
    ...chart.panels.flatMap((panel, at) => drawPanel(panel, chart, at, domains)),
  ]);
}

const rowHeight = 46;
const rowLeft = 210;
const rowWidth = 620;

/** Draws samples as rows of marks, with a line at the median of each. */
export function stripChart(chart: StripChart): string {
  const rows = chart.rows.filter(({ samples }) => samples.length > 0);
  const domain = domainOf(
    chart.x,
    rows.flatMap(({ samples }) => samples),
  );
  const x: Scale = { kind: chart.x.kind, domain, range: [rowLeft, rowLeft + rowWidth] };
  const above = 48;
  const end = above + rows.length * rowHeight;
  const drawn = rows.flatMap(({ name, kind, samples }, at) => {
    const y = above + (at + 0.5) * rowHeight;
    const sorted = samples.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] as number;
    const middle = place(x, median);
    return [
      label(name, { x: rowLeft - 14, y: y + 4, "text-anchor": "end" }),
      element("line", { class: "middle", x1: middle, x2: middle, y1: y - 19, y2: y + 19 }),
      // Marks of like samples would hide one another: they are set a little apart, by their order.
      ...sorted.map((sample, order) => mark(kind, place(x, sample), y + ((order % 3) - 1) * 8, 3.5)),
      label(`p50 ${tickLabel(median)}`, { class: "tick", x: rowLeft + rowWidth + 12, y: y + 4 }),
    ];
  });
  return documentOf(rowLeft + rowWidth + 80, end + bottom, chart.title, [
    ...horizontalAxis(x, chart.x, end, above),
    ...drawn,
  ]);
}
