import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nodeDisk } from "@revoada/fabric/node";
import { base, batch, contentsOf, entries, entry, hardState, openable, readAll, verifyWal } from "./wal-support.ts";

let directory = "";
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "revoada-wal-"))));
afterEach(() => rm(directory, { recursive: true, force: true }));

test("on a real disk a log is written, cut, compacted, closed and found again", async () => {
  const disk = nodeDisk(directory);
  const options = { directory: "node/wal", segmentBytes: 1 << 18, allocateBytes: 1 << 16, cacheBytes: 4096 };
  const log = openable(disk, options);
  const { storeId } = await log.open();
  const appends: Promise<void>[] = [];
  for (let index = 1; index <= 400; index++) appends.push(log.append(batch([entry(index, 1, "x".repeat(index * 10))])));
  await Promise.all(appends);
  await log.append(
    batch(entries(390, 420, 2, new Uint8Array(20_000)), { truncateFrom: 390, hardState: hardState(2, 350, "me") }),
  );
  await log.compact(base(350, 1));
  const list = await readAll(log, 351, 420, 50_000);
  expect(list.map((one) => one.payload.length)).toEqual(
    Array.from({ length: 70 }, (_, place) => (place < 39 ? (place + 351) * 10 : 20_000)),
  );
  await log.close();

  const again = openable(disk, options);
  expect(await again.open()).toMatchObject({
    storeId,
    base: { index: 350, term: 1 },
    lastIndex: 420,
    hardState: { term: 2, vote: "me" },
    integrity: "ok",
  });
  expect(await readAll(again, 351, 420, 50_000)).toEqual(
    list.map((one) => ({ ...one, payload: expect.objectContaining({ length: one.payload.length }) })),
  );
  await again.close();
  expect((await verifyWal(disk, { directory: "node/wal" })).ok).toBe(true);
  expect(await readdir(join(directory, "node/wal"))).not.toContain("0000000000000001.wal");
});

test("on a real disk a file that lost its end is repaired or refused, and goes on", async () => {
  const disk = nodeDisk(directory);
  const log = openable(disk);
  await log.open();
  for (let index = 1; index <= 4; index++) await log.append(batch([entry(index, 1, "x".repeat(900))]));
  await log.close();
  const name = (await readdir(join(directory, "wal"))).find((one) => one.endsWith(".wal")) ?? "";
  const used = (await verifyWal(disk)).report.segments[0]?.usedBytes ?? 0;
  await truncate(join(directory, "wal", name), used - 600);
  expect(await contentsOf(disk)).toMatchObject({ integrity: "ok", entries: { length: 3 } });
  const again = openable(disk);
  await again.open();
  await again.append(batch([entry(4, 2, "anew")]));
  await again.close();
  expect(await contentsOf(disk)).toMatchObject({ integrity: "ok", entries: { length: 4 } });
});
