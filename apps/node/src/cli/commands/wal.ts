import { loadIdentity } from "@revoada/attest-blake3";
import {
  formatWalReport,
  planWalRepair,
  repairWal,
  verifyWal,
  type WalRepair,
  type WalReport,
} from "@revoada/consensus-raft";
import type { Disk, NodeId } from "@revoada/fabric";
import { lockDirectory, nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { dataDirectoryFlag } from "../../config/settings.ts";
import { dataPaths, readNodeFile } from "../../data-directory/data-directory.ts";
import { NotInitialisedError } from "../../errors.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag } from "../output.ts";
import { directoryOf, show } from "./common.ts";

/** The log of a stopped node. */
interface StoppedLog {
  readonly disk: Disk;
  readonly directory: string;
  readonly id: NodeId;
}

/** Takes the directory as a daemon would: what a running one is writing cannot be judged, let alone changed. */
async function withLog(invocation: Invocation, body: (log: StoppedLog) => Promise<number>): Promise<number> {
  const directory = directoryOf(invocation);
  const paths = dataPaths(directory);
  if ((await readNodeFile(paths)) === undefined) throw new NotInitialisedError(directory);
  const lock = await lockDirectory(directory);
  try {
    const { identity } = await loadIdentity(paths.key);
    return await body({ disk: nodeDisk(directory), directory, id: identity.id });
  } finally {
    await lock.release();
  }
}

const walFlags = [dataDirectoryFlag, outputFlag];

/** `revoada wal inspect`. */
export const walInspectCommand: CommandSpec = {
  path: ["wal", "inspect"],
  summary: "describe the write-ahead log of a stopped node",
  details: ["Segments and their batches, term and vote, base, the members in force, the first and the last entry."],
  arguments: [],
  flags: walFlags,
  examples: [
    { command: "revoada wal inspect", meaning: "segments, entries, term and vote" },
    { command: "revoada wal inspect -o json", meaning: "all of it, for programs" },
  ],
  run: (invocation) =>
    withLog(invocation, async ({ disk }) => {
      const { report, configuration } = await planWalRepair(disk);
      show(invocation, { ...printable(report), configuration: configuration ?? null }, () =>
        formatWalReport(report, configuration),
      );
      return exitCodes.ok;
    }),
};

/** `revoada wal verify`. */
export const walVerifyCommand: CommandSpec = {
  path: ["wal", "verify"],
  summary: "check every byte of the write-ahead log of a stopped node; exit code 1 where something may be missing",
  details: [
    "Changes nothing. Names the first damaged byte of each place, and what it concerns. A torn last batch is no damage.",
  ],
  arguments: [],
  flags: walFlags,
  examples: [
    { command: "revoada wal verify", meaning: "changes nothing" },
    { command: "revoada wal verify --data-dir /mnt/copy -o json", meaning: "on a copy, for programs" },
  ],
  run: (invocation) =>
    withLog(invocation, async ({ disk }) => {
      const { ok, report } = await verifyWal(disk);
      show(invocation, { ok, ...printable(report) }, () => formatWalReport(report));
      return ok ? exitCodes.ok : exitCodes.failed;
    }),
};

/** Ids of groups are bytes, which JSON has no form for. */
function printable(report: WalReport): Record<string, unknown> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return {
    ...report,
    ...(report.groupId === undefined ? {} : { groupId: hex(report.groupId) }),
    groups: report.groups.map((group) => ({ ...group, groupId: hex(group.groupId), firstIndex: group.base.index + 1 })),
  };
}

/** What an operator may have repaired, and what not. */
type Judgement = "nothing to do" | "others can refill it" | "nothing can be read" | "may be repaired";

/** `revoada wal repair`. */
export const walRepairCommand: CommandSpec = {
  path: ["wal", "repair"],
  summary: "make the damaged log of the only voter go on with what of it can be read",
  details: [
    "Acknowledged writes may be lost: everything behind the damage is. Where other voters are left, this is refused:",
    "start the node, and the leader refills it. Without --accept-data-loss nothing is changed.",
    "The files are copied to wal.before-repair-<time> first; delete that directory once you are sure.",
  ],
  arguments: [],
  flags: [
    ...walFlags,
    { name: "dry-run", summary: "show what would be done, and change nothing" },
    { name: "accept-data-loss", summary: "do it: writes that were acknowledged may be gone" },
  ],
  examples: [
    { command: "revoada wal repair --dry-run", meaning: "what would be kept and what lost" },
    { command: "revoada wal repair --accept-data-loss", meaning: "go on with what can be read" },
  ],
  run: (invocation) =>
    withLog(invocation, async (log) => {
      const plan = await planWalRepair(log.disk);
      const judgement = judge(plan, log.id);
      const does = judgement === "may be repaired" && invocation.has("accept-data-loss") && !invocation.has("dry-run");
      const aside = `wal.before-repair-${Math.floor(systemClock().wallMs())}`;
      const repair = does ? await repairWal(log.disk, { random: systemRandom(), aside }) : plan;
      const groups = plan.groups.map((group) => ({ ...group, groupId: Buffer.from(group.groupId).toString("hex") }));
      const facts = { judgement, repaired: does, groups, aside: repair.aside ?? null, report: printable(plan.report) };
      show(
        invocation,
        facts,
        () => `${formatWalReport(plan.report)}\n${sentences(judgement, repair, does).join("\n")}\n`,
      );
      if (judgement === "nothing to do" || does) return exitCodes.ok;
      return judgement === "may be repaired" && invocation.has("dry-run") ? exitCodes.ok : exitCodes.failed;
    }),
};

function judge(plan: WalRepair, id: NodeId): Judgement {
  if (plan.action === "none") return "nothing to do";
  if (plan.action === "impossible") return "nothing can be read";
  const { configuration, lostConfiguration } = plan;
  const voters = [configuration, lostConfiguration].flatMap((known) => [
    ...(known?.voters ?? []),
    ...(known?.outgoing ?? []),
  ]);
  const alone = voters.length > 0 && voters.every((voter) => voter.id === id && voter.storeId === plan.report.storeId);
  return alone ? "may be repaired" : "others can refill it";
}

function sentences(judgement: Judgement, repair: WalRepair, does: boolean): readonly string[] {
  switch (judgement) {
    case "nothing to do":
      return ["nothing to repair"];
    case "others can refill it":
      return [
        "nothing was changed: this node is not the only voter, so what it lost is held by others",
        "start it: it neither votes nor acknowledges until the leader has refilled it",
      ];
    case "nothing can be read":
      return [
        "nothing was changed: no segment can be read, so there is nothing to go on with; restore a snapshot into a new cluster",
      ];
    case "may be repaired":
      return [...repair.groups.map(keptAndLost), ...(does ? done(repair) : undone)];
  }
}

function keptAndLost({ keptIndex, lostUpTo }: WalRepair["groups"][number]): string {
  const kept = keptIndex === 0 ? "no entry can be kept" : `entries up to ${keptIndex} can be kept`;
  const seen = lostUpTo === undefined ? "" : `; entries up to ${lostUpTo} were seen behind it`;
  return `${kept}; what stood behind it is lost${seen}`;
}

const undone = [
  "clients were told that the lost writes had taken effect, and may act on that",
  "nothing was changed; to go on without them: revoada wal repair --accept-data-loss",
];

function done(repair: WalRepair): readonly string[] {
  return ["the log goes on from there", `the files as they were are in ${repair.aside}`];
}
