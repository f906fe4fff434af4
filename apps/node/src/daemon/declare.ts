import { ClusterDeclaration, DeclarationMismatchError } from "@revoada/cluster";
import {
  isFabricError,
  shortId,
  parseStrategy,
  prescribedStrategies,
  type FabricFace,
  type FabricStrategy,
  type InvalidValueError,
  type NodeId,
} from "@revoada/fabric";
import { hint } from "../cli/suggest.ts";
import type { NodeConfig } from "../config/config.ts";
import { readPlainFile, type FileValue } from "../config/config-file.ts";
import { looksLikeFile } from "../config/settings.ts";
import { ConfigInvalidError } from "../errors.ts";
import { readOperatorKey } from "../operator/keys.ts";
import { knownTopologies, type FindTopology } from "./topologies.ts";

const defaultStrategy = "homelab";

/** The face of clusters that are founded here. */
export const rawFace: FabricFace = { name: "raw", kind: { protocol: "pure-raft" } };

/** As many masters as the strategy has voters, and any number of workers. */
function defaultTopology({ consensus }: FabricStrategy): string {
  return consensus.protocol === "standalone" ? "solo" : `cluster_${consensus.quorumSize}m_nw`;
}

type Asked = Pick<NodeConfig, "topology" | "topologyPackages" | "minNodes" | "strategy" | "autopilot">;

/** The declaration that a founder asks for. Rejects with what is wrong with it, before anything is made. */
export async function declare(asked: Asked): Promise<ClusterDeclaration> {
  const strategy = withAutopilot(await askedStrategy(asked.strategy ?? defaultStrategy), asked);
  const find = await knownTopologies(asked.topology, asked.topologyPackages);
  const topology = find(asked.topology ?? defaultTopology(strategy), minNodesOf(asked));
  return ClusterDeclaration.create(strategy, rawFace, topology);
}

/** The declaration that genesis, or whoever else has it, carries; its topology is found by `find`. */
export function committedDeclaration(
  { declaration }: { readonly declaration: Uint8Array },
  find: FindTopology,
): ClusterDeclaration {
  return ClusterDeclaration.decode(declaration, find);
}

/** A declaration as a node with these settings understands it. */
export async function understoodDeclaration(
  declaration: Uint8Array,
  { topology, topologyPackages }: Pick<NodeConfig, "topology" | "topologyPackages">,
): Promise<ClusterDeclaration> {
  return committedDeclaration({ declaration }, await knownTopologies(topology, topologyPackages));
}

/**
 * Holds what a node was told against what its cluster has committed. Rejects with `CLUSTER_DECLARATION_MISMATCH`; what was not said
 * is not compared.
 */
export async function checkDeclaration(asked: Asked, committed: ClusterDeclaration): Promise<void> {
  const { topology, strategy } = committed;
  if (asked.topology !== undefined && asked.topology !== topology.name)
    throw mismatch(`topology ${asked.topology}`, committed);
  if (asked.minNodes !== undefined && asked.minNodes !== topology.minNodes)
    throw mismatch(`min-nodes ${asked.minNodes}`, committed);
  if (asked.strategy === undefined) {
    if (canonicalText(withAutopilot(strategy, asked)) !== canonicalText(strategy))
      throw mismatch("autopilot", committed);
    return;
  }
  const wanted = withAutopilot(await askedStrategy(asked.strategy), asked);
  if (canonicalText(wanted) !== canonicalText(strategy)) throw mismatch(`strategy ${wanted.name}`, committed);
}

/** A strategy with what was said of its autopilot beside it. */
function withAutopilot(strategy: FabricStrategy, { autopilot }: Asked): FabricStrategy {
  return autopilot === undefined ? strategy : { ...strategy, autopilot: { ...strategy.autopilot, ...autopilot } };
}

/** The operator keys that genesis is to name: where the strategy requires their signatures, and only there. */
export async function foundingOperators(
  { operatorKeys = [] }: Pick<NodeConfig, "operatorKeys">,
  { strategy }: ClusterDeclaration,
): Promise<readonly NodeId[]> {
  const isRequired = strategy.attestation.requireOperatorSignature;
  if (isRequired && operatorKeys.length === 0)
    throw new ConfigInvalidError(
      "--operator-key",
      `strategy ${strategy.name} requires operator signatures: make a key with revoada operator create FILE and name FILE.pub here`,
    );
  if (!isRequired && operatorKeys.length > 0)
    throw new ConfigInvalidError("--operator-key", `strategy ${strategy.name} requires no operator signatures`);
  const keys = await Promise.all(operatorKeys.map((path) => readOperatorKey(path)));
  return [...new Set(keys)].toSorted();
}

/** Holds the operator keys that a newcomer was told against those of genesis. Rejects with `CLUSTER_DECLARATION_MISMATCH`. */
export async function checkOperators(
  { operatorKeys }: Pick<NodeConfig, "operatorKeys">,
  genesis: { readonly operators: readonly NodeId[] },
  committed: ClusterDeclaration,
): Promise<void> {
  if (operatorKeys === undefined) return;
  const keys = await Promise.all(operatorKeys.map((path) => readOperatorKey(path)));
  const other = keys.find((key) => !genesis.operators.includes(key));
  if (other !== undefined) throw mismatch(`operator key ${shortId(other)}, which genesis does not name`, committed);
}

function mismatch(given: string, committed: ClusterDeclaration): DeclarationMismatchError {
  return new DeclarationMismatchError(given, committed.id());
}

/** A strategy by its name, out of a file, or as it stood in the configuration. */
export async function askedStrategy(asked: NonNullable<NodeConfig["strategy"]>): Promise<FabricStrategy> {
  if (typeof asked !== "string") return strategyOf(asked);
  const prescribed = Object.hasOwn(prescribedStrategies, asked) ? prescribedStrategies[asked] : undefined;
  if (prescribed !== undefined) return prescribed();
  if (!looksLikeFile(asked)) {
    const known = Object.keys(prescribedStrategies);
    throw new ConfigInvalidError(
      "strategy",
      `unknown strategy ${JSON.stringify(asked)}${hint(asked, known)} (known: ${known.join(", ")}, or a file)`,
    );
  }
  return strategyInFile(asked, asked);
}

/** A strategy out of a file. `shownPath` is what messages call it. */
export async function strategyInFile(shownPath: string, path: string): Promise<FabricStrategy> {
  return strategyOf(await readPlainFile(shownPath, path));
}

/** Mistakes are told by file, line and column, and by the path of the field. */
function strategyOf({ value, placeOf }: FileValue): FabricStrategy {
  try {
    return parseStrategy(value, "strategy");
  } catch (error) {
    if (!isFabricError(error, "FABRIC_INVALID_VALUE")) throw error;
    const inside = (error as InvalidValueError).path.split(".").slice(1);
    throw new ConfigInvalidError(placeOf(inside), error.message);
  }
}

function minNodesOf(asked: Asked): { readonly minNodes?: number } {
  return asked.minNodes === undefined ? {} : { minNodes: asked.minNodes };
}

/** One text for one value, whatever the order of its fields. */
function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
