import { isFabricError } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import type { CommandSpec } from "../src/cli/command.ts";
import { parseCommandLine, type ParsedLine } from "../src/cli/parse.ts";

const base = { summary: "does something", examples: [], run: () => Promise.resolve(0) };
const commands: readonly CommandSpec[] = [
  {
    ...base,
    path: ["up"],
    arguments: [],
    flags: [
      { name: "bootstrap", summary: "found" },
      { name: "listen", value: "ADDRESS", summary: "where" },
      { name: "output", short: "o", value: "FORMAT", summary: "how", choices: ["json", "yaml"] },
      { name: "file", short: "f", value: "FILE", summary: "what", repeatable: true },
    ],
  },
  {
    ...base,
    path: ["get"],
    arguments: [
      { name: "KIND", required: true },
      { name: "NAME", required: false },
    ],
    flags: [],
  },
  { ...base, path: ["chain", "show"], arguments: [], flags: [] },
  { ...base, path: ["chain", "verify"], arguments: [{ name: "FILE", required: true }], flags: [] },
];

function parse(line: string): ParsedLine {
  return parseCommandLine(line === "" ? [] : line.split(" "), commands);
}

function runOf(line: string): Extract<ParsedLine, { type: "run" }> {
  const parsed = parse(line);
  if (parsed.type !== "run") throw new Error(`${line} is ${parsed.type}`);
  return parsed;
}

function refusal(line: string): { readonly code: string; readonly message: string } {
  try {
    parse(line);
  } catch (error) {
    if (isFabricError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error(`${line} was not refused`);
}

describe("a command line", () => {
  test("is read into flags and arguments, wherever the flags stand", () => {
    const { flags, arguments: words } = runOf("get ConfigMap settings");
    expect([words, flags.size]).toEqual([["ConfigMap", "settings"], 0]);
    expect(Object.fromEntries(runOf("up --bootstrap --listen 127.0.0.1:0 -o json").flags)).toEqual({
      bootstrap: ["true"],
      listen: ["127.0.0.1:0"],
      output: ["json"],
    });
    expect(runOf("up --listen=127.0.0.1:0").flags.get("listen")).toEqual(["127.0.0.1:0"]);
  });

  test("keeps every value of a flag that is given several times, a dash alone being a value", () => {
    expect(runOf("up -f a.yaml -f - -f b.yaml").flags.get("file")).toEqual(["a.yaml", "-", "b.yaml"]);
  });

  test("prefers the longest command that it names", () => {
    expect(runOf("chain verify x.chain").command.path).toEqual(["chain", "verify"]);
  });

  test("that is empty, or asks for help, gets help of what it names", () => {
    expect(parse("")).toEqual({ type: "help" });
    expect(parse("--help")).toEqual({ type: "help" });
    expect(parse("chain")).toEqual({ type: "help", group: ["chain"] });
    expect(parse("help up")).toMatchObject({ type: "help", command: { path: ["up"] } });
    expect(parse("get --help")).toMatchObject({ type: "help", command: { path: ["get"] } });
    expect(parse("--version")).toEqual({ type: "version" });
  });
});

describe("a mistake on the command line", () => {
  test("in a flag is named, with what was probably meant", () => {
    expect(refusal("up --bootstrp")).toEqual({
      code: "CLI_UNKNOWN_FLAG",
      message: 'unknown flag "--bootstrp" for up (did you mean --bootstrap?), see revoada up --help',
    });
    expect(refusal("up -z").code).toBe("CLI_UNKNOWN_FLAG");
    expect(refusal("--listen x").code).toBe("CLI_UNKNOWN_FLAG");
  });

  test("in a command is named, with what was probably meant", () => {
    expect(refusal("chian show").message).toContain("did you mean chain?");
    expect(refusal("chain shw")).toEqual({
      code: "CLI_UNKNOWN_COMMAND",
      message: 'unknown command "chain shw" (did you mean chain show?), known: show, verify',
    });
  });

  test("in a value says what is expected", () => {
    expect(refusal("up --listen")).toEqual({ code: "CLI_MISSING_VALUE", message: "--listen needs a value: ADDRESS" });
    expect(refusal("up --listen --bootstrap").code).toBe("CLI_MISSING_VALUE");
    expect(refusal("up --bootstrap=maybe").code).toBe("CLI_INVALID_VALUE");
    expect(refusal("up -o xml").message).toBe('-o: expected one of json, yaml, got "xml"');
  });

  test("in the arguments names the one that is missing or too much", () => {
    expect(refusal("get").message).toContain("get needs KIND");
    expect(refusal("get a b c")).toEqual({ code: "CLI_UNEXPECTED_ARGUMENT", message: 'get does not take "c"' });
  });

  test("never puts control characters or endless text into the message", () => {
    const { message } = refusal(`${"x".repeat(5000)}\u001B[2J`);
    expect(message.length).toBeLessThan(200);
    expect(message).not.toContain("\u001B");
  });
});
