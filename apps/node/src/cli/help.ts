import { commandName, type CommandSpec, type FlagSpec } from "./command.ts";
import { exitCodeTable } from "./exit-codes.ts";
import { commonFlags } from "./parse.ts";

/** A text is not read well in longer lines. */
const widestText = 120;

/** Narrower than this a second column is no help: it begins below the first then. */
const leastColumn = 30;

/** Words in lines of at most `width` characters; a longer word has a line of its own. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Two columns, the second broken between words where the terminal is too narrow for it. */
function columns(rows: readonly (readonly [string, string])[], width: number): readonly string[] {
  const widest = Math.max(0, ...rows.map(([left]) => left.length)) + 4;
  const indent = width - widest < leastColumn ? 8 : widest;
  return rows.flatMap(([left, right]) => {
    const first = `  ${left}`;
    const [head = "", ...rest] = wrap(right, width - indent);
    const below = rest.map((line) => " ".repeat(indent) + line);
    return first.length + 2 <= indent
      ? [`${first.padEnd(indent)}${head}`.trimEnd(), ...below]
      : [first, `${" ".repeat(indent)}${head}`.trimEnd(), ...below];
  });
}

function flagLabel(flag: FlagSpec): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  return `${short}--${flag.name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
}

function flagMeaning(flag: FlagSpec): string {
  return flag.choices === undefined ? flag.summary : `${flag.summary} (${flag.choices.join(", ")})`;
}

function usageOf(command: CommandSpec): string {
  const argumentsText = command.arguments
    .map(({ name, required, repeatable }) => {
      const shown = repeatable === true ? `${name}…` : name;
      return required ? ` ${shown}` : ` [${shown}]`;
    })
    .join("");
  return `revoada ${commandName(command)}${argumentsText}${command.flags.length > 0 ? " [flags]" : ""}`;
}

/** The help of everything: what the program is and which commands there are, in lines of at most `width` characters. */
export function renderOverview(
  commands: readonly CommandSpec[],
  group: readonly string[] = [],
  width: number = Number.POSITIVE_INFINITY,
): string {
  const shown = commands.filter(({ path }) => group.every((word, index) => path[index] === word));
  const lines = [
    ...(group.length === 0
      ? wrap("revoada: machines that are equal at boot become one cluster whose shape is a declaration", width)
      : [`revoada ${group.join(" ")}`]),
    "",
    "Commands:",
    ...columns(
      shown.map((command) => [commandName(command), command.summary]),
      width,
    ),
    "",
  ];
  if (group.length === 0) {
    lines.push("Exit codes:", ...columns(exitCodeTable, width), "");
  }
  lines.push("Try revoada COMMAND --help for flags and examples.");
  return `${lines.join("\n")}\n`;
}

/** The help of one command, in lines of at most `width` characters. */
export function renderCommandHelp(command: CommandSpec, width: number = Number.POSITIVE_INFINITY): string {
  const lines = [...wrap(command.summary, width), "", `Usage: ${usageOf(command)}`];
  // The details are one text: where lines end is the terminal's matter.
  if (command.details !== undefined) lines.push("", ...wrap(command.details.join(" "), Math.min(width, widestText)));
  const flags = [...command.flags, ...commonFlags];
  lines.push(
    "",
    "Flags:",
    ...columns(
      flags.map((flag) => [flagLabel(flag), flagMeaning(flag)]),
      width,
    ),
  );
  if (command.examples.length > 0) {
    lines.push(
      "",
      "Examples:",
      ...columns(
        command.examples.map(({ command: line, meaning }) => [line, `# ${meaning}`]),
        width,
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}
