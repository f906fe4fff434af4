import { shortId } from "@revoada/fabric";
import type { BlockLine } from "../../daemon/chain-report.ts";

/** What a shift gave a node, in a few words; `-` where its verb says all. */
export function placeOf({ role, replica, predecessor, declaration, verb }: BlockLine): string {
  const limited = verb === "admit" && role !== undefined ? `${role} only` : role;
  const next = predecessor === undefined ? undefined : `next key of ${shortId(predecessor)}`;
  return [limited, replica, next, declaration].filter((part) => part !== undefined).join(", ") || "-";
}
