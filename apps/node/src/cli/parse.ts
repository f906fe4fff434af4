import { parseArgs } from "node:util";
import { describeValue } from "@revoada/fabric";
import { CliUsageError } from "../errors.ts";
import { commandName, type CommandSpec, type FlagSpec } from "./command.ts";
import { hint } from "./suggest.ts";

/** Flags that every command takes. */
export const commonFlags: readonly FlagSpec[] = [{ name: "help", short: "h", summary: "show this help" }];

export type ParsedLine =
  | { readonly type: "help"; readonly command?: CommandSpec; readonly group?: readonly string[] }
  | { readonly type: "version" }
  | {
      readonly type: "run";
      readonly command: CommandSpec;
      readonly arguments: readonly string[];
      readonly flags: ReadonlyMap<string, readonly string[]>;
    };

/**
 * Reads a command line against the commands that there are. Throws {@link CliUsageError} with `CLI_UNKNOWN_COMMAND`,
 * `CLI_UNKNOWN_FLAG`, `CLI_MISSING_VALUE`, `CLI_INVALID_VALUE`, `CLI_MISSING_ARGUMENT` or `CLI_UNEXPECTED_ARGUMENT`.
 */
export function parseCommandLine(words: readonly string[], commands: readonly CommandSpec[]): ParsedLine {
  const [first] = words;
  if (first === undefined || first === "--help" || first === "-h") return { type: "help" };
  if (first === "--version" || first === "-V") return { type: "version" };
  if (first === "help") return helpFor(words.slice(1), commands);
  if (first.startsWith("-")) {
    throw new CliUsageError(
      "CLI_UNKNOWN_FLAG",
      `unknown flag ${printable(first)}: flags stand behind a command (try revoada --help)`,
    );
  }
  const command = findCommand(words, commands);
  if (command === undefined) return explainGroup(words, commands);
  return parseFor(command, words.slice(command.path.length));
}

function findCommand(words: readonly string[], commands: readonly CommandSpec[]): CommandSpec | undefined {
  const matching = commands.filter(({ path }) => path.every((word, index) => words[index] === word));
  return matching.toSorted((a, b) => b.path.length - a.path.length)[0];
}

function helpFor(words: readonly string[], commands: readonly CommandSpec[]): ParsedLine {
  if (words.length === 0) return { type: "help" };
  const command = findCommand(words, commands);
  return command === undefined ? explainGroup([...words, "--help"], commands) : { type: "help", command };
}

/** For words that name no command: the help of a group such as `chain`, or an error with what was probably meant. */
function explainGroup(words: readonly string[], commands: readonly CommandSpec[]): ParsedLine {
  const [first = "", second] = words;
  const group = commands.filter(({ path }) => path.length > 1 && path[0] === first);
  if (group.length === 0) {
    const known = [...new Set(commands.map(({ path }) => path[0] ?? ""))];
    throw new CliUsageError(
      "CLI_UNKNOWN_COMMAND",
      `unknown command ${printable(first)}${hint(first, known)}, see revoada --help`,
    );
  }
  if (second === undefined || second === "--help" || second === "-h") return { type: "help", group: [first] };
  const known = group.map(({ path }) => path[1] ?? "");
  throw new CliUsageError(
    "CLI_UNKNOWN_COMMAND",
    `unknown command ${printable(`${first} ${second}`)}${hint(second, known, `${first} `)}, known: ${known.join(", ")}`,
  );
}

function parseFor(command: CommandSpec, words: readonly string[]): ParsedLine {
  const specs = [...command.flags, ...commonFlags];
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      specs.map((spec) => [
        spec.name,
        {
          type: spec.value === undefined ? ("boolean" as const) : ("string" as const),
          ...(spec.short === undefined ? {} : { short: spec.short }),
        },
      ]),
    ),
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const flags = new Map<string, readonly string[]>();
  const positional: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positional.push(token.value);
    if (token.kind !== "option") continue;
    const spec = specs.find(({ name }) => name === token.name);
    if (spec === undefined) throw unknownFlag(command, token.rawName, specs);
    const given = flags.get(spec.name) ?? [];
    flags.set(spec.name, [...given, flagValue(spec, token)]);
  }
  if (flags.has("help")) return { type: "help", command };
  checkArguments(command, positional);
  return { type: "run", command, arguments: positional, flags };
}

function unknownFlag(command: CommandSpec, rawName: string, specs: readonly FlagSpec[]): CliUsageError {
  const known = specs.map(({ name }) => name);
  const meant = rawName.startsWith("--") ? hint(rawName.slice(2), known, "--") : "";
  return new CliUsageError(
    "CLI_UNKNOWN_FLAG",
    `unknown flag ${printable(rawName)} for ${commandName(command)}${meant}, see revoada ${commandName(command)} --help`,
  );
}

function flagValue(
  spec: FlagSpec,
  token: { readonly rawName: string; readonly value?: string | undefined; readonly inlineValue?: boolean | undefined },
): string {
  const { value, rawName } = token;
  if (spec.value === undefined) {
    if (value !== undefined)
      throw new CliUsageError("CLI_INVALID_VALUE", `${rawName} takes no value, got ${describeValue(value)}`);
    return "true";
  }
  const swallowed = token.inlineValue !== true && value !== undefined && value.startsWith("-") && value !== "-";
  if (value === undefined || value === "" || swallowed) {
    throw new CliUsageError("CLI_MISSING_VALUE", `${rawName} needs a value: ${spec.value}`);
  }
  if (spec.choices !== undefined && !spec.choices.includes(value)) {
    throw new CliUsageError(
      "CLI_INVALID_VALUE",
      `${rawName}: expected one of ${spec.choices.join(", ")}, got ${describeValue(value)}`,
    );
  }
  return value;
}

function checkArguments(command: CommandSpec, given: readonly string[]): void {
  const name = commandName(command);
  const missing = command.arguments.find((argument, index) => argument.required && given[index] === undefined);
  if (missing !== undefined)
    throw new CliUsageError("CLI_MISSING_ARGUMENT", `${name} needs ${missing.name}, see revoada ${name} --help`);
  for (const [index, value] of given.entries()) {
    const last = command.arguments.at(-1);
    const argument = command.arguments[index] ?? (last?.repeatable === true ? last : undefined);
    if (argument === undefined)
      throw new CliUsageError("CLI_UNEXPECTED_ARGUMENT", `${name} does not take ${printable(value)}`);
    if (argument.choices !== undefined && !argument.choices.includes(value)) {
      throw new CliUsageError(
        "CLI_INVALID_VALUE",
        `${argument.name}: expected one of ${argument.choices.join(", ")}, got ${describeValue(value)}`,
      );
    }
  }
}

function printable(text: string): string {
  return describeValue(text);
}
