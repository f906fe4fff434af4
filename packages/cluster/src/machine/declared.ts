import { isFabricError, type Formation, type FormationCommand } from "@revoada/fabric";
import type { ClusterDeclaration } from "../declaration.ts";
import { readDeclaration } from "../in-force.ts";
import { MachineRefusal } from "./result.ts";

/**
 * Refuses a command that declares what no cluster may be, or what may not change while it lives: its face, and whether operators sign.
 * The same on every replica: topologies count by their names only, whatever is installed.
 */
export function checkDeclared(before: Formation, { transitions }: Pick<FormationCommand, "transitions">): void {
  for (const transition of transitions) {
    if (transition.verb !== "declare" || before.declared === undefined) continue;
    const fault = switchFault(read(before.declared.declaration), read(transition.declaration));
    if (fault !== undefined) throw new MachineRefusal("CLUSTER_SWITCH_REFUSED", fault);
  }
}

/** What keeps a cluster of one declaration from becoming one of another; undefined where nothing does. */
export function switchFault(before: ClusterDeclaration, next: ClusterDeclaration): string | undefined {
  if (JSON.stringify(before.face) !== JSON.stringify(next.face))
    return `a cluster keeps its face: ${before.face.name}, not ${next.face.name}`;
  const signs = before.strategy.attestation.requireOperatorSignature;
  if (next.strategy.attestation.requireOperatorSignature !== signs)
    return `whether operators sign is decided when a cluster is founded: ${signs ? "here they do" : "here they do not"}`;
  return undefined;
}

function read(bytes: Uint8Array): ClusterDeclaration {
  try {
    return readDeclaration(bytes);
  } catch (error) {
    if (!isFabricError(error)) throw error;
    throw new MachineRefusal(error.code, error.message);
  }
}
