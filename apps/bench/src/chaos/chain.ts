import type { Daemon } from "@revoada/node/unstable/fleet";

type Report = Awaited<ReturnType<Awaited<ReturnType<Daemon["client"]>>["chainShow"]>>;

/** One block, as `chain show` tells it. */
export type Block = Report["blocks"][number];

/** What gives a node another role, and so may not happen to it twice within the interval without a failure in between. */
const shifts = new Set(["promote", "reassign", "demote"]);
/** True where a node gets the role for which it was demoted: no table leads from one role to a lesser one in a single step. */
function completes(before: Block, block: Block): boolean {
  return before.verb === "demote" && block.verb === "promote" && block.role !== "master";
}

/** What a failure, or a node that comes or goes, forces upon the formation. */
const forced = new Set(["evict", "depart", "admit", "remove", "forget", "quarantine", "restore"]);

/**
 * Shifts of one node that follow each other faster than the interval although nothing failed, came or went in between: what
 * damping is there to prevent.
 */
export function hastyShifts(
  blocks: readonly Block[],
  intervalMs: number,
  nameOf: (id: string) => string,
): readonly string[] {
  const last = new Map<string, Block>();
  const findings: string[] = [];
  let forcedAt = -1;
  for (const block of blocks) {
    if (forced.has(block.verb)) forcedAt = block.height;
    if (!shifts.has(block.verb)) continue;
    const before = last.get(block.node);
    last.set(block.node, block);
    // One command may hold several steps of one node.
    if (before === undefined || before.index === block.index || forcedAt > before.height) continue;
    if (completes(before, block)) continue;
    const apartMs = block.timeMs - before.timeMs;
    if (apartMs < intervalMs) {
      const what = `${before.verb} and ${block.verb}`;
      findings.push(
        `${nameOf(block.node)} was shifted twice within ${apartMs} ms (blocks ${before.height} and ${block.height}: ${what})`,
      );
    }
  }
  return findings;
}

/** Nodes that the chain says were taken for dead, from a height on. */
export function evictedSince(blocks: readonly Block[], height: number): readonly string[] {
  return blocks.filter((block) => block.height > height && block.verb === "evict").map(({ node }) => node);
}

/** One block, as it is printed. */
export function describeBlock(block: Block, nameOf: (id: string) => string): string {
  const place = [block.role, block.replica].filter((word) => word !== undefined).join(", ");
  return `block ${block.height}: ${block.verb} ${nameOf(block.node)}${place === "" ? "" : ` (${place})`}: ${block.reason}`;
}
