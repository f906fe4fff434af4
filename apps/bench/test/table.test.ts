import { expect, test } from "vitest";
import { figure, markdownTable, mebibytes, milliseconds, payloadName, ratio, ratioOfRounds } from "../src/table.ts";

test("a table sets words to the left and figures to the right", () => {
  expect(markdownTable([{ heading: "what", words: true }, "times"], [["kill", "20"]])).toBe(
    "| what | times |\n|---|---:|\n| kill | 20 |",
  );
});

test("figures have as many digits as they deserve, and a dash stands for what is not known", () => {
  expect(figure(1234567)).toBe("1,234,567");
  expect(figure(undefined)).toBe("–");
  expect(figure(Number.NaN)).toBe("–");
  expect(milliseconds(0.618)).toBe("0.62 ms");
  expect(milliseconds(42.31)).toBe("42.3 ms");
  expect(milliseconds(1234.5)).toBe("1,235 ms");
  expect(ratio(0.5)).toBe("0.50×");
  expect(ratio(undefined)).toBe("–");
  expect(ratioOfRounds([0.9, 12.3, 1.1])).toBe("1.10× (0.90–12.3)");
  expect(ratioOfRounds([0.9])).toBe("0.90×");
  expect(ratioOfRounds([])).toBe("–");
  expect(mebibytes(150 * 2 ** 20)).toBe("150 MiB");
  expect(payloadName(64)).toBe("64 B");
  expect(payloadName(4096)).toBe("4 KiB");
});
