import { isFabricError, shortId } from "@revoada/fabric";
import type { NodeClient } from "../../client.ts";
import type { HealthReport } from "../../daemon/control.ts";
import type { FormationReport, NodeStatus } from "../../daemon/status.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, painter, renderError, renderFacts, renderTable, type Cell } from "../output.ts";
import { archivedText } from "./chain.ts";
import { clientFlags, outputOf, show, withNode, type Paint } from "./common.ts";

const watchEveryMs = 1000;

const conditionStyles: Readonly<Record<HealthReport["condition"], "green" | "yellow" | "red">> = {
  healthy: "green",
  forming: "yellow",
  degraded: "yellow",
  "no-quorum": "red",
};

function since(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h${minutes % 60}m` : `${Math.floor(hours / 24)}d${hours % 24}h`;
}

/** How long there has been none is what an operator wants to know first. */
function quorumOf({ quorum, quorumSinceMs }: { readonly quorum: boolean; readonly quorumSinceMs: number }): string {
  return quorum ? "quorum yes" : `quorum no, for ${since(quorumSinceMs)}`;
}

function offClock({ aheadMs }: NonNullable<NodeStatus["clock"]>): string {
  const by = `${(Math.abs(aheadMs) / 1000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} the voters'`;
  return `${by}: nothing expires by it while this node leads`;
}

/** What is under way, and what keeps this node from being part of it: mostly nothing. */
function declarationFacts(status: NodeStatus): readonly (readonly [string, Cell])[] {
  const { switching, unadopted, refusal, clock } = status;
  const facts: (readonly [string, Cell])[] = [];
  if (switching !== undefined) {
    const lacks = switching.missing === undefined ? "" : `: ${switching.missing}`;
    facts.push(["switching", { text: `from ${switching.from} to ${switching.to}${lacks}`, style: "yellow" }]);
  }
  if (refusal !== undefined) facts.push(["not followed", { text: refusal, style: "red" }]);
  if (clock?.trusted === false) facts.push(["clock", { text: offClock(clock), style: "red" }]);
  if (unadopted.length > 0) facts.push(["next start", { text: `takes up ${unadopted.join(", ")}`, style: "yellow" }]);
  return facts;
}

/** What waits for an operator, where the cluster has any. */
function operatorFacts({ chain, waitingShifts = 0 }: NodeStatus): readonly (readonly [string, Cell])[] {
  const { operatorSignedHeight: signed, sealedHeight } = chain;
  if (signed === undefined) return [];
  const blocks = sealedHeight - signed;
  const awaiting = blocks === 0 ? [] : [`${counted(blocks, "block")} above that not yet`];
  const waiting = waitingShifts === 0 ? [] : [`${counted(waitingShifts, "shift")} not made before one approves`];
  const text = [`signed up to ${signed}`, ...awaiting, ...waiting].join(", ");
  const isDone = blocks === 0 && waitingShifts === 0;
  return [["operator", isDone ? text : { text: `${text}: see revoada chain pending`, style: "yellow" }]];
}

/** The duties that a node does itself, singletons with the token that they are held under. */
function dutiesOf({ duties }: NodeStatus): string {
  const own = duties.filter(({ state }) => state === "running" || state === "failed");
  const names = own.map(({ duty, kind, state, token }) =>
    state === "failed"
      ? `${duty} (failed)`
      : kind === "singleton" && token !== undefined
        ? `${duty} (token ${token.term}/${token.index})`
        : duty,
  );
  return names.join(", ") || "none";
}

function leaderOf({ leader, leaderTerm, term }: NodeStatus["consensus"]): string {
  if (leader === undefined) return "none known";
  return leaderTerm === term ? shortId(leader) : `${shortId(leader)} in term ${leaderTerm} by gossip`;
}

/** A node's status for people. */
export function renderStatus(status: NodeStatus, paint: Paint): string {
  const { consensus, chain, condition } = status;
  const leader = leaderOf(consensus);
  const seat =
    status.role === undefined
      ? `${status.state}, ${status.replica}`
      : `${status.role}, ${status.state}, ${status.replica}`;
  const facts = renderFacts(
    [
      ["node", `${shortId(status.id)} (${seat})`],
      ["cluster", `${shortId(status.cluster)} ${status.declaration}`],
      ["condition", { text: `${condition}, ${status.mode}`, style: conditionStyles[condition] }],
      ...declarationFacts(status),
      ["consensus", `${consensus.role} in term ${consensus.term}, leader ${leader}, ${quorumOf(consensus)}`],
      ["log", `committed ${consensus.commitIndex}, applied ${consensus.appliedIndex}, last ${consensus.lastIndex}`],
      [
        "chain",
        `height ${chain.height}, sealed ${chain.sealedHeight}, head ${shortId(chain.head)}${archivedText(chain.firstKeptHeight - 1)}`,
      ],
      ["duties", dutiesOf(status)],
      ...operatorFacts(status),
      ["resources", String(status.resources)],
      ["listens", status.listen.join(", ")],
      ["admin", status.admin],
      ["up", `${since(status.uptimeMs)}, version ${status.version}, zone ${status.zone}`],
    ],
    paint,
  );
  const rows = status.members.map((member): readonly Cell[] => [
    member.id === status.id ? "*" : "",
    shortId(member.id),
    member.status === "alive"
      ? { text: "alive", style: "green" }
      : { text: member.restarting ? "restarting" : member.status, style: "red" },
    member.state,
    member.role ?? "-",
    member.leader ? { text: `${member.replica}, leads`, style: "bold" } : member.replica,
    member.zone,
    member.addresses.join(", "),
  ]);
  return `${facts}\n${renderTable(["", "NODE", "GOSSIP", "STATE", "ROLE", "REPLICA", "ZONE", "ADDRESSES"], rows, paint)}`;
}

/** Flags, and what else keeps a node from a duty. */
function notesOf({ flags, limitedTo, succeeds }: FormationReport["nodes"][number]): string {
  const limit = limitedTo === undefined ? [] : [`${limitedTo} only`];
  const next = succeeds === undefined ? [] : [`next key of ${shortId(succeeds)}`];
  return [...flags, ...limit, ...next].join(", ") || "-";
}

/** The committed formation for people. */
function renderFormation(report: FormationReport, paint: Paint): string {
  const rows = report.nodes.map((node): readonly Cell[] => [
    shortId(node.id),
    node.state,
    node.role ?? "-",
    node.replica,
    node.zone,
    node.version,
    notesOf(node),
    node.lastShiftMs === 0 ? "-" : new Date(node.lastShiftMs).toISOString(),
  ]);
  const table = renderTable(
    ["NODE", "STATE", "ROLE", "REPLICA", "ZONE", "VERSION", "FLAGS", "LAST SHIFT"],
    rows,
    paint,
  );
  const removed =
    report.tombstones.length === 0 ? "" : `removed for ever: ${report.tombstones.map(shortId).join(", ")}\n`;
  return `${paint("dim", `generation ${report.generation}`)}\n${table}${removed}`;
}

/** A cluster's health for people. */
function renderHealth(report: HealthReport, paint: Paint): string {
  const count = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .filter(([, number]) => number > 0)
      .map(([name, number]) => `${number} ${name}`)
      .join(", ") || "none";
  return renderFacts(
    [
      ["condition", { text: report.condition, style: conditionStyles[report.condition] }],
      ["mode", report.mode],
      [
        "invariants",
        report.broken === undefined
          ? "all hold"
          : { text: `${report.broken.name}: ${report.broken.message}`, style: "red" },
      ],
      ["face", `${report.face.name} (${report.face.protocol}), ${report.face.running ? "running" : "stopped"}`],
      ["members", count(report.members)],
      ["nodes", count(report.states)],
      [
        "consensus",
        `${report.consensus.role} in term ${report.consensus.term}, ${quorumOf(report.consensus)}, storage ${report.consensus.storage}`,
      ],
      ["resources", `${report.resources}, ${report.subscribers} subscribers`],
      ["chain", `height ${report.chain.height}, sealed ${report.chain.sealedHeight}`],
    ],
    paint,
  );
}

/**
 * What a terminal is sent to show a text in the place of the one before. Home, each line with nothing of an older one behind it, and nothing
 * below: a screen that is cleared first flickers. Lines are cut at the edge, as one that wraps would push the first ones out of sight.
 */
export function renderFrame(text: string, rows: number): string {
  const lines = text.trimEnd().split("\n");
  // The last row stays free, so that the end of the picture scrolls nothing.
  const room = Math.max(1, rows - 1);
  const fitting =
    lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`];
  return `\u001B[?7l\u001B[H${fitting.map((line) => `${line}\u001B[K\n`).join("")}\u001B[J\u001B[?7h`;
}

async function watchStatus(invocation: Invocation, node: NodeClient): Promise<number> {
  const { io } = invocation;
  const isLive = io.stdout.isTerminal && outputOf(invocation) === undefined;
  while (!io.signal.aborted) {
    try {
      const status = await node.status();
      if (isLive)
        io.stdout.write(renderFrame(renderStatus(status, painter(io.stdout, io.environment)), io.stdout.rows));
      else if (outputOf(invocation) === "json") io.stdout.write(`${JSON.stringify(status)}\n`);
      else {
        // Without a line between them, documents of YAML are one that says everything twice.
        if (outputOf(invocation) === "yaml") io.stdout.write("---\n");
        show(invocation, status, (paint) => renderStatus(status, paint));
      }
    } catch (error) {
      // The daemon is gone: whatever comes next is another connection.
      if (io.signal.aborted) break;
      if (isFabricError(error)) io.stderr.write(renderError(error, outputOf(invocation)));
      return exitCodes.unreachable;
    }
    await pause(watchEveryMs, io.signal);
  }
  return exitCodes.ok;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}

/** `revoada status`. */
export const statusCommand: CommandSpec = {
  path: ["status"],
  summary: "show the node and who is in its cluster",
  arguments: [],
  flags: [...clientFlags, { name: "watch", short: "w", summary: "show it again every second" }],
  examples: [
    { command: "revoada status", meaning: "once, for people" },
    { command: "revoada status -o json", meaning: "with real addresses and full ids, for programs" },
    { command: "revoada status --watch", meaning: "until Ctrl-C" },
  ],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      if (invocation.has("watch")) return watchStatus(invocation, node);
      const status = await node.status();
      show(invocation, status, (paint) => renderStatus(status, paint));
      return exitCodes.ok;
    }),
};

/** `revoada formation`. */
export const formationCommand: CommandSpec = {
  path: ["formation"],
  summary: "show the committed formation: who is what",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada formation", meaning: "every node's state, role and replica" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const report = await node.formation();
      show(invocation, report, (paint) => renderFormation(report, paint));
      return exitCodes.ok;
    }),
};

/** `revoada health`. */
export const healthCommand: CommandSpec = {
  path: ["health"],
  summary: "check the cluster; exit code 1 where something is wrong, 5 without a quorum",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada health && deploy", meaning: "go on only where all is well" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const report = await node.health();
      show(invocation, report, (paint) => renderHealth(report, paint));
      if (report.ok) return exitCodes.ok;
      return report.condition === "no-quorum" ? exitCodes.noQuorum : exitCodes.failed;
    }),
};
