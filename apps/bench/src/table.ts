import { median } from "./statistics.ts";

/** A column: its heading, and whether its cells are words rather than figures. */
export type Column = string | { readonly heading: string; readonly words: true };

/** A table in Markdown. */
export function markdownTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const headings = columns.map((column) => (typeof column === "string" ? column : column.heading));
  const rule = columns.map((column) => (typeof column === "string" ? "---:" : "---"));
  const lines = [`| ${headings.join(" | ")} |`, `|${rule.join("|")}|`];
  for (const row of rows) lines.push(`| ${row.join(" | ")} |`);
  return lines.join("\n");
}

/** A figure with thousands set apart, or a dash where nothing was measured. */
export function figure(value: number | undefined, digits = 0): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A time with as many digits as it deserves. */
export function milliseconds(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  return `${figure(value, value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

/** How many times as much as something else. */
export function ratio(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  return `${figure(value, value < 10 ? 2 : value < 100 ? 1 : 0)}×`;
}

/** The median of ratios that were measured round by round, and how far they lie apart. */
export function ratioOfRounds(rounds: readonly number[] | undefined): string {
  if (rounds === undefined || rounds.length <= 1) return ratio(rounds?.[0]);
  const apart = [Math.min(...rounds), Math.max(...rounds)].map((each) => ratio(each).replace("×", ""));
  return `${ratio(median(rounds))} (${apart.join("–")})`;
}

/** Bytes in MiB. */
export function mebibytes(bytes: number | undefined): string {
  return bytes === undefined || !Number.isFinite(bytes) ? "–" : `${figure(bytes / 2 ** 20)} MiB`;
}

/** Bytes of a payload, as people name them. */
export function payloadName(bytes: number): string {
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} B`;
}
