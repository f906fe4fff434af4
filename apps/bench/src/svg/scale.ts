/** Maps values to places on an axis. */
export interface Scale {
  readonly kind: "linear" | "log";
  /** The smallest and the largest value. */
  readonly domain: readonly [number, number];
  /** Where the two are drawn. */
  readonly range: readonly [number, number];
}

/** Where a value is drawn. */
export function place({ kind, domain, range }: Scale, value: number): number {
  const along = kind === "log" ? Math.log10 : (each: number): number => each;
  const [from, to] = [along(domain[0]), along(domain[1])];
  const share = from === to ? 0 : (along(value) - from) / (to - from);
  return range[0] + share * (range[1] - range[0]);
}

/** Steps that people count in, so that about `count` of them make up `span`. */
function niceStep(span: number, count: number): number {
  const rough = span / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough * 0.999) ?? 10;
  return step * power;
}

/** A domain of whole decades around all values. */
export function decades(values: readonly number[]): readonly [number, number] {
  const above = values.filter((value) => value > 0);
  if (above.length === 0) return [1, 10];
  const from = 10 ** Math.floor(Math.log10(Math.min(...above)) + 1e-9);
  const to = 10 ** Math.ceil(Math.log10(Math.max(...above)) - 1e-9);
  return [from, to > from ? to : from * 10];
}

/** A domain from zero to a round number above all values. */
export function fromZero(values: readonly number[], count = 5): readonly [number, number] {
  const top = Math.max(...values, 0);
  if (top === 0) return [0, 1];
  const step = niceStep(top, count);
  return [0, Math.ceil(top / step - 1e-9) * step];
}

/** Values at which an axis is marked. */
export function ticksOf({ kind, domain }: Pick<Scale, "kind" | "domain">, count = 5): readonly number[] {
  const [from, to] = domain;
  const ticks: number[] = [];
  if (kind === "log") {
    const [first, last] = [Math.round(Math.log10(from)), Math.round(Math.log10(to))];
    // Few decades leave room for marks within each.
    const within = last - first <= 3 ? [1, 2, 5] : [1];
    for (let power = first; power <= last; power += 1) ticks.push(...within.map((each) => each * 10 ** power));
    return ticks.filter((tick) => tick <= to * 1.0001);
  }
  const step = niceStep(to - from, count);
  for (let at = 0; at <= Math.round((to - from) / step); at += 1) ticks.push(from + at * step);
  return ticks;
}

/** A value as an axis shows it: 10k rather than 10,000. */
export function tickLabel(value: number): string {
  const short = (scaled: number): string => String(Number(scaled.toPrecision(3)));
  if (value >= 1e6) return `${short(value / 1e6)}M`;
  if (value >= 1e3) return `${short(value / 1e3)}k`;
  return short(value);
}
