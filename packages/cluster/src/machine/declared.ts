import {
  dealsRolesOrSeats,
  isFabricError,
  quorumSizeOf,
  replicasOf,
  type Formation,
  type FormationCommand,
  type FormationStep,
} from "@revoada/fabric";
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

/**
 * Refuses, under a switch that an operator approved of, what deals seats in another direction than towards the declaration: so many voters
 * as there were, as are declared, or in between. Only what bears no approval of its own is asked.
 */
export function checkSwitchStep(
  before: Formation,
  { approval }: Pick<FormationCommand, "approval">,
  steps: readonly FormationStep[],
): void {
  const { declared, operators } = before;
  if (operators === undefined || approval !== undefined || declared?.pending === undefined) return;
  if (!dealsRolesOrSeats(before, steps)) return;
  const wanted = quorumSizeOf(read(declared.declaration).strategy);
  const [had, has] = [before, steps.at(-1)?.formation ?? before].map((each) => replicasOf(each, "voter").length) as [
    number,
    number,
  ];
  if (has >= Math.min(had, wanted) && has <= Math.max(had, wanted)) return;
  throw new MachineRefusal(
    "TOPOLOGY_UNAPPROVED_SHIFT",
    `from ${had} voters to ${has} is no step of a switch to ${wanted}, and no operator has approved of it`,
  );
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
