import type { WalReport, WalSegmentReport } from "./inspect.ts";

const verdicts: Readonly<Record<WalReport["verdict"], string>> = {
  ok: "ok",
  absent: "no log here",
  suspect: "intact, but not refilled yet: it was damaged before and neither votes nor acknowledges",
  corrupt: "CORRUPT: acknowledged records may be missing",
  newer: "written by a newer release",
};

/** A report as text for people: the verdict first, then segments as a table, then what is wrong. */
export function formatWalReport(report: WalReport): string {
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
  if (report.segments.length > 0) lines.push("", ...table(report.segments));
  if (report.otherFiles.length > 0) lines.push("", `other files: ${report.otherFiles.join(", ")}`);
  if (report.faults.length > 0) lines.push("");
  for (const fault of report.faults) lines.push(`${fault.kind}: ${fault.segment} at ${fault.offset}: ${fault.reason}`);
  return `${lines.join("\n")}\n`;
}

function table(segments: readonly WalSegmentReport[]): string[] {
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
