import { resolve } from "node:path";
import type { ArchivedSegment } from "@revoada/fabric";
import type { ArchiveReport } from "../../daemon/control.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, numberFlag, show, withNode } from "./common.ts";

/** More segments than any cluster has blocks for: whatever happens, this ends. */
const maxSegments = 1_000_000;

async function archive(invocation: Invocation): Promise<number> {
  const directory = invocation.value("to");
  const keep = numberFlag(invocation, "keep", { least: 16, most: 1e9 });
  const dryRun = invocation.has("dry-run");
  const order = {
    dryRun,
    ...(directory === undefined ? {} : { to: resolve(invocation.io.workingDirectory, directory) }),
    ...(keep === undefined ? {} : { keep }),
  };
  return withNode(invocation, async (node) => {
    const segments: ArchivedSegment[] = [];
    let report = await node.archive(order);
    while (report.segment !== undefined && segments.length < maxSegments) {
      segments.push(report.segment);
      if (dryRun) break;
      report = await node.archive(order);
    }
    const { segment: _, ...facts } = report;
    show(invocation, { ...facts, dryRun, segments }, () => told(facts, segments, dryRun));
    return exitCodes.ok;
  });
}

function told(facts: Omit<ArchiveReport, "segment">, segments: readonly ArchivedSegment[], dryRun: boolean): string {
  const { place, archivedHeight, sealedHeight, keepBlocks } = facts;
  const lines = segments.map(
    ({ first, last, name, bytes }) =>
      `${dryRun ? "would archive" : "archived"} blocks ${first} to ${last} ${dryRun ? "as" : "and dropped them:"} ${name}, ${bytes} bytes`,
  );
  if (lines.length === 0)
    lines.push(
      `nothing to archive: sealed up to ${sealedHeight}, kept from ${archivedHeight + 1}, at least ${keepBlocks} sealed blocks stay`,
    );
  else
    lines.push(
      dryRun
        ? "nothing was changed; what is left over is archived likewise"
        : `kept from ${archivedHeight + 1}, archives in ${place}`,
    );
  return `${lines.join("\n")}\n`;
}

/** `revoada chain archive`. */
export const chainArchiveCommand: CommandSpec = {
  path: ["chain", "archive"],
  summary: "put old sealed blocks of the chain into files, and drop them on every replica",
  arguments: [],
  details: [
    "The daemon writes the files, reads them back and verifies them before the cluster drops anything. Formation, tokens and removed nodes stay as they",
    "are; what goes is the record of how it came to be: keep the files. Where operators sign, only what one of them has vouched for goes.",
    "",
    "With --chain-archive-dir the cluster does this by itself: see revoada up --help.",
  ],
  flags: [
    {
      name: "to",
      value: "DIR",
      summary: "where to (default: the daemon's --chain-archive-dir)",
      completes: "directory",
    },
    { name: "keep", value: "N", summary: "so many of the newest sealed blocks stay (default: --chain-keep-blocks)" },
    { name: "dry-run", summary: "say what would be archived first, and change nothing" },
    ...clientFlags,
  ],
  examples: [
    { command: "revoada chain archive --to /srv/chain --keep 1000", meaning: "on a node with a replica, as a master" },
    { command: "revoada chain verify /srv/chain/*.chain now.chain --cluster 9f2c…", meaning: "the whole chain again" },
  ],
  run: archive,
};
