import { version } from "../version.ts";
import type { CommandSpec, Invocation } from "./command.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import { renderCommandHelp, renderOverview } from "./help.ts";
import type { CliIo, CliOutput } from "./io.ts";
import { renderError, type OutputFormat } from "./output.ts";
import { parseCommandLine, type ParsedLine } from "./parse.ts";

/** Runs one command line and resolves with its exit code. A failure is one line on stderr; nothing is thrown. */
export async function runCli(words: readonly string[], commands: readonly CommandSpec[], io: CliIo): Promise<number> {
  try {
    return await dispatch(parseCommandLine(words, commands), commands, io);
  } catch (error) {
    if (io.signal.aborted && error === io.signal.reason) return 128 + 2;
    io.stderr.write(renderError(error, wantedFormat(words)));
    return exitCodeOf(error);
  }
}

async function dispatch(parsed: ParsedLine, commands: readonly CommandSpec[], io: CliIo): Promise<number> {
  switch (parsed.type) {
    case "version":
      io.stdout.write(`revoada ${version}\n`);
      return exitCodes.ok;
    case "help":
      io.stdout.write(helpOf(parsed, commands, io.stdout));
      return exitCodes.ok;
    case "run":
      return await parsed.command.run(invocationOf(parsed, io));
  }
}

function helpOf(
  { command, group }: Extract<ParsedLine, { type: "help" }>,
  commands: readonly CommandSpec[],
  { isTerminal, columns }: CliOutput,
): string {
  // Through a pipe, lines stay whole for whoever searches them.
  const width = isTerminal ? columns : Number.POSITIVE_INFINITY;
  return command === undefined ? renderOverview(commands, group, width) : renderCommandHelp(command, width);
}

function invocationOf(parsed: Extract<ParsedLine, { type: "run" }>, io: CliIo): Invocation {
  const { flags } = parsed;
  return {
    io,
    arguments: parsed.arguments,
    value: (flag) => flags.get(flag)?.at(-1),
    values: (flag) => flags.get(flag) ?? [],
    has: (flag) => flags.has(flag),
  };
}

/** The form in which a failure is told, even where the line itself could not be read. */
function wantedFormat(words: readonly string[]): OutputFormat | undefined {
  const joined = words.some((word) => ["-ojson", "-o=json", "--output=json"].includes(word));
  const apart = words.some((word, index) => (word === "-o" || word === "--output") && words[index + 1] === "json");
  return joined || apart ? "json" : undefined;
}
