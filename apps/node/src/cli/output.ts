import { isFabricError, type PlainValue } from "@revoada/fabric";
import { stringify } from "yaml";
import type { FlagSpec } from "./command.ts";
import type { CliIo, CliOutput } from "./io.ts";

/** What a program may ask output in. */
export type OutputFormat = "json" | "yaml";

const outputFormats: readonly OutputFormat[] = ["json", "yaml"];

/** The flag of commands that show something. */
export const outputFlag: FlagSpec = {
  name: "output",
  short: "o",
  value: "FORMAT",
  summary: "for programs instead of people",
  choices: outputFormats,
};

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const styleCodes: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Colours for one output: none unless it is a terminal and nobody asked for none (https://no-color.org). */
export function painter(output: CliOutput, environment: CliIo["environment"]): (style: Style, text: string) => string {
  const refused = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  if (!output.isTerminal || refused) return (_style, text) => text;
  return (style, text) => {
    const [on, off] = styleCodes[style];
    return `\u001B[${on}m${text}\u001B[${off}m`;
  };
}

/** Texts of others never move the cursor or break a line. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]+/g, " ").trim();
}

/** One cell: its text, and how it is shown where there are colours. */
export type Cell = string | { readonly text: string; readonly style: Style };

function cellText(cell: Cell): string {
  return oneLine(typeof cell === "string" ? cell : cell.text);
}

/** `1 block`, `2 blocks`. */
export function counted(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Lines of a table: headings, then rows, columns two spaces apart, nothing behind the last. */
export function renderTable(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
  paint: (style: Style, text: string) => string,
): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => cellText(row[column] ?? "").length)),
  );
  const line = (cells: readonly Cell[], decorate: (cell: Cell, text: string) => string): string =>
    cells
      .map((cell, column) => {
        const text = cellText(cell);
        const gap = column === cells.length - 1 ? "" : " ".repeat((widths[column] ?? 0) - text.length + 2);
        return decorate(cell, text) + gap;
      })
      .join("")
      .trimEnd();
  const head = line(headings, (_cell, text) => paint("bold", text));
  const body = rows.map((row) =>
    line(row, (cell, text) => (typeof cell === "string" ? text : paint(cell.style, text))),
  );
  return `${[head, ...body].join("\n")}\n`;
}

/** Lines of `label  value`. */
export function renderFacts(
  facts: readonly (readonly [string, Cell])[],
  paint: (style: Style, text: string) => string,
): string {
  const width = Math.max(...facts.map(([label]) => label.length));
  const lines = facts.map(([label, cell]) => {
    const text = cellText(cell);
    return `${paint("dim", label.padEnd(width))}  ${typeof cell === "string" ? text : paint(cell.style, text)}`.trimEnd();
  });
  return `${lines.join("\n")}\n`;
}

/** Bytes become base64, so that JSON and YAML can say everything that a plain value can. */
function jsonValue(value: PlainValue): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return (value as readonly PlainValue[]).map(jsonValue);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, jsonValue(inner)]));
  }
  return value;
}

/** A value for programs. */
export function renderValue(value: PlainValue, format: OutputFormat): string {
  const plain = jsonValue(value);
  return format === "json" ? `${JSON.stringify(plain, undefined, 2)}\n` : stringify(plain, { lineWidth: 0 });
}

/** One line for a failure: `error CODE: message`, or one JSON object. */
export function renderError(error: unknown, format: OutputFormat | undefined): string {
  const code = isFabricError(error) ? error.code : "CLI_INTERNAL";
  const message = oneLine(error instanceof Error ? error.message : String(error));
  if (format === "json") {
    const retryable = isFabricError(error) && error.retryable;
    return `${JSON.stringify({ error: { code, message, retryable } })}\n`;
  }
  return `error ${code}: ${message}\n`;
}
