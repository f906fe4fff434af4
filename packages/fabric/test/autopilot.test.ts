import { parseStrategy, prescribedHomelab, prescribedSolo, proveLiveness, type FabricStrategy } from "@revoada/fabric";
import { describe, expect, test } from "vitest";

function withAutopilot(autopilot: unknown, base: FabricStrategy = prescribedHomelab()): FabricStrategy {
  return parseStrategy({ ...base, autopilot }, "strategy");
}

describe("the autopilot of a strategy", () => {
  test("is read field by field, and absent where nothing is said of it", () => {
    const autopilot = { stabilizationMs: 0, maxTrailingEntries: 10, redundancyZones: true, upgradeMigration: false };
    expect(withAutopilot(autopilot).autopilot).toEqual(autopilot);
    expect(parseStrategy(prescribedHomelab(), "strategy")).not.toHaveProperty("autopilot");
    expect(proveLiveness(withAutopilot({})).autopilot).toEqual({});
  });

  test.each([
    [{ minQuorums: 3 }, "strategy.autopilot.minQuorums: expected no such field"],
    [{ minQuorum: "3" }, 'strategy.autopilot.minQuorum: expected a number, got "3"'],
    [{ cleanupDeadNodes: 1 }, "strategy.autopilot.cleanupDeadNodes: expected true or false, got 1"],
    ["fast", 'strategy.autopilot: expected an object, got "fast"'],
  ])("is refused as %o", (autopilot, message) => {
    expect(() => withAutopilot(autopilot)).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
    expect(() => withAutopilot(autopilot)).toThrow(message);
  });

  test.each([
    [{ stabilizationMs: -1 }, "autopilot.stabilizationMs is -1, expected a whole number from 0 to 2147483647"],
    [{ dampingMs: 1.5 }, "autopilot.dampingMs is 1.5, expected a whole number"],
    [{ warmStandbys: 17 }, "autopilot.warmStandbys is 17, expected a whole number from 0 to 16"],
    [{ minQuorum: 4 }, "autopilot.minQuorum is 4, expected a whole number from 1 to 3"],
    [{ catchUpMs: 0 }, "autopilot.catchUpMs is 0, expected a whole number from 1"],
  ])("cannot be %o", (autopilot, message) => {
    expect(() => proveLiveness(withAutopilot(autopilot))).toThrow(
      expect.objectContaining({ code: "STRATEGY_BAD_NUMBER" }),
    );
    expect(() => proveLiveness(withAutopilot(autopilot))).toThrow(message);
  });

  test("has no larger minimum than there are voters", () => {
    expect(() => proveLiveness(withAutopilot({ minQuorum: 2 }, prescribedSolo()))).toThrow("from 1 to 1");
  });
});
