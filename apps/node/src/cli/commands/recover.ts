import { shortId } from "@revoada/fabric";
import type { RecoveryReport } from "../../offline/recovery.ts";
import { dataDirectoryFlag } from "../../config/settings.ts";
import { CliUsageError } from "../../errors.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag } from "../output.ts";
import { directoryOf, show } from "./common.ts";

async function recover(invocation: Invocation): Promise<number> {
  if (!invocation.has("lost-majority"))
    throw new CliUsageError("CLI_MISSING_FLAG", "recover needs --lost-majority: there is nothing else to recover from");
  // Loaded here: no other command needs everything that a node is made of.
  const { recoverNode } = await import("../../offline/recovery.ts");
  const report = await recoverNode(directoryOf(invocation), {
    dryRun: invocation.has("dry-run") || !invocation.has("accept-data-loss"),
    evenIfAMajorityLives: invocation.has("even-if-a-majority-lives"),
  });
  show(invocation, report, () => `${sentences(report).join("\n")}\n`);
  if (report.done || (report.outcome === "possible" && invocation.has("dry-run"))) return exitCodes.ok;
  return exitCodes.failed;
}

function names(ids: readonly string[]): string {
  return ids.length === 0 ? "nobody" : ids.map((id) => shortId(id)).join(", ");
}

function sentences(report: RecoveryReport): readonly string[] {
  const { node, voters, lost, living, lastIndex, commitIndex, outcome } = report;
  const facts = [
    `node       ${node}`,
    `voters     ${names(voters)}`,
    `answering  ${names(living)}`,
    `given up   ${names(lost)}`,
    `log        up to entry ${lastIndex}, known to be committed up to ${commitIndex}`,
  ];
  if (outcome === "majority lives") {
    return [
      ...facts,
      "nothing was changed: enough voters answer to agree, or could once this node is started",
      "start this node instead; if you are sure that they must be given up: --even-if-a-majority-lives",
    ];
  }
  const risk = [
    "writes that were acknowledged may be gone: those that this node had not received",
    "if those who are given up ever come back with their disks, they may go on as a second cluster of the same id: wipe them first",
  ];
  if (!report.done)
    return [
      ...facts,
      ...risk,
      "nothing was changed; to go on alone: revoada recover --lost-majority --accept-data-loss",
    ];
  return [
    ...facts,
    ...risk,
    `${shortId(node)} is the only voter now; the chain says so in block ${report.height}`,
    "start it, make a new token on it, and let the others join with empty directories: their old ones and all old tokens are void",
  ];
}

/** `revoada recover`. */
export const recoverCommand: CommandSpec = {
  path: ["recover"],
  summary: "let a stopped node go on alone after a majority of the voters was lost for good",
  details: [
    "The last resort. Run it on ONE survivor, the one whose log reaches furthest. Acknowledged writes may be lost, and if the lost",
    "ones come back with their disks there may be two clusters. All others are removed for ever and must be wiped; they join again as",
    "new nodes, with a new token. The act is signed, and the chain shows it for ever. Without --accept-data-loss nothing is changed.",
  ],
  arguments: [],
  flags: [
    {
      name: "lost-majority",
      summary: "what is recovered from: more than half of the voters are gone, and so are their disks",
    },
    { name: "dry-run", summary: "show what would be done, and change nothing" },
    { name: "accept-data-loss", summary: "do it" },
    {
      name: "even-if-a-majority-lives",
      summary: "do it although enough voters answer to agree: they must be stopped and wiped",
    },
    dataDirectoryFlag,
    outputFlag,
  ],
  examples: [
    {
      command: "revoada recover --lost-majority --dry-run",
      meaning: "who answers, who would be given up, how far the log reaches",
    },
    { command: "revoada recover --lost-majority --accept-data-loss", meaning: "go on alone" },
  ],
  run: recover,
};
