import { shortId } from "@revoada/fabric";
import type { ShiftReport } from "../../daemon/operator-control.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, show, withNode } from "./common.ts";

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
    ...clientFlags,
  ],
  examples: [
    { command: "revoada formation propose drain 4f1c9a20", meaning: "before its machine is serviced" },
    { command: "revoada formation propose quarantine 4f1c9a20 --dry-run", meaning: "whether that would be possible" },
    { command: "revoada formation propose restore 4f1c9a20", meaning: "when it is back" },
    { command: "revoada formation propose promote 4f1c9a20 --role observer", meaning: "a standby that serves reads" },
  ],
  run: (invocation) =>
    withNode(invocation, async (client) => {
      const [verb = "", node = ""] = invocation.arguments;
      const role = invocation.value("role");
      const dryRun = invocation.has("dry-run");
      const report = await client.propose({ verb, node, dryRun, ...(role === undefined ? {} : { role }) });
      show(invocation, report, () => renderReport(report));
      return exitCodes.ok;
    }),
};
