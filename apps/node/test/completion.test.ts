import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { renderCompletion } from "../src/cli/completion.ts";
import { runCli } from "../src/cli/run.ts";
import { version } from "../src/version.ts";
import { captureIo } from "./helpers.ts";

/** What bash offers for a line that ends where the cursor stands. */
function offered(line: string): readonly string[] {
  const words = line.split(" ");
  const script = [
    renderCompletion("bash", commands),
    `COMP_WORDS=(${words.map((word) => JSON.stringify(word)).join(" ")})`,
    `COMP_CWORD=${words.length - 1}`,
    "_revoada",
    String.raw`printf '%s\n' "${"$"}{COMPREPLY[@]}"`,
  ].join("\n");
  const done = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8", cwd: "/" });
  expect(done.stderr).toBe("");
  return done.stdout.split("\n").filter((word) => word !== "");
}

describe("completion in bash", () => {
  test("offers commands, then what stands below them", () => {
    expect(offered("revoada sta")).toEqual(["status"]);
    expect(offered("revoada ")).toContain("apply");
    const below = ["show", "export", "convert", "archive", "verify", "prove", "checkpoint", "pending", "cosign"];
    expect(offered("revoada chain ")).toEqual(below);
  });

  test("offers the flags of the command and the values of a flag", () => {
    expect(offered("revoada up --boot")).toEqual(["--bootstrap", "--bootstrap-expect"]);
    expect(offered("revoada chain verify --cl")).toEqual(["--cluster"]);
    expect(offered("revoada status -o ")).toEqual(["json", "yaml"]);
    expect(offered("revoada completion f")).toEqual(["fish"]);
  });

  test("offers files where a file is meant, and only there", () => {
    expect(offered("revoada chain export et")).toEqual(["etc"]);
    expect(offered("revoada apply -f et")).toEqual(["etc"]);
    expect(offered("revoada status et")).toEqual([]);
  });
});

test("the scripts of the other shells name every command", () => {
  const [zsh, fish] = [renderCompletion("zsh", commands), renderCompletion("fish", commands)];
  expect(zsh.startsWith("#compdef revoada\n")).toBe(true);
  for (const { path } of commands) expect(fish).toContain(`-a ${path.at(-1)}`);
});

describe("help", () => {
  test("lists every command and what the exit codes mean", async () => {
    const io = captureIo();
    expect(await runCli([], commands, io)).toBe(0);
    for (const { path, summary } of commands) expect(io.out()).toContain(`${path.join(" ")} `.trimEnd() && summary);
    expect(io.out()).toContain("Exit codes:");
  });

  test("of each command shows its flags and at least one example", async () => {
    for (const { path, flags, examples } of commands) {
      const io = captureIo();
      expect(await runCli([...path, "--help"], commands, io)).toBe(0);
      for (const { name } of flags) expect(io.out()).toContain(`--${name}`);
      expect(examples.length).toBeGreaterThan(0);
      for (const { command } of examples) expect(io.out()).toContain(command);
    }
  });

  test("and the examples are lines that the parser takes", async () => {
    const { parseCommandLine } = await import("../src/cli/parse.ts");
    const lines = commands.flatMap(({ examples }) => examples.map(({ command }) => command));
    for (const line of lines.filter((candidate) => candidate.startsWith("revoada "))) {
      const words =
        line
          .split(/ && | > /)[0]
          ?.split(" ")
          .slice(1) ?? [];
      expect(parseCommandLine(words, commands).type).toBe("run");
    }
  });
});

describe("a command line without a daemon", () => {
  test("shows the version", async () => {
    const io = captureIo();
    expect(await runCli(["version", "-o", "json"], commands, io)).toBe(0);
    expect(JSON.parse(io.out())).toEqual({ version, node: process.version });
  });

  test("that is wrong is one line on stderr and exit code 2", async () => {
    const io = captureIo();
    expect(await runCli(["status", "--wach"], commands, io)).toBe(2);
    expect([io.out(), io.err()]).toEqual([
      "",
      'error CLI_UNKNOWN_FLAG: unknown flag "--wach" for status (did you mean --watch?), see revoada status --help\n',
    ]);
  });

  test("that asks a node gets exit code 3, in JSON where JSON was asked for", async () => {
    const io = captureIo({ environment: { REVOADA_DATA_DIR: "/nonexistent/revoada" } });
    expect(await runCli(["status", "-o", "json"], commands, io)).toBe(3);
    expect(JSON.parse(io.err())).toMatchObject({ error: { code: "NODE_UNREACHABLE", retryable: true } });
  });
});
