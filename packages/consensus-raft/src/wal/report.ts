import type { Configuration } from "@revoada/fabric";
import type { WalGroupReport, WalReport, WalSegmentReport } from "./inspect.ts";

const verdicts: Readonly<Record<WalReport["verdict"], string>> = {
  ok: "ok",
  absent: "no log here",
  suspect: "intact, but not refilled yet: it was damaged before and neither votes nor acknowledges",
  corrupt: "CORRUPT: acknowledged records may be missing",
  newer: "written by a newer release",
};

/**
 * A report as text for people: the verdict first, then what the log holds, groups and segments as tables, then what is wrong. `members` are
 * those in force at its end, where somebody has looked them up.
 */
export function formatWalReport(report: WalReport, members?: Configuration): string {
  const lines = [`log        ${report.directory}`, `verdict    ${verdicts[report.verdict]}`];
  if (report.storeId !== undefined) lines.push(`store      ${report.storeId}`);
  if (report.groupId !== undefined && report.groupId.length > 0)
    lines.push(`group      ${Buffer.from(report.groupId).toString("hex")}`);
  if (report.hardState !== undefined) {
    const { term, vote, commitIndex } = report.hardState;
    lines.push(`term       ${term}`, `vote       ${vote ?? "none"}`, `committed  ${commitIndex}`);
  }
  if (report.base !== undefined && report.lastIndex !== undefined) {
    const entries = report.lastIndex - report.base.index;
    lines.push(
      `base       ${report.base.index} of term ${report.base.term}`,
      `last       ${report.lastIndex} (${entries} entries held)`,
    );
  }
  if (members !== undefined) lines.push(...formatMembers(members));
  if (report.shared && report.groups.length > 0) lines.push("", ...align(groupRows(report.groups)));
  if (report.segments.length > 0) lines.push("", ...align(segmentRows(report.segments)));
  if (report.otherFiles.length > 0) lines.push("", `other files: ${report.otherFiles.join(", ")}`);
  if (report.faults.length > 0) lines.push("");
  for (const fault of report.faults) lines.push(`${fault.kind}: ${fault.segment} at ${fault.offset}: ${fault.reason}`);
  return `${lines.join("\n")}\n`;
}

function formatMembers(members: Configuration): string[] {
  const lines: string[] = [];
  for (const [role, list] of [
    ["voter", members.voters],
    ["outgoing", members.outgoing ?? []],
    ["learner", members.learners],
  ] as const) {
    for (const { id, storeId } of list) lines.push(`${role.padEnd(10)} ${id} of store ${storeId}`);
  }
  return lines;
}

function groupRows(groups: readonly WalGroupReport[]): string[][] {
  const rows = [["GROUP", "STATE", "TERM", "VOTE", "COMMITTED", "BASE", "LAST"]];
  for (const { groupId, state, hardState, base, lastIndex } of groups) {
    const { term, vote, commitIndex } = hardState;
    const id = Buffer.from(groupId).toString("hex");
    rows.push([id, state, `${term}`, vote ?? "none", `${commitIndex}`, `${base.index}`, `${lastIndex}`]);
  }
  return rows;
}

function segmentRows(segments: readonly WalSegmentReport[]): string[][] {
  const rows = [["SEGMENT", "STATE", "USED", "SIZE", "BATCHES", "ENTRIES", "END"]];
  for (const segment of segments) {
    const { firstEntry, lastEntry } = segment;
    const entries = firstEntry === undefined ? "none" : `${firstEntry}..${lastEntry}`;
    rows.push([
      segment.name,
      segment.state,
      `${segment.usedBytes}`,
      `${segment.sizeBytes}`,
      `${segment.batches}`,
      entries,
      segment.end,
    ]);
  }
  return rows;
}

function align(rows: readonly string[][]): string[] {
  const widths = (rows[0] as string[]).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] as string).length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join("  ")
      .trimEnd(),
  );
}
