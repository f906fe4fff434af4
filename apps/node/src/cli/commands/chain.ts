import { shortId } from "@revoada/fabric";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Cell } from "../output.ts";
import { clientFlags, show, withNode } from "./common.ts";
import { operatorCell, operatorHeading, placeOf } from "./place.ts";

/** What is said of blocks that are not shown; nothing where all are. */
export function archivedText(height: number): string {
  return height === 0 ? "" : `, blocks 1 to ${height} are archived`;
}

/** A seal vouches for its own block and for all of those before it. */
function sealCell(
  { height, sealed }: { readonly height: number; readonly sealed: boolean },
  sealedHeight: number,
): Cell {
  if (sealed) return { text: "sealed", style: "green" };
  return height <= sealedHeight ? "by a later one" : "";
}

/** `revoada chain show`. */
export const chainShowCommand: CommandSpec = {
  path: ["chain", "show"],
  summary: "show every shift of a role, verified while it is read",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada chain show", meaning: "who became what, when and why" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const report = await node.chainShow();
      show(invocation, report, (paint) => {
        const rows = report.blocks.map((block): readonly Cell[] => [
          String(block.height),
          block.verb === "recover" ? { text: block.verb, style: "red" } : block.verb,
          shortId(block.node),
          placeOf(block),
          `${block.term}/${block.index}`,
          new Date(block.timeMs).toISOString(),
          sealCell(block, report.sealedHeight),
          ...operatorCell(block),
          block.reason,
        ]);
        const head = `cluster ${report.cluster}, founded by ${shortId(report.founder)}, sealed up to ${report.sealedHeight}${archivedText(report.archivedHeight)}`;
        return `${paint("dim", head)}\n${renderTable(["HEIGHT", "SHIFT", "NODE", "PLACE", "TERM/INDEX", "TIME", "SEAL", ...operatorHeading(report.blocks), "REASON"], rows, paint)}`;
      });
      return exitCodes.ok;
    }),
};
