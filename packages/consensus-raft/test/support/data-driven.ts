import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/**
 * Tests whose text is data: commands, a line `----`, what they must answer, a blank line. Lines that begin with `#`, and blank
 * ones, stand between blocks as they are.
 *
 * `REVOADA_REWRITE=1` writes what was answered into the files, to be read and committed.
 */
export interface Block {
  readonly commands: readonly string[];
  readonly expected: string;
}

/** Parses a file into blocks, and the lines between them. */
export function parseBlocks(text: string): readonly (Block | string)[] {
  const parts: (Block | string)[] = [];
  const lines = text.split("\n");
  let commands: string[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] as string;
    if (line === "----") {
      const end = lines.indexOf("", at);
      const expected = lines.slice(at + 1, end < 0 ? undefined : end);
      parts.push({ commands, expected: expected.join("\n") });
      at += expected.length;
      commands = [];
    } else if (commands.length === 0 && (line === "" || line.startsWith("#"))) {
      parts.push(line);
    } else {
      commands.push(line);
    }
  }
  if (commands.length > 0) throw new Error(`commands without an answer: ${commands.join("; ")}`);
  return parts;
}

/** The file as it would be if everything that was answered had been expected. */
export function answered(text: string, run: (commands: readonly string[]) => string): string {
  return parseBlocks(text)
    .map((part) => {
      if (typeof part === "string") return part;
      const answer = run(part.commands);
      return [...part.commands, "----", ...(answer === "" ? [] : [answer])].join("\n");
    })
    .join("\n");
}

/** Names of the data files of `folder` under `testdata`, without their ending. */
export function dataFiles(folder: string): readonly string[] {
  return readdirSync(join(import.meta.dirname, "../../testdata", folder))
    .filter((name) => name.endsWith(".txt"))
    .map((name) => name.slice(0, -".txt".length))
    .toSorted();
}

/** One test per data file of `folder`. `runner` makes what answers one file's commands. */
export function testDataFiles(folder: string, runner: () => (commands: readonly string[]) => string): void {
  for (const name of dataFiles(folder)) {
    test(name, () => {
      const path = join(import.meta.dirname, "../../testdata", folder, `${name}.txt`);
      const text = readFileSync(path, "utf8");
      const actual = answered(text, runner());
      if (process.env["REVOADA_REWRITE"] === "1") writeFileSync(path, actual);
      else expect(actual).toBe(text);
    });
  }
}
