import { encodeConfiguration, inspectWal, planWalRepair } from "@revoada/consensus-raft";
import type { Configuration, LogEntry } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { base, batch, entries, entry, memoryDisk, openable, seededRandom, type MemoryDisk } from "./wal-support.ts";

const members = (letters: string): Configuration["voters"] =>
  [...letters].map((letter) => ({ id: letter.repeat(64), storeId: letter.repeat(32) })) as never;

function configuration(letters: string, generation: number): Configuration {
  return { voters: members(letters), learners: [], generation: generation as Configuration["generation"] };
}

function change(index: number, letters: string): LogEntry {
  return { ...entry(index, 1, encodeConfiguration(configuration(letters, index))), kind: "configuration" };
}

/** A log of several segments that begins behind entry 2, with `a` alone, and goes on with `list`. */
async function logOf(...list: readonly (readonly LogEntry[])[]): Promise<MemoryDisk> {
  const disk = memoryDisk({ name: "repair", random: seededRandom("repair") });
  const log = openable(disk);
  await log.open();
  await log.append(batch(entries(1, 2, 1)));
  await log.compact({ ...base(2, 1), configuration: configuration("a", 1) });
  let last = 2;
  for (const each of list) {
    const first = each[0]?.index ?? 0;
    await log.append(batch(each, first <= last ? { truncateFrom: first } : {}));
    last = each.at(-1)?.index ?? last;
  }
  await log.close();
  return disk;
}

/** Flips a bit in the entry of that index. */
async function damage(disk: MemoryDisk, index: number): Promise<void> {
  const found: [string, number][] = [];
  await inspectWal(disk, {
    onRecord(record, segment) {
      if (record.type === "entry" && record.index === index) found.push([segment, record.offset]);
    },
  });
  for (const [segment, offset] of found) disk.corrupt(`wal/${segment}`, offset + 30);
}

/** Enough to begin another segment. */
const much = (from: number): readonly LogEntry[] => entries(from, from + 19, 1, "x".repeat(500));

describe("the members that a log is repaired for", () => {
  test("are those of its last entry that changes them, or of its base; where nothing is wrong, too", async () => {
    expect(await planWalRepair(await logOf(much(3)))).toMatchObject({
      action: "none",
      configuration: { voters: members("a") },
    });
    const grown = await logOf([change(3, "ab")], much(4), [change(24, "abc")], [entry(25, 1)]);
    const plan = await planWalRepair(grown);
    expect(plan).toMatchObject({ action: "none", configuration: { voters: members("abc") } });
    expect(plan.lostConfiguration).toBeUndefined();
  });

  test("are not those of an entry that another leader's took the place of", async () => {
    const disk = await logOf([change(3, "ab")], [change(4, "abc")], [entry(4, 2), entry(5, 2)]);
    expect((await planWalRepair(disk)).configuration?.voters).toEqual(members("ab"));
  });

  test("are those of what can be read, and what stands behind the damage is told beside them", async () => {
    const disk = await logOf([change(3, "ab")], much(4), much(24), much(44), [change(64, "abc")]);
    await damage(disk, 24);
    const plan = await planWalRepair(disk);
    expect(plan).toMatchObject({
      action: "accept-loss",
      configuration: { voters: members("ab") },
      lostConfiguration: { voters: members("abc") },
    });
  });
});
