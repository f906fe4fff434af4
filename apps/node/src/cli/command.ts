import type { CliIo } from "./io.ts";

/** One flag of a command. Without `value` it is a switch. */
export interface FlagSpec {
  /** Long name, without dashes. */
  readonly name: string;
  readonly short?: string;
  /** What the value is called in the help. */
  readonly value?: string;
  readonly summary: string;
  readonly choices?: readonly string[];
  /** What a shell completes the value with. */
  readonly completes?: "file" | "directory";
  /** May be given several times; the values are kept in order. */
  readonly repeatable?: boolean;
}

/** One argument that is told by its place. */
export interface ArgumentSpec {
  readonly name: string;
  readonly required: boolean;
  /** Of the last one: several may be given. */
  readonly repeatable?: boolean;
  readonly choices?: readonly string[];
  readonly completes?: "file" | "directory";
}

export interface ExampleSpec {
  readonly command: string;
  readonly meaning: string;
}

/** What a command is asked: its flags and arguments as text, checked against its spec. */
export interface Invocation {
  readonly io: CliIo;
  readonly arguments: readonly string[];
  /** The value of a flag; undefined where it was not given. The last one counts. */
  value(flag: string): string | undefined;
  values(flag: string): readonly string[];
  has(flag: string): boolean;
}

/** One command of the command line. Help, parsing and completion all come from here. */
export interface CommandSpec {
  /** `["chain", "verify"]`. */
  readonly path: readonly string[];
  readonly summary: string;
  /** Further lines of help. */
  readonly details?: readonly string[];
  readonly arguments: readonly ArgumentSpec[];
  readonly flags: readonly FlagSpec[];
  readonly examples: readonly ExampleSpec[];
  /** Resolves with the exit code. */
  readonly run: (invocation: Invocation) => Promise<number>;
}

/** The name of a command as it is typed. */
export function commandName(command: Pick<CommandSpec, "path">): string {
  return command.path.join(" ");
}
