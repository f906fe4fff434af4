import type { Metrics } from "@revoada/fabric";

type Labels = Readonly<Record<string, string>>;

/** Metrics with a page that Prometheus can read (text exposition format 0.0.4). */
export interface MetricsRegistry extends Metrics {
  /** Registers what is asked at each scrape. */
  collect(source: (metrics: Metrics) => void): void;
  render(): string;
}

interface Counter {
  readonly type: "counter";
  readonly series: Map<string, number>;
}
interface Gauge {
  readonly type: "gauge";
  readonly series: Map<string, number>;
}
interface HistogramSeries {
  readonly counts: number[];
  sum: number;
  count: number;
}
interface Histogram {
  readonly type: "histogram";
  readonly bounds: readonly number[];
  readonly series: Map<string, HistogramSeries>;
}

/** More label combinations of one metric than this are a mistake, and must not fill the memory. */
const maxSeries = 1000;
const namePattern = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

const boundsByUnit: readonly (readonly [RegExp, readonly number[]])[] = [
  [/_ms$/, [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000]],
  [/_bytes$/, [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216]],
  [/_seconds$/, [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]],
];
const countBounds: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

export function createMetrics(): MetricsRegistry {
  return new Registry();
}

class Registry implements MetricsRegistry {
  readonly #metrics = new Map<string, Counter | Gauge | Histogram>();
  readonly #sources: ((metrics: Metrics) => void)[] = [];
  #dropped = 0;

  count(name: string, value = 1, labels?: Labels): void {
    const metric = this.#metric(name, "counter");
    if (metric?.type !== "counter" || !(value >= 0)) return;
    const key = this.#key(metric.series, labels);
    if (key !== undefined) metric.series.set(key, (metric.series.get(key) ?? 0) + value);
  }

  gauge(name: string, value: number, labels?: Labels): void {
    const metric = this.#metric(name, "gauge");
    if (metric?.type !== "gauge") return;
    const key = this.#key(metric.series, labels);
    if (key !== undefined) metric.series.set(key, value);
  }

  observe(name: string, value: number, labels?: Labels): void {
    const metric = this.#metric(name, "histogram");
    if (metric?.type !== "histogram" || Number.isNaN(value)) return;
    const key = this.#key(metric.series, labels);
    if (key === undefined) return;
    const series = metric.series.get(key) ?? { counts: metric.bounds.map(() => 0), sum: 0, count: 0 };
    metric.series.set(key, series);
    const bucket = metric.bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
    series.count += 1;
  }

  collect(source: (metrics: Metrics) => void): void {
    this.#sources.push(source);
  }

  render(): string {
    for (const source of this.#sources) source(this);
    if (this.#dropped > 0) this.gauge("revoada_metrics_dropped_series", this.#dropped);
    const lines: string[] = [];
    for (const [name, metric] of [...this.#metrics].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (metric.series.size === 0) continue;
      lines.push(`# TYPE ${name} ${metric.type}`);
      if (metric.type === "histogram")
        for (const [key, series] of metric.series) lines.push(...histogramLines(name, metric.bounds, key, series));
      else for (const [key, value] of metric.series) lines.push(`${name}${braced(key)} ${numberText(value)}`);
    }
    return `${lines.join("\n")}\n`;
  }

  /** The metric of a name; undefined where the name is unfit or already of another type. */
  #metric(name: string, type: "counter" | "gauge" | "histogram"): Counter | Gauge | Histogram | undefined {
    const known = this.#metrics.get(name);
    if (known !== undefined) return known.type === type ? known : undefined;
    if (!namePattern.test(name)) return undefined;
    const made: Counter | Gauge | Histogram =
      type === "histogram" ? { type, bounds: boundsOf(name), series: new Map() } : { type, series: new Map() };
    this.#metrics.set(name, made);
    return made;
  }

  #key(series: ReadonlyMap<string, unknown>, labels: Labels | undefined): string | undefined {
    const key = labels === undefined ? "" : labelText(labels);
    if (series.has(key) || series.size < maxSeries) return key;
    this.#dropped += 1;
    return undefined;
  }
}

function boundsOf(name: string): readonly number[] {
  return boundsByUnit.find(([unit]) => unit.test(name))?.[1] ?? countBounds;
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, value]) =>
        `${name}="${value
          .replaceAll("\\", "\\\\")
          .replaceAll("\n", String.raw`\n`)
          .replaceAll('"', String.raw`\"`)}"`,
    )
    .join(",");
}

function braced(...parts: readonly string[]): string {
  const labels = parts.filter((part) => part !== "").join(",");
  return labels === "" ? "" : `{${labels}}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function histogramLines(
  name: string,
  bounds: readonly number[],
  key: string,
  series: HistogramSeries,
): readonly string[] {
  let total = 0;
  const buckets = bounds.map((bound, index) => {
    total += series.counts[index] ?? 0;
    return `${name}_bucket${braced(key, `le="${bound}"`)} ${total}`;
  });
  return [
    ...buckets,
    `${name}_bucket${braced(key, 'le="+Inf"')} ${series.count}`,
    `${name}_sum${braced(key)} ${numberText(series.sum)}`,
    `${name}_count${braced(key)} ${series.count}`,
  ];
}
