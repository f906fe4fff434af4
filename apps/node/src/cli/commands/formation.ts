import { shortId, type Attestor } from "@revoada/fabric";
import type { NodeClient } from "../../client.ts";
import type { BlockLine } from "../../daemon/chain-report.ts";
import type { ShiftReport } from "../../daemon/operator-control.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Cell } from "../output.ts";
import { orderSigned } from "../../operator/sign-off.ts";
import { clientFlags, show, withNode } from "./common.ts";
import { keyFlag, signerOf } from "./operator-key.ts";
import { operatorCell, operatorHeading, placeOf } from "./place.ts";
import { minNodesOf, strategyNamed } from "./strategy.ts";
import { runSwitch, switchFlags } from "./switching.ts";

/** The words of the cluster, written down here: a command that only asks a daemon does not load it. */
const verbs = ["promote", "demote", "reassign", "cordon", "quarantine", "restore", "drain"] as const;
const roles = ["master", "worker", "observer"] as const;

function renderReport({ node, dryRun, transitions, generation }: ShiftReport): string {
  const steps = transitions
    .map((step) => ("role" in step ? `${step.verb} to ${step.role}` : step.verb))
    .join(", then ");
  if (transitions.length === 0) return `${shortId(node)}: all of it holds already, at generation ${generation}\n`;
  if (dryRun) return `${shortId(node)}: would ${steps}; the formation stays at generation ${generation}\n`;
  return `${shortId(node)}: ${steps}; the formation is at generation ${generation}\n`;
}

/** `revoada formation propose`. */
export const formationProposeCommand: CommandSpec = {
  path: ["formation", "propose"],
  summary: "shift a node by an operator's word; refused where it would cost a vote that nobody else can cast",
  details: [
    "cordon: it gets no new duty. quarantine: it loses its seat and duty, too. drain: cordon, and back to standby. restore: takes",
    "cordon and quarantine back. promote, demote and reassign give and take roles; where the shape wants it otherwise, the formation",
    "moves back. Ask on a master.",
  ],
  arguments: [
    { name: "VERB", required: true, choices: verbs },
    { name: "NODE", required: true },
  ],
  flags: [
    { name: "role", value: "ROLE", summary: "for promote and reassign", choices: roles },
    { name: "dry-run", summary: "show what would be committed, and commit nothing" },
    keyFlag,
    ...clientFlags,
  ],
  examples: [
    { command: "revoada formation propose drain 4f1c9a20", meaning: "before its machine is serviced" },
    { command: "revoada formation propose quarantine 4f1c9a20 --dry-run", meaning: "whether that would be possible" },
    { command: "revoada formation propose restore 4f1c9a20", meaning: "when it is back" },
    { command: "revoada formation propose promote 4f1c9a20 --role observer", meaning: "a standby that serves reads" },
  ],
  run: async (invocation) => {
    const [verb = "", node = ""] = invocation.arguments;
    const role = invocation.value("role");
    const dryRun = invocation.has("dry-run");
    const asked = { verb, node, ...(role === undefined ? {} : { role }) };
    const signer = await signerOf(invocation);
    return withNode(invocation, async (client) => {
      const report =
        signer === undefined || dryRun
          ? await client.propose({ ...asked, dryRun })
          : await proposeSigned(client, signer, asked);
      show(invocation, report, () => renderReport(report));
      return exitCodes.ok;
    });
  },
};

/** What waits is told by what a dry run would commit. */
async function proposeSigned(
  client: NodeClient,
  signer: Attestor,
  asked: Omit<Parameters<NodeClient["propose"]>[0], "dryRun">,
): Promise<ShiftReport> {
  const planned = await client.propose({ ...asked, dryRun: true });
  const wanted = JSON.stringify(planned.transitions);
  return orderSigned(
    client,
    signer,
    () => client.propose({ ...asked, dryRun: false }),
    ({ transitions }) => JSON.stringify(transitions) === wanted,
    (generation) => ({ ...planned, dryRun: false, generation }),
  );
}

/** `revoada formation switch-topology`. */
export const formationSwitchCommand: CommandSpec = {
  path: ["formation", "switch-topology"],
  summary: "give the running cluster another topology; taken back where its shape does not stand in time",
  details: [
    "The whole declaration is checked first, as at founding, and refused where fewer nodes are there than the topology needs. Every node goes by",
    "it without a restart, and each step is told as it is committed. The topology of a package has to be named to every node before, with",
    "--topology-package. Ask on a master.",
  ],
  arguments: [{ name: "NAME", required: true }],
  flags: [
    { name: "strategy", value: "NAME|FILE", summary: "the strategy that goes with it", completes: "file" },
    { name: "min-nodes", value: "N", summary: "how many nodes the topology needs, where it leaves that open" },
    ...switchFlags,
  ],
  examples: [
    { command: "revoada formation switch-topology quorum_3m", meaning: "workers become standbys" },
    {
      command: "revoada formation switch-topology cluster_5m_nw --strategy five.yaml --within 2m",
      meaning: "five masters that vote, or what there was before",
    },
    {
      command: "revoada formation switch-topology '@example/three-regions?eu=1&us=1&ap=1' --dry-run",
      meaning: "whether a package's topology would be taken",
    },
  ],
  run: async (invocation) => {
    const asked = invocation.value("strategy");
    const strategy = asked === undefined ? {} : { strategy: await strategyNamed(invocation, asked) };
    const [topology = ""] = invocation.arguments;
    return runSwitch(invocation, { topology, ...strategy, ...minNodesOf(invocation) });
  },
};

function renderInputs(block: BlockLine): string {
  const inputs = Object.entries(block.decision?.inputs ?? {});
  return inputs.map(([name, value]) => `${name}=${shortValue(value)}`).join(" ");
}

/** Ids are shortened as everywhere. */
function shortValue(value: string | number | boolean): string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? shortId(value) : String(value);
}

/** `revoada formation explain`. */
export const formationExplainCommand: CommandSpec = {
  path: ["formation", "explain"],
  summary: "show why a node has the place that it has: each shift of it, who decided that, and on which facts",
  details: [
    "The shifts are read from the chain, which is verified meanwhile. The facts are kept by nodes that hold a replica, for the last",
    "4,096 generations, and are shown only where they have the hash that the chain names.",
  ],
  arguments: [{ name: "NODE", required: true }],
  flags: clientFlags,
  examples: [
    { command: "revoada formation explain 4f1c9a20", meaning: "an id, or the beginning of one" },
    { command: "revoada formation explain 4f1c9a20 -o json", meaning: "with everything that is kept" },
  ],
  run: (invocation) =>
    withNode(invocation, async (client) => {
      const report = await client.explain(invocation.arguments[0] ?? "");
      show(invocation, report, (paint) => {
        const rows = report.blocks.map((block): readonly Cell[] => [
          String(block.height),
          new Date(block.timeMs).toISOString(),
          placeOf(block) === "-" ? block.verb : `${block.verb} ${placeOf(block)}`,
          block.decision?.kind ?? "",
          shortId(block.proposer),
          ...operatorCell(block),
          block.reason,
          renderInputs(block),
        ]);
        const { archivedHeight } = report;
        const earlier = archivedHeight === 0 ? "" : `shifts up to block ${archivedHeight} are archived`;
        if (rows.length === 0)
          return earlier === ""
            ? `${shortId(report.node)} founded the cluster and was never shifted\n`
            : `${shortId(report.node)} was not shifted since: ${earlier}\n`;
        const table = renderTable(
          ["HEIGHT", "TIME", "SHIFT", "DECISION", "BY", ...operatorHeading(report.blocks), "REASON", "FACTS"],
          rows,
          paint,
        );
        return earlier === "" ? table : `${paint("dim", earlier)}\n${table}`;
      });
      return exitCodes.ok;
    }),
};
