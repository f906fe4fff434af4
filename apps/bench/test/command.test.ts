import { expect, test } from "vitest";
import { parseCommand, UsageError } from "../src/command.ts";

test("with nothing said, everything is measured", () => {
  const { sections, quick } = parseCommand([]);
  expect(sections).toContain("commits");
  expect(sections).toContain("losses");
  expect(quick).toBe(false);
});

test("a suite brings its sections, and only those that are named", () => {
  expect(parseCommand(["raft"]).sections).not.toContain("losses");
  expect(parseCommand(["raft", "--only", "reads,growth"]).sections).toEqual(["reads", "growth"]);
});

test("the suite that commits once were is still known by its name", () => {
  expect(parseCommand(["consensus"]).sections).toEqual(["commits"]);
});

test("what is not known is refused, with what is", () => {
  expect(() => parseCommand(["speed"])).toThrow(UsageError);
  expect(() => parseCommand(["raft", "--only", "losses"])).toThrow("known: commits, reads");
  expect(() => parseCommand(["--slow"])).toThrow(UsageError);
  expect(() => parseCommand(["--limit-seconds", "soon"])).toThrow("expected a number above 0");
});
