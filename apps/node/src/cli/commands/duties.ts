import type { DutyReport } from "@revoada/cluster";
import { shortId } from "@revoada/fabric";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Cell } from "../output.ts";
import { clientFlags, show, withNode, type Paint } from "./common.ts";

const stateStyles: Readonly<Partial<Record<DutyReport["state"], "green" | "yellow" | "red">>> = {
  running: "green",
  starting: "yellow",
  stopping: "yellow",
  failed: "red",
};

function renderDuties(duties: readonly DutyReport[], paint: Paint): string {
  const rows = duties.map(({ duty, kind, state, nodes, token, error }): readonly Cell[] => {
    const style = stateStyles[state];
    return [
      duty,
      kind === "singleton" ? "one master" : "every master",
      nodes.map(shortId).join(", ") || "nobody",
      token === undefined ? "-" : `${token.term}/${token.index}`,
      style === undefined ? state : { text: state, style },
      error ?? "-",
    ];
  });
  return renderTable(["DUTY", "RUNS ON", "NODES", "TOKEN", "HERE", "ERROR"], rows, paint);
}

/** `revoada duty list`. */
export const dutyListCommand: CommandSpec = {
  path: ["duty", "list"],
  summary: "show what masters do, who does it, and under which token",
  details: [
    "A duty of one master is held under a token that rises with each new holder; what a former holder writes is refused. Who does a",
    "duty of every master is what those nodes say of themselves. HERE is what the asked node does about it.",
  ],
  arguments: [],
  flags: clientFlags,
  examples: [
    { command: "revoada duty list", meaning: "who does what" },
    { command: "revoada duty list -o json", meaning: "with full ids, for programs" },
  ],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const { duties } = await node.status();
      show(invocation, { duties }, (paint) => renderDuties(duties, paint));
      return exitCodes.ok;
    }),
};
