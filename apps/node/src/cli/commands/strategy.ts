import { resolve } from "node:path";
import { prescribedStrategies, type FabricStrategy } from "@revoada/fabric";
import { askedStrategy, strategyInFile } from "../../daemon/declare.ts";
import type { DeclarationReport } from "../../daemon/switch-control.ts";
import { CliUsageError } from "../../errors.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderFacts, type Cell } from "../output.ts";
import { clientFlags, numberFlag, show, withNode, type Paint } from "./common.ts";
import { runSwitch, switchFlags } from "./switching.ts";

const topologyFlags: readonly FlagSpec[] = [
  { name: "topology", value: "NAME", summary: "the topology that goes with it, where the one in force does not" },
  { name: "min-nodes", value: "N", summary: "how many nodes that topology needs, where it leaves that open" },
];

/** `min-nodes` as it goes with a topology. Throws `CLI_INVALID_VALUE`. */
export function minNodesOf(invocation: Invocation): { readonly minNodes?: number } {
  const minNodes = numberFlag(invocation, "min-nodes", { least: 1, most: 1024 });
  return minNodes === undefined ? {} : { minNodes };
}

/** A strategy by its name or out of a file, which is found from where the command is run. Rejects with what is wrong with it. */
export function strategyNamed({ io }: Invocation, asked: string): Promise<FabricStrategy> {
  const isName = Object.hasOwn(prescribedStrategies, asked) || !/[/\\]|\.(ya?ml|json)$/i.test(asked);
  return isName ? askedStrategy(asked) : strategyInFile(asked, resolve(io.workingDirectory, asked));
}

function givenStrategy(invocation: Invocation): Promise<FabricStrategy> {
  const [name] = invocation.arguments;
  const file = invocation.value("file");
  if (name !== undefined && file === undefined) return strategyNamed(invocation, name);
  if (name === undefined && file !== undefined)
    return strategyInFile(file, resolve(invocation.io.workingDirectory, file));
  throw new CliUsageError("CLI_MISSING_ARGUMENT", "strategy apply needs NAME or -f FILE, and not both");
}

/** `revoada strategy apply`. */
export const strategyApplyCommand: CommandSpec = {
  path: ["strategy", "apply"],
  summary: "give the running cluster another strategy; taken back where its shape does not stand in time",
  details: [
    "The whole declaration is checked first, as at founding: a strategy of five voters needs a topology of at least five nodes. The number of",
    "voters, cadences of seals and of reconciliation and placement count at once. Election and gossip timings count from each node's next",
    "start on; revoada strategy show names them. Ask on a master.",
  ],
  arguments: [{ name: "NAME", required: false, completes: "file" }],
  flags: [
    { name: "file", short: "f", value: "FILE", summary: "the strategy as YAML or JSON", completes: "file" },
    ...topologyFlags,
    ...switchFlags,
  ],
  examples: [
    { command: "revoada strategy apply -f strategy.yaml --dry-run", meaning: "whether it would be taken" },
    { command: "revoada strategy apply datacenter --topology cluster_5m_nw", meaning: "five masters that vote" },
  ],
  run: async (invocation) => {
    const strategy = await givenStrategy(invocation);
    const topology = invocation.value("topology");
    return runSwitch(invocation, {
      strategy,
      ...(topology === undefined ? {} : { topology }),
      ...minNodesOf(invocation),
    });
  },
};

type Fact = readonly [string, Cell];

function flat(value: unknown, path: string): readonly Fact[] {
  if (typeof value !== "object" || value === null) return [[path, String(value)]];
  return Object.entries(value).flatMap(([name, inner]) => flat(inner, path === "" ? name : `${path}.${name}`));
}

function renderDeclaration(report: DeclarationReport, paint: Paint): string {
  const { id, strategy, topology, switching, unadopted, refusal } = report;
  const facts: Fact[] = [
    ["declaration", id],
    ["topology", `${topology.name}, at least ${topology.minNodes} nodes`],
    ...flat(strategy, ""),
  ];
  if (switching !== undefined)
    facts.push([
      "switching",
      { text: `from ${switching.from}: ${switching.missing ?? "about to stand"}`, style: "yellow" },
    ]);
  if (unadopted.length > 0) facts.push(["from the next start", { text: unadopted.join(", "), style: "yellow" }]);
  if (refusal !== undefined) facts.push(["not followed here", { text: refusal, style: "red" }]);
  return renderFacts(facts, paint);
}

async function showNamed(invocation: Invocation, name: string): Promise<number> {
  const strategy = await strategyNamed(invocation, name);
  show(invocation, strategy, (paint) => renderFacts(flat(strategy, ""), paint));
  return exitCodes.ok;
}

/** `revoada strategy show`. */
export const strategyShowCommand: CommandSpec = {
  path: ["strategy", "show"],
  summary:
    "show the strategy and topology in force, and what this node takes up with its next start; or a strategy by name",
  details: [
    "With a name (homelab, datacenter, solo) or a file, no daemon is needed: the strategy is checked and shown whole. In YAML or JSON that",
    "is a file for --strategy and for strategy apply -f, to begin one's own with.",
  ],
  arguments: [{ name: "NAME|FILE", required: false, completes: "file" }],
  flags: clientFlags,
  examples: [
    { command: "revoada strategy show", meaning: "what is in force" },
    { command: "revoada strategy show homelab -o yaml > strategy.yaml", meaning: "a file to begin with" },
  ],
  run: async (invocation) => {
    const [name] = invocation.arguments;
    if (name !== undefined) return showNamed(invocation, name);
    return withNode(invocation, async (client) => {
      const report = await client.declaration();
      show(invocation, report, (paint) => renderDeclaration(report, paint));
      return exitCodes.ok;
    });
  },
};
