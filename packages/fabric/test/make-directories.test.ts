import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeDirectories } from "../src/node/index.ts";

const root = mkdtempSync(join(tmpdir(), "make-directories-"));
afterAll(() => rmSync(root, { recursive: true }));

test("makes what is missing for its owner alone, and names the topmost one made", async () => {
  const deep = join(root, "a", "b", "c");
  expect(await makeDirectories(deep)).toBe(join(root, "a"));
  for (const made of [join(root, "a"), deep]) expect(statSync(made).mode & 0o777).toBe(0o700);
  expect(await makeDirectories(deep)).toBeUndefined();
  expect(await makeDirectories(join(deep, "d"))).toBe(join(deep, "d"));
});

test("lets several make the same at once", async () => {
  const shared = join(root, "shared", "x", "y");
  await Promise.all(Array.from({ length: 8 }, () => makeDirectories(shared)));
  expect(statSync(shared).isDirectory()).toBe(true);
});

test("refuses what is or stands below a file", async () => {
  const file = join(root, "file");
  writeFileSync(file, "");
  await expect(makeDirectories(file)).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeDirectories(join(file, "below"))).rejects.toMatchObject({ code: "ENOTDIR" });
});

test.runIf(process.platform === "linux")("ends where a file system makes no directories", async () => {
  await expect(makeDirectories("/proc/made-by-a-test/below")).rejects.toMatchObject({ code: "ENOENT" });
});
