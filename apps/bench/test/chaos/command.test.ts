import { expect, test } from "vitest";
import { chosen, helpText, parseChaosCommand } from "../../src/chaos/command.ts";

test("with nothing said, every scenario is played with every number of nodes, and the time is the seed", () => {
  expect(parseChaosCommand([], 42)).toEqual({ seed: 42, maxMinutes: 45, keep: false });
  const all = chosen({});
  expect(new Set(all.map(({ nodes }) => nodes))).toEqual(new Set([5, 7]));
  for (const { scenario } of all) expect(helpText()).toContain(scenario.name);
});

test("names and a number of nodes choose among them", () => {
  const names = (args: readonly string[]): readonly string[] => {
    const command = parseChaosCommand(args);
    if (typeof command === "string") throw new Error(command);
    return chosen(command).map(({ scenario, nodes }) => `${scenario.name} ${nodes}`);
  };
  expect(names(["--only", "mid-commit,stall-1s"])).toEqual(["stall-1s 5", "mid-commit 5", "mid-commit 7"]);
  expect(names(["--only", "mid-commit", "--nodes", "7"])).toEqual(["mid-commit 7"]);
});

test("what cannot be is refused, with what is", () => {
  expect(parseChaosCommand(["--only", "flood"])).toContain('no such scenario "flood" (known: stall-1s');
  expect(parseChaosCommand(["--nodes", "many"])).toContain("--nodes takes 5 or 7");
  expect(parseChaosCommand(["--only", "stall-1s", "--nodes", "7"])).toBe("nothing is played with 7 nodes");
  expect(parseChaosCommand(["--seed", "-1"])).toMatch(/seed/);
  expect(parseChaosCommand(["--max-minutes", "0"])).toContain("--max-minutes");
  expect(parseChaosCommand(["--loud"])).toContain("--loud");
  expect(parseChaosCommand(["-h"])).toBe("help");
});
