import { declarationId, type Cluster, type ClusterHealth } from "@revoada/cluster";
import {
  FieldReader,
  InvalidValueError,
  maxSwitchMs,
  parseStrategy,
  type FabricStrategy,
  type PlainValue,
  type Transition,
} from "@revoada/fabric";
import type { ControlHost } from "./control.ts";
import type { Answer } from "./operator-control.ts";

/** What became of an operator's order to be of another declaration, or would. */
export interface SwitchReport {
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly withinMs: number;
  /** False where the cluster is of this declaration already. */
  readonly changes: boolean;
  /** The formation's generation after it. */
  readonly generation: number;
}

/** One committed shift, as those are told who wait for a shape. */
export interface ShiftLine {
  readonly generation: number;
  readonly timeMs: number;
  readonly verb: Transition["verb"];
  readonly node: string;
  readonly role?: string;
  readonly replica?: string;
  readonly reason: string;
}

/** What a formation has come to above a generation. */
export interface ProgressReport {
  readonly generation: number;
  readonly declaration: string;
  /** Present while a switch is under way. */
  readonly switching?: ClusterHealth["switching"];
  readonly shifts: readonly ShiftLine[];
}

/** What a cluster is, as its node goes by it. */
export interface DeclarationReport {
  readonly id: string;
  readonly strategy: FabricStrategy;
  readonly face: string;
  readonly topology: { readonly name: string; readonly minNodes: number };
  readonly switching?: ClusterHealth["switching"];
  readonly unadopted: readonly string[];
  /** Why this node does not go by what the cluster has committed. */
  readonly refusal?: string;
}

const defaultSwitchMs = 60_000;
const orderTimeoutMs = 20_000;
const maxTopologyName = 214;

/** Registers what operators ask of the whole cluster: what it is, to be another, and how far that has come. */
export function registerSwitchControl(answer: Answer, host: Pick<ControlHost, "cluster" | "findTopology">): void {
  const { cluster } = host;
  answer("declaration", () => describeDeclaration(cluster));
  answer("formation.switch", (parameters) => switchTo(host, parameters));
  answer("formation.progress", (parameters): ProgressReport => {
    const fields = new FieldReader(parameters ?? {}, "progress");
    const after = fields.number("after");
    fields.finish();
    const { switching } = cluster.health();
    const formation = cluster.formation();
    const shifts = cluster.shiftsAbove(after).map(({ generation, timeMs, transition, reason }): ShiftLine => {
      const { verb, node } = transition;
      const role = "role" in transition ? { role: transition.role } : {};
      const replica =
        "replica" in transition && transition.replica !== undefined ? { replica: transition.replica } : {};
      return { generation, timeMs, verb, node, ...role, ...replica, reason };
    });
    return {
      generation: formation.generation,
      declaration: cluster.id(),
      ...(switching === undefined ? {} : { switching }),
      shifts,
    };
  });
}

function describeDeclaration(cluster: Cluster): DeclarationReport {
  const { declaration } = cluster;
  const { strategy, topology, face } = declaration;
  const { switching, unadopted } = cluster.health();
  const { refusal } = cluster.running().inForce;
  return {
    id: declaration.id(),
    strategy,
    face: face.name,
    topology: { name: topology.name, minNodes: topology.minNodes },
    ...(switching === undefined ? {} : { switching }),
    unadopted,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

async function switchTo(
  { cluster, findTopology }: Pick<ControlHost, "cluster" | "findTopology">,
  parameters: PlainValue,
): Promise<SwitchReport> {
  const fields = new FieldReader(parameters ?? {}, "switch");
  const [name, minNodes, given] = [fields.take("topology"), fields.take("minNodes"), fields.take("strategy")];
  const withinMs = fields.take("withinMs") ?? defaultSwitchMs;
  const dryRun = fields.boolean("dryRun", false);
  fields.finish();
  if (name !== undefined && (typeof name !== "string" || name.length > maxTopologyName))
    throw new InvalidValueError("switch.topology", name, "a name");
  if (minNodes !== undefined && typeof minNodes !== "number")
    throw new InvalidValueError("switch.minNodes", minNodes, "a whole number");
  if (typeof withinMs !== "number" || !Number.isSafeInteger(withinMs) || withinMs < 1 || withinMs > maxSwitchMs)
    throw new InvalidValueError("switch.withinMs", withinMs, `a whole number from 1 to ${maxSwitchMs}`);
  const strategy = given === undefined ? undefined : parseStrategy(given, "switch.strategy");
  const topology =
    name === undefined ? undefined : await findTopology(name, minNodes === undefined ? {} : { minNodes });
  const from = cluster.id();
  const { generation, transitions } = await cluster.switchTo(
    { ...(strategy === undefined ? {} : { strategy }), ...(topology === undefined ? {} : { topology }) },
    { withinMs, timeoutMs: orderTimeoutMs, dryRun },
  );
  const declared = transitions.find((transition) => transition.verb === "declare");
  const to = declared === undefined ? from : declarationId(declared.declaration);
  return { from, to, dryRun, withinMs, changes: declared !== undefined, generation };
}
