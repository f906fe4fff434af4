import { commandName, type CommandSpec, type FlagSpec } from "./command.ts";
import { exitCodeTable } from "./exit-codes.ts";
import { commonFlags } from "./parse.ts";

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}

function flagLabel(flag: FlagSpec): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  return `${short}--${flag.name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
}

function flagMeaning(flag: FlagSpec): string {
  return flag.choices === undefined ? flag.summary : `${flag.summary} (${flag.choices.join(", ")})`;
}

function usageOf(command: CommandSpec): string {
  const argumentsText = command.arguments.map(({ name, required }) => (required ? ` ${name}` : ` [${name}]`)).join("");
  return `revoada ${commandName(command)}${argumentsText}${command.flags.length > 0 ? " [flags]" : ""}`;
}

/** The help of everything: what the program is and which commands there are. */
export function renderOverview(commands: readonly CommandSpec[], group: readonly string[] = []): string {
  const shown = commands.filter(({ path }) => group.every((word, index) => path[index] === word));
  const lines = [
    group.length === 0
      ? "revoada: machines that are equal at boot become one cluster whose shape is a declaration"
      : `revoada ${group.join(" ")}`,
    "",
    "Commands:",
    ...columns(shown.map((command) => [commandName(command), command.summary])),
    "",
  ];
  if (group.length === 0) {
    lines.push("Exit codes:", ...columns(exitCodeTable.map(([code, meaning]) => [String(code), meaning])), "");
  }
  lines.push("Try revoada COMMAND --help for flags and examples.");
  return `${lines.join("\n")}\n`;
}

/** The help of one command. */
export function renderCommandHelp(command: CommandSpec): string {
  const lines = [command.summary, "", `Usage: ${usageOf(command)}`];
  if (command.details !== undefined) lines.push("", ...command.details);
  const flags = [...command.flags, ...commonFlags];
  lines.push("", "Flags:", ...columns(flags.map((flag) => [flagLabel(flag), flagMeaning(flag)])));
  if (command.examples.length > 0) {
    lines.push(
      "",
      "Examples:",
      ...columns(command.examples.map(({ command: line, meaning }) => [line, `# ${meaning}`])),
    );
  }
  return `${lines.join("\n")}\n`;
}
