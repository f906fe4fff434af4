import type { Configuration, Disk, LogIndex, Random } from "@revoada/fabric";
import { decodeConfiguration } from "../core/configuration-codec.ts";
import type { WalRecord } from "./batch-decoder.ts";
import { LogCorruptError } from "./errors.ts";
import { inspectWal, type InspectOptions, type WalReport } from "./inspect.ts";
import { sharedWal } from "./shared-wal.ts";
import { walLogStore } from "./wal-log-store.ts";

/** What a repair would do, or has done, to the log of one group. */
export interface WalRepairedGroup {
  readonly groupId: Uint8Array;
  /** The log goes on behind this entry; what stood behind it is given up. */
  readonly keptIndex: LogIndex;
  /** The highest entry that was seen anywhere in the files, where it is higher. */
  readonly lostUpTo?: LogIndex;
}

/** What a repair would do, or has done. */
export interface WalRepair {
  /**
   * `none`: nothing is wrong, or opening the log deals with it. `accept-loss`: go on with what can be read. `impossible`: no file can be
   * believed, so there is nothing to go on with.
   */
  readonly action: "none" | "accept-loss" | "impossible";
  readonly report: WalReport;
  readonly groups: readonly WalRepairedGroup[];
  /** The configuration in force at the end of what can be read; in a log of one group. */
  readonly configuration?: Configuration;
  /** A later one that was seen behind the damage. Whoever votes in it may hold what was lost. */
  readonly lostConfiguration?: Configuration;
  /** Where copies of all files were put before anything was changed. */
  readonly aside?: string;
}

/** Says what {@link repairWal} would do to a log directory. Changes nothing. */
export async function planWalRepair(disk: Disk, options: InspectOptions = {}): Promise<WalRepair> {
  const seen = new Map<string, number>();
  let group = "";
  const configurations = new SeenConfigurations();
  const report = await inspectWal(disk, {
    ...options,
    onRecord(record, segment) {
      options.onRecord?.(record, segment);
      if (record.type === "group") group = `${record.number}`;
      configurations.note(record);
      if (record.type === "entry") seen.set(group, Math.max(seen.get(group) ?? 0, record.index));
    },
  });
  const { verdict, shared } = report;
  const members = shared ? {} : configurations.around(report);
  if (verdict === "ok" || verdict === "absent") return { action: "none", report, groups: [], ...members };
  if (report.groups.length === 0) return { action: "impossible", report, groups: [] };
  const groups = report.groups
    .filter(({ state }) => state === "suspect")
    .map(({ groupId, lastIndex: keptIndex }): WalRepairedGroup => {
      const highest = shared ? 0 : (seen.get("") ?? 0);
      return { groupId, keptIndex, ...(highest > keptIndex ? { lostUpTo: highest as LogIndex } : {}) };
    });
  return { action: "accept-loss", report, groups, ...members };
}

/** The configurations of a log of one group, by the entries that carry them. */
class SeenConfigurations {
  readonly #byIndex = new Map<number, Configuration>();

  note(record: WalRecord): void {
    if (record.type === "reset") this.#byIndex.clear();
    if (record.type === "truncate") this.#dropFrom(record.from);
    if (record.type === "entry" && record.kind === "configuration")
      this.#byIndex.set(record.index, decodeConfiguration(record.payload));
  }

  #dropFrom(first: number): void {
    for (const index of this.#byIndex.keys()) if (index >= first) this.#byIndex.delete(index);
  }

  /** The last one up to the end of what can be read, which is the base's where no entry changed it, and the last one behind that. */
  around({ base, lastIndex = 0 as LogIndex }: WalReport): Pick<WalRepair, "configuration" | "lostConfiguration"> {
    const indices = [...this.#byIndex.keys()].toSorted((a, b) => a - b);
    const at = indices.findLast((index) => index > (base?.index ?? 0) && index <= lastIndex);
    const configuration = at === undefined ? base?.configuration : this.#byIndex.get(at);
    const last = indices.at(-1) ?? 0;
    const lost = last > lastIndex ? this.#byIndex.get(last) : undefined;
    return {
      ...(configuration === undefined ? {} : { configuration }),
      ...(lost === undefined ? {} : { lostConfiguration: lost }),
    };
  }
}

/** Where copies go before a repair changes anything. */
export interface RepairOptions extends InspectOptions {
  readonly random: Random;
  /** A directory of the disk that does not exist. */
  readonly aside: string;
}

/**
 * Makes a damaged log go on with what of it can be read, and forgets that it was damaged.
 *
 * **Acknowledged entries and votes may be gone.** Where other voters hold them, do not do this: start the replica, and its leader refills it.
 * It is for the only voter, which nobody can refill. All files are copied to `aside` first. Rejects with `LOG_CORRUPT` where no file can
 * be believed; nothing is changed then.
 */
export async function repairWal(disk: Disk, options: RepairOptions): Promise<WalRepair> {
  const plan = await planWalRepair(disk, options);
  if (plan.action === "none") return plan;
  const directory = options.directory ?? "wal";
  if (plan.action === "impossible") {
    const [fault] = plan.report.faults;
    throw new LogCorruptError(
      fault?.segment ?? directory,
      fault?.offset ?? 0,
      fault?.reason ?? "no segment can be read",
    );
  }
  await copyAside(disk, directory, options.aside);
  const { random } = options;
  if (plan.report.shared) {
    await using wal = sharedWal({ disk, directory, random });
    for (const { groupId } of plan.groups) {
      await using store = wal.store(groupId);
      await store.open();
      await store.markRefilled();
    }
  } else {
    await using store = walLogStore({ disk, directory, random });
    await store.open();
    await store.markRefilled();
  }
  return { ...plan, aside: options.aside };
}

const chunkBytes = 1 << 20;

async function copyAside(disk: Disk, directory: string, aside: string): Promise<void> {
  await disk.makeDirectory(aside);
  for (const name of await disk.list(directory)) {
    const [from, to] = [await disk.open(`${directory}/${name}`), await disk.open(`${aside}/${name}`, { create: true })];
    try {
      const size = await from.size();
      for (let at = 0; at < size; at += chunkBytes) await to.write(at, [await from.read(at, chunkBytes)]);
      await to.datasync();
    } finally {
      await from.close();
      await to.close();
    }
  }
  await disk.syncDirectory(aside);
  await disk.syncDirectory(aside.split("/").slice(0, -1).join("/"));
}
