import { FabricError } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { exitCodeOf } from "../src/cli/exit-codes.ts";
import { painter, renderError, renderFacts, renderTable, renderValue } from "../src/cli/output.ts";
import { renderCommandHelp, renderOverview } from "../src/cli/help.ts";
import { commands } from "../src/cli/commands.ts";
import { renderFrame } from "../src/cli/commands/status.ts";
import { captureIo } from "./helpers.ts";

const plain = painter(captureIo().stdout, {});

describe("a table", () => {
  test("aligns its columns and ends no line with blanks", () => {
    expect(
      renderTable(
        ["KIND", "NAME"],
        [
          ["ConfigMap", "a"],
          ["Pod", ""],
        ],
        plain,
      ),
    ).toBe("KIND       NAME\nConfigMap  a\nPod\n");
  });

  test("shows what others wrote as one line that moves no cursor", () => {
    const row = ["a\nb\u001B[2Jc", "d"];
    expect(renderTable(["NAME", "X"], [row], plain)).toBe("NAME      X\na b [2Jc  d\n");
  });

  test("aligns by what is seen, not by colour codes", () => {
    const paint = painter(captureIo({ isTerminal: true }).stdout, {});
    const text = renderTable(["A", "B"], [[{ text: "ok", style: "green" }, "1"]], paint);
    expect(text.split("\n")[1]).toBe("\u001B[32mok\u001B[39m  1");
  });
});

test("facts stand one a line, labels aligned", () => {
  expect(
    renderFacts(
      [
        ["node", "a"],
        ["cluster", { text: "b", style: "red" }],
      ],
      plain,
    ),
  ).toBe("node     a\ncluster  b\n");
});

describe("colours", () => {
  test("are shown on a terminal only, and never where NO_COLOR or a dumb terminal says so", () => {
    const terminal = captureIo({ isTerminal: true }).stdout;
    expect(painter(terminal, {})("red", "x")).toBe("\u001B[31mx\u001B[39m");
    expect(painter(terminal, { NO_COLOR: "1" })("red", "x")).toBe("x");
    expect(painter(terminal, { TERM: "dumb" })("red", "x")).toBe("x");
    expect(painter(captureIo().stdout, {})("red", "x")).toBe("x");
  });
});

describe("a value for programs", () => {
  const value = { name: "a", list: [1, null], bytes: new Uint8Array([1, 2, 3]) };

  test("is JSON or YAML, bytes being base64", () => {
    expect(JSON.parse(renderValue(value, "json"))).toEqual({ name: "a", list: [1, null], bytes: "AQID" });
    expect(renderValue(value, "yaml")).toBe("name: a\nlist:\n  - 1\n  - null\nbytes: AQID\n");
  });
});

describe("a failure", () => {
  test("is one line with its code, whatever its message holds", () => {
    expect(renderError(new FabricError("RAFT_NO_QUORUM", "no leader\nfor 600 ms"), undefined)).toBe(
      "error RAFT_NO_QUORUM: no leader for 600 ms\n",
    );
  });

  test("is one JSON object where JSON is asked for", () => {
    const error = new FabricError("RAFT_NO_QUORUM", "no leader", { retryable: true });
    expect(JSON.parse(renderError(error, "json"))).toEqual({
      error: { code: "RAFT_NO_QUORUM", message: "no leader", retryable: true },
    });
  });

  test("has an exit code by what kind of failure it is", () => {
    const codes = [
      "CLI_UNKNOWN_FLAG",
      "NODE_UNREACHABLE",
      "FACE_RESOURCE_NOT_FOUND",
      "RAFT_OUTCOME_UNKNOWN",
      "FACE_CONFLICT",
      "ATTEST_KEY_INVALID",
      "DISK_IO",
    ];
    expect(codes.map((code) => exitCodeOf(new FabricError(code, "x")))).toEqual([2, 3, 4, 5, 6, 2, 1]);
    expect(exitCodeOf(new Error("x"))).toBe(1);
  });
});

describe("a picture that is shown again and again", () => {
  /** What a terminal shows after these frames, which only go home, write and erase. */
  const shownAfter = (frames: readonly string[]): readonly string[] => {
    const screen: string[] = [];
    for (const frame of frames) {
      // oxlint-disable-next-line no-control-regex
      const [picture = "", below] = frame.replaceAll(/\u001B\[(?:\?7[lh]|H)/g, "").split("\u001B[J");
      expect(below).toBe("");
      const lines = picture.split("\n");
      for (const [row, line] of lines.entries()) {
        const text = line.replace("\u001B[K", "");
        screen[row] = line.endsWith("\u001B[K") ? text : text + (screen[row] ?? "").slice(text.length);
      }
      screen.length = lines.length - 1;
    }
    return screen;
  };

  test("leaves nothing of the one before it, whose lines were longer and more", () => {
    const frames = ["condition  degraded, read-write\nlog\nlast\n", "condition  healthy\nlog\n"];
    expect(shownAfter(frames.map((text) => renderFrame(text, 24)))).toEqual(["condition  healthy", "log"]);
  });

  test("never scrolls its terminal, and says how much did not fit", () => {
    const text = Array.from({ length: 10 }, (_, index) => `line ${index + 1}\n`).join("");
    expect(shownAfter([renderFrame(text, 11)])).toHaveLength(10);
    expect(shownAfter([renderFrame(text, 5)])).toEqual(["line 1", "line 2", "line 3", "… 7 more lines"]);
    expect(shownAfter([renderFrame(text, 1)])).toEqual(["… 10 more lines"]);
  });
});

describe("help", () => {
  const all = (width?: number): readonly string[] => [
    renderOverview(commands, [], width),
    ...commands.map((command) => renderCommandHelp(command, width)),
  ];

  test("fits the terminal, as far as its words do", () => {
    const isLong = (line: string): boolean => line.length > 80 && !/^ +\S+$|^ {2}\S|^Usage: /.test(line);
    expect(all(80).flatMap((text) => text.split("\n").filter(isLong))).toEqual([]);
  });

  test("says the same in any width", () => {
    const words = (text: string): readonly string[] => text.split(/\s+/);
    for (const width of [20, 80, 200]) expect(all(width).map(words)).toEqual(all().map(words));
  });
});
