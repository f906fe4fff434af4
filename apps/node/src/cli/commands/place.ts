import { shortId } from "@revoada/fabric";
import type { BlockLine } from "../../daemon/chain-report.ts";
import type { Cell } from "../output.ts";

/** What a shift gave a node, in a few words; `-` where its verb says all. */
export function placeOf({ role, replica, predecessor, declaration, verb }: BlockLine): string {
  const limited = verb === "admit" && role !== undefined ? `${role} only` : role;
  const next = predecessor === undefined ? undefined : `next key of ${shortId(predecessor)}`;
  return [limited, replica, next, declaration].filter((part) => part !== undefined).join(", ") || "-";
}

/** A heading for {@link operatorCell}, where there is anything to tell. */
export function operatorHeading(blocks: readonly Pick<BlockLine, "operator">[]): readonly string[] {
  return blocks.some(({ operator }) => operator !== undefined) ? ["OPERATOR"] : [];
}

/** Whether an operator stands behind a block; no cell where the cluster has none. */
export function operatorCell({ operator }: Pick<BlockLine, "operator">): readonly Cell[] {
  if (operator === undefined) return [];
  return [{ text: operator, style: operator === "awaited" ? "yellow" : "green" }];
}
