import type { CommandSpec, FlagSpec } from "./command.ts";
import { commonFlags } from "./parse.ts";

/** Shells that a completion script can be made for. */
export const shells = ["bash", "zsh", "fish"] as const;

export type Shell = (typeof shells)[number];

/** A completion script, made from the commands themselves. */
export function renderCompletion(shell: Shell, commands: readonly CommandSpec[]): string {
  switch (shell) {
    case "bash":
      return renderBash(commands);
    case "zsh":
      // zsh runs bash completions as they are; one script is one thing less that can be wrong.
      return `#compdef revoada\nautoload -U +X bashcompinit && bashcompinit\n${renderBash(commands)}`;
    case "fish":
      return renderFish(commands);
  }
}

function flagsOf(command: CommandSpec): readonly FlagSpec[] {
  return [...command.flags, ...commonFlags];
}

function flagWords(command: CommandSpec): string {
  return flagsOf(command)
    .flatMap(({ name, short }) => (short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`]))
    .join(" ");
}

function topWords(commands: readonly CommandSpec[]): string {
  return [...new Set(commands.map(({ path }) => path[0] ?? ""))].join(" ");
}

function subcommands(commands: readonly CommandSpec[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const { path } of commands) {
    const [group, name] = path;
    if (group === undefined || name === undefined) continue;
    groups.set(group, [...(groups.get(group) ?? []), name]);
  }
  return groups;
}

/** Values that a flag completes to, as the arguments of `compgen`. */
function bashValues(flag: FlagSpec): string {
  if (flag.choices !== undefined) return `-W "${flag.choices.join(" ")}"`;
  return flag.completes === "directory" ? "-d" : "-f";
}

function renderBash(commands: readonly CommandSpec[]): string {
  const groups = [...subcommands(commands)];
  const valued = new Map<string, FlagSpec>();
  for (const flag of commands.flatMap(flagsOf)) {
    if (flag.value === undefined) continue;
    valued.set(`--${flag.name}`, flag);
    if (flag.short !== undefined) valued.set(`-${flag.short}`, flag);
  }
  const words = commands.map((command) => {
    const choices = command.arguments.flatMap((argument) => argument.choices ?? []);
    const files = command.arguments.some(({ completes }) => completes !== undefined) ? ' files="-f"' : "";
    return `    "${command.path.join(" ")}") words="${[flagWords(command), ...choices].join(" ")}"${files} ;;`;
  });
  const lines = [
    "_revoada() {",
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}" words="" files=""',
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    COMPREPLY=($(compgen -W "${topWords(commands)} help --help --version" -- "$current")); return`,
    "  fi",
    '  case "$previous" in',
    ...[...valued].map(
      ([name, flag]) => `    ${name}) COMPREPLY=($(compgen ${bashValues(flag)} -- "$current")); return ;;`,
    ),
    "  esac",
    '  case "$command" in',
    ...groups.map(
      ([group, names]) =>
        `    ${group}) if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY=($(compgen -W "${names.join(" ")}" -- "$current")); return; fi; command="${group} \${COMP_WORDS[2]}" ;;`,
    ),
    "  esac",
    '  case "$command" in',
    ...words,
    "  esac",
    '  COMPREPLY=($(compgen $files -W "$words" -- "$current"))',
    "}",
    "complete -F _revoada revoada",
  ];
  return `${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`\'`)}'`;
}

function fishFlag(condition: string, flag: FlagSpec): string {
  const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
  const values = flag.choices === undefined ? "" : ` -f -a ${quoted(flag.choices.join(" "))}`;
  const needs = flag.value === undefined ? "" : " -r";
  return `complete -c revoada -n ${quoted(condition)} -l ${flag.name}${short}${needs}${values} -d ${quoted(flag.summary)}`;
}

function renderFish(commands: readonly CommandSpec[]): string {
  const lines = ["complete -c revoada -f"];
  const groups = subcommands(commands);
  for (const command of commands) {
    const [first = "", second] = command.path;
    if (second === undefined)
      lines.push(`complete -c revoada -n __fish_use_subcommand -a ${first} -d ${quoted(command.summary)}`);
    else {
      const siblings = (groups.get(first) ?? []).join(" ");
      const condition = `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${siblings}`;
      lines.push(`complete -c revoada -n ${quoted(condition)} -a ${second} -d ${quoted(command.summary)}`);
    }
    const seen = command.path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
    for (const flag of flagsOf(command)) lines.push(fishFlag(seen, flag));
    for (const argument of command.arguments) {
      if (argument.choices !== undefined)
        lines.push(`complete -c revoada -n ${quoted(seen)} -a ${quoted(argument.choices.join(" "))}`);
      if (argument.completes !== undefined) lines.push(`complete -c revoada -n ${quoted(seen)} -F`);
    }
  }
  for (const group of groups.keys()) lines.push(`complete -c revoada -n __fish_use_subcommand -a ${group}`);
  return `${lines.join("\n")}\n`;
}
