import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseFigures } from "../src/figures.ts";
import { plotsOf } from "../src/plots.ts";
import { fillPage } from "../src/report.ts";
import { tablesOf } from "../src/tables.ts";

const table = (name: string, markdown: string | undefined) => ({ name, caption: name, markdown });
const page = "# Page\n\n<!-- figures: one -->\n\nold\n\n<!-- end of figures -->\n\ntext\n";

test("a table takes the place of what stands between its marks, and nothing else changes", () => {
  expect(fillPage(page, [table("one", "new")])).toBe(page.replace("old", "new"));
});

test("filling a page a second time changes nothing", () => {
  const once = fillPage(page, [table("one", "new")]);
  expect(fillPage(once, [table("one", "new")])).toBe(once);
});

test("what was not measured is said not to be, in place of what was said before, and its picture is not shown", () => {
  expect(fillPage(page, [table("one", undefined)])).toBe(page.replace("old", "*Not measured.*"));
  const none = { conditions: {} };
  for (const { name, markdown } of tablesOf(none).filter((each) => !["conditions", "aims"].includes(each.name)))
    expect(markdown, name).toBeUndefined();
  expect(Object.values(plotsOf(none)).every((picture) => picture === undefined)).toBe(true);
});

test("pictures stand below their table", () => {
  const withPicture = { ...table("one", "new"), pictures: [["one.svg", "One"]] as const };
  expect(fillPage(page, [withPicture])).toBe(page.replace("old", "new\n\n![One](plots/one.svg)"));
});

test("figures tell under what conditions each section came about, or are refused", () => {
  const figures = { conditions: { reads: { date: "2026-11-27" } }, reads: [] };
  expect(parseFigures(JSON.stringify(figures))).toEqual(figures);
  expect(() => parseFigures("[]")).toThrow("these are no figures");
  expect(() => parseFigures('{"conditions":{"reads":{}}}')).toThrow('the conditions of "reads" hold no date');
});

test("a place without a table keeps what it has", () => {
  expect(fillPage(page, [])).toBe(page);
});

test("a table without a place and a mark without an end are refused", () => {
  expect(() => fillPage(page, [table("two", "new")])).toThrow('no place for the figures "two"');
  expect(() => fillPage("<!-- figures: one -->", [table("one", "new")])).toThrow("have no end");
});

const docs = join(import.meta.dirname, "../../../docs");

test("the page on performance says what the figures beside it say, and its pictures are drawn from them", () => {
  const figures = parseFigures(readFileSync(join(docs, "plots/figures.json"), "utf8"));
  const performance = readFileSync(join(docs, "performance.md"), "utf8");
  expect(fillPage(performance, tablesOf(figures))).toBe(performance);
  for (const [name, picture] of Object.entries(plotsOf(figures))) {
    expect(existsSync(join(docs, "plots", name))).toBe(picture !== undefined);
    if (picture === undefined) continue;
    expect(readFileSync(join(docs, "plots", name), "utf8")).toBe(picture);
    expect(performance).toContain(`plots/${name}`);
  }
  for (const [, path = ""] of performance.matchAll(/\]\((plots\/[^)]+)\)/g))
    expect(existsSync(join(docs, path))).toBe(true);
});
